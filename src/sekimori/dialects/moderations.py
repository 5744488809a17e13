"""The OpenAI dialect's moderations: `POST /v1/moderations` as bytes in and facts out.

Reference: the types of the SDK named in `fields.SOURCES`. The one edit made to a call on its way up: `model` (to the
provider's own name for it), which must be named: what is not named was not decided on. There is no stream. OpenAI tells
no usage, for its models are free; so the input is estimated, and marked so.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from sekimori.dialects.fields_further import MODERATIONS, MODERATIONS_IMAGE, MODERATIONS_INPUT
from sekimori.dialects.found import Found, Path, text_of, wrong
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
from sekimori.dialects.outside import read_media_url
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
    found.members(value, MODERATIONS)
    _read_input(found, value.get("input"))
    return Ask(
        dialect=NAME,
        operation=operation,
        model=named.model or text_of(value, "model"),
        stream=False,
        members=members,
        needs=frozenset(found.places),
        places=tuple(found.places.items()),
        size=len(body),
        fetches=found.fetches,
    )


def _read_input(found: Found, given: Any) -> None:
    """A text, or a list of texts and parts."""
    if type(given) is str:
        return
    if type(given) is not list:
        wrong(("input",), "a string, or an array of strings or of parts")
    for index, part in enumerate(given):
        if type(part) is not str:
            _read_part(found, part, ("input", index))


def _read_part(found: Found, part: Any, path: Path) -> None:
    if type(part) is not dict:
        wrong(path, "a string or an object")
    kind = part.get("type")
    if type(kind) is not str:
        # Some servers guess a part without a type by its members; what is guessed was never judged.
        wrong((*path, "type"), "a string")
    known = MODERATIONS_INPUT.get(kind)
    if known is None:
        found.unknown_kind("unknown_fields", kind, MODERATIONS_INPUT.keys(), (*path, "type"))
        return
    if not part.keys() <= known:
        found.unknown(part.keys() - known, known, path)
    if kind == "text":
        if type(part.get("text")) is not str:
            wrong((*path, "text"), "a string")
        return
    image = part.get("image_url")
    if type(image) is dict:
        if not image.keys() <= MODERATIONS_IMAGE:
            found.unknown(image.keys() - MODERATIONS_IMAGE, MODERATIONS_IMAGE, (*path, "image_url"))
        read_media_url(found, image.get("url"), (*path, "image_url", "url"))
    else:
        read_media_url(found, image, (*path, "image_url"))


class _Reply(Listed):
    results: Raw = ABSENT


_REPLY: Final = msgspec.json.Decoder(_Reply)


def read_reply(body: bytes, operation: Operation = "moderations") -> ReplyFacts:
    """What a reply says of itself. Raises Upstream: malformed, or an error in spite of its 200."""
    reply = read_listed(_REPLY, "results", body)
    # Where a server counts at all, it counts what it read.
    return ReplyFacts(of_openai_embeddings(small(reply.usage)), model=model_of(reply))
