"""How many calls may be hedged: of any number, in any order, at most one in ten."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sekimori.policy.decide import decide
from sekimori.upstream.health import DEPLOYMENTS_KEPT, TENANTS_KEPT
from sekimori.upstream.hedges import EVERY, KEPT, Hedges
from tests.policy.worlds import ask, principal, right, snapshot

ROUTE = decide(snapshot(right()), principal("acme", "x"), ask("gpt-4o")).routes[0]


def wants(hedges: Hedges, tenant: str = "t") -> bool:
    """One call that would be hedged if it may be."""
    hedges.called(tenant, ROUTE)
    earned = hedges.earned(tenant, ROUTE)
    if earned:
        hedges.take(tenant, ROUTE)
    return earned


def test_one_call_in_ten_is_hedged_where_all_are_slow() -> None:
    hedges = Hedges()
    made = [wants(hedges) for _ in range(10 * EVERY)]
    assert made[:EVERY] == [False] * (EVERY - 1) + [True]
    assert sum(made) == hedges.made == 10


def test_what_is_earned_while_all_is_well_is_kept_for_so_many_and_no_more() -> None:
    hedges = Hedges()
    for _ in range(1000 * EVERY):
        hedges.called("t", ROUTE)
    assert sum(wants(hedges) for _ in range(EVERY)) == KEPT


def test_nobody_else_earns_it_or_uses_it_up() -> None:
    hedges = Hedges()
    for _ in range(EVERY):
        hedges.called("t", ROUTE)
    assert not hedges.earned("u", ROUTE)
    assert not hedges.earned("t", replace(ROUTE, model="another")), "a deployment is a key, a provider and a model"
    assert not hedges.earned("t", replace(ROUTE, key_uid="another"))
    assert not wants(hedges, "u")
    assert hedges.earned("t", ROUTE)


def test_memory_is_bounded_and_who_is_forgotten_begins_with_nothing() -> None:
    hedges = Hedges()
    for _ in range(EVERY):
        hedges.called("first", ROUTE)
    for number in range(TENANTS_KEPT):
        hedges.called(f"t{number}", ROUTE)
    assert not hedges.earned("first", ROUTE)
    for number in range(DEPLOYMENTS_KEPT + 8):
        for _ in range(EVERY):
            hedges.called("u", replace(ROUTE, key_uid=f"k{number}"))
    earned = [hedges.earned("u", replace(ROUTE, key_uid=f"k{number}")) for number in range(DEPLOYMENTS_KEPT + 8)]
    assert earned == [False] * 8 + [True] * DEPLOYMENTS_KEPT


@settings(max_examples=200, deadline=None)
@given(st.lists(st.booleans(), max_size=400))
def test_never_more_than_a_tenth_at_any_time(slow: list[bool]) -> None:
    hedges = Hedges()
    for calls, one in enumerate(slow, 1):
        hedges.called("t", ROUTE)
        if one and hedges.earned("t", ROUTE):
            hedges.take("t", ROUTE)
        assert hedges.made * EVERY <= calls
