"""Admission is exact: in no interval of 60 s more than the bound, and nothing stays taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.errors import Refused
from sekimori.meter.budget import WINDOW, Budget, RateLimited
from sekimori.terms import Grant, Limits, Principal


def grant(**limits: tuple[tuple[str, int], ...]) -> Grant:
    principal = Principal("acme", "t" * 26, "x", "a" * 26, "k", frozenset({"write"}))
    return Grant(principal, 1, "openai", "chat", "m", (), Limits(**limits), ())


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(
    bound=st.integers(1, 6),
    steps=st.lists(st.floats(0, 40, allow_nan=False), min_size=1, max_size=80),
)
def test_no_interval_of_a_minute_holds_more_than_the_bound(bound: int, steps: list[float]) -> None:
    clock = Clock()
    budget = Budget(clock)
    admitted: list[float] = []
    for step in steps:
        clock.now += step
        try:
            with budget.reserve(grant(requests_per_minute=(("agent:a", bound),))) as place:
                place.sent()
            admitted.append(clock.now)
        except RateLimited as refused:
            recent = [at for at in admitted if at > clock.now - WINDOW]
            assert len(recent) >= bound, "refused though there was room"
            assert refused.retry_after is not None
            clock.now += refused.retry_after
            with budget.reserve(grant(requests_per_minute=(("agent:a", bound),))) as place:
                place.sent()
            admitted.append(clock.now)
    for start in admitted:
        assert sum(start <= at < start + WINDOW for at in admitted) <= bound


def test_a_call_that_was_never_sent_gives_its_place_back() -> None:
    budget = Budget(Clock())
    once = grant(requests_per_minute=(("agent:a", 1),))
    with budget.reserve(once):
        pass
    with budget.reserve(once) as place:
        place.sent()
    with pytest.raises(RateLimited) as refused:
        budget.reserve(once)
    assert refused.value.status == 429
    assert refused.value.figures.remaining == 0


def test_all_bounds_or_none_are_taken() -> None:
    budget = Budget(Clock())
    both = grant(requests_per_minute=(("agent:a", 5), ("tenant:t", 1)))
    with budget.reserve(both) as place:
        place.sent()
    for _ in range(10):
        with pytest.raises(RateLimited):
            budget.reserve(both)
    alone = grant(requests_per_minute=(("agent:a", 5),))
    for _ in range(4):
        with budget.reserve(alone) as place:
            place.sent()
    with pytest.raises(RateLimited):
        budget.reserve(alone)


def test_concurrency_is_exact_and_given_back_on_every_way_out() -> None:
    budget = Budget(Clock())
    two = grant(concurrency=(("agent:a", 2),))
    with budget.reserve(two):
        with pytest.raises(ValueError, match="boom"), budget.reserve(two):
            with pytest.raises(Refused) as refused:
                budget.reserve(two)
            assert refused.value.reason == "concurrency_limited"
            raise ValueError("boom")
        with budget.reserve(two):
            assert dict(budget.running()) == {"agent:a": 2}
    assert dict(budget.running()) == {}


def test_leaving_twice_gives_back_once() -> None:
    budget = Budget(Clock())
    one = grant(concurrency=(("agent:a", 1),))
    place = budget.reserve(one)
    place.leave()
    place.leave()
    with budget.reserve(one), pytest.raises(Refused):
        budget.reserve(one)


@given(ages=st.lists(st.floats(-5, 120, allow_nan=False), max_size=20))
def test_admissions_of_a_former_run_count_for_what_is_left_of_their_minute(ages: list[float]) -> None:
    clock = Clock()
    budget = Budget(clock)
    for age in ages:
        budget.recall("agent:a", age)
    live = sum(0 <= age < WINDOW for age in ages)
    allowed = 0
    try:
        for _ in range(30):
            budget.reserve(grant(requests_per_minute=(("agent:a", 25),))).sent()
            allowed += 1
    except RateLimited:
        pass
    assert allowed == 25 - live


def test_idle_scopes_are_forgotten() -> None:
    clock = Clock()
    budget = Budget(clock)
    for number in range(5000):
        with budget.reserve(grant(concurrency=((f"agent:{number}", 1),))):
            pass
    assert len(budget._scopes) <= 4097
