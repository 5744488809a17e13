"""What the practice provider says to `POST /v1/images/generations`: one transparent pixel, or an address of none.

An image counts as 100 tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from sekimori.sandbox.replies import CREATED, Heard, Said, fingerprint
from sekimori.sandbox.replies import say as say_chat
from sekimori.terms import Dialect, Usage

PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
TOKENS: Final = 100

__all__ = ["events", "figures", "hear", "plain", "say"]

_encode: Final = msgspec.json.Encoder().encode


def hear(dialect: Dialect, value: dict[str, Any], key: str) -> Heard:
    """Read an ask, leniently. `messages` is the number of images."""
    prompt, count = str(value.get("prompt", "")), value.get("n")
    return Heard(
        dialect=dialect,
        model=str(value.get("model")),
        key=fingerprint(key),
        messages=count if isinstance(count, int) else 1,
        last=prompt,
        words=max(1, len(prompt.split())),
        stream=False,
        wants_usage=True,
        tool=None,
        cap=None,
        cached=False,
        reasons=False,
        operation="images",
        asked=value,
    )


def say(heard: Heard, body: bytes) -> Said:
    """The answer."""
    said = say_chat(heard, body)
    return msgspec.structs.replace(said, usage=Usage(input=heard.words, output=TOKENS * heard.messages))


def figures(dialect: Dialect, usage: Usage) -> dict[str, Any]:
    """Usage as the operation writes it."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"text_tokens": usage.input, "image_tokens": 0},
        "output_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }


def plain(heard: Heard, said: Said, usage: Any) -> bytes:
    """A whole reply; `usage` as `figures` gives it, or what a scenario puts in its place (None leaves it out)."""
    by_url = heard.asked.get("response_format") == "url"
    image = {"url": "https://images.invalid/pixel.png"} if by_url else {"b64_json": PIXEL}
    told = {} if usage is None else {"usage": usage}
    return _encode({"created": CREATED, "data": [image] * heard.messages, **told})


def events(heard: Heard, said: Said, usage: Any) -> Iterator[bytes]:
    """There is no stream of images."""
    raise AssertionError("images are never streamed")
