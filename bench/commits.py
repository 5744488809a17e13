"""How long the gateway's own commits took, by its own figures: the difference of two scrapes of `/metrics`."""

from __future__ import annotations

import re
from typing import Final

HISTOGRAM: Final = "sekimori_commit_seconds"
"""The histogram of one journal commit: written and durable."""


def commit_p50_us(before: str, after: str) -> float:
    """The median commit between two scrapes in µs, interpolated within its bucket.

    Raises LookupError when the histogram is missing or nothing was committed: the added latency less the commits
    cannot be told then.
    """
    earlier, later = _buckets(before), _buckets(after)
    counts = [(bound, count - earlier.get(bound, 0.0)) for bound, count in sorted(later.items())]
    if not counts or counts[-1][1] <= 0:
        raise LookupError(f"/metrics shows no commits in {HISTOGRAM}")
    wanted = counts[-1][1] / 2
    low, below = 0.0, 0.0
    for bound, count in counts:
        if count >= wanted:
            if bound == float("inf"):
                return low * 1e6
            return (low + (bound - low) * (wanted - below) / (count - below)) * 1e6
        low, below = bound, count
    raise LookupError(f"{HISTOGRAM} is not cumulative")


def _buckets(text: str) -> dict[float, float]:
    """Upper bound in seconds -> cumulative count, summed over all other labels."""
    found: dict[float, float] = {}
    for labels, value in re.findall(rf"^{HISTOGRAM}_bucket\{{([^}}]*)\}} (\S+)", text, re.MULTILINE):
        bound = re.search(r'le="([^"]+)"', labels)
        if bound:
            found[float(bound[1])] = found.get(float(bound[1]), 0.0) + float(value)
    return found
