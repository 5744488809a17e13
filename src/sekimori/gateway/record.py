"""What one call leaves behind: a `Refused` entry, or a `Decided`/`Settled` pair for each hop.

The exit of `Recording` is the one place where a call ends. It settles first and releases the last bytes after:

    answered           -> Settled and KeyUsed durable -> the whole reply, or the stream's final event
    refused, no hop    -> Refused durable             -> the dialect's error
    failed in a hop    -> Settled durable             -> the dialect's error, or its error event in mid-stream
    the caller left    -> Settled durable             -> nothing
    not recordable     -> 503, or the connection is cut where something was released already
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

from msgspec import Struct

from sekimori.errors import Fault, Refusal, Refused
from sekimori.gateway import kept as keeping
from sekimori.gateway.doors import Door, figures_headers, refuse
from sekimori.gateway.leg import Leg
from sekimori.gateway.refusals import Asked, Refusals
from sekimori.http.server import Reply
from sekimori.ledger import entry as entries
from sekimori.ledger.ledger import Draft, Ledger
from sekimori.meter.budget import Reservation
from sekimori.meter.prices import Cost, Rate
from sekimori.policy.problems import unkeyed
from sekimori.policy.snapshot import Snapshot
from sekimori.telemetry import Log, Metrics
from sekimori.terms import OPERATOR, Ask, Grant, Headers, Principal, Route, Usage, Verdict
from sekimori.upstream.call import Answer
from sekimori.upstream.objects import Made, Objects

PROGRESS_S: Final = 10.0
"""Seconds of streaming after which the record says so, and again after as many."""


class Clock(Struct, frozen=True):
    """Wall time for records, monotonic time for durations: a step of the former must not bend the latter."""

    now_ms: Callable[[], int]
    monotonic: Callable[[], float]


class Books(Struct, frozen=True):
    """Where a call is written down."""

    ledger: Ledger
    refusals: Refusals
    snapshot: Callable[[], Snapshot]
    metrics: Metrics
    log: Log
    clock: Clock
    objects: Objects

    def price(self, route: Route) -> Rate | None:
        """The price of a route's model now; None where it has none."""
        return self.snapshot().price(route, self.clock.now_ms())

    def cost(self, usage: Usage, route: Route) -> Cost | None:
        """What a hop cost by today's prices; None where its model has none."""
        return self.snapshot().cost(usage, route, self.clock.now_ms())


class Recording:
    """The record of one call, from the moment its agent is known. Use as `async with`; see the module's docstring."""

    def __init__(self, books: Books, door: Door, principal: Principal, reply: Reply) -> None:
        self._books = books
        self._door = door
        self._principal = principal
        self._reply = reply
        self._meter = books.metrics.agent(principal.agent_uid)
        self.call = books.ledger.new_id()
        self._ask: Ask | None = None
        self._reservation: Reservation | None = None
        self._short: Refusal | None = None
        """Why a hop had no room in its bounds."""
        self._input: Verdict | None = None
        self._hops = 0
        self._legs: list[Leg] = []
        """Those under way, in order: none has yielded to another."""
        self._open = False
        """Whether their pairs are."""
        self._leg: Leg | None = None
        """The one whose answer is the call's, as far as is known."""
        self._entry = ""
        """What the reply names as its record."""
        self._next_progress = 0.0
        self._made: Made | None = None
        """How the object was made that the call is about, where it is about one."""

    # What the steps of the walk tell.

    def asked(self, ask: Ask) -> Ask:
        self._ask = ask
        return ask

    def concerns(self, made: Made) -> None:
        """How the object was made that the call is about."""
        self._made = made

    def reserved(self, reservation: Reservation) -> None:
        self._reservation = reservation

    def screened(self, ask: Ask, verdict: Verdict) -> None:
        """What may travel on, and the verdict on the input; a block is refused here. Every hop is made of this ask."""
        self._ask, self._input = ask, verdict
        if not verdict.allowed:
            raise blocked(verdict)

    async def decided(self, grant: Grant, route: Route, beside: str = "") -> Leg:
        """Make the next hop's `Decided` durable, and with it the end of what yielded to it. `beside` says why nothing
        does, and what is under way goes on.

        Raises Fault `ledger_unavailable`: then nothing may leave.
        """
        assert self._ask is not None
        under_way = self._legs if beside else []
        yielded = [] if beside else self._legs
        drafts: list[Draft] = []
        for leg in yielded:
            drafts += self._end_of(leg, "yielded", None)
            self._let_go(leg)
        most = None if self._reservation is None else self._reservation.most
        leg = Leg(self._hops, grant, route, self._ask, most, self._books.clock.monotonic(), beside)
        drafts.append(self._draft(leg.decided(self._principal, self._input), entries.AGENT_EXECUTION, leg))
        # Open before it is known to be durable: `write` goes on when its waiter is cancelled, so a caller that
        # leaves in this moment still gets his pair closed.
        self._hops += 1
        self._legs, self._open = [*under_way, leg], True
        if not beside:
            self._leg = leg
        try:
            leg.entry = (await self._write(yielded, drafts))[-1]
        except Fault:
            # Not written: there is no pair to close, and nothing leaves.
            self._legs, self._open = under_way, bool(under_way)
            raise
        if not beside:
            self._entry = leg.entry
        return leg

    def serves(self, leg: Leg) -> None:
        """Of several legs under way, this one's answer is the call's."""
        self._leg, self._entry = leg, leg.entry

    def has_room(self, leave: Grant, route: Route, *, beside: bool = False) -> bool:
        """Whether a hop has room in the bounds of its key, and anew in the call's own where the hop before used some.

        A key without room lets its equals try and never a fallback: only a provider's answer does that. What is made
        `beside` another has room of its own or is not made: nobody knows yet what the other uses.
        """
        reservation = self._reservation
        if reservation is None:
            return True
        if self._leg is None and self._short is not None and route.position == "fallback":
            return False
        charged = beside or (bool(self._legs) and self._legs[-1].usage("yielded")[0] is not None)
        short = reservation.enter(leave, route, charged=charged)
        if not beside:
            self._short = self._short or short
        return short is None

    def answered(self, leg: Leg) -> Answer:
        """A hop brought something back: a reply, the first of a stream, or why there is none."""
        leg.first_byte = self._books.clock.monotonic()
        return leg.answer

    async def _begin(self) -> None:
        """Send the status line and headers of a stream."""
        await self._reply.start(200, [(b"content-type", self._door.stream_type), *self._headers()])

    async def release(self, leg: Leg, piece: bytes, verdict: Verdict) -> None:
        """Hand a screened piece of a stream to the caller; waits while he takes less than comes."""
        leg.output = verdict
        if not verdict.allowed:
            raise blocked(verdict)
        if not self._reply.started:
            # Not before the first event was screened: what is refused until then is refused by its own status.
            await self._begin()
        if piece:
            await self._reply.write(piece)
            leg.released += len(piece)
        now = self._books.clock.monotonic()
        due = self._next_progress or leg.began + PROGRESS_S
        if now >= due:
            self._next_progress = now + PROGRESS_S
            payload = entries.Progress(ms=round((now - leg.began) * 1000), released_bytes=leg.released)
            await self._books.ledger.write(self._draft(payload, entries.AGENT_EXECUTION, leg))

    def hold(self, leg: Leg, final: bytes, verdict: Verdict) -> None:
        """The last screened bytes, which wait for `Settled`."""
        leg.output = verdict
        if not verdict.allowed:
            raise blocked(verdict)
        leg.final = final

    def exhausted(self) -> Refusal:
        """Why no hop answered."""
        if self._leg is not None and self._leg.answer.refusal is not None:
            return self._leg.answer.refusal
        if self._short is not None:
            return self._short
        return Fault(
            "policy_unavailable",
            "The policy changed while the call was on its way and no longer grants its route.",
            advice="Retry.",
            retry_after=1.0,
        )

    # The end.

    async def __aenter__(self) -> Recording:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            return await self._conclude(error)
        finally:
            for leg in self._legs:
                self._let_go(leg)
            if self._reservation is not None:
                self._reservation.leave()

    async def _conclude(self, error: BaseException | None) -> bool:
        """Settle, then answer. Returns whether `error` has been dealt with."""
        if error is None:
            refusal = None
        elif isinstance(error, Refusal):
            refusal = error
            refusal.text = unkeyed(refusal.text)  # a key pasted where a name belongs is neither kept nor repeated
        elif isinstance(error, asyncio.CancelledError | ConnectionError):
            # The caller left; nothing more is released, but the pair is closed and what was used is settled.
            if self._open:
                try:
                    await self._close_pairs(None, left=True)
                except Fault as fault:
                    # The ledger closes the pair as interrupted when it can; the caller is gone either way.
                    self._books.log.error("an abandoned call was not settled", call=self.call, text=str(fault))
            return False
        elif isinstance(error, Exception):
            self._books.log.exception("call failed", error, call=self.call)
            refusal = Fault("internal", "Something failed on our side.", advice="The operator's log has the call's id.")
        else:
            return False
        try:
            if self._open:
                await self._close_pairs(refusal)
            elif refusal is not None:
                self._meter.refuse(refusal.reason)
                self._entry = await self._books.refusals.record(refusal, self._asked(), self._principal)
        except Fault as fault:
            # What could not be recorded is not released. The connection is cut where something was.
            if self._reply.started:
                self._reply.abort()
                return True
            refusal, self._entry = fault, ""
        await self._end(refusal)
        return True

    def _let_go(self, leg: Leg) -> None:
        """Done with what a hop brought: its connection goes back, or is cut where something is unread."""
        if leg.reached and self._reservation is not None:
            self._reservation.sent()
        leg.answer.close()

    async def _end(self, refusal: Refusal | None) -> None:
        reply = self._reply
        if refusal is None:
            assert self._leg is not None
            assert self._leg.final is not None
            if reply.started:
                await reply.finish(self._leg.final)
            else:
                await reply.send(200, [(b"content-type", b"application/json"), *self._headers()], self._leg.final)
        elif not reply.started:
            await reply.send(*refuse(self._door.dialect, refusal, self._headers()))
        else:
            begun = self._leg is not None and self._leg.released > 0
            await reply.finish(self._door.stream_error(refusal, begun))

    def _outcome(self, leg: Leg, refusal: Refusal | None, left: bool) -> entries.Outcome:
        if left or leg is not self._leg:
            if leg.answer.refusal is not None:
                return "yielded"  # it failed, and another one was waited for
            return "aborted" if leg.reached else "not_sent"
        if refusal is None:
            return "answered"
        if not leg.reached:
            return "not_sent"
        if leg.answer.status is not None and leg.answer.refusal is refusal and not self._reply.started:
            return "answered"
        return "interrupted"

    async def _close_pairs(self, refusal: Refusal | None, *, left: bool = False) -> None:
        """Make `Settled` and `KeyUsed` of what is under way durable, in one commit. `left`: the caller did.

        Raises Fault `ledger_unavailable`.
        """
        self._open = False
        drafts: list[Draft] = []
        for leg in self._legs:
            why = refusal if leg is self._leg else None
            drafts += self._end_of(leg, self._outcome(leg, refusal, left), why)
        await self._write(self._legs, drafts)

    async def _write(self, ended: list[Leg], drafts: list[Draft]) -> list[str]:
        """Make drafts durable, those of these legs' ends first; then what each used takes the place of what it held, in
        every bound. Raises Fault `ledger_unavailable`.
        """
        ids: list[str] = []
        written = True  # a write goes on when its waiter is cancelled
        try:
            ids = await self._books.ledger.write(*drafts)
        except Fault:
            written = False
            for leg in ended:  # what could not be recorded did not happen
                keeping.undo(self._books.objects, self._principal, leg.kept)
            raise
        finally:
            if self._reservation is not None:
                last = -1
                for leg in ended:
                    last += 1 if leg.outcome == "not_sent" else 2
                    entry = ids[last] if ids else ""  # its `KeyUsed`, where it has one
                    self._reservation.settle(leg.route.key_uid, leg.used, leg.nano, entry, sent=leg.reached)
                    if written and leg.correction is not None:
                        self._reservation.correct(leg.route.key_uid, leg.correction, entry)
        return ids

    def _end_of(self, leg: Leg, outcome: entries.Outcome, refusal: Refusal | None) -> list[Draft]:
        """What is written of a hop's end."""
        books, principal = self._books, self._principal
        now_ms = books.clock.now_ms()
        leg.end(outcome, refusal, books.clock.monotonic(), books.cost)
        # It exists here before anyone can read its id.
        kept = keeping.keep(books.objects, principal, leg.route, leg.ask, leg.answer, self._made)
        if kept.minted:
            keeping.enter(books.objects, principal, leg.route, kept, leg.used, leg.nano, now_ms, leg.tags)
        leg.keeps(kept)
        self._meter.settled(outcome, leg.seconds, leg.used, leg.first)
        books.log.call(leg.line(self.call, principal, now_ms))
        drafts = [self._draft(leg.settled(self.call), entries.AGENT_EXECUTION, leg)]
        if outcome != "not_sent":
            drafts.append(self._draft(leg.key_used(), entries.KEY_ACCESS, leg))
        return drafts

    # Pieces.

    def _draft(self, payload: entries.Payload, class_: int, leg: Leg) -> Draft:
        principal = self._principal
        return Draft(
            kind=entries.WRITTEN[type(payload)][0],
            class_=class_,
            log=principal.tenant_uid,
            agent=principal.agent_uid,
            actor=f"agent:{principal.agent_uid}",
            call=self.call,
            hop=leg.number,
            payload=payload,
            generation=leg.grant.generation,
        )

    def _asked(self) -> Asked:
        ask = self._ask
        return Asked(
            call=self.call,
            dialect=self._door.dialect,
            operation=self._door.operation,
            model="" if ask is None else unkeyed(ask.model)[:200],
            generation=self._books.snapshot().generation,
            verdict=None if self._input is None or self._input.allowed else self._input,
        )

    def _headers(self) -> Headers:
        headers: Headers = [(b"x-request-id", self.call.encode())]
        if self._entry:
            headers.append((b"x-sekimori-record", self._entry.encode()))
        if self._leg is not None:
            route = self._leg.route
            # The operator's key names are his own affair; a tenant's own key is named.
            headers.append(
                (b"x-sekimori-key", OPERATOR.encode() if route.key_owner_uid == OPERATOR else route.key.encode())
            )
        place = self._reservation
        if place is not None and (place.figures is not None or place.tokens is not None):
            now = datetime.fromtimestamp(self._books.clock.now_ms() / 1000, UTC)
            if place.figures is not None:
                headers += figures_headers(self._door.dialect, place.figures, now)
            if place.tokens is not None:
                headers += figures_headers(self._door.dialect, place.tokens, now, b"tokens")
        return headers


def blocked(verdict: Verdict) -> Refusal:
    """The refusal that a guard's verdict makes."""
    return Refused("screen_blocked", f"A guard blocked this: {verdict.reason}.")
