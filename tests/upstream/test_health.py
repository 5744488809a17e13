"""What rests, for how long, and who tries it first. The clock is a number."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sekimori.policy.decide import decide
from sekimori.terms import Condition, Route
from sekimori.upstream.health import DEPLOYMENTS_KEPT, Health, Trial
from tests.policy.worlds import ask, principal, right, snapshot

ROUTE = replace(decide(snapshot(right()), principal("acme", "x"), ask("gpt-4o")).routes[0], rests=(5, 60))
ACME, GLOBEX = "acme-uid", "globex-uid"


def fail(
    health: Health,
    now: float,
    *,
    route: Route = ROUTE,
    tenant: str = ACME,
    condition: Condition = "rate_limited",
    retry_after: float | None = None,
) -> float:
    """One call that fails; until when the deployment rests then."""
    health.failed(health.begin(tenant, route, now), condition, now, retry_after)
    return health.rests(tenant, route, now)


def test_a_failure_makes_it_rest_and_each_further_one_doubles_that_up_to_the_longest() -> None:
    health, now = Health(), 1000.0
    lengths = []
    for _ in range(7):
        until = fail(health, now)
        lengths.append(until - now)
        assert health.rests(ACME, ROUTE, until - 0.01) == until
        assert health.rests(ACME, ROUTE, until) == 0.0
        now = until
    assert lengths == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0]
    assert health.begun == 7


def test_what_the_provider_asks_for_is_kept_within_bounds() -> None:
    for asked, kept in ((7.0, 7.0), (0.0, 1.0), (59.0, 59.0), (3600.0, 60.0), (1e12, 60.0)):
        assert fail(Health(), 100.0, retry_after=asked) == 100.0 + kept


def test_only_what_is_no_fault_of_the_caller_makes_it_rest() -> None:
    for condition in ("rate_limited", "overloaded", "server_error", "connect_failed", "timed_out"):
        assert fail(Health(), 1.0, condition=condition) > 0.0  # type: ignore[arg-type]
    health = Health()
    assert fail(health, 1.0, condition="key_unavailable") == 0.0
    health.failed(health.begin(ACME, ROUTE, 1.0), None, 1.0)
    assert health.rests(ACME, ROUTE, 1.0) == 0.0
    assert health.begun == 0


def test_an_answer_ends_it_and_the_count_begins_anew() -> None:
    health = Health()
    until = fail(health, 1.0)
    health.answered(health.begin(ACME, ROUTE, until))
    assert health.rests(ACME, ROUTE, until) == 0.0
    assert fail(health, until + 1.0) == until + 6.0
    assert health.resting(until + 2.0) == 1
    # So does one that comes while it rests: it was asked because all rested, and is well.
    health.answered(health.begin(ACME, ROUTE, until + 2.0))
    assert health.resting(until + 2.0) == 0
    assert not health._tenants, "nothing is kept of what is well"


def test_calls_from_before_it_rested_neither_double_the_rest_nor_end_it() -> None:
    health = Health()
    under_way = [health.begin(ACME, ROUTE, 1.0) for _ in range(50)]
    slow = health.begin(ACME, ROUTE, 1.0)
    for trial in under_way:
        health.failed(trial, "rate_limited", 2.0)
    assert health.rests(ACME, ROUTE, 2.0) == 7.0
    assert health.begun == 1
    health.answered(slow)
    assert health.rests(ACME, ROUTE, 2.0) == 7.0
    # But a longer wait that one of them was told is kept.
    health.failed(Trial(ACME, ROUTE, 1.0), "rate_limited", 3.0, 30.0)
    assert health.rests(ACME, ROUTE, 3.0) == 33.0


def test_a_failure_long_after_the_last_begins_anew() -> None:
    health = Health()
    for now in (1.0, 6.0, 16.0):
        until = fail(health, now)
    assert until == 36.0
    assert fail(health, 36.0 + 61.0) == 97.0 + 5.0


def test_one_call_at_a_time_tries_it_after_its_rest() -> None:
    health = Health()
    until = fail(health, 1.0)
    probe = health.begin(ACME, ROUTE, until)
    assert health.rests(ACME, ROUTE, until) > 0.0, "for everyone else it still rests"
    other = health.begin(ACME, ROUTE, until)
    assert other.probes is None
    health.left(other)
    assert health.rests(ACME, ROUTE, until) > 0.0, "who does not probe gives no place back"
    health.left(probe)
    health.left(probe)
    assert health.rests(ACME, ROUTE, until) == 0.0, "a cancelled probe gives its place back"
    probe = health.begin(ACME, ROUTE, until)
    health.failed(probe, "overloaded", until)
    assert health.rests(ACME, ROUTE, until) == until + 10.0
    probe = health.begin(ACME, ROUTE, until + 10.0)
    health.failed(probe, "key_unavailable", until + 10.0)
    assert health.rests(ACME, ROUTE, until + 10.0) == 0.0, "a probe that shows nothing gives its place back, too"


def test_tenants_keys_providers_and_models_rest_apart() -> None:
    health = Health()
    fail(health, 1.0)
    other = replace(ROUTE.provider, name="other")
    for route in (
        replace(ROUTE, key_uid="u"),
        replace(ROUTE, model="m"),
        replace(ROUTE, provider=other),
        replace(ROUTE, provider=replace(ROUTE.provider, owner_uid="t")),
    ):
        assert health.rests(ACME, route, 1.0) == 0.0
    assert health.rests(GLOBEX, ROUTE, 1.0) == 0.0, "one tenant's failures move nobody else"
    assert health.rests(ACME, replace(ROUTE, position="fallback", weight=9), 1.0) > 0.0, "the same deployment"
    [shown] = health.shown(ACME, [ROUTE], 2.0)
    assert (shown.key, shown.because, shown.failures, shown.seconds) == (ROUTE.key, "rate_limited", 1, 4.0)
    assert health.shown(GLOBEX, [ROUTE], 2.0) == []


def test_memory_is_bounded_for_each_tenant_by_itself() -> None:
    health = Health()
    fail(health, 1.0, tenant=GLOBEX)
    for number in range(3 * DEPLOYMENTS_KEPT):
        fail(health, 1.0, route=replace(ROUTE, model=f"m-{number}"))
    assert health.resting(2.0) == DEPLOYMENTS_KEPT + 1
    assert health.rests(GLOBEX, ROUTE, 2.0) > 0.0


_events = st.lists(
    st.tuples(
        st.sampled_from(["begin", "fail", "answer", "leave"]),
        st.sampled_from([ACME, GLOBEX]),
        st.integers(0, 2),
        st.floats(0.0, 40.0),
        st.sampled_from([None, 0.0, 12.0, 1e9]),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(_events)
def test_whatever_happens_rests_are_bounded_and_no_place_is_lost(events: list[tuple]) -> None:  # type: ignore[type-arg]
    health, now = Health(), 1.0
    open_: list[Trial] = []
    for what, tenant, number, step, asked in events:
        now += step
        if what == "begin":
            open_.append(health.begin(tenant, replace(ROUTE, model=f"m-{number}"), now))
        elif open_:
            trial = open_.pop(number % len(open_))
            if what == "fail":
                health.failed(trial, "server_error", now, asked)
            elif what == "answer":
                health.answered(trial)
            else:
                health.left(trial)
        for who in (ACME, GLOBEX):
            for model in range(3):
                assert health.rests(who, replace(ROUTE, model=f"m-{model}"), now) <= now + 60.0
        probing = [trial for trial in open_ if trial.probes is not None]
        assert len({(trial.tenant, trial.route.model, id(trial.probes)) for trial in probing}) == len(probing)
    for trial in open_:
        health.left(trial)
    for who in (ACME, GLOBEX):
        for model in range(3):
            assert health.rests(who, replace(ROUTE, model=f"m-{model}"), now + 61.0) == 0.0
