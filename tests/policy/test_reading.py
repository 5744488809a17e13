"""YAML read strictly: what is refused, on which line, and what plain scalars mean."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekimori.policy.problems import Invalid, Problem, looks_secret, shown
from sekimori.policy.reading import FILE_LIMIT, Node, read


def plain(node: Node) -> object:
    match node.value:
        case dict():
            return {name: plain(member) for name, member in node.value.items()}
        case tuple():
            return [plain(item) for item in node.value]
        case _:
            return node.value


REFUSED = [
    (b"a: &x 1\nb: *x\n", 1, "anchor or alias"),
    (b"a: 1\nb: *x\n", 2, "anchor or alias"),
    (b"a: &x [1]\n", 1, "anchor or alias"),
    (b"a: !!python/object/apply:os.system [ls]\n", 1, "tag"),
    (b"a: !!str 1\n", 1, "tag"),
    (b"a: ! 1\n", 1, "tag"),
    (b"a: 1\nb: 2\na: 3\n", 3, "names a twice"),
    (b'a: 1\n"a": 2\n', 2, "names a twice"),
    (b"a:\n  b: 1\n  b: 2\n", 3, "names b twice"),
    (b"1: a\n", 1, "name is a number"),
    (b"true: a\n", 1, "name is the word true"),
    (b"? [a]\n: 1\n", 1, "name is not text"),
    (b"? {a: 1}\n: 1\n", 1, "name is not text"),
    (b"~: 1\n", 1, "name is nothing"),
    (b"a: [1, 2\n", 2, "not YAML"),
    (b"a: b: c\n", 1, "not YAML"),
    (b"\ta: 1\n", 1, "not YAML"),
    (b"a: 'open\n", 2, "not YAML"),
    (b"%YAML 9.9\n---\na: 1\n", 0, "not YAML"),
    (b"a: 1\n\xff\n", 2, "not UTF-8"),
    (b"a: 1\nb: \x00\n", 2, "a character that YAML does not allow"),
    (b"a: " + b"[" * 200 + b"]" * 200, 1, "nested too deeply"),
    (b"a: " + b"[" * 100_000, 1, "nested too deeply"),
    (b"- " * 100_000, 1, "nested too deeply"),
    ("a: 1\n# fine\u2028b: 2\n".encode(), 2, "U+2028"),
    ("a: 1\n# fine\x85b: 2\n".encode(), 2, "U+0085"),
    ("a: 1 # \u202e eslaf\n".encode(), 1, "U+202E"),
    (b"a: 1\n# fine\rb: 2\n", 2, "U+000D"),
    (b" " * (FILE_LIMIT + 1), 0, "larger than"),
]


@pytest.mark.parametrize(("data", "line", "said"), REFUSED, ids=[said for _, _, said in REFUSED])
def test_refused_with_its_line(data: bytes, line: int, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(data, "a.yaml")
    (problem,) = caught.value.problems
    assert said in problem.text
    assert problem.fix
    assert problem.file == "a.yaml"
    if line:
        assert problem.line == line


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("True", "True"),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'true'", "true"),
        ('""', ""),
        ("12", 12),
        ("-3", -3),
        ("0", 0),
        ("012", "012"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2.50", "2.50"),
        ("1e3", "1e3"),
        (".inf", ".inf"),
        ("2026-11-22", "2026-11-22"),
        ("9" * 18, int("9" * 18)),
        ("9" * 5000, "9" * 5000),
        ("<<", "<<"),
        ("=", "="),
        ("gpt-4o:latest", "gpt-4o:latest"),
        ("*", None),
    ],
)
def test_scalars_by_the_core_schema(written: str, meant: object) -> None:
    if written == "*":
        with pytest.raises(Invalid):  # an alias: patterns that begin with a star need quotes
            read(b"a: *\n", "a.yaml")
        return
    (node,) = read(f"a: {written}\n".encode(), "a.yaml")
    found = plain(node)["a"]  # type: ignore[index]
    assert found == meant
    assert type(found) is type(meant)


def test_lines_are_those_of_the_fields() -> None:
    (first, second) = read(b"# one\na: 1\nb:\n  - x\n  - y\n---\n\nc:\r\n  d: 1\r\n", "a.yaml")
    assert isinstance(first.value, dict)
    assert [member.line for member in first.value.values()] == [2, 3]
    assert [item.line for item in first.value["b"].value] == [4, 5]  # type: ignore[union-attr]
    assert isinstance(second.value, dict)
    assert second.value["c"].line == 8


def test_documents_of_comments_alone_are_none() -> None:
    assert read(b"", "a") == []
    assert read(b"# nothing\n---\n# again\n---\n", "a") == []


def test_a_billion_laughs_is_refused_at_its_first_anchor() -> None:
    bomb = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (n + 1, n + 1, *[n] * 8) for n in range(97, 110)
    )
    with pytest.raises(Invalid, match="anchor"):
        read(bomb, "a.yaml")


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text("ab:-[]{},'\"\n #&*!|>%@`?~\t1", max_size=80).map(str.encode)))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    problems: tuple[Problem, ...] = ()
    nodes: list[Node] = []
    try:
        nodes = read(data, "a.yaml")
    except Invalid as invalid:
        problems = invalid.problems
    assert all(problem.text and problem.fix for problem in problems)
    for node in nodes:
        plain(node)


@pytest.mark.parametrize(
    "key", ["sk-ant-api03-AAAAAAAAAAAAAAAA", "sk-proj-abcdefghijklmnop", "AIza" + "b" * 35, "x hf_" + "a" * 30]
)
def test_messages_never_repeat_a_key(key: str) -> None:
    assert looks_secret(key)
    assert key not in shown(key)


def test_shown_is_one_bounded_printable_line() -> None:
    assert shown("a\x1b[31m\nb\u202e") == "a\ufffd[31m\ufffdb\ufffd"
    assert len(shown("x" * 10_000)) == 61
