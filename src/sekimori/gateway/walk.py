"""The walk of one call: the dangerous sequence, from a stranger's bytes to a settled record.

Read `walk` aloud: authenticate, read, decide, reserve, see who made what is named, screen, and for each authorised hop
record, call, screen, release; the exit of `recording` settles. A call about an object that a provider keeps names no
model: between reading and deciding, that is found which made the object. Where policy hedges, the call of a hop that is
slow is a race of two (gateway/hedge), each authorised and recorded like any. There are no hooks between the steps, so
that no configuration can reorder them. What a step refuses it refuses by raising a `Refusal`; `Recording` makes the
record and the reply of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from msgspec import Struct, structs

from sekimori.dialects.absent import absent
from sekimori.errors import Refused
from sekimori.gateway.doors import Door
from sekimori.gateway.hedge import first_heard, may_hedge
from sekimori.gateway.hops import Hops
from sekimori.gateway.leg import Leg
from sekimori.gateway.record import Books, Recording
from sekimori.guard.screen import Guards, Screen, screen_input
from sekimori.http.server import Reply, Request
from sekimori.identity.authenticate import KeyIndex, authenticate
from sekimori.meter.budget import Budget
from sekimori.policy.decide import admit, again, decide, narrowed
from sekimori.terms import Ask, Grant, Principal, Route
from sekimori.upstream.call import Providers
from sekimori.upstream.health import Health
from sekimori.upstream.hedges import Hedges


class Gateway(Struct, frozen=True):
    """What a walk needs. `books.snapshot` is asked anew at each step that decides."""

    index: KeyIndex
    budget: Budget
    providers: Providers
    books: Books
    health: Health
    hedges: Hedges
    guards: Guards
    draw: Callable[[], float] = random.random
    """A number from [0, 1): which of several equals a call tries first."""


async def walk(at: Gateway, door: Door, request: Request, reply: Reply) -> None:
    """Answer one call or refuse it, and leave a record either way. Raises Refused only for strangers (401)."""
    principal = authenticate(request.headers, request.query, at.index, at.books.clock.now_ms())
    async with Recording(at.books, door, principal, reply) as record:
        ask = record.asked(door.read(await request.body(), request.headers))
        if ask.object:
            ask = record.asked(await of_object(at, principal, ask, record))
        grant = decide(at.books.snapshot(), principal, ask)
        await at.budget.ready(grant)
        # Left at the exit of `record`, whatever happens in between.
        record.reserved(at.budget.reserve(grant, ask, at.books.price))
        if ask.objects:
            # Behind the reservation: a look-up may read a disk, so only as many are under way as may be.
            grant = await owned(at, grant, ask)
        ask, verdict, screen = await screen_input(at.guards, at.books.snapshot().guard(principal), grant, ask)
        record.screened(ask, verdict)
        with Hops(at.health, grant, ask, at.books.clock.monotonic, at.draw) as hops:
            for first_seen in hops:
                hop = authorised(at, grant, ask, hops, record, first_seen)
                if hop is None:
                    continue
                leg = await record.decided(*hop)  # durable from here on: nothing leaves unrecorded
                if may_hedge(leg):
                    leg = await first_heard(at, leg, hops, record, partial(authorised, at, grant, ask, hops, record))
                else:
                    await at.providers.open(leg.grant, leg.route, leg.ask, leg.answer)
                if not hops.failed(leg.route, record.answered(leg)):
                    return await release(leg, screen, record)
                # Nothing is released yet, and the policy may let another key try.
            raise record.exhausted()


async def of_object(at: Gateway, principal: Principal, ask: Ask, record: Recording) -> Ask:
    """The ask, of the model that made the object which it is about.

    Raises Refused where the agent may not ask such a thing at all, which is found before anything is looked up; and
    `Absent` where no object of that name was made for this tenant with a key and a model that this agent may call: it
    does not matter which of these is missing.
    """
    admit(at.books.snapshot(), principal, ask)
    for made in await at.books.objects.made(principal.tenant_uid, ask.object):
        meant = structs.replace(ask, model=made.model)
        try:
            grant = decide(at.books.snapshot(), principal, meant)
        except Refused:
            continue
        if narrowed(grant, frozenset({made.key_uid})) is not None:
            record.concerns(made)
            return meant
    id, place = ask.objects[0]
    raise absent(ask.dialect, id, place)


async def owned(at: Gateway, grant: Grant, ask: Ask) -> Grant:
    """The grant, narrowed to the key with which all objects that the ask names were made through us, for this tenant.

    Raises `Absent` where there is no such key: it does not matter whether the object is another tenant's, another
    key's, or nobody's. All are looked up by the same read before the first is judged.
    """
    keys = await at.books.objects.keys_of(grant.principal.tenant_uid, [id for id, _ in ask.objects])
    for id, place in ask.objects:
        kept = narrowed(grant, keys.get(id, frozenset()))
        if kept is None:
            raise absent(ask.dialect, id, place)
        grant = kept
    return grant


def authorised(
    at: Gateway, grant: Grant, ask: Ask, hops: Hops, record: Recording, first_seen: Route, beside: Leg | None = None
) -> tuple[Grant, Route] | None:
    """A route of the grant, decided anew on the policy of this instant; None where that has it no more, or does not let
    it follow what was tried (or be asked `beside` what is under way), or its bounds have no room. Raises Refused where
    the call is not granted at all, and none of its hops was made.
    """
    try:
        # Again: a body, or the hop before, may have taken minutes in which the caller's key was revoked.
        at.index.require(grant.principal.credential, at.books.clock.now_ms())
        leave, hop = again(at.books.snapshot(), grant.principal, ask, first_seen)
    except Refused:
        if hops.tried or beside is not None:
            return None  # what the hop before brought, or the one under way brings, is the answer
        raise
    if hop is None or not hops.may_follow(leave, hop, None if beside is None else beside.route):
        return None
    return (leave, hop) if record.has_room(leave, hop, beside=beside is not None) else None


async def release(leg: Leg, screen: Screen, record: Recording) -> None:
    """Screen and hand on what came back, all but its last bytes: those wait in `record` for `Settled`."""
    answer = leg.answer
    if answer.refusal is not None:
        raise answer.refusal
    stream = answer.stream
    if stream is None:
        record.hold(leg, *await screen.reply(answer.body))
        return
    await record.release(leg, *screen.feed(answer.first))
    while not stream.complete:
        await record.release(leg, *screen.feed(await answer.piece()))
    record.hold(leg, *screen.end(stream.final))
