"""Admission: requests in any minute and calls at once, exact; tokens and money, never past limit and live reservations.

`reserve` admits a call against every bound of its grant at once, or against none. What is admitted is a
`Reservation`; leaving it gives back the place among the concurrent calls, and, where nothing was ever sent to a
provider, the place in the minute too. Time is a monotonic clock, so a step of the wall clock neither opens nor
closes a minute; days and months are UTC and of the wall clock.

Exactness of requests: a window holds the instant of each admission of the last 60 s and admits only while fewer than
the bound lie in it, so no interval of 60 s, wherever it starts, ever holds more than the bound.

Tokens and money: a reservation holds the most that a hop may use (`Most`). When the hop is settled, what it used takes
the hold's place; where nobody knows what it used, all of the hold. A hop that follows one that was charged holds anew
or does not follow. What ended before this process began is read from the record (`History`), and where that cannot
be done nothing of that tenant is admitted against such a bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from msgspec import Struct

from sekimori.errors import Fault, Refusal, Refused
from sekimori.meter import refusals
from sekimori.meter.prices import DAY_MS
from sekimori.meter.refusals import Figures, RateLimited
from sekimori.meter.reservation import Correction, Hold, Hop, Most, Places, Price, Reservation
from sekimori.meter.spend import Spend
from sekimori.meter.usage import MOST, input_of
from sekimori.meter.window import WINDOW, Requests
from sekimori.terms import Ask, Bound, Grant, Limits, Route

SWEEP: Final = 4096
"""Scopes after which idle ones are forgotten, so that deleted agents do not stay in memory."""
DEFAULT_OUTPUT: Final = 16_384
"""Output tokens that are held for a call whose bound nobody names: neither the caller nor a Limit."""
NO_OUTPUT: Final = frozenset(
    {
        "embeddings",
        "count_tokens",
        "moderations",
        "rerank",
        "response_retrieve",
        "response_delete",
        "response_cancel",
        "response_items",
    }
)
"""Operations whose replies hold no generated tokens."""
MOST_ANSWERS: Final = 128
"""Answers to one call; what asks for more is refused by providers."""
RETRY_S: Final = 5.0
"""Seconds after a failed reading of the record before it is tried again."""

__all__ = ["WINDOW", "Budget", "Figures", "History", "RateLimited", "Reservation"]

Recall = Callable[[str], Awaitable["History"]]


class History(Struct, frozen=True):
    """What a tenant's record says was used."""

    days: Mapping[str, Mapping[int, tuple[int, int]]]
    """Scope -> UTC day -> (tokens, nano-USD)."""
    minute: Mapping[str, list[tuple[float, int]]]
    """Scope -> (age in seconds, tokens) of the last minute."""
    last: str = ""
    """Id of the last entry of this process's own run that was read. Charges of entries up to it are in the above."""


class Budget:
    """Every bound of this process. One instance a home: whoever admits calls elsewhere admits them unseen."""

    def __init__(
        self,
        clock: Callable[[], float],
        now_ms: Callable[[], int] = lambda: 0,
        recall: Recall | None = None,
    ) -> None:
        """`clock` is monotonic, `now_ms` the wall clock; `recall` reads what a tenant's record says was used."""
        self._clock = clock
        self._now_ms = now_ms
        self._recall = recall
        self._scopes: dict[str, Requests] = {}
        self._spends: dict[str, Spend] = {}
        """What is known of scopes. Absent: unknown, and to be read from the record."""
        self._tracked: dict[str, _Tracked] = {}
        """By tenant."""

    # What the walk asks.

    async def ready(self, grant: Grant) -> None:
        """Wait until it is known what the bounds on tokens and money of the grant have used already.

        Only the first call of a tenant waits for more than a look. Raises Fault `budget_unknown`.
        """
        if not (grant.limits.usage or grant.limits.keys):
            return
        tenant = grant.principal.tenant_uid
        for _ in range(3):  # again where a policy came meanwhile, or an idle scope was forgotten
            unknown = [scope for scope in _spent(grant) if scope not in self._spends]
            if not unknown:
                return
            await self._learn(tenant, unknown)
        raise refusals.unknown(None)

    def reserve(self, grant: Grant, ask: Ask | None = None, price: Price | None = None) -> Reservation:
        """Admit one call of a grant whose bounds are `ready`. `ask` and `price` may be None where none is on usage.

        Raises Refused `rate_limited`, `concurrency_limited`, `tokens_limited` or `budget_exhausted` with `retry_after`
        where waiting helps, `budget_unpriced`; Fault `budget_unknown`. Nothing is taken then.
        """
        limits = grant.limits
        now = self._clock()
        minute, tightest = self._room(limits.requests_per_minute, now)
        running = self._running(limits.concurrency, now)
        base, most, tokens = None, None, None
        if limits.usage or limits.keys:
            most = self._most(grant, ask, price)
            if most is not None:
                self._require(limits.usage, most, now)
                tokens = self._tokens(limits.usage, most, now)
                base = self._hold(limits.usage, most)
        figures = None if tightest is None else Figures(tightest[0], tightest[0] - tightest[1] - 1, tightest[2])
        return Reservation(self, grant, Places(now, minute, running), base, most, price, figures, tokens)

    # What a reservation asks.

    def enter(self, reservation: Reservation, leave: Grant, route: Route, *, charged: bool) -> Refusal | None:
        """See `Reservation.enter`."""
        most, hops, now = reservation.most, reservation.hops, self._clock()
        of_key = limits_of_key(leave.limits, route)
        if not reservation.bounded:
            # Where a bound came after the call was admitted, nobody worked out what it may use.
            return None if of_key is None else refusals.unknown(None)
        bounds = reservation.grant.limits.usage if charged else ()
        key_bounds = () if of_key is None else of_key.usage
        minute: list[Requests] = []
        running: list[Requests] = []
        try:
            if of_key is not None:
                minute, _ = self._room(of_key.requests_per_minute, now)
                running = self._running(of_key.concurrency, now)
            if most is None:
                if key_bounds:
                    return refusals.unknown(None)
            else:
                if most.priced:
                    self._afford(reservation, most, route)
                self._require((*bounds, *key_bounds), most, now)
        except (Refused, Fault) as refusal:
            return refusal
        base = key = None
        if most is not None:
            if charged:
                base = self._hold(bounds, most)
            elif hops:
                base, hops[-1].base = hops[-1].base, None  # it goes on to this hop
            else:
                base, reservation.base = reservation.base, None
            key = self._hold(key_bounds, most)
        hops.append(Hop(base, key, None if of_key is None else Places(now, minute, running)))
        return None

    def _afford(self, reservation: Reservation, most: Most, route: Route) -> None:
        """Raises Refused `budget_unpriced`, Fault where the route costs more than was reserved (its price changed)."""
        rate = None if reservation.price is None else reservation.price(route)
        if rate is None:
            raise refusals.unpriced(route.provider.catalog, route.model)
        if rate.most(most.input, most.output, any_service=most.any_service) > most.nano:
            raise refusals.unknown(None)

    def tracks(self, tenant_uid: str) -> bool:
        """Whether any scope of the tenant is known or being read."""
        return tenant_uid in self._tracked

    def charge(self, grant: Grant, key_uid: str, tokens: int, nano: int, entry: str) -> None:
        """Count what a hop used in every scope of it that is known, whether or not the grant was bounded there."""
        principal = grant.principal
        scopes = _used(principal.tenant_uid, principal.agent_uid, key_uid, grant.tags)
        day = _day(entry, self._now_ms())
        self._charge(principal.tenant_uid, _Charge(scopes, tokens, nano, entry, self._clock(), day))

    def correct(self, tenant_uid: str, key_uid: str, by: Correction, entry: str) -> None:
        """Count what an estimate was wrong by where the estimate counts: in every scope of it that is known, on its
        day, and in no minute, for that is over."""
        scopes = _used(tenant_uid, by.agent, key_uid, by.tags)
        self._charge(tenant_uid, _Charge(scopes, by.tokens, by.nano, entry, None, by.day))

    def _charge(self, tenant: str, charge: _Charge) -> None:
        tracked = self._tracked[tenant]
        if tracked.reading is not None:
            tracked.meanwhile.append(charge)
        for scope in charge.scopes:
            spend = self._spends.get(scope)
            if spend is not None and not (charge.entry and charge.entry <= tracked.read.get(scope, "")):
                charge.to(spend)

    # What was used before.

    async def _learn(self, tenant: str, unknown: list[str]) -> None:
        tracked = self._tracked.setdefault(tenant, _Tracked())
        if tracked.reading is None:
            if tracked.fault is not None and self._clock() < tracked.failed_at + RETRY_S:
                raise refusals.unknown(tracked.fault)
            tracked.wanted, tracked.meanwhile = set(), []
            tracked.reading = asyncio.ensure_future(self._read(tenant, tracked))
        tracked.wanted.update(unknown)
        # Shielded: that one caller leaves must not keep the others waiting.
        await asyncio.shield(tracked.reading)
        if tracked.fault is not None:
            raise refusals.unknown(tracked.fault)

    async def _read(self, tenant: str, tracked: _Tracked) -> None:
        """Read the record and make known what is wanted by then, without a pause: no charge may fall in between."""
        try:
            history = History({}, {}) if self._recall is None else await self._recall(tenant)
        except Exception as error:  # noqa: BLE001  whatever it is, nothing is admitted until it is mended
            tracked.fault, tracked.failed_at = error, self._clock()
        else:
            tracked.fault = None
            for scope in tracked.wanted:
                self._fill(tracked, history, scope)
        finally:
            tracked.reading, tracked.meanwhile = None, []

    def _fill(self, tracked: _Tracked, history: History, scope: str) -> None:
        """Make a scope known from what was read just now, and from what was charged while it was read."""
        if scope in self._spends:
            return
        now = self._clock()
        if len(self._spends) >= SWEEP:
            self._forget_idle(now)
        spend = self._spends[scope] = Spend()
        spend.recall(
            history.days.get(scope, {}), [(now - age, tokens) for age, tokens in history.minute.get(scope, [])]
        )
        tracked.read[scope] = history.last
        for charge in tracked.meanwhile:
            if scope in charge.scopes and not (charge.entry and charge.entry <= history.last):
                if not charge.entry:
                    # Nobody knows whether the record held it already: rather too much than too little was used.
                    charge = charge._replace(tokens=max(0, charge.tokens), nano=max(0, charge.nano))
                charge.to(spend)

    def recall(self, scope: str, age: float) -> None:
        """Count an admission of `age` seconds ago that a former run made; call in any order, before serving."""
        if 0 <= age < WINDOW:
            self._scope(scope, self._clock()).recall(self._clock() - age)

    # Looking.

    def running(self) -> Iterator[tuple[str, int]]:
        """Scopes with calls under way or something held; empty when every reservation has been left."""
        yield from ((name, scope.running) for name, scope in self._scopes.items() if scope.running)
        yield from ((name, spend.holds) for name, spend in self._spends.items() if spend.holds)

    def used(self, scope: str) -> tuple[int, int, int] | None:
        """(tokens of the day, nano-USD of the day, of the month) of a scope; None where it is not known."""
        spend = self._spends.get(scope)
        return None if spend is None else spend.used(self._now_ms() // DAY_MS)

    # Pieces.

    def _room(
        self, bounds: Iterable[tuple[str, int]], now: float
    ) -> tuple[list[Requests], tuple[int, int, float] | None]:
        minute: list[Requests] = []
        tightest: tuple[int, int, float] | None = None
        for name, bound in bounds:
            scope = self._scope(name, now)
            scope.expire(now)
            taken = len(scope.admitted)
            reset = scope.admitted[0] + WINDOW - now if taken else WINDOW
            if taken >= bound:
                # The place frees when enough of the oldest have left; bounds may have been lowered meanwhile.
                # A millisecond on top: a caller that waits exactly this long must not meet a rounding error.
                wait = scope.admitted[taken - bound] + WINDOW - now + 0.001
                raise RateLimited(name, bound, wait, Figures(bound, 0, wait))
            minute.append(scope)
            tightest = _tighter(tightest, (bound, taken, reset))
        return minute, tightest

    def _running(self, bounds: Iterable[tuple[str, int]], now: float) -> list[Requests]:
        running: list[Requests] = []
        for name, bound in bounds:
            scope = self._scope(name, now)
            if scope.running >= bound:
                raise refusals.concurrent(name, bound)
            running.append(scope)
        return running

    def _most(self, grant: Grant, ask: Ask | None, price: Price | None) -> Most | None:
        """The most that the call may use; None where nothing bounds usage. Raises Refused `budget_unpriced`."""
        limits = grant.limits
        keys = [of_key for route in grant.routes if (of_key := limits_of_key(limits, route)) is not None]
        bounds = [*limits.usage, *(bound for of_key in keys for bound in of_key.usage)]
        if not bounds:
            return None
        assert ask is not None
        input_, output, nano = input_of(ask.size), 0, 0
        any_service = "priority_tier" in ask.needs
        if ask.operation not in NO_OUTPUT:
            if ask.output_cap is not None:
                output = ask.output_cap
            else:
                output = (limits.output_cap or DEFAULT_OUTPUT) * answers(ask)
            # No bound has room for so much. Where none holds here, it must still be a figure that rows can sum.
            output = min(MOST, output)
        money = _priced(bounds)
        if money:
            assert price is not None
            rates = [rate for route in grant.routes if (rate := price(route)) is not None]
            if not rates:
                raise refusals.unpriced(grant.routes[0].provider.catalog, grant.routes[0].model)
            # A route without a price is left out when its turn comes.
            nano = max(rate.most(input_, output, any_service=any_service) for rate in rates)
        return Most(input_, output, nano, money, any_service)

    def _require(self, bounds: Iterable[Bound], most: Most, now: float) -> None:
        """Raises Refused where a bound has no room, Fault where it is not known what it has used."""
        today = self._now_ms() // DAY_MS
        for bound in bounds:
            spend = self._spends.get(bound.scope)
            if spend is None:
                raise refusals.unknown(None)
            short = spend.short(bound, most.tokens, most.nano, now, today)
            if short is not None:
                raise refusals.exhausted(short, spend, now)

    def _hold(self, bounds: Iterable[Bound], most: Most) -> Hold | None:
        spends = [self._spends[bound.scope] for bound in bounds]
        return Hold(spends, most) if spends else None

    def _tokens(self, bounds: Iterable[Bound], most: Most, now: float) -> Figures | None:
        """The tightest bound on tokens in a minute, once these are held."""
        tightest: Figures | None = None
        for bound in bounds:
            if bound.tokens_per_minute is not None:
                left, reset = self._spends[bound.scope].left(bound.tokens_per_minute, now)
                left = max(0, left - most.tokens)
                if tightest is None or left < tightest.remaining:
                    tightest = Figures(bound.tokens_per_minute, left, reset)
        return tightest

    def _scope(self, name: str, now: float) -> Requests:
        scope = self._scopes.get(name)
        if scope is None:
            if len(self._scopes) >= SWEEP:
                self._forget_idle(now)
            scope = self._scopes[name] = Requests()
        return scope

    def _forget_idle(self, now: float) -> None:
        for name, scope in list(self._scopes.items()):
            scope.expire(now)
            if not scope.admitted and not scope.running:
                del self._scopes[name]
        today = self._now_ms() // DAY_MS
        for name, spend in list(self._spends.items()):
            if spend.idle(now, today):
                del self._spends[name]  # read from the record again should it be asked for


class _Tracked:
    """What is known of a tenant's scopes."""

    __slots__ = ("failed_at", "fault", "meanwhile", "read", "reading", "wanted")

    def __init__(self) -> None:
        self.reading: asyncio.Future[None] | None = None
        self.fault: Exception | None = None
        self.failed_at = 0.0
        self.wanted: set[str] = set()
        self.read: dict[str, str] = {}
        """Scope -> id of the last entry that its figures began with."""
        self.meanwhile: list[_Charge] = []
        """Charges that came while the record was read."""


class _Charge(NamedTuple):
    """What is counted in some scopes."""

    scopes: list[str]
    tokens: int
    nano: int
    entry: str
    at: float | None
    """When it was used, for the minute; None where it corrects what was used before."""
    day: int

    def to(self, spend: Spend) -> None:
        if self.at is None:
            spend.correct(self.tokens, self.nano, self.day)
        else:
            spend.charge(self.tokens, self.nano, self.at, self.day)


def answers(ask: Ask) -> int:
    """How many answers the call asks for (OpenAI's `n`): each may be as long as a bound allows."""
    if ask.answers:
        return ask.answers
    raw = ask.members.get("n")
    told = bytes(raw) if raw is not None else b""
    return min(max(1, int(told)), MOST_ANSWERS) if len(told) <= 9 and told.isdigit() else 1


def limits_of_key(limits: Limits, route: Route | None) -> Limits | None:
    """What bounds the use of a route's key."""
    if route is not None:
        for key_uid, bounds in limits.keys:
            if key_uid == route.key_uid:
                return bounds
    return None


def _used(tenant: str, agent: str, key_uid: str, tags: Iterable[str]) -> list[str]:
    """The scopes that a use counts in."""
    scopes = [f"agent:{agent}", f"tenant:{tenant}", f"key:{tenant}/{key_uid}"]
    return scopes + [f"tag:{tenant}/{tag}" for tag in tags]


def _spent(grant: Grant) -> Iterator[str]:
    """Scopes of the grant with bounds on tokens or money."""
    for bound in grant.limits.usage:
        yield bound.scope
    for _, limits in grant.limits.keys:
        for bound in limits.usage:
            yield bound.scope


def _priced(bounds: Iterable[Bound]) -> bool:
    return any(bound.nano_per_day is not None or bound.nano_per_month is not None for bound in bounds)


def _tighter(one: tuple[int, int, float] | None, other: tuple[int, int, float] | None) -> tuple[int, int, float] | None:
    if one is None or other is None:
        return other if one is None else one
    return other if other[0] - other[1] < one[0] - one[1] else one


def _day(entry: str, now_ms: int) -> int:
    """The UTC day of an entry, which its id (UUIDv7) tells; that of now where there is none."""
    return (int(entry[:8] + entry[9:13], 16) if entry else now_ms) // DAY_MS
