"""The OpenAI dialect's images: `POST /v1/images/generations` as bytes in and facts out.

Reference: the types of the SDK named in `fields.SOURCES`. The one edit made to a call on its way up: `model` (to the
provider's own name for it), which must be named. Images come whole: a stream of partial ones is not carried. A reply
holds them in base64, or addresses at the provider, which are told as they come.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from sekimori.dialects.fields_further import IMAGES
from sekimori.dialects.found import Found, count_of, flag_of, text_of, wrong
from sekimori.dialects.glance import ABSENT, small
from sekimori.dialects.openai import (
    NAME,
    Listed,
    ReplyFacts,
    read_error,
    read_listed,
    refusal,
    stream_error,
    upstream_body,
)
from sekimori.dialects.strict import read_object
from sekimori.errors import Refused
from sekimori.meter.usage import of_openai_responses
from sekimori.terms import NOTHING_NAMED, Ask, Headers, Named, Operation

__all__ = ["NAME", "read_ask", "read_error", "read_reply", "refusal", "stream_error", "upstream_body"]


def read_ask(operation: Operation, body: bytes, headers: Headers, named: Named = NOTHING_NAMED) -> Ask:
    """The ask that a body holds. `headers` are not looked at: none of a caller's travel in this dialect.

    Raises Refused `malformed_json`, `bad_request` or `unknown_field` naming the place.
    """
    value, members = read_object(body)
    found = Found()
    found.members(value, IMAGES)
    if type(value.get("prompt")) is not str:
        wrong(("prompt",), "a string")
    if flag_of(value, "stream") or count_of(value, "partial_images"):
        raise Refused(
            "unsupported_operation",
            "Images are not streamed through here.",
            status=400,
            advice="Leave out `stream` and `partial_images`: the whole images come in one reply.",
        )
    return Ask(
        dialect=NAME,
        operation=operation,
        model=named.model or text_of(value, "model"),
        stream=False,
        members=members,
        needs=frozenset(found.places),
        places=tuple(found.places.items()),
        size=len(body),
        answers=count_of(value, "n", 1) or 1,
    )


class _Reply(Listed):
    data: Raw = ABSENT


_REPLY: Final = msgspec.json.Decoder(_Reply)


def read_reply(body: bytes, operation: Operation = "images") -> ReplyFacts:
    """What a reply says of itself. Raises Upstream: malformed, or an error in spite of its 200."""
    reply = read_listed(_REPLY, "data", body)
    return ReplyFacts(of_openai_responses(small(reply.usage)))
