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
from msgspec.structs import replace

from sekimori.errors import Fault, Refusal, Refused
from sekimori.gateway import kept as keeping
from sekimori.gateway.doors import Door, figures_headers, refuse
from sekimori.gateway.refusals import Asked, Refusals
from sekimori.http.server import Reply
from sekimori.ledger import entry as entries
from sekimori.ledger.ledger import Draft, Ledger
from sekimori.meter.budget import Reservation
from sekimori.meter.prices import Rate
from sekimori.meter.reservation import Correction
from sekimori.meter.usage import estimate
from sekimori.policy.problems import unkeyed
from sekimori.policy.snapshot import Snapshot
from sekimori.telemetry import CallLine, Log, Metrics
from sekimori.terms import OPERATOR, Ask, Grant, Headers, Principal, Route, Tags, Usage, Verdict
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
        self._grant: Grant | None = None
        self._reservation: Reservation | None = None
        self._short: Refusal | None = None
        """Why a hop had no room in its bounds."""
        self._tags: Tags | None = None
        self._input: Verdict | None = None
        self._output: Verdict | None = None
        # Of the hop under way:
        self._hop = -1
        self._open = False
        self._route: Route | None = None
        self._answer: Answer | None = None
        self._entry = ""
        self._began = 0.0
        self._first_byte: float | None = None
        self._released = 0
        self._used: tuple[str, Usage | None, int | None, bool] | None = None
        """Of a hop whose end is written down: key uid, usage, cost, whether anything was sent."""
        self._next_progress = 0.0
        self._final: bytes | None = None
        self._made: Made | None = None
        """How the object was made that the call is about, where it is about one."""
        self._kept = keeping.NOTHING
        """Of the hop that was settled last: what it changed in what the provider keeps."""
        self._difference: Correction | None = None
        """Of the same: what an estimate of before was wrong by."""

    # What the steps of the walk tell.

    def asked(self, ask: Ask) -> Ask:
        self._ask = ask
        return ask

    def concerns(self, made: Made) -> None:
        """How the object was made that the call is about."""
        self._made = made

    def reserved(self, reservation: Reservation) -> None:
        self._reservation = reservation

    def screened(self, ask: Ask, verdict: Verdict) -> Ask:
        """The verdict on the input; a block is refused here."""
        self._input = verdict
        if not verdict.allowed:
            raise blocked(verdict)
        return ask

    async def decided(self, grant: Grant, route: Route) -> None:
        """Make the next hop's `Decided` durable, and with it the end of the hop that yielded to it.

        Raises Fault `ledger_unavailable`: then nothing may leave.
        """
        drafts: list[Draft] = []
        if self._open:
            drafts = self._settlement("yielded", None)
            self._leave_answer()
        self._hop += 1
        self._grant, self._route, self._answer = grant, route, None
        assert self._ask is not None
        most = None if self._reservation is None else self._reservation.most
        self._tags = _said(self._ask.tags, grant.tags)
        payload = entries.Decided(
            dialect=self._ask.dialect,
            operation=self._ask.operation,
            model=self._ask.model,
            stream=self._ask.stream,
            provider=route.provider.name,
            provider_model=route.model,
            key=route.key,
            key_uid=route.key_uid,
            position=route.position,
            reasons=list(grant.reasons),
            request_bytes=self._ask.size,
            max_output=self._ask.output_cap if most is None else most.output,
            verdict=self._input,
            credential=self._principal.credential,
            tags=self._tags,
            reserved=None if most is None else Usage(most.input, most.output, estimated=True),
            reserved_nano=None if most is None or not most.nano else most.nano,
        )
        drafts.append(self._draft(payload, entries.AGENT_EXECUTION))
        # Open before it is known to be durable: `write` goes on when its waiter is cancelled, so a caller that
        # leaves in this moment still gets his pair closed.
        self._open = True
        self._began = self._books.clock.monotonic()
        entry = ""
        try:
            *ended, self._entry = await self._books.ledger.write(*drafts)
            entry = ended[-1] if ended else ""
        except Fault:
            self._open = False  # not written: there is no pair to close, and nothing leaves
            self._unkeep()
            raise
        finally:
            self._charge(entry)

    def has_room(self, leave: Grant, route: Route) -> bool:
        """Whether a hop has room in the bounds of its key, and anew in the call's own where the hop before used some.

        A key without room lets its equals try and never a fallback: only a provider's answer does that.
        """
        reservation = self._reservation
        if reservation is None:
            return True
        if self._answer is None and self._short is not None and route.position == "fallback":
            return False
        charged = self._answer is not None and self._usage("yielded")[0] is not None
        short = reservation.enter(leave, route, charged=charged)
        self._short = self._short or short
        return short is None

    def calling(self) -> Answer:
        """An empty answer for the hop that was decided; the record watches what becomes known in it."""
        self._answer = answer = Answer()
        return answer

    def answered(self, answer: Answer) -> Answer:
        """The hop brought something back: a reply, the first of a stream, or why there is none."""
        self._first_byte = self._books.clock.monotonic()
        return answer

    async def begin(self) -> None:
        """Send the status line and headers of a stream."""
        await self._reply.start(200, [(b"content-type", self._door.stream_type), *self._headers()])
        self._next_progress = self._began + PROGRESS_S

    async def release(self, piece: bytes, verdict: Verdict) -> None:
        """Hand a screened piece of a stream to the caller; waits while he takes less than comes."""
        self._output = verdict
        if not verdict.allowed:
            raise blocked(verdict)
        if piece:
            await self._reply.write(piece)
            self._released += len(piece)
        now = self._books.clock.monotonic()
        if now >= self._next_progress:
            self._next_progress = now + PROGRESS_S
            payload = entries.Progress(ms=round((now - self._began) * 1000), released_bytes=self._released)
            await self._books.ledger.write(self._draft(payload, entries.AGENT_EXECUTION))

    def hold(self, final: bytes, verdict: Verdict) -> None:
        """The last screened bytes, which wait for `Settled`."""
        self._output = verdict
        if not verdict.allowed:
            raise blocked(verdict)
        self._final = final

    def exhausted(self) -> Refusal:
        """Why no hop answered."""
        if self._answer is not None and self._answer.refusal is not None:
            return self._answer.refusal
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
            self._leave_answer()
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
                    await self._close_pair("aborted" if self._reached else "not_sent", None)
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
                await self._close_pair(self._outcome(refusal), refusal)
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

    @property
    def _reached(self) -> bool:
        """Whether a byte of this hop's request may have reached the provider."""
        return self._answer is not None and self._answer.sent

    def _leave_answer(self) -> None:
        """Done with what the hop brought: its connection goes back, or is cut where something is unread."""
        if self._answer is not None:
            if self._reached and self._reservation is not None:
                self._reservation.sent()
            self._answer.close()

    async def _end(self, refusal: Refusal | None) -> None:
        reply = self._reply
        if refusal is None:
            assert self._final is not None
            if reply.started:
                await reply.finish(self._final)
            else:
                await reply.send(200, [(b"content-type", b"application/json"), *self._headers()], self._final)
        elif not reply.started:
            await reply.send(*refuse(self._door.dialect, refusal, self._headers()))
        else:
            await reply.finish(self._door.stream_error(refusal))

    def _outcome(self, refusal: Refusal | None) -> entries.Outcome:
        answer = self._answer
        if refusal is None:
            return "answered"
        if answer is None or not answer.sent:
            return "not_sent"
        if answer.status is not None and answer.refusal is refusal and not self._reply.started:
            return "answered"
        return "interrupted"

    async def _close_pair(self, outcome: entries.Outcome, refusal: Refusal | None) -> None:
        """Make `Settled` and `KeyUsed` durable. Raises Fault `ledger_unavailable`."""
        self._open = False
        entry = ""
        try:
            entry = (await self._books.ledger.write(*self._settlement(outcome, refusal)))[-1]
        except Fault:
            self._unkeep()
            raise
        finally:
            self._charge(entry)

    def _charge(self, entry: str) -> None:
        """Let what the settled hop used take the place of what it held, in every bound; `entry` is its `KeyUsed`."""
        if self._used is None:
            return
        key_uid, usage, nano, sent = self._used
        difference, self._used, self._difference = self._difference, None, None
        if self._reservation is not None:
            self._reservation.settle(key_uid, usage, nano, entry, sent=sent)
            if difference is not None:
                self._reservation.correct(key_uid, difference, entry)

    def _unkeep(self) -> None:
        """What could not be recorded: of a hop whose settlement failed."""
        keeping.undo(self._books.objects, self._principal, self._kept)
        self._difference = None

    def _settlement(self, outcome: entries.Outcome, refusal: Refusal | None) -> list[Draft]:
        answer, route, ask, now = self._answer, self._route, self._ask, self._books.clock.monotonic()
        assert route is not None
        assert ask is not None
        if refusal is None and answer is not None:
            refusal = answer.refusal
        usage, held = self._usage(outcome)
        price = self._books.snapshot().cost(usage, route, self._books.clock.now_ms()) if usage is not None else None
        if held and price is not None:
            price = price._replace(nano=max(price.nano, held))
        nano = None if price is None else price.nano
        kept = self._kept = keeping.keep(self._books.objects, self._principal, route, ask, answer, self._made)
        if kept.minted:
            now_ms = self._books.clock.now_ms()
            keeping.enter(self._books.objects, self._principal, route, kept, usage, nano, now_ms, self._tags)
        of_key = usage, nano
        if ask.object:
            # Such a call uses nothing itself; what it tells is another's use, and that only once.
            if kept.ended is not None:
                of_key = kept.difference(usage, nano)
                self._difference = kept.correction(*of_key)
            else:
                of_key = None, None
            usage, nano, price = None, None, None
        self._used = (route.key_uid, usage, nano, self._reached)
        seconds = now - self._began
        first = None if self._first_byte is None else self._first_byte - self._began
        settled = entries.Settled(
            outcome=outcome,
            status=None if answer is None else answer.status,
            reason=None if refusal is None else refusal.number,
            usage=usage,
            cost_nano=nano,
            price_source=None if price is None else price.source,
            ms_first_byte=None if first is None else round(first * 1000),
            ms_total=round(seconds * 1000),
            released_bytes=self._released + (len(self._final) if self._final is not None else 0),
            verdict=self._output,
            request_id=self.call,
            minted=list(kept.minted),
        )
        self._meter.settled(outcome, seconds, usage, first)
        line = CallLine(
            time_ms=self._books.clock.now_ms(),
            call=self.call,
            record=self._entry,
            tenant=self._principal.tenant,
            agent=self._principal.agent,
            dialect=ask.dialect,
            operation=ask.operation,
            model=route.model,
            provider=route.provider.name,
            key=route.key,
            status=settled.status or 0,
            reason="" if refusal is None else refusal.reason,
            outcome=outcome,
            input=0 if usage is None else usage.input,
            output=0 if usage is None else usage.output,
            ms=round(seconds * 1000, 1),
        )
        self._books.log.call(line)
        drafts = [self._draft(settled, entries.AGENT_EXECUTION)]
        if outcome != "not_sent":
            used = entries.KeyUsed(
                key=route.key,
                key_uid=route.key_uid,
                key_version=answer.key_version if answer is not None and answer.key_version else None,
                provider=route.provider.name,
                model=route.model,
                usage=of_key[0],
                cost_nano=of_key[1],
                outcome=outcome,
                tags=self._tags,
                began=kept.began,
                corrects=kept.corrected,
                deleted=kept.deleted,
            )
            drafts.append(self._draft(used, entries.KEY_ACCESS))
        self._first_byte = None
        return drafts

    def _usage(self, outcome: entries.Outcome) -> tuple[Usage | None, int]:
        """The provider's own figures; where it answered and did not say, or was cut short, an estimate, marked so.

        Where a bound on tokens or money applies, the estimate is all that was reserved, and the second figure is what
        was reserved in nano-USD; else it follows from the bytes of request and reply.
        """
        answer, ask = self._answer, self._ask
        assert ask is not None
        if outcome == "not_sent" or (answer is not None and not answer.sent):
            return None, 0
        if ask.object:
            return None if answer is None else answer.usage, 0
        told = None
        if answer is not None:
            told = answer.usage if answer.stream is None else answer.stream.usage
            complete = answer.stream is None or answer.stream.complete
            if told is not None and complete:
                return told, 0
            if answer.status is not None and answer.status >= 400:
                return None, 0
        most = None if self._reservation is None else self._reservation.most
        if most is None:
            return estimate(ask.size, self._released, told), 0
        if told is None:
            return Usage(most.input, most.output, estimated=True), most.nano
        return replace(told, output=max(told.output, most.output), estimated=True), 0

    # Pieces.

    def _draft(self, payload: entries.Payload, class_: int) -> Draft:
        principal = self._principal
        return Draft(
            kind=entries.WRITTEN[type(payload)][0],
            class_=class_,
            log=principal.tenant_uid,
            agent=principal.agent_uid,
            actor=f"agent:{principal.agent_uid}",
            call=self.call,
            hop=self._hop,
            payload=payload,
            generation=0 if self._grant is None else self._grant.generation,
        )

    def _asked(self) -> Asked:
        ask = self._ask
        return Asked(
            call=self.call,
            dialect=self._door.dialect,
            operation=self._door.operation,
            model="" if ask is None else unkeyed(ask.model)[:200],
            generation=self._books.snapshot().generation,
        )

    def _headers(self) -> Headers:
        headers: Headers = [(b"x-request-id", self.call.encode())]
        if self._entry:
            headers.append((b"x-sekimori-record", self._entry.encode()))
        route = self._route
        if route is not None:
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


def _said(said: Tags, tags: tuple[str, ...]) -> Tags | None:
    """What is recorded of whom and what a call is for: the cost tags that count, not those that it named."""
    if said.end_user or said.session or tags:
        return said if said.tags == tags else Tags(said.end_user, said.session, tags)
    return None


def blocked(verdict: Verdict) -> Refusal:
    """The refusal that a guard's verdict makes."""
    return Refused("screen_blocked", f"A guard blocked this: {verdict.reason}.")
