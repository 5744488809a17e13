"""Hedging: where a hop has brought nothing for a while, an equal is asked too, and the one that answers first serves.

    first  |----- nothing ----------------------------x   cut off, settled as `aborted`: it may be billed all the same
    hedge          after |--- Decided ---|-- answer --|   serves
    room, leave, share ^   (else the first goes on alone)

What is asked beside another is a hop like any: it is authorised anew, has room of its own in every bound, and its
`Decided` is durable before a byte of it leaves. It opens nothing that would else be closed: it is an equal and never a
fallback, only of calls that need no capability and name no object, and where one of the hops fails in a way after which
nothing may follow, that is the call's end.

No leg outlives `first_heard`: it ends with one that is heard, all others cut off; and where it is left by an exception,
the caller's departure included, with all cut off. Whoever wrote `Decided` settles them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sekimori.gateway.hops import Hops
from sekimori.gateway.leg import Leg
from sekimori.gateway.record import Recording
from sekimori.terms import Grant, Route

if TYPE_CHECKING:
    from sekimori.gateway.walk import Gateway

CUT_S: Final = 1.0
"""Seconds that legs which were cut off have to come to their end. They need none but to close a connection; what they
may have used is settled whether or not they have."""

Authorise = Callable[[Route, Leg], tuple[Grant, Route] | None]
"""The leave to ask an equal beside a leg, with a place in every bound; None where there is none."""


def may_hedge(leg: Leg) -> bool:
    """Whether the policy has equals asked beside this hop, if it is slow.

    Of what policy/decide says, the part that depends on the call is judged here again: a call that needs a capability
    may have an effect, and must not have it twice; an object belongs to one key.
    """
    return leg.route.hedges[1] > 0 and not (leg.ask.needs or leg.ask.objects or leg.route.stores)


async def first_heard(at: Gateway, leg: Leg, hops: Hops, record: Recording, authorise: Authorise) -> Leg:
    """Make the call of a hop, and of equals beside it while it brings nothing; the one whose answer is the call's.

    That is the first that brings a reply; where all failed, the one after which nothing may follow, else the last. A
    failure of whatever kind waits for what is under way: it may be of its key alone. All others are known to `hops`;
    its own end is not. Raises Fault `ledger_unavailable` where a hedge cannot be recorded.
    """
    tenant, (after, most) = leg.grant.principal.tenant_uid, leg.route.hedges
    at.hedges.called(tenant, leg.route)
    legs, serving = [leg], None
    failed: list[Leg] = []
    calls = {_call(at, leg): leg}
    wait: float | None = after / 1000
    try:
        while calls:
            # Every call has its own deadlines (http/client): without a limit here the longest of them is the limit.
            done, _ = await asyncio.wait(calls, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda one: calls[one].number):
                one = calls[task]
                task.result()  # what the provider did stands in the answer; this is what nobody expects
                if one.answer.refusal is None:
                    serving = one
                    return _served(one, legs, failed, hops, record)
                del calls[task]
                record.answered(one).close()
                failed.append(one)
            leave = None
            if not (done or any(map(_brings, calls.values())) or hops.hedged >= most):
                equal = hops.equal_of(leg.route) if at.hedges.earned(tenant, leg.route) else None
                leave = None if equal is None else authorise(equal, leg)
            if leave is None:
                wait = None  # what is under way decides; after a failure it is the walk that tries another
                continue
            at.hedges.take(tenant, leg.route)
            hops.hedge(leave[1])
            other = await record.decided(*leave, f"hedge: hop {leg.number} brought nothing in {after} ms")
            legs.append(other)
            if all(not task.done() or hops.moves(one.route, one.answer) for task, one in calls.items()):
                calls[_call(at, other)] = other  # else it is not needed any more, and nothing of it leaves
        return _served(_stuck(failed, hops) or failed[-1], legs, failed, hops, record)
    finally:
        await _cut(calls, serving)


def _call(at: Gateway, leg: Leg) -> asyncio.Task[None]:
    return asyncio.create_task(at.providers.open(leg.grant, leg.route, leg.ask, leg.answer))


def _brings(leg: Leg) -> bool:
    """Whether a plain reply is on its way. A stream is heard with its first event: a head alone brings nothing."""
    return leg.answer.status is not None and not leg.ask.stream


def _stuck(failed: list[Leg], hops: Hops) -> Leg | None:
    """The first that failed in a way after which nothing may follow: another's failure does not change that."""
    return next((leg for leg in failed if not hops.moves(leg.route, leg.answer)), None)


def _served(serving: Leg, legs: list[Leg], failed: list[Leg], hops: Hops, record: Recording) -> Leg:
    """One leg's answer is the call's: what became of the others."""
    record.serves(serving)
    for leg in failed:
        if leg is not serving:
            hops.failed(leg.route, leg.answer)
    for leg in legs:
        if leg is not serving and leg not in failed:
            hops.lost(leg.route)
    return serving


async def _cut(calls: dict[asyncio.Task[None], Leg], serving: Leg | None) -> None:
    """Cut off all that do not serve, those included that were heard in the same moment."""
    running = [task for task in calls if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=CUT_S)
    for leg in calls.values():
        if leg is not serving:
            leg.answer.close()  # at once: what nobody reads must not go on until the other's stream has ended
