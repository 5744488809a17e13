"""JSON has one meaning or is refused, with the place named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.dialects.strict import DEPTH, VALUES, read_object
from sekimori.errors import Refused


def nested(levels: int) -> bytes:
    """An object around arrays, `levels` deep in all."""
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


REFUSED: list[tuple[str, bytes, str]] = [
    ("empty", b"", "empty"),
    ("white space", b" \n\t", "empty"),
    ("array", b"[1]", "not a JSON object"),
    ("string", b'"a"', "not a JSON object"),
    ("null", b"null", "not a JSON object"),
    ("text", b"model=x", "byte 0"),
    ("byte-order mark", b'\xef\xbb\xbf{"a":1}', "byte-order mark (byte 0)"),
    ("UTF-16", '{"a":1}'.encode("utf-16"), "byte-order mark (byte 0)"),
    ("invalid UTF-8 in a value", b'{"a":"\xff"}', "byte 6"),
    ("invalid UTF-8 in a name", b'{"\xff":1}', "byte 2"),
    ("overlong UTF-8", b'{"a":"\xc0\xaf"}', "byte 6"),
    ("surrogate as UTF-8", b'{"a":"\xed\xa0\x80"}', "byte 6"),
    ("lone high surrogate", b'{"a":"\\ud800"}', "half of a surrogate pair (byte 6)"),
    ("lone low surrogate", b'{"a":"\\udc00"}', "surrogate"),
    ("surrogate and a letter", b'{"a":"\\ud800\\u0041"}', "surrogate"),
    ("control character", b'{"a":"\x01"}', "byte 6"),
    ("NaN", b'{"a":NaN}', "byte 5"),
    ("Infinity", b'{"a":Infinity}', "byte 5"),
    ("minus Infinity", b'{"a":-Infinity}', "byte 6"),
    ("beyond a double", b'{"a":1e400}', "out of range"),
    ("endless exponent", b'{"a":1e99999999999}', "out of range"),
    ("endless integer", b'{"a":' + b"9" * 5000 + b"}", "out of range"),
    ("leading zero", b'{"a":01}', "byte 6"),
    ("trailing comma", b'{"a":1,}', "byte 7"),
    ("single quotes", b"{'a':1}", "byte 1"),
    ("comment", b'{"a":1/**/}', "byte 6"),
    ("cut off", b'{"a":1', "too early (byte 6)"),
    ("cut off in a string", b'{"a":"x', "too early (byte 7)"),
    ("something after it", b'{"a":1} x', "byte 8"),
    ("a second object", b'{"a":1}{"a":1}', "byte 7"),
    ("NUL after it", b'{"a":1}\x00', "byte 7"),
    ("one level too deep", nested(DEPTH + 1), "deeper than 64"),
    ("very deep", nested(100_000), "deeper than 64"),
    ("deep and open", b'{"a":' * 100_000, "deeper than 64"),
    ("deep by turns", b'[{"a":' * 50_000, "deeper than 64"),
    ("deep behind brackets in a string", b'{"b":"]]]]","a":' + nested(DEPTH) + b"}", "deeper than 64"),
    ("too many values", b'{"a":[0' + b",0" * VALUES + b"]}", "values"),
    ("too many objects", b'{"a":[{}' + b",{}" * VALUES + b"]}", "values"),
    ("too many strings", b'{"a":["\\\\"' + b',"\\\\"' * (3 * VALUES) + b"]}", "values"),
    ("twice", b'{"a":1,"a":1}', 'The name "a" stands twice in the body'),
    ("twice by another spelling", b'{"a":1,"\\u0061":2}', '"a" stands twice'),
    ("twice inside", b'{"m":{"b":[1,{"c":1,"c":2}]}}', '"c" stands twice in `m.b[1]`'),
    ("twice inside of the first of two", b'{"a":{"x":1,"x":1},"a":2}', "stands twice"),
    ("twice, with colons in strings", b'{"a":":::","a":":"}', '"a" stands twice'),
    ("twice, with escaped quotes", b'{"a":"\\":\\"","a":1}', '"a" stands twice'),
    (
        "twice, with names that cannot be printed",
        b'{"a\x7f":{"b\\u001b":1,"b\\u001b":1}}',
        '"b\\x1b" stands twice in `a\\x7f`',
    ),
    ("twice in a large body", b'{"x":"' + b"y" * (1 << 20) + b'","a":1,"a":2}', "stands twice"),
]


@pytest.mark.parametrize(("body", "says"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refuses(body: bytes, says: str) -> None:
    with pytest.raises(Refused) as refused:
        read_object(body)
    assert refused.value.reason == "malformed_json"
    assert refused.value.status == 400
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b' \r\n{ "a" : 1 } \t',
        nested(DEPTH),
        b'{"a":"' + b"[{" * 1000 + b'"}',
        b'{"a":"' + b'\\"[' * 1000 + b'","b":"\\\\"}',
        b'{"a":' + b"9" * 4000 + b"}",
        b'{"a":-0,"b":1E5,"c":1.50,"d":1e-400}',
        b'{"a":"\\ud83d\\ude00","b":"\\/","c":"\x7f"}',
        b'{"a":{"a":{"a":1}},"b":{"a":1}}',
        b'{"":1}',
        json.dumps({"a": ":" * 50, '"': '\\":"'}).encode(),
    ],
)
def test_accepts(body: bytes) -> None:
    value, members = read_object(body)
    assert value == json.loads(body)
    assert {name: json.loads(bytes(raw)) for name, raw in members.items()} == value


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
names = st.sampled_from(["a", "b", ":", '"', "\\", "ä", "{", "[", "model"]) | st.text(max_size=3)


class Pairs(list[tuple[str, Any]]):
    """An object as written, so that a name can stand twice."""


def written(value: Any, spaced: bool, escaped: bool) -> str:
    if isinstance(value, Pairs):
        gap = " " if spaced else ""
        inner = ("," + gap).join(
            json.dumps(name, ensure_ascii=escaped) + gap + ":" + written(item, spaced, escaped) for name, item in value
        )
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(item, spaced, escaped) for item in value) + "]"
    return json.dumps(value, ensure_ascii=escaped)


def repeats(value: Any) -> bool:
    if isinstance(value, Pairs):
        return len({name for name, _ in value}) < len(value) or any(repeats(item) for _, item in value)
    return isinstance(value, list) and any(repeats(item) for item in value)


documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.lists(st.tuples(names, inner), max_size=4).map(Pairs),
    max_leaves=25,
)


@given(st.lists(st.tuples(names, documents), max_size=5).map(Pairs), st.booleans(), st.booleans())
def test_a_name_that_stands_twice_is_found_wherever_it_is(document: Pairs, spaced: bool, escaped: bool) -> None:
    try:
        body = written(document, spaced, escaped).encode()
    except UnicodeEncodeError:
        return  # hypothesis made a lone surrogate, which UTF-8 cannot hold
    lone = escaped and any(0xD800 <= ord(char) < 0xE000 for char in json.dumps(document, ensure_ascii=False))
    if repeats(document) or lone:
        with pytest.raises(Refused):
            read_object(body)
    else:
        value, members = read_object(body)
        assert value == json.loads(body)
        assert list(members) == [name for name, _ in document]


@given(st.binary(max_size=200))
def test_nothing_but_a_refusal_comes_of_any_bytes(body: bytes) -> None:
    try:
        value, _ = read_object(body)
    except Refused:
        return
    assert value == json.loads(body)
