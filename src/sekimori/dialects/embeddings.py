"""The OpenAI dialect's embeddings: `POST /v1/embeddings` as bytes in and facts out.

Reference: the types of the SDK named in `fields.SOURCES`. The one edit made to a call on its way up: `model` (to the
provider's own name for it). There is no stream.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from sekimori.dialects.fields_responses import EMBEDDINGS
from sekimori.dialects.found import Found, text_of, wrong
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
from sekimori.meter.usage import of_openai_embeddings
from sekimori.terms import NOTHING_NAMED, Ask, Headers, Named, Operation

__all__ = ["NAME", "read_ask", "read_error", "read_reply", "refusal", "stream_error", "upstream_body"]


def read_ask(operation: Operation, body: bytes, headers: Headers, named: Named = NOTHING_NAMED) -> Ask:
    """The ask that a body holds. `headers` are not looked at: none of a caller's travel in this dialect.

    Raises Refused `malformed_json`, `bad_request` or `unknown_field` naming the place.
    """
    value, members = read_object(body)
    found = Found()
    found.members(value, EMBEDDINGS)
    _read_input(value.get("input"))
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


def _read_input(given: Any) -> None:
    """A text, token numbers, or a list of either; of anything else (an object may name a URL) nobody judged a thing."""
    if type(given) is str:
        return
    if type(given) is not list:
        wrong(("input",), "a string, or an array of strings or of token numbers")
    for index, one in enumerate(given):
        if type(one) is list:
            for number, token in enumerate(one):
                if type(token) is not int:
                    wrong(("input", index, number), "a token number")
        elif type(one) is not str and type(one) is not int:
            wrong(("input", index), "a string, or an array of token numbers")


class _Reply(Listed):
    data: Raw = ABSENT


_REPLY: Final = msgspec.json.Decoder(_Reply)


def read_reply(body: bytes, operation: Operation = "embeddings") -> ReplyFacts:
    """What a reply says of itself. Raises Upstream: malformed, or an error in spite of its 200."""
    reply = read_listed(_REPLY, "data", body)
    return ReplyFacts(of_openai_embeddings(small(reply.usage)), model=model_of(reply))
