"""Reading and writing embeddings: what an ask may hold, what travels, what a reply says."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.dialects import embeddings
from sekimori.dialects.fields_responses import EMBEDDINGS
from sekimori.errors import Refused, Upstream
from sekimori.terms import Ask, Named, Usage
from tests.dialects.test_openai import values


def read(**members: Any) -> Ask:
    return embeddings.read_ask("embeddings", json.dumps({"model": "e", "input": "x", **members}).encode(), [])


@pytest.mark.parametrize(
    "given", ["hello", ["a", "b"], [1, 2, 3], [[1, 2], [3]], [], ["a", [1]], "", ["http://example.com/"]]
)
def test_reads_texts_and_token_numbers(given: Any) -> None:
    ask = read(input=given, dimensions=8, encoding_format="base64", user="u")
    assert (ask.dialect, ask.operation, ask.model, ask.stream) == ("openai", "embeddings", "e", False)
    assert (ask.needs, ask.output_cap) == (frozenset(), None)
    assert json.loads(bytes(ask.members["input"])) == given


def test_a_deployment_names_the_model() -> None:
    assert embeddings.read_ask("embeddings", b'{"input":"x"}', [], Named(model="d")).model == "d"


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"input": None}, "bad_request", "`input`"),
    ({"input": 5}, "bad_request", "`input`"),
    ({"input": {"image_url": "http://x/"}}, "bad_request", "`input`"),
    ({"input": [{"image_url": "http://x/"}]}, "bad_request", "`input[0]`"),
    ({"input": [True]}, "bad_request", "`input[0]`"),
    ({"input": [[1, "a"]]}, "bad_request", "`input[0][1]`"),
    ({"input": [[1, [2]]]}, "bad_request", "`input[0][1]`"),
    ({"model": ""}, "bad_request", "`model`"),
    ({"Input": "x"}, "unknown_field", "`Input`"),
    ({"models": ["a"]}, "unknown_field", "`models` is not carried"),
]


@pytest.mark.parametrize(("members", "reason", "says"), REFUSED)
def test_refuses_naming_the_place(members: dict[str, Any], reason: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        read(**members)
    assert refused.value.reason == reason
    assert says in refused.value.text


def test_what_is_not_listed_needs_a_grant() -> None:
    assert dict(read(store=True, stream=True).places) == {"unknown_fields": "store"}


LISTED = [name for name, rule in EMBEDDINGS.items() if not rule.refused and name not in ("model", "input")]


@given(st.dictionaries(st.sampled_from(LISTED), values), st.text(min_size=1, max_size=9), st.booleans())
def test_every_other_member_travels_byte_for_byte(members: dict[str, Any], model: str, spaced: bool) -> None:
    whole = {**members, "input": ["ä\u2028", "b"], "model": "e"}
    try:
        body = json.dumps(whole, separators=(" , ", " : ") if spaced else None).encode()
        ask = embeddings.read_ask("embeddings", body, [])
    except Refused:
        return  # a lone surrogate
    raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    sent, came = raw(embeddings.upstream_body(ask, model)), raw(body)
    assert json.loads(bytes(sent.pop("model"))) == model
    came.pop("model")
    assert {name: bytes(value) for name, value in sent.items()} == {name: bytes(value) for name, value in came.items()}


def reply(**members: Any) -> bytes:
    data = [{"object": "embedding", "index": 0, "embedding": [0.1]}]
    return json.dumps({"object": "list", "model": "e-1", "data": data, **members}).encode()


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "total_tokens": 5}, Usage(5)),
        ({"prompt_tokens": 5}, Usage(5)),
        ({"prompt_tokens": 5, "total_tokens": 9}, Usage(9, estimated=True)),
        ({"prompt_tokens": 5, "total_tokens": 4}, Usage(5, estimated=True)),
        ({"prompt_tokens": 5, "total_tokens": "5"}, Usage(5, estimated=True)),
        ({"prompt_tokens": -5, "total_tokens": 5}, None),
        ({"prompt_tokens": 10**18}, None),
        ({"total_tokens": 5}, None),
        ("many", None),
        (None, None),
    ],
)
def test_reads_what_a_reply_used(usage: Any, expected: Usage | None) -> None:
    assert embeddings.read_reply(reply(usage=usage)) == embeddings.ReplyFacts(expected, model="e-1")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data":{}}', b'{"data":[', b'{"data":null,"error":null}'])
def test_what_is_no_reply_is_malformed(body: bytes) -> None:
    with pytest.raises(Upstream, match="upstream_malformed"):
        embeddings.read_reply(body)


def test_an_error_with_200_is_an_error() -> None:
    with pytest.raises(Upstream) as failed:
        embeddings.read_reply(b'{"error":{"message":"org-secret-1"}}')
    assert failed.value.reason == "upstream_error"
    assert "org-secret" not in str(failed.value)
