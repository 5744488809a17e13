"""What was taken in the last minute: requests one by one, tokens in small steps. Time is a monotonic clock, so a step
of the wall clock neither opens nor closes a minute."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW: Final = 60.0
"""Seconds over which requests and tokens are counted."""
STEP: Final = 0.1
"""Seconds of tokens that are kept as one figure, so that a minute of any traffic is at most 600 figures."""


class Requests:
    """Instants of the admissions of the last minute, and how many of them are under way."""

    __slots__ = ("admitted", "running")

    def __init__(self) -> None:
        self.admitted: deque[float] = deque()
        self.running = 0

    def expire(self, now: float) -> None:
        admitted = self.admitted
        while admitted and admitted[0] <= now - WINDOW:
            admitted.popleft()

    def recall(self, at: float) -> None:
        """Count an admission of an earlier instant."""
        admitted = self.admitted
        admitted.append(at)
        if len(admitted) > 1 and admitted[-1] < admitted[-2]:
            ordered = sorted(admitted)
            admitted.clear()
            admitted.extend(ordered)


class Minute:
    """Tokens of the last minute. Each counts for 60 s at least, and for one step more at most."""

    __slots__ = ("_steps", "total")

    def __init__(self) -> None:
        self._steps: deque[list[float]] = deque()
        """[instant until which it counts as taken now, tokens], ascending."""
        self.total = 0

    def add(self, at: float, tokens: int) -> None:
        """Count tokens that were taken at an instant, which is not before that of any counted already by much:
        what comes late counts with what came last, so it stays a little longer, never shorter."""
        until = (at // STEP + 1) * STEP
        steps = self._steps
        if steps and steps[-1][0] >= until:
            steps[-1][1] += tokens
        else:
            steps.append([until, tokens])
        self.total += tokens

    def expire(self, now: float) -> None:
        steps = self._steps
        while steps and steps[0][0] <= now - WINDOW:
            self.total -= int(steps.popleft()[1])

    def frees(self, now: float, tokens: int) -> float | None:
        """Seconds until so many have left; None where there are not so many."""
        left = 0.0
        for until, count in self._steps:
            left += count
            if left >= tokens:
                return until + WINDOW - now + 0.001
        return None
