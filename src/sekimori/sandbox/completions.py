"""What the practice provider says to `POST /v1/completions`: to each prompt what it would say to a chat.

A token number of a prompt counts as a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from sekimori.sandbox.replies import CREATED, Heard, Said, figures, fingerprint, pieces
from sekimori.sandbox.replies import say as say_chat
from sekimori.terms import Dialect, Usage

__all__ = ["events", "figures", "hear", "plain", "say"]

_encode: Final = msgspec.json.Encoder().encode


def hear(dialect: Dialect, value: dict[str, Any], key: str) -> Heard:
    """Read an ask, leniently. `messages` is the number of prompts."""
    prompts = _prompts(value.get("prompt"))
    options, cap = value.get("stream_options"), value.get("max_tokens")
    return Heard(
        dialect=dialect,
        model=str(value.get("model")),
        key=fingerprint(key),
        messages=len(prompts),
        last=prompts[-1] if isinstance(prompts[-1], str) else f"{len(prompts[-1])} tokens",
        words=max(1, sum(len(one.split()) if isinstance(one, str) else len(one) for one in prompts)),
        stream=value.get("stream") is True,
        wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
        tool=None,
        cap=cap if isinstance(cap, int) else None,
        cached=False,
        reasons=False,
        operation="completions",
        asked=value,
    )


def _prompts(given: Any) -> list[Any]:
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list) or not given:
        return [""]
    return [given] if isinstance(given[0], int) else given


def say(heard: Heard, body: bytes) -> Said:
    """The answer, the same to every prompt."""
    said = say_chat(heard, body)
    usage = Usage(input=said.usage.input, output=said.usage.output * heard.messages)
    return msgspec.structs.replace(said, id=f"cmpl-sandbox-{said.id[-16:]}", usage=usage)


def _head(heard: Heard, said: Said) -> dict[str, Any]:
    return {"id": said.id, "object": "text_completion", "created": CREATED, "model": heard.model}


def _choice(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


def plain(heard: Heard, said: Said, usage: Any) -> bytes:
    """A whole reply; `usage` as `figures` gives it, or what a scenario puts in its place (None leaves it out)."""
    finish = "length" if said.capped else "stop"
    choices = [_choice(index, said.text, finish) for index in range(heard.messages)]
    told = {} if usage is None else {"usage": usage}
    return _encode({**_head(heard, said), "choices": choices, **told})


def events(heard: Heard, said: Said, usage: Any) -> Iterator[bytes]:
    """A stream, an event for each word, its last event included."""
    head = _head(heard, said)
    none: dict[str, Any] = {"usage": None} if heard.wants_usage else {}

    def chunk(*choices: dict[str, Any], **more: Any) -> bytes:
        return b"data: " + _encode({**head, "choices": choices, **none, **more}) + b"\n\n"

    for index in range(heard.messages):
        for piece in pieces(said.text):
            yield chunk(_choice(index, piece, None))
        yield chunk(_choice(index, "", "length" if said.capped else "stop"))
    if heard.wants_usage and usage is not None:
        yield chunk(usage=usage)
    yield b"data: [DONE]\n\n"
