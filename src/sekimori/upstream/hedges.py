"""How many calls may be hedged: asked twice because the first deployment is slow. Pure, in memory, bounded.

A deployment that becomes slow is slow for all of its calls, and asking for all of them twice would double the load of
its equals, and the bill. So each call to a deployment earns a tenth of a hedge and each hedge costs one: of any number
of calls that a tenant made there, in any order and at any time, at most one in EVERY was hedged. What is earned is kept
for KEPT hedges in a row and no longer.

Like rests, this is counted for each tenant alone: nobody's calls earn another one's hedges, or use them up.
"""

from __future__ import annotations

from typing import Final

from sekimori.terms import Route
from sekimori.upstream.health import DEPLOYMENTS_KEPT, TENANTS_KEPT, Deployment, deployment

EVERY: Final = 10
"""Calls that earn one hedge."""
KEPT: Final = 10
"""Hedges that are kept at most, for a deployment that is well most of the time."""


class Hedges:
    """What is earned, by tenant and deployment."""

    def __init__(self) -> None:
        self._tenants: dict[str, dict[Deployment, int]] = {}
        self.made = 0
        """Hedges that were ever made."""

    def called(self, tenant: str, route: Route) -> None:
        """A call is made at a deployment beside which others may be asked."""
        held = self._tenants.get(tenant)
        if held is None:
            # Who is forgotten begins with nothing: that a tenant comes and goes earns no hedge.
            while len(self._tenants) >= TENANTS_KEPT:
                del self._tenants[next(iter(self._tenants))]
            held = self._tenants[tenant] = {}
        at = deployment(route)
        if at not in held:
            while len(held) >= DEPLOYMENTS_KEPT:
                del held[next(iter(held))]
        held[at] = min(held.get(at, 0) + 1, EVERY * KEPT)

    def earned(self, tenant: str, route: Route) -> bool:
        """Whether a call to the deployment may be hedged now."""
        return self._tenants.get(tenant, {}).get(deployment(route), 0) >= EVERY

    def take(self, tenant: str, route: Route) -> None:
        """A call to the deployment, whose hedge was `earned` in this same step, is hedged."""
        self._tenants[tenant][deployment(route)] -= EVERY
        self.made += 1
