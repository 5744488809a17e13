"""The hops of one call: bounded, granted, and no probe's place is ever lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sekimori.errors import Upstream
from sekimori.gateway.hops import Hops
from sekimori.policy.decide import decide
from sekimori.terms import Condition, Grant, Route
from sekimori.upstream.call import Answer
from sekimori.upstream.health import CONDITIONS, Health
from sekimori.upstream.route import TRIES
from tests.policy.worlds import ask, principal, right, snapshot

GRANT = decide(snapshot(right()), principal("acme", "x"), ask("gpt-4o"))
PRIMARY, FALLBACK = GRANT.routes
ANY = frozenset(CONDITIONS)


def granted(equals: int, fallbacks: int = 0) -> Grant:
    first = [replace(PRIMARY, key_uid=f"p{n}", moves=ANY, yields=ANY) for n in range(equals)]
    last = [replace(FALLBACK, key_uid=f"f{n}", moves=ANY) for n in range(fallbacks)]
    return replace(GRANT, routes=(*first, *last))


def answer(condition: Condition | None = None, status: int | None = 200, retry_after: float | None = None) -> Answer:
    made = Answer()
    made.status = status
    made.condition = condition
    made.retry_after = retry_after
    if condition is not None:
        made.refusal = Upstream("upstream_error", "It failed.")
    return made


class Play:
    """Calls of one tenant, with a clock that the test moves."""

    def __init__(self, grant: Grant) -> None:
        self.grant, self.health, self.now = grant, Health(), 100.0

    def hops(self, draw: float = 0.0) -> Hops:
        return Hops(self.health, self.grant, ask("gpt-4o"), lambda: self.now, lambda: draw)

    def call(self, *answers: Answer, draw: float = 0.0) -> list[str]:
        """The keys of one call, whose hops are answered so; further ones well."""
        left, used = list(answers), []
        with self.hops(draw) as hops:
            for route in hops:
                if not hops.may_follow(self.grant, route):
                    continue
                used.append(route.key_uid)
                if not hops.failed(route, left.pop(0) if left else answer()):
                    break
        return used

    def rests(self, route: Route) -> bool:
        return self.health.rests(self.grant.principal.tenant_uid, route, self.now) > 0.0


def test_a_call_makes_a_bounded_number_of_hops() -> None:
    play = Play(granted(8, 8))
    assert len(play.call(*[answer("overloaded", 529)] * 20)) == 2 * TRIES
    play = Play(granted(8))
    assert len(play.call(*[answer("overloaded", 529)] * 20)) == TRIES


def test_what_was_rested_is_tried_by_the_first_call_alone() -> None:
    play = Play(granted(2))
    assert play.call(answer("rate_limited", 429, 10.0)) == ["p0", "p1"]
    play.now += 10.0
    with play.hops() as probe:
        assert next(iter(probe)).key_uid == "p0"
        assert play.call() == ["p1"]
    assert play.call() == ["p0"], "leaving without an answer gave the place back"


def test_a_hop_that_was_passed_over_gives_its_place_back_at_once() -> None:
    play = Play(granted(2))
    play.call(answer("rate_limited", 429, 10.0))
    play.now += 10.0
    with play.hops() as first:
        over = iter(first)
        assert next(over).key_uid == "p0"
        assert next(over).key_uid == "p1", "the caller has no leave for it any more and goes on"
        assert play.call() == ["p0"]


@pytest.mark.parametrize("broken", [KeyboardInterrupt, ConnectionResetError, RuntimeError])
def test_whatever_ends_a_call_gives_its_place_back(broken: type[BaseException]) -> None:
    play = Play(granted(2))
    play.call(answer("rate_limited", 429, 10.0))
    play.now += 10.0
    with pytest.raises(broken), play.hops() as hops:
        for _ in hops:
            raise broken
    assert play.call() == ["p0"]


def test_an_error_of_the_callers_own_is_an_answer_and_no_address_is_none() -> None:
    play = Play(granted(1))
    play.call(answer("server_error", 500))
    assert play.rests(play.grant.routes[0])
    unasked = answer(status=None)
    unasked.refusal = Upstream("upstream_address_forbidden", "No.")
    assert play.call(unasked) == ["p0"]
    assert play.rests(play.grant.routes[0]), "nobody was asked, so nothing is known"
    wrong = answer(status=400)
    wrong.refusal = Upstream("upstream_refused", "No.")
    assert play.call(wrong) == ["p0"]
    assert not play.rests(play.grant.routes[0])


def test_an_equal_to_be_asked_beside_a_hop_is_taken_only_when_it_is_asked() -> None:
    play = Play(granted(3, 1))
    with play.hops() as hops:
        first = next(iter(hops))
        equal = hops.equal_of(first)
        assert equal is not None
        assert (first.key_uid, equal.key_uid) == ("p0", "p1")
        assert hops.equal_of(first) is equal, "it was looked at"
        hops.hedge(equal)
        third = hops.equal_of(first)
        assert third is not None
        hops.hedge(third)
        assert hops.equal_of(first) is None, "of a fallback nobody is an equal, and the call has made enough hops"
        assert hops.hedged == 2
        assert not hops.failed(third, answer())
        hops.lost(equal)
        hops.lost(first)


def test_what_rests_is_not_asked_beside_another_and_a_lost_probe_gives_its_place_back() -> None:
    play = Play(granted(2))
    play.call(answer("rate_limited", 429, 10.0), draw=0.9)
    with play.hops() as hops:
        assert hops.equal_of(next(iter(hops))) is None
    play.now += 10.0
    with play.hops() as hops:
        first = next(iter(hops))
        probe = hops.equal_of(first)
        assert probe is not None
        hops.hedge(probe)
        with play.hops() as other:
            assert other.equal_of(next(iter(other))) is None, "one call at a time tries it"
        hops.lost(probe)
        with play.hops() as other:
            assert other.equal_of(next(iter(other))) is not None
        hops.hedge(probe)
        assert not hops.failed(first, answer())
    with play.hops() as other:
        assert other.equal_of(next(iter(other))) is not None, "leaving gave it back"


def test_of_two_that_fail_both_rest() -> None:
    play = Play(granted(3))
    with play.hops() as hops:
        first = next(iter(hops))
        equal = hops.equal_of(first)
        assert equal is not None
        hops.hedge(equal)
        assert hops.failed(equal, answer("overloaded", 529))
        assert hops.failed(first, answer("overloaded", 529))
        assert [route.key_uid for route in hops] == ["p2"]
    assert [play.rests(route) for route in play.grant.routes] == [True, True, False]


_answers = st.lists(st.sampled_from([*sorted(CONDITIONS), "key_unavailable", None]), max_size=8)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(0, 5),
    st.lists(st.tuples(_answers, st.floats(0.0, 1.0, exclude_max=True), st.floats(0.0, 30.0)), max_size=12),
)
def test_no_hop_is_made_twice_or_ungranted_and_none_is_held(
    equals: int, fallbacks: int, calls: list[tuple[list[Condition | None], float, float]]
) -> None:
    play = Play(granted(equals, fallbacks))
    known = {route.key_uid for route in play.grant.routes}
    for conditions, draw, step in calls:
        play.now += step
        used = play.call(*(answer(one, None if one == "connect_failed" else 500) for one in conditions), draw=draw)
        assert used, "a rest refuses nothing"
        assert used[0].startswith("p"), "and opens no fallback"
        assert len(set(used)) == len(used)
        assert set(used) <= known
        assert sum(one.startswith("p") for one in used) <= TRIES
        assert sum(one.startswith("f") for one in used) <= TRIES
        assert used == sorted(used, key=lambda one: one[0] == "f"), "no way back from a fallback"
    play.now += 1000.0
    assert not any(play.rests(route) for route in play.grant.routes)
