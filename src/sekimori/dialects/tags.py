"""Whom and what a call is for, as its caller says: end user, session and cost tags.

They are for usage and for the bounds that a Limit puts on a tag; nothing else is decided by them, and nothing of them
is believed: an agent's document says which cost tags its calls may carry and which they always do.

| | header, in every dialect | else, of the body |
|---|---|---|
| end user | `x-sekimori-user` | OpenAI `safety_identifier`, `user`; Anthropic `metadata.user_id`; Gemini label `user` |
| session | `x-sekimori-session`, else `x-session-id` | OpenAI `prompt_cache_key`; Gemini label `session` |
| cost tags | `x-sekimori-tags: a,b` | Gemini label `sekimori-tags: a` |

A header of ours must be well-formed, for its caller means us: else the call is refused. So must a label of that name,
whose value can be one tag: Vertex AI takes no comma in it, and bills by the label as well. What else stands in a body
is meant for the provider: what is too long or not printable there counts as a digest of it, so that it still groups.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from sekimori.errors import Refused
from sekimori.terms import Ask, Headers, Tags

MOST_TAGS: Final = 8
"""Cost tags of one call."""
MOST: Final = 128
"""Characters of an end user or a session."""

TAGS: Final = b"x-sekimori-tags"
USER: Final = b"x-sekimori-user"
SESSION: Final = b"x-sekimori-session"
_COMMON_SESSION: Final = b"x-session-id"
_LABEL: Final = TAGS.decode().removeprefix("x-")
_OURS: Final = frozenset({TAGS, USER, SESSION, _COMMON_SESSION})

_TAG: Final = re.compile(r"[a-z0-9][a-z0-9._:/-]{0,63}")
_READ: Final = 65_536
"""Bytes of a member that are read; a longer one is none of these."""
_value: Final = msgspec.json.Decoder().decode


def tagged(ask: Ask, headers: Headers) -> Ask:
    """The ask with what its caller says of it. Raises Refused `bad_request` naming the header or label."""
    user = session = common = ""
    tags: tuple[str, ...] = ()
    for name, value in headers:
        if name not in _OURS:
            continue
        if name == TAGS:
            if tags:
                raise _malformed(name, "come once, with commas between the tags")
            tags = _tags(value)
        elif name == USER:
            user = _same(user, _word(name, value), name)
        elif name == SESSION:
            session = _same(session, _word(name, value), name)
        else:  # somebody else's header, too: what is odd there is no mistake of the caller
            common = common or _said(value.decode("latin-1"))
    session = session or common
    members = ask.members
    if ask.dialect == "openai":
        user = user or _member(members, "safety_identifier") or _member(members, "user")
        session = session or _member(members, "prompt_cache_key")
    elif ask.dialect == "anthropic" and not user and "metadata" in members:
        metadata = _read(members["metadata"])
        user = _said(metadata.get("user_id")) if isinstance(metadata, dict) else ""
    elif ask.dialect == "gemini" and "labels" in members:
        labels = _read(members["labels"])
        if isinstance(labels, dict):
            user = user or _said(labels.get("user"))
            session = session or _said(labels.get("session"))
            tags = tags or _labelled(labels.get(_LABEL))
    if not (user or session or tags):
        return ask
    return msgspec.structs.replace(ask, tags=Tags(user, session, tags))


def _tags(value: bytes) -> tuple[str, ...]:
    found = {part.strip().lower() for part in value.decode("latin-1").split(",")} - {""}
    if not found or len(found) > MOST_TAGS or not all(_TAG.fullmatch(tag) for tag in found):
        raise _malformed(
            TAGS,
            f"list 1 to {MOST_TAGS} tags of letters, digits and . _ : / -, at most 64 characters each, with commas",
        )
    return tuple(sorted(found))


def _labelled(text: Any) -> tuple[str, ...]:
    """The cost tags of a label of ours."""
    if text is None:
        return ()
    if not isinstance(text, str) or not _TAG.fullmatch(text):
        raise Refused(
            "bad_request",
            f"The label `{_LABEL}` must hold one tag of small letters, digits and . _ : / -, at most 64 characters.",
            advice="Mend it, or leave it out.",
        )
    return (text,)


def _word(name: bytes, value: bytes) -> str:
    """The value of a header of ours: printable ASCII, bounded."""
    text = value.decode("latin-1")
    if not text or len(text) > MOST or not (text.isascii() and text.isprintable()):
        raise _malformed(name, f"have 1 to {MOST} printable ASCII characters")
    return text


def _same(before: str, now: str, name: bytes) -> str:
    if before and before != now:
        raise _malformed(name, "come once")
    return now


def _malformed(name: bytes, must: str) -> Refused:
    return Refused("bad_request", f"The header `{name.decode()}` must {must}.", advice="Mend it, or leave it out.")


def _member(members: Mapping[str, Raw], name: str) -> str:
    raw = members.get(name)
    return "" if raw is None else _said(_read(raw))


def _read(raw: Raw) -> Any:
    data = bytes(raw)
    return _value(data) if len(data) <= _READ else None


def _said(text: Any) -> str:
    """What a body says, in few printable characters."""
    if not isinstance(text, str) or not text:
        return ""
    if len(text) <= MOST and text.isprintable():
        return text
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
