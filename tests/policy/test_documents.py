"""Documents: every error of shape with its place and fix; export, diff and the store's form lose nothing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekimori.policy.documents import Documents, Located, decode, diff, digest, encode, export, parse, subject
from sekimori.policy.kinds import KINDS, Agent, Fallback, HostPort, Key, Limit, Operator, Price, Provider, Route, Tenant
from sekimori.policy.problems import Invalid
from tests.policy.worlds import RIGHT, right, worlds

WRONG: list[tuple[str, int, str, str, str]] = [
    # document, line, field, what is said, the fix
    ("name: acme", 1, "kind", "is missing", "Operator, Tenant, Provider, Key, Agent, Route, Limit"),
    ("kind: Tennant", 1, "kind", "Tennant is not a kind", "Did you mean Tenant?"),
    ("kind: [Tenant]", 1, "kind", "a list is not a kind", "Write one of"),
    ("- kind: Tenant", 1, "", "is a list, not a document", "`kind: …`"),
    ("hello", 1, "", "is text, not a document", "`kind: …`"),
    ("kind: Tenant\nname: acme", 1, "mode", "is missing", "Write agency or vpc."),
    ("kind: Tenant\nmode: agency", 1, "name", "is missing", "lower-case letters"),
    ("kind: Tenant\nname: acme\nmode: vcp", 3, "mode", "vcp does not fit", "Write agency or vpc."),
    ("kind: Tenant\nname: Acme\nmode: vpc", 2, "name", "Acme does not fit", "lower-case letters"),
    ("kind: Tenant\nname: 'acme\\n'\nmode: vpc", 2, "name", "does not fit", "lower-case letters"),
    ('kind: Tenant\nname: "acme\\n"\nmode: vpc', 2, "name", "contains a control character", "Remove it."),
    ("kind: Tenant\nname: -a\nmode: vpc", 2, "name", "does not fit", "beginning with a letter"),
    ("kind: Tenant\nname: a-\nmode: vpc", 2, "name", "does not fit", "lower-case letters"),
    ("kind: Tenant\nname: " + "a" * 40 + "\nmode: vpc", 2, "name", "does not fit", "at most 39"),
    ("kind: Tenant\nname: ../globex\nmode: vpc", 2, "name", "does not fit", "lower-case letters"),
    ("kind: Tenant\nname: аcme\nmode: vpc", 2, "name", "does not fit", "lower-case letters"),
    ("kind: Tenant\nname: 12\nmode: vpc", 2, "name", "is a number, not text", "quotes"),
    ("kind: Tenant\nname:\nmode: vpc", 2, "name", "has no value", "remove the line"),
    ("kind: Tenant\nname: a\nmode: vpc\nsuspended: yes", 4, "suspended", "yes does not fit", "Write true or false."),
    ("kind: Tenant\nname: a\nmode: vpc\nsuspended: 1", 4, "suspended", "a number does not fit", "Write true or false."),
    ("kind: Tenant\nname: a\nmode: vpc\nsuspend: true", 4, "suspend", "is not a field", "Did you mean suspended?"),
    ("kind: Tenant\nname: a\nmode: vpc\nzzz: true", 4, "zzz", "is not a field", "Known are name, mode, vertical"),
    ("kind: Tenant\nname: a\nmode: vpc\nkeyStore: openbao", 4, "keyStore", "openbao does not fit", "Write embedded."),
    ("kind: Tenant\nname: a\nmode: vpc\nkey_store: embedded", 4, "key_store", "is not a field", "keyStore"),
    ("kind: Agent\ntenant: a\nname: x\nmodels: gpt-4o", 4, "models", "is text, not a list", "[a, b]"),
    ("kind: Agent\ntenant: a\nname: x\nmodels:\n- m\n- m", 6, "models[1]", "is listed twice", "Keep one."),
    ("kind: Agent\ntenant: a\nname: x\nmodels:\n- m\n- 4", 6, "models[1]", "is a number, not text", "quotes"),
    ("kind: Agent\ntenant: a\nname: x\nmodels: [a b]", 4, "models[0]", "a b does not fit", "no spaces"),
    ("kind: Agent\ntenant: a\nname: x\nscopes: [root]", 4, "scopes[0]", "root does not fit", "read or write or admin"),
    ("kind: Key\npath: clients/a\nprovider: p", 2, "path", "does not fit", "clients/TENANT/NAME"),
    ("kind: Key\npath: clients/a/../b\nprovider: p", 2, "path", "does not fit", "clients/TENANT/NAME"),
    ("kind: Key\npath: operator/a/b\nprovider: p", 2, "path", "does not fit", "operator/NAME"),
    ("kind: Key\npath: operator/a\nprovider: p\nsecret: abc", 4, "secret", "is not a field", "sekimori key put"),
    (
        "kind: Key\npath: operator/a\nprovider: p\nnote: sk-ant-AAAAAAAAAAAAAAA",
        4,
        "note",
        "looks like a key",
        "key put",
    ),
    (
        "kind: Provider\nname: p\ncatalog: opanai\nmodels: [m]",
        3,
        "catalog",
        "opanai does not fit",
        "openai or anthropic",
    ),
    ("kind: Provider\nname: p\ncatalog: openai", 1, "models", "is missing", "a list of a model's name"),
    (
        "kind: Route\ntenant: a\nprovider: p\nkey: operator/k\nfallback: operator/l",
        5,
        "fallback",
        "is text",
        "indented",
    ),
    (
        "kind: Route\ntenant: a\nprovider: p\nkey: operator/k\nfallback:\n  when: [rate_limited]",
        5,
        "fallback.key",
        "is missing",
        "operator/NAME",
    ),
    (
        "kind: Route\ntenant: a\nprovider: p\nkey: operator/k\nfallback:\n  key: operator/l\n  when: [ratelimited]",
        7,
        "fallback.when[0]",
        "ratelimited does not fit",
        "rate_limited or overloaded",
    ),
    *(
        (f"kind: Alias\ntenant: a\nname: {name}\ntargets: []", 3, "name", "does not fit", "without * and /")
        for name in ("a/b", "'*'", "g*", "-a", ".a", "'a b'", "ｆast", "f" * 201)
    ),
    *(
        (f"kind: Alias\ntenant: a\nname: f\ntargets: [{{model: {name}}}]", 4, "targets[0].model", "does not fit", "")
        for name in ("/a", "p/*", "'a b'", "../a", "'p/ｍ'")
    ),
    ("kind: Alias\ntenant: a\nname: f\ntargets: [gpt-4o]", 4, "targets[0]", "is text", "indented"),
    *(
        (
            f"kind: Alias\ntenant: a\nname: f\ntargets: [{{model: m, weight: {weight}}}]",
            4,
            "targets[0].weight",
            "does not fit",
            "from 1 to 1000",
        )
        for weight in ("0", "-1", "1001", "1.5", "true")
    ),
    *(
        (
            f"kind: Route\ntenant: a\nprovider: p\nkey: operator/k\nhedge: {{{said}}}",
            5,
            f"hedge.{said.split(', ')[-1].partition(':')[0]}",
            "does not fit",
            words,
        )
        for said, words in (
            ("after: 49", "from 50 to 60000"),
            ("after: 60001", "from 50 to 60000"),
            ("after: 0.5", "from 50 to 60000"),
            ("after: 50, most: 0", "1 or 2"),
            ("after: 50, most: 3", "1 or 2"),
        )
    ),
    (
        "kind: Route\ntenant: a\nprovider: p\nkey: operator/k\nsticky: client",
        5,
        "sticky",
        "client does not fit",
        "Write conversation.",
    ),
    (
        "kind: Route\ntenant: a\nprovider: p\nkey: operator/k\ncoolDown: {longest: 3601}",
        5,
        "coolDown.longest",
        "does not fit",
        "from 1 to 3600",
    ),
    ("kind: Limit\ntenant: a\nconcurrency: 0", 3, "concurrency", "does not fit", "from 1 to"),
    ("kind: Limit\ntenant: a\nconcurrency: -1", 3, "concurrency", "does not fit", "from 1 to"),
    ("kind: Limit\ntenant: a\nconcurrency: 2.5", 3, "concurrency", "2.5 does not fit", "a whole number"),
    ("kind: Limit\ntenant: a\nconcurrency: true", 3, "concurrency", "the word true does not fit", "a whole number"),
    ("kind: Limit\ntenant: a\nconcurrency: " + "9" * 30, 3, "concurrency", "does not fit", "a whole number"),
    ("kind: Operator\nallowPrivate:\n- host: a\n  port: 0", 4, "allowPrivate[0].port", "does not fit", "a port from 1"),
    ("kind: Operator\nallowPrivate:\n- host: a", 3, "allowPrivate[0].port", "is missing", "a port from 1"),
    ("kind: Operator\nallowPrivate: [a]", 2, "allowPrivate[0]", "is text", "indented"),
    (
        "kind: Operator\nprices:\n- {catalog: openai, model: m, input: '1,5', output: 2, source: s, date: 2026-11-22}",
        3,
        "prices[0].input",
        "1,5 does not fit",
        "US dollars per million",
    ),
    (
        "kind: Operator\nprices:\n- {catalog: openai, model: m, input: '1', output: '2', source: s, date: 2026-13-01}",
        3,
        "prices[0].date",
        "2026-13-01 does not fit",
        "YYYY-MM-DD",
    ),
]


@pytest.mark.parametrize(("text", "line", "field", "said", "fix"), WRONG, ids=[f"{w[2]}-{w[3]}" for w in WRONG])
def test_an_error_names_file_line_field_and_fix(text: str, line: int, field: str, said: str, fix: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text.encode(), "tenants.yaml")
    (problem,) = [problem for problem in caught.value.problems if problem.field == field]
    assert (problem.file, problem.line) == ("tenants.yaml", line)
    assert said in problem.text
    assert fix in problem.fix
    assert str(problem).startswith(f"tenants.yaml:{line}: ")


def test_all_errors_of_a_file_are_told_at_once() -> None:
    text = b"kind: Tenant\nname: A\nmode: x\nfoo: 1\n---\nkind: Nothing\n---\nkind: Limit\nconcurrency: 0\n"
    with pytest.raises(Invalid) as caught:
        parse(text, "a.yaml")
    assert [(problem.line, problem.field) for problem in caught.value.problems] == [
        (2, "name"),
        (3, "mode"),
        (4, "foo"),
        (6, "kind"),
        (9, "concurrency"),
        (8, "tenant"),
    ]
    assert str(caught.value).count("\n") == 5


def test_an_error_reads_as_a_sentence() -> None:
    with pytest.raises(Invalid) as caught:
        parse(b"kind: Agent\ntenant: acme\nname: x\nmodel: [m]\n", "a.yaml")
    assert str(caught.value) == "a.yaml:4: Agent acme/x: model: is not a field. Did you mean models?"


def test_a_folded_text_is_one_line() -> None:
    (found,) = parse(b"kind: Agent\ntenant: a\nname: x\npurpose: >\n  reads mail\n\n  and   answers\n", "a")
    assert isinstance(found.document, Agent)
    assert found.document.purpose == "reads mail and answers"


def test_two_documents_of_one_identity_name_both_places() -> None:
    text = b"{kind: Tenant, name: a, mode: vpc}\n---\n{kind: Tenant, name: a, mode: agency}\n"
    with pytest.raises(Invalid) as caught:
        Documents(parse(text, "a.yaml"))
    assert str(caught.value) == "a.yaml:3: Tenant a: is written twice; the first is a.yaml:1. Keep one of them."


def test_lines_survive_into_later_problems() -> None:
    text = b"kind: Route\ntenant: a\nprovider: p\nkey: operator/k\nfallback:\n  key: operator/l\n"
    (found,) = parse(text, "a.yaml")
    assert found.problem("fallback.key", "is wrong.", "Mend it.").line == 6
    assert found.problem("fallback.when[3]", "is wrong.", "Mend it.").line == 5
    assert found.problem("agent", "is wrong.", "Mend it.").line == 1
    assert str(Located(found.document).problem("key", "is wrong.", "")) == "stored: Route a/*/p: key: is wrong."


def test_export_of_the_sample_applies_to_itself() -> None:
    text = export(right())
    assert Documents(parse(text.encode(), "x")) == right()
    assert diff(right(), Documents(parse(text.encode(), "x"))) == []
    assert "fallback:" in text
    assert "suspended" not in text, "defaults are left out"
    assert export([]) == ""


@settings(max_examples=200, deadline=None)
@given(worlds)
def test_apply_of_an_export_changes_nothing(documents: Documents) -> None:
    back = Documents(parse(export(documents).encode(), "export.yaml"))
    assert back == documents
    assert diff(documents, back) == []
    assert export(back) == export(documents), "canonical"
    assert digest(back) == digest(documents)


texts = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=30).map(str.strip)


TRICKY = [
    *("no", "on", "true", "null", "~", "12", "1e3", "1.5", "0x1f", "12:30", "=", "<<", "2026-11-22", "- a", "a: b"),
    *("a:", "#x", "a #b", "'", '"', "*a", "&a", "!a", "%a", "@a", "`a", "|", ">", "?", "{", "[", ",", "-", ":", "a:b"),
]


@settings(max_examples=300, deadline=None)
@given(texts, st.sampled_from(TRICKY), st.integers(1, 65535))
def test_texts_that_yaml_would_read_as_something_else_come_back(text: str, tricky: str, port: int) -> None:
    documents = Documents(
        [
            Operator(allow_private=(HostPort(host="h", port=port),)),
            Tenant(name="no", mode="vpc", vertical=tricky, suspended=True),
            Tenant(name="on", mode="agency", vertical=text),
            Agent(tenant="on", name="null", purpose=f"{tricky} {text}".strip(), models=("*", "1.5", "0x1f")),
        ]
    )
    assert Documents(parse(export(documents).encode(), "x")) == documents


@given(worlds)
@settings(max_examples=150, deadline=None)
def test_the_stores_form_loses_nothing(documents: Documents) -> None:
    for document in documents:
        assert decode(encode(document)) == document


def test_the_stores_form_is_strict() -> None:
    for wrong in (b"{}", b'{"kind":"Nothing"}', b'{"kind":"Tenant","name":"a","mode":"vpc","x":1}', b"[]", b"\xff"):
        with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
            decode(wrong)


@settings(max_examples=200, deadline=None)
@given(worlds, worlds)
def test_a_diff_is_what_turns_one_set_into_the_other(old: Documents, new: Documents) -> None:
    changes = diff(old, new)
    created = [change.after for change in changes if change.after is not None]
    deleted = [(c.kind, c.tenant or "", c.name) for c in changes if c.action == "delete"]
    assert old.merged(Documents(created)).without(deleted) == new
    assert (changes == []) == (old == new)
    assert all(change.before != change.after and str(change) for change in changes)


def test_a_diff_reads_well() -> None:
    old = right()
    new = old.merged(Documents([Tenant(name="acme", mode="vpc", suspended=True)])).without([("Limit", "acme", "x")])
    assert [str(change) for change in diff(old, new)] == [
        "~ Tenant acme\n    mode: agency -> vpc\n    vertical: retail -> None\n    suspended: None -> True",
        "- Limit acme/x",
    ]


def test_sets_are_ordered_by_kind_then_owner_then_name() -> None:
    kinds = [type(document).__name__ for document in right()]
    assert kinds == sorted(kinds, key=list(KINDS).index)
    assert Documents(reversed(list(right()))) == right()


def test_subjects() -> None:
    assert [
        subject(document)
        for document in (
            Operator(),
            Tenant(name="a", mode="vpc"),
            Provider(name="p", catalog="openai", models=("m",)),
            Provider(name="p", tenant="a", catalog="openai", models=("m",)),
            Key(path="clients/a/k", provider="p"),
            Agent(tenant="a", name="x"),
            Route(tenant="a", provider="p", key="operator/k", fallback=Fallback(key="operator/l")),
            Limit(tenant="a"),
        )
    ] == [
        "Operator operator",
        "Tenant a",
        "Provider p",
        "Provider a/p",
        "Key clients/a/k",
        "Agent a/x",
        "Route a/*/p",
        "Limit a/*",
    ]


def test_prices_are_text_exact_to_the_digit() -> None:
    price = "{catalog: openai, model: m, input: 0.10, output: 2.50, source: s, date: 2026-11-22}"
    (found,) = parse(f"kind: Operator\nprices:\n- {price}\n".encode(), "a")
    assert found.document == Operator(
        prices=(Price(catalog="openai", model="m", input="0.10", output="2.50", source="s", date="2026-11-22"),)
    )


def test_the_sample_is_read() -> None:
    assert len(parse(RIGHT, "right.yaml")) == len(right()) == 22
