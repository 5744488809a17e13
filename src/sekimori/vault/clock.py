"""How far this machine's clock is from a provider's: what signs with the time is refused when it is wrong. Pure.

A cloud does not say "your clock is wrong" in words that one can rely on (AWS: a 403 that speaks of the signature;
Google: `invalid_grant`, as for a wrong key), but its reply has a `date`, and that settles it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from sekimori.terms import Headers

SIGNATURE_S: Final = 300
"""Seconds by which AWS lets a signature's time differ from its own."""
ASSERTION_S: Final = 60
"""Seconds of difference that are worth a word where an assertion is refused; Google says of its own bound only that
the time must be reasonable."""
_SANE: Final = datetime(2000, 1, 1, tzinfo=UTC).timestamp()


def told(headers: Headers) -> float | None:
    """Seconds since the epoch by a reply's `date`; None where it has none that can be read."""
    for name, value in headers:
        if name == b"date":
            try:
                at = parsedate_to_datetime(value.decode("ascii"))
                seconds = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
            except (ValueError, OverflowError):  # UnicodeDecodeError is a ValueError
                return None
            return seconds if seconds > _SANE else None
    return None


def skew(headers: Headers, now_ms: int, least_s: int) -> int:
    """Seconds by which our clock is ahead of a reply's `date`, where that is more than `least_s` either way; else 0."""
    theirs = told(headers)
    ahead = 0 if theirs is None else round(now_ms / 1000 - theirs)
    return ahead if abs(ahead) > least_s else 0


def words(ahead_s: int, what: str) -> str:
    """What is wrong and who mends it; `what` holds the time."""
    return (
        f"This machine's clock is {abs(ahead_s)} seconds {'ahead of' if ahead_s > 0 else 'behind'} the provider's,"
        f" and {what} holds the time: the operator sets the clock."
    )
