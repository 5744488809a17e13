"""What one hop changes in what a provider keeps for the tenant: made here before anyone can read the reply, and taken
back where the hop's entries could not be written.

    a call made objects                  they exist, for this tenant, with this key
    its response is worked on after it   its use is an estimate, as of any call that did not say (`began`)
    the end of that is fetched           the use is known: once, and no matter who fetches it (`ended`)
    a response is deleted                it exists here no more (`deleted`)

The tokens of a fetched end are no use of the call that fetched it. They take the place of the estimate: on its day, for
its agent and its tags, so that reports and budgets are as if it had been known then.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from sekimori.dialects.stored import DELETED, FINAL, WORKING
from sekimori.ledger.entry import Corrected
from sekimori.meter.prices import DAY_MS
from sekimori.meter.reservation import Correction
from sekimori.policy.decide import STATEFUL
from sekimori.terms import NO_TAGS, OPERATOR, Ask, Principal, Route, Tags, Usage
from sekimori.upstream.call import Answer
from sekimori.upstream.objects import Made, Objects, Open


class Kept(Struct, frozen=True):
    """What a hop changed. Empty where it changed nothing."""

    key_uid: str = ""
    """Of the key with which."""
    minted: tuple[str, ...] = ()
    """Ids of what the provider keeps from now on."""
    began: str = ""
    """The one of them that it works on."""
    deleted: str = ""
    ended: Open | None = None
    """The estimate in the place of which the answer's figures step."""
    object: str = ""
    """Of what it was."""

    @property
    def corrected(self) -> Corrected | None:
        """What the hop's `KeyUsed` says of it."""
        if self.ended is None:
            return None
        of = self.ended
        return Corrected(id=self.object, agent=of.agent, time=of.time, tags=of.tags, unpriced=of.nano is None)

    def difference(self, told: Usage | None, nano: int | None) -> tuple[Usage, int | None]:
        """What is to be added to the estimate, by the provider's figures and their cost. Where it told none, the
        estimate stays, and stays one."""
        assert self.ended is not None
        was, cost = self.ended.usage, self.ended.nano
        if told is None:
            return Usage(estimated=True), None if cost is None else 0
        usage = Usage(
            input=told.input - was.input,
            output=told.output - was.output,
            cached=told.cached - was.cached,
            cache_write=told.cache_write - was.cache_write,
            reasoning=told.reasoning - was.reasoning,
            estimated=told.estimated,
            cache_write_hour=told.cache_write_hour - was.cache_write_hour,
            service=told.service,
        )
        return usage, None if nano is None else nano - (cost or 0)

    def correction(self, usage: Usage, nano: int | None) -> Correction:
        """The difference, as budgets count it."""
        assert self.ended is not None
        of = self.ended
        tags = (of.tags or NO_TAGS).tags
        return Correction(usage.input + usage.output, nano or 0, of.agent, tags, of.time // DAY_MS)


NOTHING: Final = Kept()


def keep(
    objects: Objects, principal: Principal, route: Route, ask: Ask, answer: Answer | None, made: Made | None
) -> Kept:
    """What the hop changes. That an end was told and an object deleted is so from here on; what was made exists when
    its use is known (`enter`). `made` is how the object was made that the call is about.

    Of a key that tenants share nothing is remembered: what it made must not be named by anyone.
    """
    if answer is None or route.key_owner_uid == OPERATOR:
        return NOTHING
    tenant, key = principal.tenant_uid, route.key_uid
    if ask.object:
        if answer.finish == DELETED:
            objects.delete(tenant, key, ask.object)
            return Kept(key, deleted=ask.object, object=ask.object)
        if made is None or made.key_uid != key or made.open is None or answer.finish not in FINAL:
            return NOTHING
        if not objects.end(tenant, key, ask.object):
            return NOTHING  # another call told it while this one was under way
        # What it made is known with its end.
        return Kept(key, tuple(id for id in answer.minted if id != ask.object), ended=made.open, object=ask.object)
    minted = answer.minted if answer.stream is None else answer.stream.minted
    if not minted or not (route.stores or ask.needs & STATEFUL):
        return NOTHING
    return Kept(key, minted, began=minted[0] if works_on(ask, answer) else "")


def works_on(ask: Ask, answer: Answer) -> bool:
    """Whether the provider works on a response after the call, which therefore cannot tell what it used."""
    if "background" not in ask.needs:
        return False
    if answer.stream is not None:
        return not answer.stream.complete  # it goes on without whoever left
    # Figures that are told before the end are none: servers say zeros.
    return answer.finish in WORKING or (answer.usage is None and answer.finish not in FINAL)


def enter(
    objects: Objects,
    principal: Principal,
    route: Route,
    kept: Kept,
    usage: Usage | None,
    nano: int | None,
    now_ms: int,
    tags: Tags | None,
) -> None:
    """Let exist what a hop made that is settled at `usage` and `nano`."""
    estimate = None
    if kept.began and usage is not None:
        estimate = Open(usage, nano, principal.agent_uid, now_ms, tags)
    model = f"{route.provider.name}/{route.model}"
    objects.mint(principal.tenant_uid, route.key_uid, kept.minted, model, kept.began, estimate)


def undo(objects: Objects, principal: Principal, kept: Kept) -> None:
    """What could not be recorded did not happen."""
    objects.unmint(principal.tenant_uid, kept.key_uid, kept.minted)
    objects.undo(principal.tenant_uid, kept.key_uid, kept.object if kept.ended is not None else "", kept.deleted)
