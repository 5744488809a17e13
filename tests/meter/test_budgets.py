"""Tokens and money: what is admitted never goes past limit and live reservations, whatever ends how and when."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sekimori.errors import Fault, Refused
from sekimori.meter.budget import DEFAULT_OUTPUT, Budget, History, Reservation
from sekimori.meter.prices import DAY_MS, Rate, rate
from sekimori.meter.refusals import TokensLimited
from sekimori.meter.reservation import Correction
from sekimori.meter.spend import Spend, date, first_of_month, next_month
from sekimori.meter.usage import MOST
from sekimori.meter.window import WINDOW, Minute
from sekimori.terms import Ask, Bound, Grant, Limits, Origin, Principal, Provider, Route, Usage

TENANT, AGENT = "t" * 26, "a" * 26
TODAY = 20_782  # 2026-11-25
START = TODAY * DAY_MS
PRICE = rate(input="1", output="10", source="s", date="d")
"""1,000 nano-USD an input token, 10,000 an output token."""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.wall = START + 3_600_000

    def __call__(self) -> float:
        return self.now

    def ms(self) -> int:
        return self.wall

    def ahead(self, seconds: float) -> None:
        self.now += seconds
        self.wall += round(seconds * 1000)


def route(key: str = "k1", model: str = "m", position: Any = "primary") -> Route:
    provider = Provider("p", "operator", "operator", "compatible", Origin("https", "h", 443), "", frozenset(), ("*",))
    return Route(position, "operator/x", key, "operator", provider, model)


def ask(size: int = 300, cap: int | None = 100, operation: Any = "chat", **members: bytes) -> Ask:
    from msgspec import Raw

    return Ask("openai", operation, "m", False, {n: Raw(v) for n, v in members.items()}, output_cap=cap, size=size)


def grant(limits: Limits, *routes: Route, tags: tuple[str, ...] = ()) -> Grant:
    principal = Principal("acme", TENANT, "x", AGENT, "k", frozenset({"write"}))
    return Grant(principal, 1, "openai", "chat", "m", routes or (route(),), limits, (), tags)


def bounded(**bounds: int) -> Limits:
    return Limits(usage=(Bound(f"tenant:{TENANT}", **bounds),))


def priced(of: Route) -> Rate | None:
    return None if of.model == "unpriced" else PRICE


def budget(clock: Clock, recall: Any = None) -> Budget:
    return Budget(clock, clock.ms, recall)


async def admit(at: Budget, of: Grant, what: Ask | None = None, hop: Route | None = None) -> Reservation:
    """A call that is admitted and at its first hop."""
    await at.ready(of)
    place = at.reserve(of, what or ask(), priced)
    short = place.enter(of, hop or of.routes[0], charged=False)
    if short is not None:
        place.leave()
        raise short
    return place


def identity(ms: int, n: int = 0) -> str:
    text = f"{ms:012x}"
    return f"{text[:8]}-{text[8:]}-7{n:03x}-8000-000000000000"


SCOPE = f"tenant:{TENANT}"


async def test_what_a_call_used_takes_the_place_of_what_it_held() -> None:
    clock = Clock()
    at = budget(clock)
    of = grant(bounded(tokens_per_day=500))
    first = await admit(at, of)  # 100 in, 100 out
    second = await admit(at, of)
    with pytest.raises(Refused) as refused:
        await admit(at, of)
    assert refused.value.reason == "budget_exhausted"
    assert refused.value.retry_after == 1.0, "the calls under way may end for less"
    first.settle("k1", Usage(input=10, output=5), None, identity(clock.wall), sent=True)
    first.leave()
    third = await admit(at, of)
    for one in (second, third):
        one.leave()  # nothing was sent
    assert at.used(SCOPE) == (15, 0, 0)
    assert not list(at.running())


async def test_money_is_held_at_the_dearest_and_charged_as_it_was() -> None:
    clock = Clock()
    at = budget(clock)
    most = 100 * 1000 + 100 * 10_000
    of = grant(bounded(nano_per_month=most))
    place = await admit(at, of)
    with pytest.raises(Refused) as refused:
        await admit(at, of)
    assert refused.value.retry_after == 1.0
    place.settle("k1", Usage(input=50, output=1), 60_000, identity(clock.wall), sent=True)
    place.leave()
    with pytest.raises(Refused) as refused:
        await admit(at, of)
    assert refused.value.reason == "budget_exhausted"
    assert refused.value.retry_after is None
    assert "2026-12-01T00:00:00Z" in refused.value.advice
    assert "moneyPerMonth" in refused.value.advice
    assert at.used(SCOPE) == (51, 60_000, 60_000)
    with at.reserve(of, ask(cap=90), priced):
        pass


async def test_what_a_call_may_use_is_a_figure_that_a_record_can_hold() -> None:
    """Where the bound is another key's, nothing refuses a call that asks for more than there can be; and cut off, it is
    charged with all that was reserved."""
    limits = Limits(keys=(("k2", Limits(usage=(Bound(f"key:{TENANT}/k2", tokens_per_day=250),))),))
    at = budget(Clock())
    of = grant(limits, route("k1"), route("k2"))
    await at.ready(of)
    for cap in (10**9, 10**9 + 1, 4096 * (2**31 - 1) ** 2):
        with at.reserve(of, ask(cap=cap), priced) as place:
            assert place.enter(of, of.routes[0], charged=False) is None
            assert place.most is not None
            assert place.most.output == MOST
            refusal = place.enter(of, of.routes[1], charged=False)
            assert isinstance(refusal, Refused)
            assert refusal.reason == "budget_exhausted"


async def test_while_the_record_is_read_nothing_is_taken_away_by_what_may_stand_in_it() -> None:
    """A caller who leaves while his call is recorded leaves a charge of which nobody knows the entry: the record that
    is read may hold it. Counted twice it is too much used; a correction counted twice would be too little."""
    clock, go = Clock(), asyncio.Event()
    last = identity(clock.wall, 5)

    async def recall(_: str) -> History:
        await go.wait()
        return History({SCOPE: {TODAY: (100, 1000)}}, {}, last)

    for entry, used in (("", (107, 1000)), (identity(clock.wall, 6), (47, 980))):
        go.clear()
        at = budget(clock, recall)
        waiting = asyncio.create_task(at.ready(grant(bounded(tokens_per_day=500))))
        await asyncio.sleep(0)
        at.correct(TENANT, "k1", Correction(-60, -20, AGENT, (), TODAY), entry)
        at.correct(TENANT, "k1", Correction(7, 0, AGENT, (), TODAY), entry)
        go.set()
        await waiting
        counted = at.used(SCOPE)
        assert counted is not None
        assert counted[:2] == used


async def test_a_call_that_can_never_fit_is_told_so() -> None:
    at = budget(Clock())
    for limits in (bounded(tokens_per_minute=199), bounded(tokens_per_day=199), bounded(nano_per_day=1)):
        with pytest.raises(Refused) as refused:
            await admit(at, grant(limits))
        assert refused.value.retry_after is None
        assert "alone" in refused.value.text


async def test_what_has_no_price_is_refused_under_a_bound_on_money_alone() -> None:
    at = budget(Clock())
    cheap = route(model="unpriced")
    with pytest.raises(Refused) as refused:
        await admit(at, grant(bounded(nano_per_day=10**12), cheap))
    assert refused.value.reason == "budget_unpriced"
    assert "`prices` of the Operator document" in refused.value.advice
    with await admit(at, grant(bounded(tokens_per_day=10**6), cheap)):
        pass
    # As a fallback it is left out.
    with await admit(at, grant(bounded(nano_per_day=10**12), route(), cheap)) as place:
        short = place.enter(grant(bounded(nano_per_day=10**12)), cheap, charged=False)
        assert short is not None
        assert short.reason == "budget_unpriced"


async def test_the_minute_of_tokens_opens_when_the_oldest_have_left() -> None:
    clock = Clock()
    at = budget(clock)
    of = grant(bounded(tokens_per_minute=450))
    for _ in range(2):
        with await admit(at, of) as place:
            assert place.tokens is not None
            place.settle("k1", Usage(100, 100), None, identity(clock.wall), sent=True)
        clock.ahead(10)
    assert place.tokens.remaining == 50
    with pytest.raises(TokensLimited) as refused:
        await admit(at, of)
    assert refused.value.tokens.limit == 450
    assert refused.value.tokens.remaining == 50
    wait = refused.value.retry_after
    assert wait is not None
    assert 39 < wait < 41
    clock.ahead(wait)
    (await admit(at, of)).leave()


async def test_without_a_bound_of_the_caller_the_documents_or_the_default_counts() -> None:
    at = budget(Clock())
    wide = grant(bounded(tokens_per_day=10**9))
    for what, output in [
        (ask(cap=None), DEFAULT_OUTPUT),
        (ask(cap=None, n=b"3"), 3 * DEFAULT_OUTPUT),
        (ask(cap=None, n=b"1e9"), DEFAULT_OUTPUT),
        (ask(cap=7, n=b"3"), 7),
        (ask(cap=None, operation="embeddings"), 0),
        (ask(cap=10**9, operation="count_tokens"), 0),
    ]:
        with await admit(at, wide, what) as place:
            assert place.most is not None
            assert place.most.output == output
            assert place.most.input == 100
    capped = grant(Limits(usage=wide.limits.usage, output_cap=50))
    with await admit(at, capped, ask(cap=None)) as place:
        assert place.most is not None
        assert place.most.output == 50


async def test_a_hop_that_follows_a_charged_one_holds_anew_or_does_not_follow() -> None:
    clock = Clock()
    at = budget(clock)
    second = route("k2", position="fallback")
    of = grant(bounded(tokens_per_day=450), route(), second)
    with await admit(at, of) as place:
        assert place.enter(of, second, charged=False) is None
        place.settle("k1", None, None, "", sent=True)
        assert dict(at.running()) == {SCOPE: 1}
    with await admit(at, of) as place:
        assert place.enter(of, second, charged=True) is None
        place.settle("k1", Usage(100, 100), None, identity(clock.wall), sent=True)
        place.settle("k2", Usage(1, 1), None, identity(clock.wall, 1), sent=True)
    assert at.used(SCOPE) == (202, 0, 0)
    with await admit(at, of) as place:
        assert place.enter(of, second, charged=True) is not None
    assert not list(at.running())


async def test_keys_have_bounds_of_their_own() -> None:
    clock = Clock()
    at = budget(clock)
    own = f"key:{TENANT}/k2"
    limits = Limits(keys=(("k2", Limits(requests_per_minute=((own, 1),), usage=(Bound(own, tokens_per_day=250),))),))
    second = route("k2", position="fallback")
    both = grant(limits, route(), second)
    with await admit(at, both) as place:
        assert place.enter(both, second, charged=False) is None
        place.settle("k1", Usage(500, 500), None, identity(clock.wall), sent=True)
        place.settle("k2", Usage(20, 20), None, identity(clock.wall, 1), sent=True)
        place.sent()
    assert at.used(own) == (40, 0, 0)
    with await admit(at, both) as place:
        assert place.enter(both, second, charged=False) is not None, "one request a minute"
    with pytest.raises(Refused) as refused:
        await admit(at, grant(limits, second))
    assert refused.value.reason == "rate_limited"
    clock.ahead(WINDOW + 1)
    with await admit(at, grant(limits, second)) as place:
        pass  # never sent: given back
    with await admit(at, grant(limits, second)), pytest.raises(Refused):
        await admit(at, grant(limits, second))
    assert not list(at.running())


async def test_days_and_months_turn_and_a_clock_that_is_set_back_reopens_nothing() -> None:
    clock = Clock()
    at = budget(clock)
    day, month = grant(bounded(tokens_per_day=250)), grant(bounded(nano_per_month=2_000_000))
    with await admit(at, day) as place:
        place.settle("k1", Usage(100, 50), 1_000_000, identity(clock.wall), sent=True)
    for _ in range(2):
        for of in (day, month):
            with pytest.raises(Refused) as refused:
                await admit(at, of)
            assert refused.value.reason == "budget_exhausted"
        clock.wall -= 40 * DAY_MS  # set back
    clock.wall = START + DAY_MS  # tomorrow
    (await admit(at, day)).leave()
    with pytest.raises(Refused):
        await admit(at, month)
    clock.wall = START + 6 * DAY_MS  # December
    (await admit(at, month)).leave()
    clock.wall = START + 10_000 * DAY_MS  # far ahead, and back
    with await admit(at, day) as place:
        place.settle("k1", Usage(10, 0), 10, identity(clock.wall), sent=True)
    clock.wall = START
    for of in (day, month):
        with pytest.raises(Refused):
            await admit(at, of)


async def test_ten_thousand_calls_at_once_never_go_past_limit_and_live_reservations() -> None:
    """Looked at after every step: charged and held together stay within every bound, a call is refused only where there
    is no room for it, and what is held is what live calls were promised. In the end nothing is held, whoever left when,
    and what the budget counted is what the provider did."""
    tokens, nano = 300_000, 1_300_000_000
    clock, draw = Clock(), random.Random(20_782)
    at = budget(clock)
    of = grant(bounded(tokens_per_day=tokens, nano_per_day=nano))
    await at.ready(of)
    spend = at._spends[SCOPE]
    promised = [0, 0]
    """What live calls were promised: tokens, nano-dollars."""
    told = [0, 0]
    """What the provider counted."""
    ends: Counter[str] = Counter()
    room = nano

    def look() -> None:
        nonlocal room
        used = at.used(SCOPE)
        assert used is not None
        assert [spend.held_tokens, spend.held_nano] == promised
        assert used[0] + spend.held_tokens <= tokens
        assert used[1] + spend.held_nano <= nano
        room = min(room, nano - used[1] - spend.held_nano)

    def promise(place: Reservation, sign: int) -> None:
        assert place.most is not None
        promised[0] += sign * place.most.tokens
        promised[1] += sign * place.most.nano

    def settle(place: Reservation, number: int, share: float) -> None:
        assert place.most is not None
        usage = Usage(int(place.most.input * share), int(place.most.output * share))
        cost = PRICE.of(usage).nano
        told[0] += usage.input + usage.output
        told[1] += cost
        place.sent()
        place.settle("k1", usage, cost, identity(clock.wall, number % 4096), sent=True)

    async def call(number: int) -> None:
        for _ in range(draw.randrange(100)):
            await asyncio.sleep(0)
        what = ask(draw.randrange(3, 1500), draw.randrange(1, 300))
        try:
            place = at.reserve(of, what, priced)
        except Refused as refused:
            assert refused.reason == "budget_exhausted"
            most = at._most(of, what, priced)
            used = at.used(SCOPE)
            assert most is not None
            assert used is not None
            assert used[0] + spend.held_tokens + most.tokens > tokens or used[1] + spend.held_nano + most.nano > nano
            ends["refused"] += 1
            return
        with place:
            assert place.enter(of, of.routes[0], charged=False) is None
            promise(place, 1)
            fate = number % 10
            try:
                look()
                for _ in range(draw.randrange(1, 40)):
                    await asyncio.sleep(0)
                if fate:  # one in ten is never sent
                    settle(place, number, 1.0 if fate == 1 else draw.random() / 4)
                ends["ended" if fate else "not sent"] += 1
            except asyncio.CancelledError:
                if fate % 2:  # it had been sent: nobody knows what it used, so all that was held
                    settle(place, number, 1.0)
                ends["left"] += 1
                raise
            finally:
                promise(place, -1)
                place.leave()
                look()

    tasks = [asyncio.create_task(call(number)) for number in range(10_000)]
    for _ in range(100):
        await asyncio.sleep(0)
        for task in draw.sample(tasks, 20):
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not [task for task in tasks if not task.cancelled() and task.exception() is not None]
    assert not list(at.running())
    assert spend.held_tokens == spend.held_nano == 0
    assert at.used(SCOPE) == (told[0], told[1], told[1])
    # Every way was gone, and the limit was reached: otherwise this proves nothing.
    assert min(ends[one] for one in ("ended", "not sent", "left", "refused")) > 100, ends
    assert room < PRICE.most(500, 300, any_service=False)


async def test_what_was_used_before_is_read_once_and_charges_meanwhile_count_once() -> None:
    clock = Clock()
    gate = asyncio.Event()
    read: list[str] = []
    early, late = identity(clock.wall, 1), identity(clock.wall, 2)

    async def recall(tenant: str) -> History:
        read.append(tenant)
        await gate.wait()
        # The record holds the entry `early` already, of the 30 tokens of which nobody told the budget yet.
        return History({SCOPE: {TODAY: (130, 0), TODAY - 1: (999, 0)}}, {SCOPE: [(10.0, 30)]}, early)

    at = budget(clock, recall)
    of = grant(bounded(tokens_per_day=1000, tokens_per_minute=10**6))
    before = Budget.reserve(at, grant(Limits()))  # a call that was admitted before there was a bound
    waiting = [asyncio.create_task(at.ready(of)) for _ in range(5)]
    waiting[0].cancel()
    while not at.tracks(TENANT):
        await asyncio.sleep(0)
    before.settle("k1", Usage(30, 0), 0, early, sent=True)
    before.settle("k1", Usage(5, 0), 0, late, sent=True)
    gate.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    await at.ready(of)
    assert read == [TENANT]
    assert at.used(SCOPE) == (135, 0, 0)
    before.settle("k1", Usage(30, 0), 0, early, sent=True)
    assert at.used(SCOPE) == (135, 0, 0), "an entry that was read is not counted again"
    with at.reserve(of, ask(), priced) as place:
        assert place.tokens is not None
        assert place.tokens.remaining == 10**6 - 35 - 200


async def test_what_cannot_be_read_admits_nothing_until_it_can() -> None:
    clock = Clock()
    well = False

    async def recall(tenant: str) -> History:
        if not well:
            raise Fault("ledger_unavailable", "The record of this tenant cannot be read whole.")
        return History({}, {})

    at = budget(clock, recall)
    of = grant(bounded(tokens_per_day=1000))
    for _ in range(3):
        with pytest.raises(Fault) as fault:
            await at.ready(of)
        assert fault.value.reason == "budget_unknown"
        assert fault.value.status == 503
        with pytest.raises(Fault):
            at.reserve(of, ask(), priced)
    await at.ready(grant(Limits(requests_per_minute=((SCOPE, 5),))))  # no bound on usage needs none of it
    well = True
    with pytest.raises(Fault):
        await at.ready(of)
    clock.ahead(6)
    (await admit(at, of)).leave()


def test_months_of_the_calendar() -> None:
    assert str(date(first_of_month(TODAY))) == "2026-11-01"
    assert str(date(next_month(TODAY))) == "2026-12-01"
    assert str(date(next_month(next_month(TODAY)))) == "2027-01-01"


def test_a_minute_is_never_shorter() -> None:
    minute = Minute()
    minute.add(0.0, 5)
    minute.expire(59.99)
    assert minute.total == 5
    minute.expire(60.2)
    assert minute.total == 0
    for step in range(100_000):
        minute.add(step / 1000, 1)
    assert len(minute._steps) <= 1001


class Campaign(RuleBasedStateMachine):
    """Calls that begin, end and are cancelled in any order, days that turn, clocks that jump: settled and held
    together never exceed what was admissible, and nothing stays held."""

    TOKENS, NANO, MINUTE = 1000, 4_000_000, 700

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.budget = budget(self.clock)
        self.of = grant(
            bounded(tokens_per_day=self.TOKENS, nano_per_month=self.NANO, tokens_per_minute=self.MINUTE),
            route(),
            route("k2", position="fallback"),
        )
        asyncio.run(self.budget.ready(self.of))
        self.live: list[Reservation] = []
        self.charged: list[tuple[float, int, int, int]] = []
        self.highest = 0
        self.entries = 0

    @rule(size=st.integers(1, 900), cap=st.integers(0, 200))
    def begin(self, size: int, cap: int) -> None:
        try:
            place = self.budget.reserve(self.of, ask(size, cap), priced)
        except Refused:
            return
        assert place.enter(self.of, self.of.routes[0], charged=False) is None
        self.live.append(place)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), share=st.floats(0, 1), known=st.booleans())
    def end(self, data: Any, share: float, known: bool) -> None:
        place = self.live.pop(data.draw(st.integers(0, len(self.live) - 1)))
        self._charge(place, share if known else 1.0)
        place.sent()
        place.leave()
        place.leave()

    @precondition(lambda self: self.live)
    @rule(data=st.data(), charged=st.booleans())
    def yield_(self, data: Any, charged: bool) -> None:
        place = self.live[data.draw(st.integers(0, len(self.live) - 1))]
        if place.enter(self.of, self.of.routes[1], charged=charged) is None:
            if charged:
                self._charge(place, 1.0)
            else:
                place.settle("k1", None, None, "", sent=True)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        self.live.pop(data.draw(st.integers(0, len(self.live) - 1))).leave()

    @rule(seconds=st.sampled_from([0.05, 1.0, 30.0, 61.0, 40_000.0, 86_400.0 * 9]))
    def wait(self, seconds: float) -> None:
        self.clock.ahead(seconds)

    @rule(days=st.integers(-45, 3))
    def jump(self, days: int) -> None:
        self.clock.wall += days * DAY_MS

    def _charge(self, place: Reservation, share: float) -> None:
        assert place.most is not None
        usage = Usage(int(place.most.input * share), int(place.most.output * share))
        nano = PRICE.of(usage).nano
        self.entries += 1
        place.settle("k1", usage, nano, identity(self.clock.wall, self.entries % 4096), sent=True)
        self.charged.append((self.clock.now, self.clock.wall // DAY_MS, usage.input + usage.output, nano))

    @invariant()
    def nothing_goes_past(self) -> None:
        today = self.clock.wall // DAY_MS
        month = first_of_month(today)
        spend: Spend = self.budget._spends[SCOPE]
        of_day = sum(tokens for _, day, tokens, _ in self.charged if day >= today)
        of_month = sum(nano for _, day, _, nano in self.charged if day >= month)
        recent = sum(tokens for at, _, tokens, _ in self.charged if at > self.clock.now - WINDOW)
        assert self.budget.used(SCOPE) is not None
        assert self.budget.used(SCOPE) == (of_day, sum(n for _, d, _, n in self.charged if d >= today), of_month)
        # A hop that is charged in full takes the place of its own hold, so the sum never grows by what ends.
        jumped_back = any(day > today for _, day, _, _ in self.charged)
        if not jumped_back:
            assert of_day + spend.held_tokens <= self.TOKENS
            assert of_month + spend.held_nano <= self.NANO
        assert recent + spend.held_tokens <= self.MINUTE
        assert spend.holds == len(self.live)

    def teardown(self) -> None:
        for place in self.live:
            place.leave()
        assert not list(self.budget.running())
        spend = self.budget._spends[SCOPE]
        assert spend.held_tokens == spend.held_nano == 0


Campaign.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCampaign = Campaign.TestCase


async def test_what_an_estimate_was_wrong_by_counts_where_and_when_the_estimate_did() -> None:
    """A day later, fetched by another agent: today, its minute and the other's figures are as they were."""
    clock = Clock()
    at = budget(clock)
    mine = Limits(usage=(Bound(f"agent:{AGENT}", tokens_per_day=10**6), Bound(SCOPE, nano_per_month=10**15)))
    first = await admit(at, grant(mine))
    first.settle("k1", Usage(900, 100, estimated=True), 50, identity(clock.wall, 1), sent=True)
    first.leave()
    clock.ahead(86_400)
    second = await admit(at, grant(mine))
    assert at.used(f"agent:{AGENT}") == (0, 0, 50)
    second.correct("k1", Correction(-700, -35, AGENT, (), TODAY), identity(clock.wall, 2))
    second.correct("k1", Correction(-700, -35, "b" * 26, (), TODAY), identity(clock.wall, 3))
    second.settle("k1", None, None, identity(clock.wall, 2), sent=True)
    second.leave()
    assert at.used(f"agent:{AGENT}") == (0, 0, 15), "today is as it was, the month is not"
    assert at.used(SCOPE) == (0, 0, 50 - 35 - 35)
    clock.wall -= 86_400_000
    assert at.used(f"agent:{AGENT}") == (300, 15, 15)
    assert not list(at.running())
