"""What one admitted call holds of its bounds, until it is left."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from sekimori.errors import Refusal
from sekimori.meter.prices import Rate
from sekimori.meter.refusals import Figures
from sekimori.meter.spend import Spend
from sekimori.meter.window import Requests
from sekimori.terms import Grant, Route, Usage


class Price(Protocol):
    """The price of a route's model now; None where it has none."""

    def __call__(self, route: Route, /) -> Rate | None: ...


class Most(Struct, frozen=True, gc=False):
    """What a call may use at most."""

    input: int
    output: int
    nano: int = 0
    """At the dearest of its routes; 0 where no bound on money applies."""
    priced: bool = False
    """A bound on money applies."""
    any_service: bool = False
    """It may be served by another service tier than the usual one."""

    @property
    def tokens(self) -> int:
        return self.input + self.output


class Hold:
    """What one hop was promised in each scope, until it is settled or let go."""

    __slots__ = ("most", "spends")

    def __init__(self, spends: list[Spend], most: Most) -> None:
        self.spends = spends
        self.most = most
        for spend in spends:
            spend.hold(most.tokens, most.nano)

    def release(self) -> None:
        for spend in self.spends:
            spend.release(self.most.tokens, self.most.nano)
        self.spends = []


class Places:
    """Places among requests and concurrent calls."""

    __slots__ = ("at", "minute", "running")

    def __init__(self, at: float, minute: list[Requests], running: list[Requests]) -> None:
        self.at = at
        self.minute = minute
        self.running = running
        for scope in minute:
            scope.admitted.append(at)
        for scope in running:
            scope.running += 1

    def end(self) -> None:
        for scope in self.running:
            scope.running -= 1
        self.running = []

    def give_back(self) -> None:
        """Nothing was sent: it did not count. Already expired is as good as given back."""
        for scope in self.minute:
            if self.at in scope.admitted:
                scope.admitted.remove(self.at)
        self.minute = []


class Hop:
    """What one hop holds: of the call's own scopes, and of its key's."""

    __slots__ = ("base", "key", "places")

    def __init__(self, base: Hold | None, key: Hold | None, places: Places | None) -> None:
        self.base = base
        self.key = key
        self.places = places

    def end(self, sent: bool) -> None:
        for hold in (self.base, self.key):
            if hold is not None:
                hold.release()
        if self.places is not None:
            self.places.end()
            if not sent:
                self.places.give_back()


class Correction(Struct, frozen=True, gc=False):
    """What an estimate that was charged before was wrong by."""

    tokens: int
    """To be added; less than nothing where the estimate was too much."""
    nano: int
    agent: str
    """Uid of the agent that it was charged to."""
    tags: tuple[str, ...]
    day: int
    """On which it was charged, since 1970."""


class Bounds(Protocol):
    """What a reservation asks of the budget that made it."""

    def enter(self, reservation: Reservation, leave: Grant, route: Route, *, charged: bool) -> Refusal | None:
        """See `Reservation.enter`."""
        ...

    def tracks(self, tenant_uid: str) -> bool:
        """Whether any scope of the tenant is known or being read."""
        ...

    def charge(self, grant: Grant, key_uid: str, tokens: int, nano: int, entry: str) -> None:
        """Count what a hop used."""
        ...

    def correct(self, tenant_uid: str, key_uid: str, by: Correction, entry: str) -> None:
        """Count what an estimate was wrong by."""
        ...


class Reservation:
    """A place in every bound of one grant, until left. `sent()` says that a provider was reached."""

    __slots__ = (
        "_budget",
        "_places",
        "_sent",
        "base",
        "bounded",
        "figures",
        "grant",
        "hops",
        "most",
        "price",
        "tokens",
    )

    def __init__(
        self,
        budget: Bounds,
        grant: Grant,
        places: Places,
        base: Hold | None,
        most: Most | None,
        price: Price | None,
        figures: Figures | None,
        tokens: Figures | None,
    ) -> None:
        self._budget = budget
        self._places = places
        self._sent = False
        self.grant = grant
        self.bounded = bool(grant.limits.usage or grant.limits.keys)
        """Whether hops hold anything of their own."""
        self.base = base
        """What the call holds of its own scopes, until its first hop takes it over."""
        self.hops: list[Hop] = []
        """Those that are not settled yet, in order."""
        self.price = price
        self.most = most
        """What a hop may use at most; None where no bound on tokens or money applies."""
        self.figures = figures
        """The tightest bound on requests."""
        self.tokens = tokens
        """The tightest bound on tokens in a minute."""

    def sent(self) -> None:
        """The call reached a provider: its place in the minute stays taken."""
        self._sent = True

    def enter(self, leave: Grant, route: Route, *, charged: bool) -> Refusal | None:
        """Take a hop's places, in the bounds of its key too; why it has none, where it has none.

        `charged`: the hop before used something. That one may not be settled yet: what it holds is held until then.
        """
        return self._budget.enter(self, leave, route, charged=charged)

    def settle(self, key_uid: str, usage: Usage | None, nano: int | None, entry: str, *, sent: bool) -> None:
        """The oldest hop that is not settled has ended, and its record is written: what it used takes its hold's place.

        `usage` None: it used nothing. `entry` is the id of its `KeyUsed`, empty where nobody knows it. `sent`: a
        provider was reached.
        """
        if usage is not None and self._budget.tracks(self.grant.principal.tenant_uid):
            self._budget.charge(self.grant, key_uid, usage.input + usage.output, nano or 0, entry)
        if self.hops:
            self.hops.pop(0).end(sent)

    def correct(self, key_uid: str, by: Correction, entry: str) -> None:
        """A hop of this call told the end of what was estimated before. `entry` is the id of its `KeyUsed`."""
        if self._budget.tracks(self.grant.principal.tenant_uid):
            self._budget.correct(self.grant.principal.tenant_uid, key_uid, by, entry)

    def leave(self) -> None:
        """Give back what is to be given back. Leaving again does nothing."""
        if self.base is not None:
            self.base.release()
            self.base = None
        for hop in self.hops:
            hop.end(self._sent)
        self.hops = []
        self._places.end()
        if not self._sent:
            self._places.give_back()
        self._places.minute = []

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
