"""What the practice provider says to `POST /v1/embeddings`: eight numbers from each text's hash, alike each time."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from sekimori.sandbox.replies import Heard, Said, fingerprint, say
from sekimori.terms import Dialect, Usage

DIMENSIONS: Final = 8

__all__ = ["events", "figures", "hear", "plain", "say"]

_encode: Final = msgspec.json.Encoder().encode


def hear(dialect: Dialect, value: dict[str, Any], key: str) -> Heard:
    """Read an ask, leniently. A token number counts as a word."""
    given = _inputs(value.get("input"))
    words = sum(len(one.split()) if isinstance(one, str) else len(one) for one in given)
    return Heard(
        dialect=dialect,
        model=str(value.get("model")),
        key=fingerprint(key),
        messages=len(given),
        last="",
        words=max(1, words),
        stream=False,
        wants_usage=True,
        tool=None,
        cap=None,
        cached=False,
        reasons=False,
        operation="embeddings",
        asked=value,
    )


def _inputs(given: Any) -> list[Any]:
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list):
        return []
    if given and all(isinstance(one, int) for one in given):
        return [given]
    return [one for one in given if isinstance(one, str | list)]


def figures(dialect: Dialect, usage: Usage) -> dict[str, Any]:
    """Usage as the operation writes it: what is made costs nothing."""
    return {"prompt_tokens": usage.input, "total_tokens": usage.input}


def plain(heard: Heard, said: Said, usage: Any) -> bytes:
    """A whole reply; `usage` as `figures` gives it, or what a scenario puts in its place (None leaves it out)."""
    packed = heard.asked.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _numbers(_encode(one), packed)}
        for index, one in enumerate(_inputs(heard.asked.get("input")))
    ]
    told = {} if usage is None else {"usage": usage}
    return _encode({"object": "list", "data": data, "model": heard.model, **told})


def _numbers(text: bytes, packed: bool) -> list[float] | str:
    numbers = [byte / 256 for byte in hashlib.sha256(text).digest()[:DIMENSIONS]]
    return base64.b64encode(struct.pack(f"<{DIMENSIONS}f", *numbers)).decode() if packed else numbers


def events(heard: Heard, said: Said, usage: Any) -> Iterator[bytes]:
    """There is no stream of embeddings."""
    raise AssertionError("embeddings are never streamed")
