"""Reranking in the OpenAI dialect's manner: `POST /v1/rerank` as bytes in and facts out.

OpenAI has no such door; vLLM, llama.cpp, Jina's and Cohere's servers have it, alike in what is asked and in what they
tell of it but for the usage: `usage` (Jina, vLLM, llama.cpp) or `meta.tokens` (Cohere). The one edit made to a call on
its way up: `model` (to the provider's own name for it). There is no stream.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from sekimori.dialects.fields_further import RERANK, RERANK_DOCUMENT
from sekimori.dialects.found import Found, count_of, text_of, wrong
from sekimori.dialects.glance import ABSENT, small
from sekimori.dialects.openai import (
    NAME,
    Listed,
    ReplyFacts,
    model_of,
    read_error,
    read_listed,
    refusal,
    stream_error,
    upstream_body,
)
from sekimori.dialects.strict import read_object
from sekimori.meter.usage import of_rerank
from sekimori.terms import NOTHING_NAMED, Ask, Headers, Named, Operation

__all__ = ["NAME", "read_ask", "read_error", "read_reply", "refusal", "stream_error", "upstream_body"]


def read_ask(operation: Operation, body: bytes, headers: Headers, named: Named = NOTHING_NAMED) -> Ask:
    """The ask that a body holds. `headers` are not looked at: none of a caller's travel in this dialect.

    Raises Refused `malformed_json`, `bad_request` or `unknown_field` naming the place.
    """
    value, members = read_object(body)
    found = Found()
    found.members(value, RERANK)
    if type(value.get("query")) is not str:
        wrong(("query",), "a string")  # an object may name an image
    _read_documents(found, value.get("documents"))
    count_of(value, "top_n", 1)
    return Ask(
        dialect=NAME,
        operation=operation,
        model=named.model or text_of(value, "model"),
        stream=False,
        members=members,
        needs=frozenset(found.places),
        places=tuple(found.places.items()),
        size=len(body),
    )


def _read_documents(found: Found, given: Any) -> None:
    """Texts, or objects with a text. What else an object holds (an image, by its address) nobody judged."""
    if type(given) is not list:
        wrong(("documents",), "an array of strings or of objects with `text`")
    for index, one in enumerate(given):
        if type(one) is str:
            continue
        if type(one) is not dict:
            wrong(("documents", index), "a string or an object with `text`")
        if not one.keys() <= RERANK_DOCUMENT:
            found.unknown(one.keys() - RERANK_DOCUMENT, RERANK_DOCUMENT, ("documents", index))
        if type(one.get("text", "")) is not str:
            wrong(("documents", index, "text"), "a string")


class _Reply(Listed):
    results: Raw = ABSENT
    meta: Raw = ABSENT


_REPLY: Final = msgspec.json.Decoder(_Reply)


def read_reply(body: bytes, operation: Operation = "rerank") -> ReplyFacts:
    """What a reply says of itself. Raises Upstream: malformed, or an error in spite of its 200."""
    reply = read_listed(_REPLY, "results", body)
    return ReplyFacts(of_rerank(small(reply.usage), small(reply.meta)), model=model_of(reply))
