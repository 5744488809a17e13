"""What stays the same through a conversation, so that its calls can come to the same provider's cache. Pure, and cheap:
asked only where a policy is sticky and there is a choice.

Nothing is decided on it but the order among equals, all of which the caller may use: whoever writes another
conversation's marks gains nothing by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

from sekimori.terms import Ask, Principal

_TURNS: Final = ("messages", "contents", "input")
"""Members that hold the turns: OpenAI and Anthropic, Gemini, OpenAI's responses."""
_FRAME: Final = ("system", "systemInstruction", "system_instruction", "instructions")
"""Members that stand before the turns."""
_OPENING: Final = 4
"""Turns looked at to find the first that a user said."""


class _Turn(Struct):
    role: str = ""


_turns: Final = msgspec.json.Decoder(list[Raw])
_turn: Final = msgspec.json.Decoder(_Turn)


def conversation(principal: Principal, ask: Ask) -> bytes:
    """A digest of tenant, agent, model and the conversation; empty where the ask shows none.

    The conversation is known by the session that the caller names, else by `prompt_cache_key`, else by what it opens
    with: system prompt and turns up to the first of the user.
    """
    if ask.tags.session:
        mark = b"session\0" + ask.tags.session.encode()
    elif (key := ask.members.get("prompt_cache_key")) is not None:
        mark = b"key\0" + bytes(key)
    else:
        mark = _opening(ask.members)
        if not mark:
            return b""
    who = f"{principal.tenant_uid}\0{principal.agent_uid}\0{ask.model}\0".encode()
    return hashlib.blake2b(who + mark, digest_size=16).digest()


def _opening(members: Mapping[str, Raw]) -> bytes:
    turns = next((members[name] for name in _TURNS if name in members), None)
    if turns is None:
        return b""
    framed = b"\0".join(bytes(members[name]) for name in _FRAME if name in members)
    try:
        first = []
        for turn in _turns.decode(turns)[:_OPENING]:
            first.append(bytes(turn))
            if _turn.decode(turn).role == "user":
                break
    except msgspec.DecodeError:  # a text instead of turns, or turns without roles: then all of it is the opening
        return b"whole\0" + framed + b"\0" + bytes(turns)
    return b"opening\0" + framed + b"\0" + b"\0".join(first)
