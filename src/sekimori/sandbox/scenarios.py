"""What the practice provider can be made to do, by the model's name or by the key.

`sandbox-NAME` as the model, or a key that contains NAME, chooses a scenario; the key wins. A number at the end of the
model's name (`sandbox-slow-stream-50ms`) sets the scenario's pause.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

PREFIX: Final = "sandbox-"
SCENARIOS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "echo": "answers with what arrived; calls the first tool that is offered, unless told its result",
        "rate-limited": "429 with Retry-After: 7, and the provider's own rate-limit and organisation headers",
        "overloaded": "503 in the OpenAI and Gemini dialects, 529 in the Anthropic dialect",
        "unauthorized": "401 (400 in the Gemini dialect) with an error that echoes a part of the key",
        "forbidden": "403 with an error that names an organisation",
        "bad-request": "400: the context is too long",
        "not-found": "404: no such model",
        "server-error": "500",
        "slow-first-byte": "waits (2 s) before it answers at all",
        "slow-stream": "waits (200 ms) before each event of a stream; a plain reply comes in slow pieces",
        "truncated": "ends in the middle: a stream without its last events, a plain reply with half a body",
        "cut": "breaks the connection in the middle of the reply",
        "disconnect": "breaks the connection before the first byte",
        "malformed": "200 with a body, or a first event, that is no JSON",
        "malformed-later": "a stream whose third event is no JSON; a plain reply that is an array",
        "huge": "a plain reply of 80 MiB; a stream with one event of 9 MiB",
        "error-first": "a stream that begins with the error event for overload; a plain reply of 200 with an error",
        "error-first-rate-limited": "a stream that begins with the error event for rate limits",
        "error-later": "a stream that ends with an error event in its middle",
        "no-usage": "tells no usage",
        "negative-usage": "tells a negative number of tokens",
        "absurd-usage": "tells more tokens than there are",
        "wrong-usage": "tells usage of the wrong type",
        "compressed": "answers gzip although it was not asked for",
        "redirect": "302 to another host",
        "wrong-type": "a plain reply where a stream was asked for, and the other way round",
    }
)
"""Name -> what it does. `/sandbox/scenarios` shows these."""

PAUSES: Final[Mapping[str, int]] = MappingProxyType({"slow-first-byte": 2000, "slow-stream": 200})
"""Milliseconds unless the model's name says."""

_PAUSE: Final = re.compile(r"\A(.*)-(\d{1,6})ms\Z", re.ASCII)
# The longest first: `error-first-rate-limited` contains `rate-limited`.
_BY_LENGTH: Final = sorted(SCENARIOS, key=len, reverse=True)


class Scenario(Struct, frozen=True):
    """What to do with one call."""

    name: str
    pause_s: float = 0.0
    """Seconds, where the scenario waits."""


def choose(model: str, key: str) -> Scenario | None:
    """The scenario of a call; None where the model is not one of the sandbox's."""
    wanted = model.removeprefix(PREFIX)
    if wanted == model:
        return None
    pause: int | None = None
    if (match := _PAUSE.match(wanted)) is not None:
        wanted, pause = match[1], int(match[2])
    if wanted not in SCENARIOS:
        return None
    by_key = next((name for name in _BY_LENGTH if name in key), None)
    name = by_key or wanted
    return Scenario(name, (PAUSES.get(name, 0) if pause is None else pause) / 1000)
