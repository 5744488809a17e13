"""The OpenAI dialect's stored responses: fetched, cancelled, deleted, and what was put into them listed.

    GET    /v1/responses/{response_id}               -> response_retrieve
    DELETE /v1/responses/{response_id}               -> response_delete
    POST   /v1/responses/{response_id}/cancel        -> response_cancel
    GET    /v1/responses/{response_id}/input_items   -> response_items

Reference: the types of the SDK named in `fields.SOURCES`. Such a call is about one object that the provider keeps, and
names nothing else: no model, no body. Its query travels as it is written anew here, and holds nothing that is not
listed. There is no stream.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import Raw, Struct

from sekimori.dialects.absent import absent
from sekimori.dialects.fields import Rule
from sekimori.dialects.fields_responses import RESPONSES_INCLUDE, RESPONSES_QUERY
from sekimori.dialects.glance import ABSENT, empty, first, glance, small
from sekimori.dialects.openai import NAME, ReplyFacts, read_error, refusal, stream_error
from sekimori.dialects.responses import read_stored
from sekimori.dialects.strict import read_object
from sekimori.dialects.words import failure
from sekimori.errors import Refused, Upstream
from sekimori.terms import NOTHING_NAMED, Ask, Headers, Named, Operation

__all__ = ["NAME", "read_ask", "read_error", "read_reply", "refusal", "stream_error", "upstream_body"]

PLACE: Final = "response_id"
"""Where the id stands, as refusals say it."""
FINAL: Final = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""Values of `status` after which nothing more is done, so that what was used is known."""
WORKING: Final = frozenset({"queued", "in_progress"})
"""Those while something is."""
DELETED: Final = "deleted"
"""What `finish` says of a response that is gone."""
MOST_PARAMETERS: Final = 40

# In a target it must be the one step that it is here: nothing that would end it, climb, or be decoded once more.
_STEP: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._~=-]{1,256}")
_ID: Final = re.compile(r"[A-Za-z0-9._~=-]{1,256}")
_VALUES: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    "after": (_ID, "the id of an item"),
    "include_obfuscation": (re.compile("true|false"), "true or false"),
    "limit": (re.compile("[1-9][0-9]?|100"), "a whole number from 1 to 100"),
    "order": (re.compile("asc|desc"), "asc or desc"),
    "stream": (re.compile("false"), "false: a stored response is fetched whole"),
}


def read_ask(operation: Operation, body: bytes, headers: Headers, named: Named = NOTHING_NAMED) -> Ask:
    """The ask that a target holds. `headers` are not looked at: none of a caller's travel in this dialect.

    Raises Refused `bad_request`, `unknown_field`, `malformed_json`; Absent where the path holds what is no id.
    """
    if body and (operation != "response_cancel" or read_object(body)[0]):
        raise Refused("bad_request", "A call about a stored response has no body.", advice="Leave it out.")
    query = _read_query(RESPONSES_QUERY[operation], named.query)
    if not _STEP.fullmatch(named.object):
        raise absent(NAME, named.object, PLACE)
    return Ask(
        dialect=NAME,
        operation=operation,
        model="",
        stream=False,
        members={},
        needs=frozenset({"stored_state"}),
        places=(("stored_state", PLACE),),
        size=len(body),
        objects=((named.object, PLACE),),
        object=named.object,
        query=query,
    )


def _read_query(table: Mapping[str, Rule], query: str) -> str:
    """The query as it may travel. Raises Refused naming the parameter that may not."""
    if not query:
        return ""
    try:
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=MOST_PARAMETERS)
    except ValueError:
        raise Refused("bad_request", "The query cannot be read.", advice="Send `name=value`, joined by `&`.") from None
    seen: set[str] = set()
    for name, value in given:
        plain = "include" if name == "include[]" else name
        shown = ascii(name)[1:81]
        rule = table.get(plain)
        if rule is None:
            raise Refused("unknown_field", f"The query parameter `{shown}` is not known here.", advice="Leave it out.")
        if rule.refused:
            raise Refused("unknown_field", f"`{plain}` is not carried: {rule.refused}.", advice="Leave it out.")
        if plain == "include":
            if value not in RESPONSES_INCLUDE:
                text = f"The registry of this dialect does not know `include={ascii(value)[1:81]}`."
                raise Refused("unknown_field", text, advice="Leave it out.")
            continue
        pattern, expected = _VALUES[plain]
        if plain in seen or not pattern.fullmatch(value):
            raise Refused("bad_request", f"The query parameter `{plain}` must be given once and be {expected}.")
        seen.add(plain)
    return urlencode(given)


def upstream_body(ask: Ask, model: str, *, include_usage: bool = False, stores: bool = False) -> bytes:
    """There is none."""
    return b""


class _Deleted(Struct):
    deleted: Raw = ABSENT
    error: Raw = ABSENT


class _Page(Struct):
    data: Raw = ABSENT
    error: Raw = ABSENT


_DELETED: Final = msgspec.json.Decoder(_Deleted)
_PAGE: Final = msgspec.json.Decoder(_Page)


def read_reply(body: bytes, operation: Operation = "response_retrieve") -> ReplyFacts:
    """What a reply says of itself. Raises Upstream: malformed, or an error in spite of its 200."""
    if operation == "response_delete":
        gone = glance(_DELETED, body)
        if gone is None:
            raise Upstream("upstream_malformed", "The provider's reply is not a JSON object.")
        said: Any = True if gone.deleted is ABSENT else small(gone.deleted)
        if not empty(gone.error) or said is not True:
            raise failure("server_error")
        return ReplyFacts(None, DELETED)
    if operation == "response_items":
        page = glance(_PAGE, body)
        if page is None or first(page.data) != b"[":
            if page is not None and not empty(page.error):
                raise failure("server_error")
            raise Upstream("upstream_malformed", "The provider's reply has no `data`.")
        return ReplyFacts(None)
    return read_stored(body)
