"""In which order equals are tried, and what lets the next hop try."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sekimori.errors import REASONS
from sekimori.policy.decide import decide
from sekimori.terms import Condition, Route
from sekimori.upstream.route import CONDITION_OF, follows, order, same
from tests.policy.worlds import ask, principal, right, snapshot

PRIMARY, FALLBACK = decide(snapshot(right()), principal("acme", "x"), ask("gpt-4o")).routes
LIMITED: frozenset[Condition] = frozenset({"rate_limited"})


def equals(*weights: int) -> list[Route]:
    """Routes that differ in their key, with these weights."""
    return [
        replace(PRIMARY, key=f"clients/acme/k{n}", key_uid=f"uid{n}", weight=weight, moves=LIMITED)
        for n, weight in enumerate(weights)
    ]


def well(route: Route) -> float:
    return 0.0


def first_key(routes: list[Route]) -> str:
    return routes[0].key_uid


@pytest.mark.parametrize(
    ("weights", "draw", "expected"),
    [
        ((1, 1), 0.0, [0, 1]),
        ((1, 1), 0.49, [0, 1]),
        ((1, 1), 0.5, [1, 0]),
        ((1, 1), math.nextafter(1.0, 0.0), [1, 0]),
        ((3, 1), 0.74, [0, 1]),
        ((3, 1), 0.75, [1, 0]),
        ((2, 1, 1), 0.0, [0, 1, 2]),
        ((2, 1, 1), 0.49, [0, 2, 1]),  # what is left of the draw chooses the second
        ((2, 1, 1), 0.5, [1, 0, 2]),
        ((2, 1, 1), 0.99, [2, 1, 0]),
        ((7,), 0.9, [0]),
    ],
)
def test_one_number_draws_the_whole_order(weights: tuple[int, ...], draw: float, expected: list[int]) -> None:
    assert [int(route.key_uid[3:]) for route in order(equals(*weights), well, draw)] == expected


@pytest.mark.parametrize(
    ("rests", "expected"),
    [
        ({}, [0, 1, 2]),
        ({0: 5.0}, [1, 2, 0]),
        ({1: 5.0}, [0, 2, 1]),
        ({0: 9.0, 1: 5.0}, [2, 1, 0]),
        ({0: 9.0, 1: 5.0, 2: 7.0}, [1, 2, 0]),  # all rest: the one whose rest ends first, and not nobody
    ],
)
def test_what_rests_comes_last_among_its_equals(rests: dict[int, float], expected: list[int]) -> None:
    routes = equals(1, 1, 1)
    found = order(routes, lambda route: rests.get(int(route.key_uid[3:]), 0.0), 0.0)
    assert [int(route.key_uid[3:]) for route in found] == expected


def test_a_fallback_comes_after_all_equals_even_those_that_rest() -> None:
    found = order([*equals(1, 1), FALLBACK], lambda route: 5.0 if route.position == "primary" else 0.0, 0.9)
    assert [route.position for route in found] == ["primary", "primary", "fallback"]
    alone = order([PRIMARY, FALLBACK], lambda route: 5.0 if route.position == "primary" else 0.0, 0.9)
    assert alone == [PRIMARY, FALLBACK], "a rest never moves a call to the fallback"


_weights = st.lists(st.integers(1, 1000), min_size=1, max_size=12)
_draws = st.floats(0.0, 1.0, exclude_max=True)


@given(_weights, _draws, st.sets(st.integers(0, 11)), st.binary(max_size=20))
def test_the_order_holds_every_route_once(
    weights: list[int], draw: float, resting: set[int], conversation: bytes
) -> None:
    routes = [*equals(*weights), FALLBACK]

    def rests(route: Route) -> float:
        return 5.0 if route.position == "primary" and int(route.key_uid[3:]) in resting else 0.0

    found = order(routes, rests, draw, conversation)
    assert sorted(route.key_uid for route in found) == sorted(route.key_uid for route in routes)
    assert found[-1] is FALLBACK
    healthy = [rests(route) == 0.0 for route in found[:-1]]
    assert healthy == sorted(healthy, reverse=True)


@pytest.mark.parametrize("sticky", [False, True])
@pytest.mark.parametrize("weights", [(1, 1), (3, 1), (70, 20, 10), (1, 1, 1, 1, 96)])
def test_weights_are_kept(weights: tuple[int, ...], sticky: bool) -> None:
    """20,000 calls with a fixed seed: within five standard deviations."""
    rng, routes, calls = random.Random(7), equals(*weights), 20_000
    found = Counter(
        first_key(order(routes, well, rng.random(), b"c%d" % number if sticky else b"")) for number in range(calls)
    )
    for number, weight in enumerate(weights):
        share = weight / sum(weights)
        assert abs(found[f"uid{number}"] - calls * share) <= 5 * math.sqrt(calls * share * (1 - share))


def test_second_places_are_drawn_by_weight_too() -> None:
    rng, routes, calls = random.Random(11), equals(2, 1, 1), 20_000
    seconds = Counter(
        found[1].key_uid for _ in range(calls) if first_key(found := order(routes, well, rng.random())) == "uid1"
    )
    assert abs(seconds["uid0"] / sum(seconds.values()) - 2 / 3) < 0.03


@given(_weights, st.binary(min_size=1, max_size=16), _draws, _draws, st.data())
def test_a_conversation_stays_where_it_is_whatever_happens_to_the_others(
    weights: list[int], conversation: bytes, draw: float, other: float, data: st.DataObject
) -> None:
    routes = equals(*weights)
    home = order(routes, well, draw, conversation)[0]
    assert order(data.draw(st.permutations(routes)), well, other, conversation)[0] is home
    left = [route for route in routes if route is home or data.draw(st.booleans())]
    assert order(left, well, other, conversation)[0] is home
    # And when its own rests it goes to the same second one, and comes back.
    away = order(routes, lambda route: 9.0 if route is home else 0.0, draw, conversation)[0]
    assert away is order(routes, lambda route: 9.0 if route is home else 0.0, other, conversation)[0]
    assert (away is home) == (len(routes) == 1)


def failed(route: Route, condition: Condition | None = "rate_limited") -> tuple[Route, Condition | None]:
    return route, condition


def test_only_what_the_policy_names_lets_the_fallback_try() -> None:
    granted = [PRIMARY, FALLBACK]
    assert follows(granted, [], PRIMARY)
    for condition in ("rate_limited", "overloaded"):
        assert follows(granted, [failed(PRIMARY, condition)], FALLBACK)  # type: ignore[arg-type]
    assert not follows(granted, [failed(PRIMARY, "server_error")], FALLBACK)
    assert not follows(granted, [failed(PRIMARY, None)], FALLBACK)
    assert not follows([FALLBACK], [failed(PRIMARY)], FALLBACK), "the policy no longer has what failed"
    assert not follows(granted, [failed(FALLBACK)], PRIMARY), "there is no way back"


def test_equals_move_by_their_own_conditions_and_fall_back_by_their_routes() -> None:
    one, two = (replace(route, yields=frozenset({"overloaded"})) for route in equals(1, 1))
    granted = [one, two, FALLBACK]
    assert follows(granted, [failed(one)], two)
    assert not follows(granted, [failed(one)], FALLBACK)
    assert not follows(granted, [failed(one, "overloaded")], two)
    assert follows(granted, [failed(one, "overloaded")], FALLBACK)
    assert follows(granted, [failed(one), failed(two, "overloaded")], FALLBACK)
    assert not follows(granted, [failed(one), failed(two, "server_error")], FALLBACK)
    changed = [replace(one, moves=frozenset()), two]
    assert not follows(changed, [failed(one)], two), "the conditions are those of the policy of this instant"


def test_a_fallback_stands_in_for_its_own_routes_alone() -> None:
    """An alias of two routes, of which only the first has this fallback."""
    one, two = equals(1, 1)
    one = replace(one, of=frozenset({"openai/gpt-4o"}), yields=LIMITED)
    two = replace(two, of=frozenset({"house/gpt-4o"}), yields=frozenset())
    fallback = replace(FALLBACK, of=frozenset({"openai/gpt-4o"}))
    granted = [one, two, fallback]
    assert not follows(granted, [failed(two)], fallback)
    assert follows(granted, [failed(two), failed(one)], fallback)
    assert follows(granted, [failed(one), failed(two)], fallback), "the first route's limit was met in this call"
    other = replace(fallback, key_uid="other", of=frozenset({"house/gpt-4o"}), moves=LIMITED)
    fallback = replace(fallback, moves=LIMITED)
    granted = [one, two, fallback, other]
    assert not follows(granted, [failed(one), failed(two), failed(fallback)], other)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([*CONDITION_OF.values(), None])), max_size=4))
def test_nothing_follows_what_no_condition_names(chain: list[tuple[int, Condition | None]]) -> None:
    routes = [*equals(1, 1, 1), FALLBACK, replace(FALLBACK, key_uid="second")]
    tried = [(routes[number], condition) for number, condition in chain]
    for hop in routes:
        if tried and follows(routes, tried, hop):
            last, condition = tried[-1]
            assert condition in last.moves | last.yields
            assert hop.position == "fallback" or last.position == "primary"


def test_hops_are_told_apart_by_key_provider_model_and_position() -> None:
    other = replace(PRIMARY.provider, name="other")
    for field in ({"key_uid": "u"}, {"model": "m"}, {"position": "fallback"}, {"provider": other}):
        assert not same(PRIMARY, replace(PRIMARY, **field))
    assert same(PRIMARY, replace(PRIMARY, weight=9, moves=LIMITED))


def test_conditions_are_of_registered_reasons_and_never_of_what_must_stop() -> None:
    assert set(CONDITION_OF) <= set(REASONS)
    stopping = {"upstream_address_forbidden", "upstream_malformed", "upstream_truncated", "upstream_refused"}
    assert not stopping & set(CONDITION_OF)
