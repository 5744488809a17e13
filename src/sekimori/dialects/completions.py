"""The OpenAI dialect's legacy completions: `POST /v1/completions` as bytes in and facts out.

Reference: the types of the SDK named in `fields.SOURCES`. Replies, streams and the edits made on the way up are those
of a chat completion (`openai`). A prompt is text or token numbers; it names nothing outside of itself.
"""

from __future__ import annotations

from typing import Any, Final

from sekimori.dialects.fields_further import COMPLETIONS, COMPLETIONS_SCHEMAS
from sekimori.dialects.found import Found, count_of, flag_of, read_references, text_of, wrong
from sekimori.dialects.openai import (
    NAME,
    Stream,
    read_error,
    read_reply,
    refusal,
    stream_error,
    upstream_body,
    wants_usage,
)
from sekimori.dialects.strict import read_object
from sekimori.terms import NOTHING_NAMED, Ask, Headers, Named, Operation

__all__ = ["NAME", "Stream", "read_ask", "read_error", "read_reply", "refusal", "stream_error", "upstream_body"]

MOST_PROMPTS: Final = 4096
"""Prompts of one call. Each is answered, and holds its whole output in every bound."""


def read_ask(operation: Operation, body: bytes, headers: Headers, named: Named = NOTHING_NAMED) -> Ask:
    """The ask that a body holds. `headers` are not looked at: none of a caller's travel in this dialect.

    Raises Refused `malformed_json`, `bad_request` or `unknown_field` naming the place.
    """
    value, members = read_object(body)
    found = Found()
    found.members(value, COMPLETIONS)
    read_references(found, body, value, COMPLETIONS_SCHEMAS)
    # `best_of` answers are made, and charged for, whatever is returned of them.
    each = max(count_of(value, "n", 1) or 1, count_of(value, "best_of", 1) or 1)
    answers = each * _read_prompt(value.get("prompt"))
    cap = count_of(value, "max_tokens")
    return Ask(
        dialect=NAME,
        operation=operation,
        model=named.model or text_of(value, "model"),
        stream=flag_of(value, "stream"),
        members=members,
        needs=frozenset(found.places),
        places=tuple(found.places.items()),
        output_cap=None if cap is None else cap * answers,
        wants_usage_event=wants_usage(value),
        size=len(body),
        fetches=found.fetches,
        answers=answers,
    )


def _read_prompt(given: Any) -> int:
    """How many prompts there are: a text, token numbers, or a list of either; none is the beginning of a document."""
    if given is None or type(given) is str:
        return 1
    if type(given) is not list:
        wrong(("prompt",), "a string, or an array of strings or of token numbers")
    if len(given) > MOST_PROMPTS and type(given[0]) is not int:
        wrong(("prompt",), f"an array of at most {MOST_PROMPTS} prompts")
    numbers = 0
    for index, one in enumerate(given):
        if type(one) is int:
            numbers += 1
        elif type(one) is list:
            for number, token in enumerate(one):
                if type(token) is not int:
                    wrong(("prompt", index, number), "a token number")
        elif type(one) is not str:
            # An object may hold what is fetched or unpacked (tensors): of that nobody judged a thing.
            wrong(("prompt", index), "a string, a token number or an array of token numbers")
    if numbers and numbers != len(given):
        wrong(("prompt",), "either token numbers or prompts, not both")
    return 1 if numbers else max(1, len(given))
