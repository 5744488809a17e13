"""What is never asked twice, judged once more at the hop itself: the second lock on what policy/decide says."""

from __future__ import annotations

from msgspec.structs import replace

from sekimori.gateway.hedge import may_hedge
from sekimori.gateway.leg import Leg
from sekimori.policy.decide import decide
from sekimori.terms import Ask, Route
from tests.policy.worlds import ask, principal, right, snapshot

GRANT = decide(snapshot(right()), principal("acme", "x"), ask("gpt-4o"))
HEDGED = replace(GRANT.routes[0], hedges=(800, 1))


def hedged(route: Route = HEDGED, asked: Ask | None = None) -> bool:
    return may_hedge(Leg(0, GRANT, route, asked or ask("gpt-4o"), None, 0.0))


def test_only_a_plain_call_whose_policy_says_so_is_hedged() -> None:
    assert hedged()
    assert not hedged(GRANT.routes[0])
    assert not hedged(replace(HEDGED, hedges=(800, 0)))
    assert not hedged(replace(HEDGED, stores=True))
    assert not hedged(asked=ask("gpt-4o", needs=frozenset({"web_search"})))
    assert not hedged(asked=replace(ask("gpt-4o"), objects=(("resp_1", "previous_response_id"),)))
