"""What the practice provider says to `POST /v1/moderations`: it flags what holds the word `violence`, and nothing else.

As OpenAI it tells no usage: moderation is free.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from sekimori.sandbox.replies import Heard, Said, fingerprint
from sekimori.sandbox.replies import say as say_chat
from sekimori.terms import Dialect, Usage

CATEGORIES: Final = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip

__all__ = ["events", "figures", "hear", "plain", "say"]

_encode: Final = msgspec.json.Encoder().encode


def hear(dialect: Dialect, value: dict[str, Any], key: str) -> Heard:
    """Read an ask, leniently. What is judged is put in the place of the ask's `input`: a text for each result."""
    given = value.get("input")
    texts = [given] if isinstance(given, str) else list(given) if isinstance(given, list) else []
    parts = [one for one in texts if isinstance(one, dict)]
    if parts:  # parts make one thing that is judged
        texts = [" ".join(str(part.get("text", "")) for part in parts)]
    return Heard(
        dialect=dialect,
        model=str(value.get("model")),
        key=fingerprint(key),
        messages=len(texts),
        last="",
        words=max(1, sum(len(str(text).split()) for text in texts)),
        stream=False,
        wants_usage=False,
        tool=None,
        cap=None,
        cached=False,
        reasons=False,
        operation="moderations",
        asked={**value, "input": texts, "images": any(part.get("type") == "image_url" for part in parts)},
    )


def say(heard: Heard, body: bytes) -> Said:
    """The answer, which used nothing that is told."""
    return msgspec.structs.replace(say_chat(heard, body), usage=Usage())


def figures(dialect: Dialect, usage: Usage) -> None:
    """None are told."""


def plain(heard: Heard, said: Said, usage: Any) -> bytes:
    """A whole reply; `usage` as a scenario wants it (None leaves it out)."""
    results = []
    for text in heard.asked["input"]:
        hit = "violence" in str(text).split()
        kinds = ["text", "image"] if heard.asked["images"] else ["text"]
        results.append(
            {
                "flagged": hit,
                "categories": {name: hit and name == "violence" for name in CATEGORIES},
                "category_scores": {name: 0.9 if hit and name == "violence" else 0.001 for name in CATEGORIES},
                "category_applied_input_types": dict.fromkeys(CATEGORIES, kinds),
            }
        )
    told = {} if usage is None else {"usage": usage}
    return _encode({"id": f"modr-{said.id[-16:]}", "model": heard.model, "results": results, **told})


def events(heard: Heard, said: Said, usage: Any) -> Iterator[bytes]:
    """There is no stream of moderations."""
    raise AssertionError("moderations are never streamed")
