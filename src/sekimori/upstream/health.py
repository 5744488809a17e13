"""Which deployments rest after a failure. In memory, bounded; time is an argument, in seconds of a monotonic clock.

A deployment is one key at one provider for one model. After an answer that says "not now" (429, 529, any other 5xx, no
connection, no answer in time) it rests: as long as the provider asks for, within the bounds of its Route, else for
seconds that double with each failure in a row. After its rest one call at a time tries it (half-open) until one
is answered. What rests is only asked later than its equals: nothing is refused here, and no key comes in that the
policy does not name.

What a tenant's calls met counts for that tenant alone, on keys that tenants share too: some failures can be provoked
by what is asked, and nobody's calls may move another tenant's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from sekimori.terms import Condition, Route

CONDITIONS: Final[frozenset[Condition]] = frozenset(
    {"rate_limited", "overloaded", "server_error", "connect_failed", "timed_out"}
)
"""What makes a deployment rest. A frozen key does not: policy alone says what becomes of its calls."""

TENANTS_KEPT: Final = 4096
DEPLOYMENTS_KEPT: Final = 64
"""Deployments of one tenant that are remembered at once; the one that failed first is forgotten first."""
DOUBLINGS: Final = 12
SHORTEST: Final = 1.0
"""Seconds that a deployment rests at least, whatever the provider asks for."""

Deployment = tuple[str, str, str, str]


def deployment(route: Route) -> Deployment:
    """What rests, as one thing: a key at a provider for a model."""
    return (route.provider.owner_uid, route.provider.name, route.key_uid, route.model)


class _Rest:
    __slots__ = ("began", "condition", "failures", "probed", "until")

    def __init__(self) -> None:
        self.failures = 0
        self.began = 0.0
        self.until = 0.0
        self.condition: Condition = "server_error"
        self.probed = False
        """Whether a call is trying it after its rest."""


class Trial:
    """One hop under way. `Health.failed`, `answered` or `left` ends it; ending it again does nothing."""

    __slots__ = ("began", "probes", "route", "tenant")

    def __init__(self, tenant: str, route: Route, began: float) -> None:
        self.tenant = tenant
        self.route = route
        self.began = began
        self.probes: _Rest | None = None
        """The rest after which this call tries, where it does."""


class Resting(Struct, frozen=True):
    """A deployment that rests, as people see it."""

    key: str
    provider: str
    model: str
    because: Condition
    failures: int
    """In a row."""
    seconds: float
    """Left of its rest; 0.0 where it is over and a call has yet to try."""


class Health:
    """What failed lately, by tenant and deployment."""

    def __init__(self) -> None:
        self._tenants: dict[str, dict[Deployment, _Rest]] = {}
        self.begun = 0
        """Rests that ever began."""

    def rests(self, tenant: str, route: Route, now: float) -> float:
        """The instant until which a deployment rests; 0.0 where it is well, or its rest is over and nobody tries it."""
        rest = self._find(tenant, route)
        if rest is None or (rest.until <= now and not rest.probed):
            return 0.0
        return rest.until

    def begin(self, tenant: str, route: Route, now: float) -> Trial:
        """A hop is about to be made; where the deployment's rest is over, this is the call that tries it."""
        trial = Trial(tenant, route, now)
        rest = self._find(tenant, route)
        if rest is not None and rest.until <= now and not rest.probed:
            rest.probed = True
            trial.probes = rest
        return trial

    def failed(self, trial: Trial, condition: Condition | None, now: float, retry_after: float | None = None) -> None:
        """A hop ended badly; `retry_after` is what the provider itself asked for, in seconds."""
        self.left(trial)
        if condition not in CONDITIONS:
            return
        route = trial.route
        first, longest = route.rests
        rest = self._find(trial.tenant, route)
        if rest is None:
            rest = self._add(trial.tenant, route, now)
        elif now > rest.until + longest:
            rest.failures = 0  # long ago
        if rest.failures == 0 or trial.began >= rest.began:
            # Calls that were under way when it began to rest say nothing new, however many fail: they do not double it.
            rest.failures += 1
            rest.began, rest.condition = now, condition
            self.begun += 1
        asked = first * 2.0 ** min(rest.failures - 1, DOUBLINGS) if retry_after is None else retry_after
        rest.until = max(rest.until, now + min(max(asked, SHORTEST), float(longest)))

    def answered(self, trial: Trial) -> None:
        """The provider answered: the deployment is well. A call from before it began to rest does not prove that."""
        self.left(trial)
        held = self._tenants.get(trial.tenant)
        if held is not None:
            rest = held.get(deployment(trial.route))
            if rest is not None and trial.began >= rest.began:
                del held[deployment(trial.route)]
                if not held:
                    del self._tenants[trial.tenant]

    def left(self, trial: Trial) -> None:
        """A hop ended without an answer (its caller left, it was never made): the place of a probe is given back."""
        if trial.probes is not None:
            trial.probes.probed = False
            trial.probes = None

    def resting(self, now: float) -> int:
        """Deployments that rest, over all tenants."""
        return sum(rest.until > now for held in self._tenants.values() for rest in held.values())

    def shown(self, tenant: str, routes: Iterable[Route], now: float) -> list[Resting]:
        """Those of the routes that failed lately."""
        return [
            Resting(
                route.key,
                route.provider.name,
                route.model,
                rest.condition,
                rest.failures,
                round(max(rest.until - now, 0.0), 1),
            )
            for route in routes
            if (rest := self._find(tenant, route)) is not None
        ]

    def _find(self, tenant: str, route: Route) -> _Rest | None:
        held = self._tenants.get(tenant)
        return None if held is None else held.get(deployment(route))

    def _add(self, tenant: str, route: Route, now: float) -> _Rest:
        held = self._tenants.get(tenant)
        if held is None:
            while len(self._tenants) >= TENANTS_KEPT:
                del self._tenants[next(iter(self._tenants))]
            held = self._tenants[tenant] = {}
        while len(held) >= DEPLOYMENTS_KEPT:
            del held[next(iter(held))]
        rest = held[deployment(route)] = _Rest()
        return rest
