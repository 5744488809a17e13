"""The judge of what goes in and what comes out.

No guard is configured in this release, and the verdict says exactly that of each check: `skipped`, never `passed`.
The walk calls both functions on every call, so a guard that comes later cannot be reached around.
"""

from __future__ import annotations

from typing import Final

from sekimori.terms import Ask, Check, Grant, Verdict

INPUT_CHECKS: Final = ("prompt_injection", "pii_detection", "toxic_content", "length", "encoding")
OUTPUT_CHECKS: Final = ("pii_detection", "secrets", "toxic_content", "output_injection", "length")
NOT_CONFIGURED: Final = "not configured"


def _skipped(names: tuple[str, ...]) -> Verdict:
    return Verdict(allowed=True, checks=tuple(Check(name, "skipped", reason=NOT_CONFIGURED) for name in names))


_INPUT: Final = _skipped(INPUT_CHECKS)
_OUTPUT: Final = _skipped(OUTPUT_CHECKS)


def screen_input(grant: Grant, ask: Ask) -> tuple[Ask, Verdict]:
    """The ask that may travel on, and what was said of it."""
    return ask, _INPUT


def screen_output(grant: Grant, released: bytes) -> tuple[bytes, Verdict]:
    """What of a reply's next piece may be released, and what was said of it."""
    return released, _OUTPUT
