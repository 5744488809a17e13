"""The order in which a grant's routes are tried, and what lets the next one try. Pure.

The routes themselves were authorised by policy/decide; nothing here adds one.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from sekimori.errors import Fault
from sekimori.terms import Condition, Grant, Route

CONDITION_OF: Final[dict[str, Condition]] = {
    "upstream_rate_limited": "rate_limited",
    "upstream_overloaded": "overloaded",
    "upstream_error": "server_error",
    "upstream_unreachable": "connect_failed",
    "upstream_timeout": "timed_out",
    "key_unavailable": "key_unavailable",
}
"""Reasons of a failed hop that a policy can name. Others (a forbidden address, a reply cut short or malformed, an
error that is the caller's) never move a call on."""


def hops(grant: Grant, unavailable: Container[str] = ()) -> tuple[Route, ...]:
    """The routes to try, in order. `unavailable` holds the uids of keys known to be unusable (frozen, destroyed).

    A route whose key is unusable is passed over only where the policy names `key_unavailable`; the order ends there
    otherwise. Raises `Fault('key_unavailable')` where none is left.
    """
    left: list[Route] = []
    for route in grant.routes:
        if route.key_uid not in unavailable:
            left.append(route)
        elif "key_unavailable" not in route.yields:
            break
    if not left:
        raise Fault(
            "key_unavailable",
            "No provider key of this call's route can be used now.",
            advice="Unfreeze the key, or name key_unavailable in the route's fallback.",
        )
    return tuple(left)


def yields(route: Route, condition: Condition | None) -> bool:
    """Whether the policy lets the next hop try after this one ended so. None is an answer of any other kind."""
    return condition is not None and condition in route.yields
