"""Admission: requests in any minute and calls at once, exact.

`reserve` admits a call against every bound of its grant at once, or against none. What is admitted is a
`Reservation`; leaving it gives back the place among the concurrent calls, and, where nothing was ever sent to a
provider, the place in the minute too. Time is a monotonic clock, so a step of the wall clock neither opens nor
closes a window.

Exactness: a window holds the instant of each admission of the last 60 s and admits only while fewer than the
bound lie in it, so no interval of 60 s, wherever it starts, ever holds more than the bound.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from sekimori.errors import Refused
from sekimori.terms import Grant

WINDOW: Final = 60.0
"""Seconds over which requests are counted."""
SWEEP: Final = 4096
"""Scopes after which idle ones are forgotten, so that deleted agents do not stay in memory."""


class Figures(Struct, frozen=True):
    """The tightest bound on requests as the caller may know it; for the rate-limit headers."""

    limit: int
    remaining: int
    reset: float
    """Seconds until a place that is taken now is free again."""


class _Scope:
    __slots__ = ("admitted", "running")

    def __init__(self) -> None:
        self.admitted: deque[float] = deque()
        self.running = 0

    def expire(self, now: float) -> None:
        admitted = self.admitted
        while admitted and admitted[0] <= now - WINDOW:
            admitted.popleft()


class Reservation:
    """A place in every bound of one grant, until left. `sent()` says that a provider was reached."""

    __slots__ = ("_admitted_at", "_minute", "_running", "_sent", "figures")

    def __init__(self, minute: list[_Scope], running: list[_Scope], at: float, figures: Figures | None) -> None:
        self._minute = minute
        self._running = running
        self._admitted_at = at
        self._sent = False
        self.figures = figures

    def sent(self) -> None:
        """The call reached a provider: its place in the minute stays taken."""
        self._sent = True

    def leave(self) -> None:
        """Give back what is to be given back. Leaving again does nothing."""
        for scope in self._running:
            scope.running -= 1
        self._running = []
        if not self._sent:
            for scope in self._minute:
                # Already expired is as good as given back.
                if self._admitted_at in scope.admitted:
                    scope.admitted.remove(self._admitted_at)
        self._minute = []

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()


class Budget:
    """Every bound of this process. One instance a home: whoever admits calls elsewhere admits them unseen."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._scopes: dict[str, _Scope] = {}

    def reserve(self, grant: Grant) -> Reservation:
        """Admit one call.

        Raises Refused `rate_limited` or `concurrency_limited` with `retry_after` and the figures in `headers`' stead;
        nothing is taken then.
        """
        limits = grant.limits
        now = self._clock()
        minute: list[_Scope] = []
        tightest: tuple[int, int, float] | None = None
        for name, bound in limits.requests_per_minute:
            scope = self._scope(name, now)
            scope.expire(now)
            taken = len(scope.admitted)
            reset = scope.admitted[0] + WINDOW - now if taken else WINDOW
            if taken >= bound:
                # The place frees when enough of the oldest have left; bounds may have been lowered meanwhile.
                # A millisecond on top: a caller that waits exactly this long must not meet a rounding error.
                wait = scope.admitted[taken - bound] + WINDOW - now + 0.001
                raise RateLimited(name, bound, wait, Figures(bound, 0, wait))
            minute.append(scope)
            if tightest is None or bound - taken < tightest[0] - tightest[1]:
                tightest = (bound, taken, reset)
        running: list[_Scope] = []
        for name, bound in limits.concurrency:
            scope = self._scope(name, now)
            if scope.running >= bound:
                raise Refused(
                    "concurrency_limited",
                    f"{bound} calls of this {_what(name)} are already under way.",
                    advice="Wait for one to end, or raise `concurrency` in the Limit document.",
                    retry_after=1.0,
                )
            running.append(scope)
        for scope in minute:
            scope.admitted.append(now)
        for scope in running:
            scope.running += 1
        figures = None if tightest is None else Figures(tightest[0], tightest[0] - tightest[1] - 1, tightest[2])
        return Reservation(minute, running, now, figures)

    def recall(self, scope: str, age: float) -> None:
        """Count an admission of `age` seconds ago that a former run made; call in any order, before serving."""
        if 0 <= age < WINDOW:
            admitted = self._scope(scope, self._clock()).admitted
            admitted.append(self._clock() - age)
            if len(admitted) > 1 and admitted[-1] < admitted[-2]:
                ordered = sorted(admitted)
                admitted.clear()
                admitted.extend(ordered)

    def running(self) -> Iterator[tuple[str, int]]:
        """Scopes with calls under way; empty when every reservation has been left."""
        return ((name, scope.running) for name, scope in self._scopes.items() if scope.running)

    def _scope(self, name: str, now: float) -> _Scope:
        scope = self._scopes.get(name)
        if scope is None:
            if len(self._scopes) >= SWEEP:
                self._forget_idle(now)
            scope = self._scopes[name] = _Scope()
        return scope

    def _forget_idle(self, now: float) -> None:
        for name, scope in list(self._scopes.items()):
            scope.expire(now)
            if not scope.admitted and not scope.running:
                del self._scopes[name]


class RateLimited(Refused):
    """Refused `rate_limited`, with the figures the dialects put into their headers."""

    def __init__(self, scope: str, bound: int, wait: float, figures: Figures) -> None:
        super().__init__(
            "rate_limited",
            f"This {_what(scope)} may make {bound} requests in any minute.",
            advice=f"Retry after {math.ceil(wait)} s, or raise `requestsPerMinute` in the Limit document.",
            retry_after=wait,
        )
        self.figures = figures


def _what(scope: str) -> str:
    return scope.partition(":")[0]
