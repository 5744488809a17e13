"""One hop of a call, from its `Decided` to its `Settled`: what becomes known of it, and what is written of it.

A leg writes nothing: `Recording` makes its entries durable, those of several legs in one commit. Nor does it hold
anything of a bound: that is the reservation's.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from sekimori.errors import Refusal
from sekimori.gateway import kept as keeping
from sekimori.ledger import entry as entries
from sekimori.meter.prices import Cost
from sekimori.meter.reservation import Correction, Most
from sekimori.meter.usage import estimate
from sekimori.telemetry import CallLine
from sekimori.terms import Ask, Grant, Principal, Route, Tags, Usage, Verdict
from sekimori.upstream.call import Answer


class Leg:
    """See the module. Instants are of the monotonic clock."""

    __slots__ = (
        "answer",
        "ask",
        "began",
        "correction",
        "cost",
        "entry",
        "final",
        "first_byte",
        "grant",
        "kept",
        "key_used_of",
        "most",
        "number",
        "outcome",
        "output",
        "refusal",
        "released",
        "route",
        "seconds",
        "tags",
        "used",
        "why",
    )

    def __init__(
        self, number: int, grant: Grant, route: Route, ask: Ask, most: Most | None, began: float, why: str = ""
    ) -> None:
        self.number = number
        """Which hop of the call, from 0."""
        self.why = why
        """Why it is made beside another; empty for one that is made in its turn."""
        self.grant = grant
        self.route = route
        self.ask = ask
        self.most = most
        """What it may use at most; None where no bound on tokens or money applies."""
        self.tags = _said(ask.tags, grant.tags)
        self.answer = Answer()
        """Filled as things become known, so that a call that is cut off still tells how far it went."""
        self.entry = ""
        """Id of its `Decided`; empty until that is durable."""
        self.began = began
        self.first_byte: float | None = None
        self.released = 0
        """Bytes that the caller was given."""
        self.final: bytes | None = None
        """The last screened bytes, which wait for `Settled`."""
        self.output: Verdict | None = None
        # Since its `end`:
        self.outcome: entries.Outcome = "not_sent"
        self.refusal: Refusal | None = None
        self.used: Usage | None = None
        self.cost: Cost | None = None
        self.seconds = 0.0
        self.kept = keeping.NOTHING
        """What it changed in what the provider keeps."""
        self.key_used_of: tuple[Usage | None, int | None] = (None, None)
        """Usage and cost that its key is charged with."""
        self.correction: Correction | None = None
        """What an estimate of before was wrong by."""

    @property
    def reached(self) -> bool:
        """Whether a byte of its request may have reached the provider."""
        return self.answer.sent

    def decided(self, principal: Principal, input: Verdict | None) -> entries.Decided:
        ask, route, most = self.ask, self.route, self.most
        return entries.Decided(
            dialect=ask.dialect,
            operation=ask.operation,
            model=ask.model,
            stream=ask.stream,
            provider=route.provider.name,
            provider_model=route.model,
            key=route.key,
            key_uid=route.key_uid,
            position=route.position,
            reasons=[*self.grant.reasons, self.why] if self.why else list(self.grant.reasons),
            request_bytes=ask.size,
            max_output=ask.output_cap if most is None else most.output,
            verdict=input,
            credential=principal.credential,
            tags=self.tags,
            reserved=None if most is None else Usage(most.input, most.output, estimated=True),
            reserved_nano=None if most is None or not most.nano else most.nano,
        )

    def end(
        self,
        outcome: entries.Outcome,
        refusal: Refusal | None,
        now: float,
        cost: Callable[[Usage, Route], Cost | None],
    ) -> None:
        """Work out what is written of its end. `refusal` is why it brought nothing, where its answer does not say."""
        self.outcome = outcome
        self.refusal = self.answer.refusal if refusal is None else refusal
        self.used, held = self.usage(outcome)
        found = None if self.used is None else cost(self.used, self.route)
        if held and found is not None:
            found = found._replace(nano=max(found.nano, held))
        self.cost = found
        self.seconds = now - self.began

    @property
    def nano(self) -> int | None:
        """What it cost, in nano-USD; None where that has no price."""
        return None if self.cost is None else self.cost.nano

    def keeps(self, kept: keeping.Kept) -> None:
        """Work out whose use its figures are, by what it changed in what the provider keeps."""
        self.kept = kept
        self.key_used_of = self.used, self.nano
        if self.ask.object:
            # Such a call uses nothing itself; what it tells is another's use, and that only once.
            if kept.ended is None:
                self.key_used_of = None, None
            else:
                self.key_used_of = kept.difference(*self.key_used_of)
                self.correction = kept.correction(*self.key_used_of)
            self.used = self.cost = None

    def usage(self, outcome: entries.Outcome) -> tuple[Usage | None, int]:
        """The provider's own figures; where it answered and did not say, or was cut short, an estimate, marked so.

        Where a bound on tokens or money applies, the estimate is all that was reserved, and the second figure is what
        was reserved in nano-USD; else it follows from the bytes of request and reply.
        """
        answer = self.answer
        if outcome == "not_sent" or not answer.sent:
            return None, 0
        if self.ask.object:
            return answer.usage, 0
        told = answer.usage if answer.stream is None else answer.stream.usage
        if answer.stream is None and keeping.works_on(self.ask, answer):
            told = None
        if told is not None and (answer.stream is None or answer.stream.complete):
            return told, 0
        if answer.status is not None and answer.status >= 400:
            return None, 0
        most = self.most
        if most is None:
            return estimate(self.ask.size, self.released, told), 0
        if told is None:
            return Usage(most.input, most.output, estimated=True), most.nano
        return replace(told, output=max(told.output, most.output), estimated=True), 0

    # Once it has ended.

    @property
    def first(self) -> float | None:
        """Seconds until the provider brought something; None where it did not."""
        return None if self.first_byte is None else self.first_byte - self.began

    def settled(self, call: str) -> entries.Settled:
        first, cost = self.first, self.cost
        return entries.Settled(
            outcome=self.outcome,
            status=self.answer.status,
            reason=None if self.refusal is None else self.refusal.number,
            usage=self.used,
            cost_nano=self.nano,
            price_source=None if cost is None else cost.source,
            ms_first_byte=None if first is None else round(first * 1000),
            ms_total=round(self.seconds * 1000),
            released_bytes=self.released + (len(self.final) if self.final is not None else 0),
            verdict=self.output,
            request_id=call,
            minted=list(self.kept.minted),
        )

    def key_used(self) -> entries.KeyUsed:
        route, (usage, nano) = self.route, self.key_used_of
        return entries.KeyUsed(
            key=route.key,
            key_uid=route.key_uid,
            key_version=self.answer.key_version or None,
            provider=route.provider.name,
            model=route.model,
            usage=usage,
            cost_nano=nano,
            outcome=self.outcome,
            tags=self.tags,
            began=self.kept.began,
            corrects=self.kept.corrected,
            deleted=self.kept.deleted,
        )

    def line(self, call: str, principal: Principal, now_ms: int) -> CallLine:
        route, used = self.route, self.used
        return CallLine(
            time_ms=now_ms,
            call=call,
            record=self.entry,
            tenant=principal.tenant,
            agent=principal.agent,
            dialect=self.ask.dialect,
            operation=self.ask.operation,
            model=route.model,
            provider=route.provider.name,
            key=route.key,
            status=self.answer.status or 0,
            reason="" if self.refusal is None else self.refusal.reason,
            outcome=self.outcome,
            input=0 if used is None else used.input,
            output=0 if used is None else used.output,
            ms=round(self.seconds * 1000, 1),
        )


def _said(said: Tags, tags: tuple[str, ...]) -> Tags | None:
    """What is recorded of whom and what a call is for: the cost tags that count, not those that it named."""
    if said.end_user or said.session or tags:
        return said if said.tags == tags else Tags(said.end_user, said.session, tags)
    return None
