"""What a handful of noisy rounds allow to be said: a median, its bootstrap bounds, and a verdict against a bound."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import median
from typing import Final, Literal

from msgspec import Struct

Verdict = Literal["pass", "missed", "undecided"]
ROUNDS_FOR_A_VERDICT: Final = 9
_DRAWS: Final = 10_000


class Interval(Struct, frozen=True):
    """The median of the rounds; one-sided 95 % bounds of it, below and above."""

    median: float
    lower: float
    upper: float


def bootstrap(values: Sequence[float], *, seed: int = 1) -> Interval:
    """Percentile bootstrap of the median: the rounds drawn anew, with replacement, 10,000 times.

    The median because one round beside a busy neighbour says nothing about the gateway. Deterministic for a seed.
    Raises ValueError without values.
    """
    if not values:
        raise ValueError("no rounds")
    drawn = random.Random(seed)
    medians = sorted(median(drawn.choices(values, k=len(values))) for _ in range(_DRAWS))
    return Interval(median(values), medians[int(_DRAWS * 0.05)], medians[int(_DRAWS * 0.95)])


def judge(interval: Interval, bound: float, *, at_least: bool = False) -> Verdict:
    """`pass` when the upper bound is within `bound`, `missed` when even the lower one is above it.

    `at_least`: the other way round, for what is to be large.
    """
    if at_least:
        interval, bound = Interval(-interval.median, -interval.upper, -interval.lower), -bound
    if interval.upper <= bound:
        return "pass"
    return "missed" if interval.lower > bound else "undecided"
