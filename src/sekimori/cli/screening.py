"""`sekimori screen`: the guards' word on texts, one JSON object a line, in the order in which they come."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, Final, Literal, get_args

import msgspec

from sekimori.cli import show
from sekimori.dialects.texts import Source
from sekimori.errors import Refused
from sekimori.policy.guards import DEFAULT, Guarded

LONGEST_LINE: Final = 16 * 1024 * 1024
"""Bytes of a line; a text that is longer is no text that a call could hold."""
_SOURCES: Final = get_args(Source)
_decode: Final = msgspec.json.Decoder().decode


def screen(
    *, direction: Literal["input", "output"] = "input", source: Source = "user", policy: Path | None = None
) -> int:
    """What the guards say of texts: reads one JSON object a line, {"id":…, "text":…}, and writes one for each.

    A line may have a `source` of its own: system, user, assistant, tool_call, tool_result or document. No home is
    needed, nothing is called or kept, and no judge is asked.

    Parameters
    ----------
    direction
        Whether the texts would be asked or answered.
    source
        Who wrote them, where a line does not say: what tools and documents say is judged more strictly.
    policy
        A file with one Guard document [default: what holds for an agent without one].
    """
    from sekimori.guard.load import load_tools
    from sekimori.guard.screen import screen_text, told

    guarded = DEFAULT if policy is None else _guarded(policy)
    tools, key, passed = load_tools(), os.urandom(32), True
    for number, line in enumerate(iter(lambda: sys.stdin.buffer.readline(LONGEST_LINE + 1), b""), 1):
        if line.strip():
            id, text, wrote = _read(line, number, source)
            becomes, verdict = screen_text(
                tools, guarded, text, direction=direction, source=wrote, mask_key=key, monotonic=time.monotonic
            )
            passed = passed and verdict.allowed
            show.json_line({"id": id, **told(becomes, verdict)})
    return 0 if passed else 1


def _read(line: bytes, number: int, source: Source) -> tuple[Any, str, Source]:
    advice = 'Write one JSON object a line: {"id": "1", "text": "…"}.'
    if len(line) > LONGEST_LINE:
        raise Refused("wrong_use", f"Line {number} is longer than {LONGEST_LINE >> 20} MiB.", advice=advice)
    try:
        value = _decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Refused("wrong_use", f"Line {number} is not JSON.", advice=advice) from None
    if type(value) is not dict or type(value.get("text")) is not str:
        raise Refused("wrong_use", f"Line {number} has no `text`.", advice=advice)
    wrote = value.get("source", source)
    if wrote not in _SOURCES:
        raise Refused("wrong_use", f"Line {number} has no such source.", advice=f"Write one of {', '.join(_SOURCES)}.")
    return value.get("id"), value["text"], wrote


def _guarded(path: Path) -> Guarded:
    from sekimori.policy.documents import parse
    from sekimori.policy.kinds import Guard

    found = [located.document for located in parse(path.read_bytes(), str(path))]
    if len(found) != 1 or not isinstance(found[0], Guard):
        raise Refused("wrong_use", f"{path} does not hold one Guard document.", advice="See docs/guards.md.")
    return found[0].guarded()
