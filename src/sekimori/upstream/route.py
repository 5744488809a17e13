"""In which order a call tries the routes it was granted, and what lets the next one try. Pure.

The routes are policy/decide's: nothing here adds one, and the walk asks for leave anew before each. Routes of one
position are equals. Which of them comes first is drawn by weight, or follows from the conversation; what rests after
a failure (upstream/health) comes last among its equals. A fallback comes after all of them and never because
something rests: only this call's own answers let it try.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
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

TRIES: Final = 3
"""Hops that one call makes at most among the equals of one position, however many there are."""

Tried = tuple[Route, Condition | None]
"""A hop, and why it failed where that is a reason to try another."""

_BELOW_ONE: Final = math.nextafter(1.0, 0.0)


def same(one: Route, other: Route) -> bool:
    """Whether two hops are one: the same key, at the same provider, for the same model, in the same position."""
    return (
        one.position == other.position
        and one.key_uid == other.key_uid
        and one.model == other.model
        and one.provider.name == other.provider.name
        and one.provider.owner_uid == other.provider.owner_uid
    )


def order(
    routes: Sequence[Route], rests: Callable[[Route], float], draw: float, conversation: bytes = b""
) -> list[Route]:
    """The routes in the order in which they are to be tried: every one of them once.

    `rests` tells the instant until which a route rests, 0.0 where it is well. `draw` is a random number from [0, 1):
    each route comes first among the equals that are well with the probability of its weight, and so on for the next
    places. With a `conversation` the draw is not used: the order follows from it and from each route by itself, so a
    route that comes or goes moves no conversation but its own (rendezvous hashing, Thaler and Ravishankar 1998; by
    weight as -w / ln u).
    """
    primary = [route for route in routes if route.position == "primary"]
    ordered = _level(primary, rests, draw, conversation)
    if len(primary) < len(routes):
        ordered += _level([route for route in routes if route.position != "primary"], rests, draw, conversation)
    return ordered


def follows(granted: Iterable[Route], tried: Sequence[Tried], hop: Route) -> bool:
    """Whether the policy lets `hop` try after what was tried.

    The conditions are those of `granted`, the decision of this instant: a hop that it no longer has lets nothing
    follow. A fallback stands in for hops of its own route alone, after an answer that this route names.
    """
    if not tried:
        return True
    now = [(next((one for one in granted if same(one, route)), None), condition) for route, condition in tried]
    last, condition = now[-1]
    if last is None or condition is None or condition not in last.moves | last.yields:
        return False
    if last.position == hop.position:
        return condition in last.moves and (hop.position == "primary" or _stands_in(now, hop))
    return hop.position == "fallback" and _stands_in(now, hop)


def beside(granted: Iterable[Route], under_way: Route, hop: Route) -> bool:
    """Whether the policy lets `hop` be asked while `under_way` is and has brought nothing: an equal, never a fallback,
    and never where the provider may keep what is said, for that would be kept twice.

    As in `follows` it is the decision of this instant that says so: where it hedges no more, nothing is asked.
    """
    now = next((one for one in granted if same(one, under_way)), None)
    if now is None or not now.hedges[1] or now.stores or hop.stores:
        return False
    return now.position == hop.position == "primary" and not same(now, hop)


def _stands_in(tried: Iterable[tuple[Route | None, Condition | None]], fallback: Route) -> bool:
    return any(
        one is not None and one.position == "primary" and one.of & fallback.of and condition in one.yields
        for one, condition in tried
    )


def _level(equals: list[Route], rests: Callable[[Route], float], draw: float, conversation: bytes) -> list[Route]:
    if len(equals) < 2:
        return equals
    well: list[Route] = []
    tired: list[tuple[float, Route]] = []
    for route in equals:
        until = rests(route)
        if until:
            tired.append((until, route))
        else:
            well.append(route)
    ordered = _hashed(well, conversation) if conversation else _drawn(well, draw)
    # Where all rest, the one whose rest ends first is asked and not nobody: the answer is then the provider's.
    return ordered + [route for _, route in sorted(tired, key=lambda pair: pair[0])] if tired else ordered


def _drawn(equals: Sequence[Route], draw: float) -> list[Route]:
    """One number makes all choices: what is left of it after one, stretched to [0, 1), is as random for the next."""
    left, ordered = list(equals), []
    while len(left) > 1:
        at = draw * sum(route.weight for route in left)
        for number, route in enumerate(left):
            if at < route.weight or number == len(left) - 1:
                break
            at -= route.weight
        draw = min(at / route.weight, _BELOW_ONE)
        ordered.append(left.pop(number))
    return ordered + left


def _hashed(equals: Sequence[Route], conversation: bytes) -> list[Route]:
    def score(route: Route) -> float:
        name = f"{route.provider.owner_uid}\0{route.provider.name}\0{route.key_uid}\0{route.model}\0".encode()
        digest = hashlib.blake2b(name + conversation, digest_size=8).digest()
        return -route.weight / math.log((int.from_bytes(digest) + 0.5) / 2.0**64 * _BELOW_ONE)

    return sorted(equals, key=score, reverse=True)
