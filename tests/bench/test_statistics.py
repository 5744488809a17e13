"""The verdict on a handful of rounds."""

from __future__ import annotations

import random
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics import Interval, bootstrap, judge

values = st.lists(st.floats(min_value=0.01, max_value=1e6), min_size=1, max_size=15)


@settings(max_examples=25, deadline=None)
@given(values)
def test_bounds_enclose_the_median_and_stay_within_the_rounds(rounds: list[float]) -> None:
    found = bootstrap(rounds)
    assert found.median == median(rounds)
    assert min(rounds) <= found.lower <= found.median <= found.upper <= max(rounds)


@settings(max_examples=25, deadline=None)
@given(values, st.randoms())
def test_the_order_of_rounds_says_nothing(rounds: list[float], shuffler: random.Random) -> None:
    other = list(rounds)
    shuffler.shuffle(other)
    first, second = bootstrap(sorted(rounds)), bootstrap(sorted(other))
    assert first == second


def test_no_rounds_are_no_result() -> None:
    with pytest.raises(ValueError, match="no rounds"):
        bootstrap([])


def test_one_wild_round_does_not_move_the_verdict() -> None:
    assert judge(bootstrap([5.0] * 10 + [500.0]), 6.0) == "pass"


def test_upper_bound_covers_the_true_median_as_often_as_it_says() -> None:
    """Over rounds drawn from a known distribution the bound is at or above the true median in about 95 %."""
    drawn = random.Random(7)
    trials = 150
    covered = 0
    for _ in range(trials):
        rounds = [drawn.lognormvariate(0.0, 0.3) for _ in range(11)]
        covered += bootstrap(rounds).upper >= 1.0
    assert covered / trials >= 0.92


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        (Interval(5.0, 4.0, 6.0), "pass"),
        (Interval(5.0, 4.0, 6.01), "undecided"),
        (Interval(7.0, 6.0, 8.0), "undecided"),
        (Interval(7.0, 6.01, 8.0), "missed"),
    ],
)
def test_verdict_against_a_gate_of_six(interval: Interval, verdict: str) -> None:
    assert judge(interval, 6.0) == verdict


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        (Interval(7.0, 6.0, 8.0), "pass"),
        (Interval(7.0, 5.99, 8.0), "undecided"),
        (Interval(5.0, 4.0, 6.0), "undecided"),
        (Interval(5.0, 4.0, 5.99), "missed"),
    ],
)
def test_verdict_against_a_lower_gate_of_six(interval: Interval, verdict: str) -> None:
    assert judge(interval, 6.0, at_least=True) == verdict
