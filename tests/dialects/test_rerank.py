"""Reading and writing rerankings: what an ask may hold, what travels, what a reply says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sekimori.dialects import rerank
from sekimori.errors import Refused, Upstream
from sekimori.terms import Ask, Usage


def read(**members: Any) -> Ask:
    asked = {"model": "m", "query": "q", "documents": ["a", {"text": "b"}], **members}
    return rerank.read_ask("rerank", json.dumps(asked).encode(), [])


def test_reads_texts() -> None:
    ask = read(top_n=1, return_documents=False)
    assert (ask.dialect, ask.operation, ask.model, ask.stream) == ("openai", "rerank", "m", False)
    assert (ask.needs, ask.fetches, ask.objects, ask.output_cap) == (frozenset(), (), (), None)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"query": None}, "bad_request", "`query`"),
    ({"query": {"image": "http://h/"}}, "bad_request", "`query`"),
    ({"documents": None}, "bad_request", "`documents`"),
    ({"documents": "a"}, "bad_request", "`documents`"),
    ({"documents": {"content": []}}, "bad_request", "`documents`"),
    ({"documents": [5]}, "bad_request", "`documents[0]`"),
    ({"documents": [{"text": ["a"]}]}, "bad_request", "`documents[0].text`"),
    ({"documents": [{"Text": "a"}]}, "unknown_field", "`documents[0].Text`"),
    ({"top_n": 0}, "bad_request", "`top_n`"),
    ({"model": None}, "bad_request", "`model`"),
    ({"Query": "q"}, "unknown_field", "`Query`"),
    ({"models": ["a"]}, "unknown_field", "`models` is not carried"),
]


@pytest.mark.parametrize(("members", "reason", "says"), REFUSED)
def test_refuses_naming_the_place(members: dict[str, Any], reason: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        read(**members)
    assert refused.value.reason == reason
    assert says in refused.value.text


def test_what_may_name_something_outside_needs_a_grant() -> None:
    for more in ({"documents": [{"image": "http://h/"}]}, {"rank_fields": ["a"]}, {"documents": [{"content": []}]}):
        assert read(**more).needs == {"unknown_fields"}


def test_only_the_model_is_edited() -> None:
    assert json.loads(rerank.upstream_body(read(model="house/m"), "m2")) == {
        "model": "m2",
        "query": "q",
        "documents": ["a", {"text": "b"}],
    }


USAGES: list[tuple[bytes, Usage | None]] = [
    (b'"usage":{"total_tokens":9}', Usage(input=9)),
    (b'"usage":{"prompt_tokens":9,"total_tokens":9}', Usage(input=9)),
    (b'"meta":{"tokens":{"input_tokens":7},"billed_units":{"search_units":1}}', Usage(input=7)),
    (b'"meta":{"billed_units":{"search_units":1}}', None),
    (b'"usage":{"total_tokens":-1}', None),
    (b'"usage":{"total_tokens":true}', None),
    (b'"usage":"many"', None),
    (b'"other":1', None),
]


@pytest.mark.parametrize(("told", "usage"), USAGES)
def test_usage_is_told_in_one_of_three_ways(told: bytes, usage: Usage | None) -> None:
    assert rerank.read_reply(b'{"results":[],' + told + b"}").usage == usage


def test_other_replies_are_malformed() -> None:
    for body in (b"[]", b"{}", b'{"results":{}}', b'{"error":{"message":"x"}}', b""):
        with pytest.raises(Upstream):
            rerank.read_reply(body)
