"""The hops of one call: which of the granted routes is tried next, and what became of those that were.

    with Hops(…) as hops:
        for route in hops:        the best of what is left, by weight or conversation and by health as it is now
            if hops.may_follow(leave, route): …
            … the call is made …
            if not hops.failed(route, answer): …

Leaving gives back the place of a probe whose call was cancelled or never made, so that the next call can try.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sekimori.terms import Ask, Grant, Route
from sekimori.upstream.call import Answer
from sekimori.upstream.conversation import conversation
from sekimori.upstream.health import Health, Trial
from sekimori.upstream.route import TRIES, Tried, beside, follows, order, same


class Hops:
    """See the module. Iterated once."""

    __slots__ = ("_clock", "_conversation", "_draw", "_health", "_left", "_tenant", "_trials", "hedged", "tried")

    def __init__(
        self, health: Health, grant: Grant, ask: Ask, clock: Callable[[], float], draw: Callable[[], float]
    ) -> None:
        self._health = health
        self._tenant = grant.principal.tenant_uid
        self._left = grant.routes
        self._clock = clock
        self._draw = draw
        self._conversation = conversation(grant.principal, ask) if grant.sticky and len(grant.routes) > 1 else b""
        self._trials: list[Trial] = []
        """Of the hops under way."""
        self.hedged = 0
        """Hops that were made beside another."""
        self.tried: list[Tried] = []
        """The hops that were made and failed, in order."""

    def __iter__(self) -> Iterator[Route]:
        while self._left:
            now = self._clock()
            route = self._next(now)
            if self._trials:
                self._leave()  # the caller passed it over
            if self.tried and self._made(route) >= TRIES:
                continue
            # Taken in the same step in which it was found free: no two calls probe one deployment.
            self._trials.append(self._health.begin(self._tenant, route, now))
            yield route

    def _next(self, now: float) -> Route:
        """The best of what is left, taken out of it."""
        left = self._left
        first = left[0]
        if len(left) == 1 or left[1].position != first.position:  # fallbacks stand last: it has no equal
            self._left = left[1:]
            return first
        rests, tenant = self._health.rests, self._tenant
        best = order(left, lambda route: rests(tenant, route, now), self._draw(), self._conversation)[0]
        self._left = tuple(route for route in left if route is not best)
        return best

    def _made(self, route: Route) -> int:
        """Hops that failed in the position of a route."""
        return sum(one.position == route.position for one, _ in self.tried)

    def equal_of(self, route: Route) -> Route | None:
        """The equal that would be asked next, for a call that waits for `route`: one that is well, or none.

        None, too, where the call has made enough hops. Nothing is taken yet: what may not be asked now may still be
        when its turn comes.
        """
        left = [one for one in self._left if one.position == route.position]
        if not left or self._made(route) + len(self._trials) >= TRIES:
            return None
        now, rests, tenant = self._clock(), self._health.rests, self._tenant
        best = order(left, lambda one: rests(tenant, one, now), self._draw(), self._conversation)[0]
        return None if rests(tenant, best, now) else best

    def hedge(self, route: Route) -> None:
        """An equal is asked beside what is under way. In the same step as `equal_of`: two calls never probe one."""
        self._left = tuple(one for one in self._left if not same(one, route))
        self._trials.append(self._health.begin(self._tenant, route, self._clock()))
        self.hedged += 1

    def may_follow(self, leave: Grant, route: Route, under_way: Route | None = None) -> bool:
        """Whether the policy of this instant lets the route try after those that were tried, and beside one that is
        under way.
        """
        if under_way is not None and not beside(leave.routes, under_way, route):
            return False
        return follows(leave.routes, self.tried, route)

    def moves(self, route: Route, answer: Answer) -> bool:
        """Whether a hop failed in a way after which another may be asked to try."""
        condition = None if answer.refusal is None else answer.condition
        return condition is not None and (condition in route.moves or condition in route.yields)

    def failed(self, route: Route, answer: Answer) -> bool:
        """Tell health how a hop ended. True where it failed in a way after which another may be asked to try."""
        trial = self._end(route)
        condition = None if answer.refusal is None else answer.condition
        if condition is None:
            if answer.status is not None:
                self._health.answered(trial)
            else:
                self._health.left(trial)
            return False
        self._health.failed(trial, condition, self._clock(), answer.retry_after)
        self.tried.append((route, condition))
        return self.moves(route, answer)

    def lost(self, route: Route) -> None:
        """A hop was cut off because another one serves: nothing is known of it."""
        self._health.left(self._end(route))

    def _end(self, route: Route) -> Trial:
        if len(self._trials) == 1:
            return self._trials.pop()
        return self._trials.pop(next(n for n, trial in enumerate(self._trials) if same(trial.route, route)))

    def _leave(self) -> None:
        for trial in self._trials:
            self._health.left(trial)
        self._trials.clear()

    def __enter__(self) -> Hops:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
