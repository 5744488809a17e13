"""What lets the next of a grant's routes try. Pure.

The routes and their order are policy/decide's; the walk asks for leave anew before each, and nothing here adds one.
"""

from __future__ import annotations

from typing import Final

from sekimori.terms import Condition, Route

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


def yields(route: Route, condition: Condition | None) -> bool:
    """Whether the policy lets the next hop try after this one ended so. None is an answer of any other kind."""
    return condition is not None and condition in route.yields
