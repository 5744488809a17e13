"""Hedging, call by call through the real gateway: what is slow waits until the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from sekimori.cli import show
from sekimori.control.arguments import Explain, Revoke
from sekimori.control.arguments import Path as KeyPath
from sekimori.errors import Fault
from sekimori.gateway import hedge
from sekimori.gateway.leg import Leg
from sekimori.http.server import Reply, Request
from sekimori.ledger import entry
from sekimori.ledger.ledger import Draft
from sekimori.terms import Route
from sekimori.upstream.hedges import EVERY, Hedges
from sekimori.vault.lend import Held
from tests.attacks.attacker import code_of, control
from tests.flows.place import DONE, EVENTS, JSON, Answer, Place, answer_well, chat, chunk, completion, status
from tests.flows.test_budgets import scope
from tests.flows.test_routing import LIMITED, OWN, PAIR, SECOND, THIRD, Hand, called, routed

HEDGED = PAIR + "hedge: {after: 50}\n"
THREE = HEDGED.replace("second}]", "second}, {key: clients/acme/third}]")
BESIDE = "hedge: hop 0 brought nothing in 50 ms"


class Watched(Hedges):
    """Every call may be hedged, and each that could be is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def called(self, tenant: str, route: Route) -> None:
        self.calls += 1
        for _ in range(2 * EVERY):
            super().called(tenant, route)


class Timer:
    """How a race waits; `by_hand`, `after` is over when the test says so."""

    def __init__(self) -> None:
        self.by_hand = False
        self.due, self.heard = asyncio.Event(), asyncio.Event()
        self.alone = asyncio.Event()
        """A race began to wait without an end, for what is under way decides it."""
        self.waits: list[float | None] = []
        self.together = False
        """Two are heard in the same moment."""
        self.legs: list[Leg] = []
        """Under way when it last began to wait."""

    async def wait(
        self,
        calls: dict[asyncio.Task[None], Leg] | list[asyncio.Task[None]],
        *,
        timeout: float | None = None,
        return_when: str = asyncio.ALL_COMPLETED,
    ) -> tuple[set[asyncio.Task[Any]], set[asyncio.Task[Any]]]:
        if not isinstance(calls, dict):
            return await asyncio.wait(calls, timeout=timeout, return_when=return_when)
        self.waits.append(timeout)
        self.legs = list(calls.values())
        if timeout is None:
            self.alone.set()
        if self.together and len(calls) == 2:
            timeout, return_when = None, asyncio.ALL_COMPLETED
        if timeout is None or not self.by_hand:
            done, pending = await asyncio.wait(calls, timeout=timeout, return_when=return_when)
        else:
            due = asyncio.create_task(self.due.wait())
            try:
                done, pending = await asyncio.wait([*calls, due], return_when=return_when)
            finally:
                due.cancel()
            done, pending = done - {due}, pending - {due}
            self.due.clear()
        if done:
            self.heard.set()
        return done, pending


@asynccontextmanager
async def hedging(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *documents: str, watched: bool = True
) -> AsyncIterator[tuple[Place, Hand, Watched, Timer]]:
    """A place whose route hedges; unless it is to be `watched`, within its own bound on the share of calls."""
    timer, hedges = Timer(), Watched()
    names = {"create_task": asyncio.create_task, "FIRST_COMPLETED": asyncio.FIRST_COMPLETED}
    monkeypatch.setattr(hedge, "asyncio", SimpleNamespace(wait=timer.wait, **names))
    async with routed(folder, monkeypatch, *(documents or (HEDGED,))) as (here, hand):
        listener = here.running.listener
        if watched:
            listener._at = structs.replace(listener._at, hedges=hedges)
        yield here, hand, hedges, timer


class Slow:
    """A provider's answer that says when it was asked, and waits."""

    def __init__(self, *before: bytes, then: Answer = answer_well) -> None:
        self.asked, self.go, self.cut = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.before = before
        self.then = then

    async def __call__(self, request: Request, reply: Reply, body: dict[str, Any]) -> None:
        self.asked.set()
        try:
            if self.before:
                await reply.start(200, [EVENTS])
                for piece in self.before:
                    await reply.write(piece)
            await asyncio.wait_for(self.go.wait(), 20)
            await self.then(request, reply, body)
        except (asyncio.CancelledError, ConnectionError):
            self.cut.set()
            raise


async def until(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), 20)


def after(*events: asyncio.Event) -> Answer:
    """A provider that answers well once these happened."""

    async def answer(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        for event in events:
            await until(event)
        await answer_well(request, reply, body)

    return answer


async def pairs(here: Place) -> list[tuple[str, str, int | None]]:
    """(key, outcome, status) of each hop, in the order in which they were decided; each with one `KeyUsed` if sent."""
    entries = await here.entries("acme")
    by_kind: dict[int, dict[tuple[Any, Any], Any]] = {
        kind: {(one.leaf.call, one.leaf.hop): one.payload for one in entries if one.leaf.kind == kind}
        for kind in (entry.DECIDED, entry.SETTLED, entry.KEY_USED)
    }
    decided, settled, used = by_kind.values()
    assert set(used) == {hop for hop, end in settled.items() if end.outcome != "not_sent"}
    assert all(used[hop].usage == settled[hop].usage for hop in used)
    return [(one.key.rpartition("/")[2], settled[hop].outcome, settled[hop].status) for hop, one in decided.items()]


async def test_where_the_first_is_slow_an_equal_serves_and_both_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hedging(tmp_path, monkeypatch) as (here, _, hedges, _):
        slow = Slow()
        here.provider.script = [slow]
        code, headers, body = await here.post("acme/x", chat())
        assert (code, headers["x-sekimori-key"], body) == (200, "clients/acme/second", completion())
        await until(slow.cut)  # its connection is not kept waiting
        assert here.provider.keys() == [OWN, SECOND]

        entries = [one for one in await here.entries("acme") if one.leaf.call == headers["x-request-id"]]
        kinds = [(one.leaf.kind, one.leaf.hop) for one in entries]
        assert kinds[:2] == [(entry.DECIDED, 0), (entry.DECIDED, 1)]
        ends = [(kind, hop) for hop in (0, 1) for kind in (entry.SETTLED, entry.KEY_USED)]
        assert kinds[2:] == ends
        numbers = [one.leaf.n for one in entries[2:]]
        assert numbers == list(range(numbers[0], numbers[0] + 4)), "in one write"
        assert entries[1].leaf.id == headers["x-sekimori-record"], "the reply names the record of what it is"
        first, second = (one.payload for one in entries[:2])
        assert isinstance(first, entry.Decided)
        assert isinstance(second, entry.Decided)
        assert (first.position, second.position) == ("primary", "primary")
        assert BESIDE not in first.reasons
        assert second.reasons == [*first.reasons, BESIDE]
        lost, won = entries[2].payload, entries[4].payload
        assert isinstance(lost, entry.Settled)
        assert isinstance(won, entry.Settled)
        assert (lost.outcome, lost.status, lost.reason, lost.released_bytes) == ("aborted", None, None, 0)
        assert lost.usage is not None
        assert lost.usage.estimated, "nobody knows what it used, so it is not nothing"
        assert (won.outcome, won.status, won.released_bytes) == ("answered", 200, len(completion()))
        assert won.usage is not None
        assert not won.usage.estimated
        assert await called(here) == [OWN], "that it lost says nothing of its health"
        assert hedges.made == 1


async def test_what_a_guard_masked_is_masked_on_every_leg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hedging(tmp_path, monkeypatch) as (here, _, hedges, _):
        await here.apply("kind: Guard\ntenant: acme\ninput: {piiDetection: {mode: mask}}\n")
        slow = Slow()
        here.provider.script = [slow]
        code, _, _ = await here.post("acme/x", chat(text="mail ana@example.org"))
        await until(slow.cut)
        assert (code, hedges.made) == (200, 1)
        first, second = (seen["messages"][0]["content"] for _, _, seen in here.provider.seen)
        assert first == second
        assert first.startswith("mail [EMAIL_")


async def test_a_stream_is_heard_with_its_first_event_and_the_other_cut_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hedging(tmp_path, monkeypatch) as (here, _, _, _):
        slow = Slow(b": nothing yet\n\n")

        async def serves(request: Request, reply: Reply, body: dict[str, Any]) -> None:
            await reply.start(200, [EVENTS])
            await reply.write(chunk("one "))
            await until(slow.cut)  # the test ends here if the loser went on beside the stream
            await reply.finish(chunk("two") + DONE)

        here.provider.script = [slow, serves]
        code, headers, body = await here.post("acme/x", chat(stream=True))
        assert (code, headers["x-sekimori-key"]) == (200, "clients/acme/second")
        assert body == chunk("one ") + chunk("two") + DONE
        assert await pairs(here) == [("own", "aborted", 200), ("second", "answered", 200)]


async def test_of_two_streams_that_begin_in_the_same_moment_one_is_cut_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hedging(tmp_path, monkeypatch) as (here, _, _, timer):
        timer.together = True
        begun = asyncio.Event()

        async def serves(request: Request, reply: Reply, body: dict[str, Any]) -> None:
            await until(begun)
            await reply.start(200, [EVENTS])
            await reply.write(chunk("one "))
            await until(here.provider.left)
            await reply.finish(chunk("two") + DONE)

        async def loses(request: Request, reply: Reply, body: dict[str, Any]) -> None:
            await reply.start(200, [EVENTS])
            await reply.write(chunk("lost "))
            begun.set()
            await until(asyncio.Event())

        here.provider.script = [serves, loses]
        code, headers, body = await here.post("acme/x", chat(stream=True))
        assert (code, headers["x-sekimori-key"]) == (200, "clients/acme/own")
        assert body == chunk("one ") + chunk("two") + DONE
        assert await pairs(here) == [("own", "answered", 200), ("second", "aborted", 200)]


async def test_the_first_may_still_be_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hedging(tmp_path, monkeypatch) as (here, _, _, _):
        slow, slower = Slow(), Slow()
        here.provider.script = [slow, slower]
        asked = asyncio.create_task(here.post("acme/x", chat()))
        await until(slower.asked)
        slow.go.set()
        code, headers, _ = await asked
        assert (code, headers["x-sekimori-key"]) == (200, "clients/acme/own")
        await until(slower.cut)
        assert await pairs(here) == [("own", "answered", 200), ("second", "aborted", None)]


async def test_a_reply_whose_head_is_here_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hedging(tmp_path, monkeypatch) as (here, _, hedges, timer):
        timer.by_hand = True

        async def halting(request: Request, reply: Reply, body: dict[str, Any]) -> None:
            whole = completion()
            await reply.start(200, [JSON], length=len(whole))
            await reply.write(whole[:10])
            async with asyncio.timeout(20):
                while timer.legs[0].answer.status is None:
                    await asyncio.sleep(0.001)
            timer.due.set()
            async with asyncio.timeout(20):
                while len(timer.waits) < 2:
                    await asyncio.sleep(0.001)
            await reply.finish(whole[10:])

        here.provider.script = [halting]
        assert (await here.post("acme/x", chat()))[0] == 200
        assert here.provider.keys() == [OWN]
        assert (timer.waits, hedges.made) == ([0.05, None], 0)


async def test_where_the_first_fails_the_hedge_under_way_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hedging(tmp_path, monkeypatch) as (here, hand, _, timer):
        for failure in (LIMITED, status(500)):  # the route does not name the latter: but the equal is asked already
            timer.heard.clear()
            beside = asyncio.Event()

            async def first(
                request: Request,
                reply: Reply,
                body: dict[str, Any],
                beside: asyncio.Event = beside,
                failure: Answer = failure,
            ) -> None:
                await until(beside)
                await failure(request, reply, body)

            async def second(
                request: Request, reply: Reply, body: dict[str, Any], beside: asyncio.Event = beside
            ) -> None:
                beside.set()
                await after(timer.heard)(request, reply, body)

            here.provider.script = [first, second]
            code, headers, _ = await here.post("acme/x", chat())
            assert (code, headers["x-sekimori-key"]) == (200, "clients/acme/second")
            assert await called(here) == [SECOND], "what failed rests"
            hand.now += 400.0
        ends = [one for one in await pairs(here) if one[0] == "own"]
        assert ends == [("own", "yielded", 429), ("own", "yielded", 500)]


async def test_where_both_fail_a_third_may_follow_as_ever_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fallback = "fallback: {key: operator/house}\n"
    async with hedging(tmp_path, monkeypatch, THREE + fallback) as (here, hand, _, _):

        def failing(one: Any, other: Any) -> list[Any]:
            asked, failed = asyncio.Event(), asyncio.Event()

            async def first(request: Request, reply: Reply, body: dict[str, Any]) -> None:
                await until(asked)
                await one(request, reply, body)
                failed.set()

            async def second(request: Request, reply: Reply, body: dict[str, Any]) -> None:
                asked.set()
                await until(failed)
                await other(request, reply, body)

            return [first, second]

        here.provider.script = failing(LIMITED, LIMITED)
        code, headers, _ = await here.post("acme/x", chat())
        assert (code, headers["x-sekimori-key"]) == (200, "clients/acme/third")
        assert await pairs(here) == [("own", "yielded", 429), ("second", "yielded", 429), ("third", "answered", 200)]

        # After a 500, which the route does not name, nothing may follow; that the other one says 429 changes nothing.
        for one, other in ((status(500), LIMITED), (LIMITED, status(500))):
            hand.now += 400.0
            before = len(here.provider.seen)
            here.provider.script = failing(one, other)
            code, _, body = await here.post("acme/x", chat())
            assert (code, code_of(body)) == (502, "upstream_error")
            assert here.provider.keys()[before:] == [OWN, SECOND]


async def test_an_equal_that_is_broken_takes_nothing_from_one_that_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nonsense(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.send(200, [JSON], b"<html>")

    async with hedging(tmp_path, monkeypatch) as (here, _, _, timer):
        for broken, code in ((status(401), 401), (status(404), 404), (nonsense, 200)):
            timer.heard.clear()
            known = len(await pairs(here))
            here.provider.script = [after(timer.heard), broken]
            told, headers, _ = await here.post("acme/x", chat())
            assert (told, headers["x-sekimori-key"]) == (200, "clients/acme/own")
            assert (await pairs(here))[known:] == [("own", "answered", 200), ("second", "yielded", code)]


async def test_where_both_say_that_the_caller_is_wrong_he_is_told_so_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hedging(tmp_path, monkeypatch) as (here, _, _, timer):
        first = Slow(then=status(400, "the first"))
        here.provider.script = [first, status(400, "the second")]
        asked = asyncio.create_task(here.post("acme/x", chat()))
        await until(timer.heard)
        first.go.set()
        code, headers, body = await asked
        assert (code, headers["x-sekimori-key"]) == (400, "clients/acme/second")
        assert b"the second" in body
        assert await pairs(here) == [("own", "yielded", 400), ("second", "answered", 400)]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_that_leaves_leaves_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    async with hedging(tmp_path, monkeypatch) as (here, _, _, _):
        first, second = Slow(), Slow()
        here.provider.script = [first, second]
        asked = asyncio.create_task(here.post("acme/x", chat(stream=stream)))
        await until(second.asked)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await until(first.cut)
        await until(second.cut)
        await here.settled()
        assert await pairs(here) == [("own", "aborted", None), ("second", "aborted", None)]
        assert await called(here) == [OWN], "and no probe or place is held"


async def test_two_may_be_asked_where_the_policy_says_so_and_never_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    four = THREE.replace("third}]", "third}, {key: clients/acme/fourth}]").replace("after: 50", "after: 50, most: 2")
    async with hedging(tmp_path, monkeypatch, four) as (here, _, hedges, _):
        first, second, third = Slow(), Slow(), Slow()
        here.provider.script = [first, second, third]
        asked = asyncio.create_task(here.post("acme/x", chat()))
        await until(third.asked)
        third.go.set()
        code, headers, _ = await asked
        assert (code, headers["x-sekimori-key"]) == (200, "clients/acme/third")
        await until(first.cut)
        await until(second.cut)
        assert here.provider.keys() == [OWN, SECOND, THIRD]
        assert [outcome for _, outcome, _ in await pairs(here)] == ["aborted", "aborted", "answered"]
        assert hedges.made == 2


async def test_at_most_one_call_in_ten_is_hedged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hedging(tmp_path, monkeypatch, watched=False) as (here, _, _, timer):
        assert await called(here, after(timer.alone)) == [OWN], "none is earned yet"
        for _ in range(EVERY - 2):
            assert await called(here) == [OWN]
        assert await called(here, Slow()) == [OWN, SECOND]
        timer.alone.clear()
        assert await called(here, after(timer.alone)) == [OWN], "it is used up"
        _, figures = await control(here, "/metrics")
        assert b"\nsekimori_hedges_total 1.0\n" in figures


@pytest.mark.parametrize("whose", ["tenant", "agent", "key"])
async def test_a_hedge_has_room_of_its_own_or_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    name = {"tenant": "tenant:", "agent": "agent:x", "key": "key:clients/acme/second"}[whose]
    of = {"tenant": "", "agent": "agent: x\n", "key": "key: clients/acme/second\n"}[whose]

    def limit(tokens: int) -> str:
        return f"kind: Limit\ntenant: acme\n{of}tokensPerDay: {tokens}\n"

    async with hedging(tmp_path, monkeypatch) as (here, _, hedges, timer):
        ask = chat(max_tokens=100)
        await here.apply(limit(1_000_000))
        assert await called(here, body=ask) == [OWN]
        [decided] = await here.of_kind("acme", entry.DECIDED)
        held = decided.reserved.input + decided.reserved.output
        used, places = (0, 1) if whose == "key" else (10, 2)  # the first hop is of another key

        await here.apply(limit(used + places * held - 1))
        timer.alone.clear()
        assert await called(here, after(timer.alone), body=ask) == [OWN]
        assert hedges.made == 0

        used += 0 if whose == "key" else 10
        await here.apply(limit(used + places * held))
        assert await called(here, Slow(), body=ask) == [OWN, SECOND]
        await here.settled()
        ends = await here.of_kind("acme", entry.KEY_USED)
        lost, won = ends[-2:]
        # Who is cut off is charged the most that it may have used.
        assert (lost.key, lost.usage.input + lost.usage.output, lost.usage.estimated) == (
            "clients/acme/own",
            held,
            True,
        )
        assert (won.key, won.usage.input + won.usage.output) == ("clients/acme/second", 10)
        counted = [one for one in ends if whose != "key" or one.key == "clients/acme/second"]
        spent = here.running.budget.used(scope(here, name))
        assert spent is not None
        assert spent[0] == sum(one.usage.input + one.usage.output for one in counted)


async def test_a_hop_that_has_sent_nothing_yet_lends_its_room_to_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hedging(tmp_path, monkeypatch) as (here, _, hedges, timer):
        ask = chat(max_tokens=100)
        await here.apply("kind: Limit\ntenant: acme\ntokensPerDay: 1000000\n")
        assert await called(here, body=ask) == [OWN]
        [decided] = await here.of_kind("acme", entry.DECIDED)
        held = decided.reserved.input + decided.reserved.output
        await here.apply(f"kind: Limit\ntenant: acme\ntokensPerDay: {10 + 2 * held - 1}\n")

        keys = here.running.home.keys
        fetch, go = keys.fetch, asyncio.Event()

        async def slow(route: Route) -> Held:
            await until(go)
            return await fetch(route)

        keys._held.clear()
        monkeypatch.setattr(keys, "fetch", slow)
        asked = asyncio.create_task(here.post("acme/x", ask))
        await until(timer.alone)  # the key is not lent yet, so it may still use all that it holds
        assert hedges.made == 0
        go.set()
        assert (await asked)[0] == 200
        assert here.provider.keys() == [OWN, OWN]


async def test_a_hedge_is_authorised_at_its_own_instant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    well = (
        f"{HEDGED}---\nkind: Agent\ntenant: acme\nname: x\nmodels: [tiny]\n---\n"
        "kind: Tenant\nname: acme\nmode: agency\n"
    )
    changes = {
        "the hedge is gone": PAIR,
        "the equal is gone": HEDGED.replace("second", "third"),
        "the first is gone": HEDGED.replace("clients/acme/own", "clients/acme/third"),
        "the agent may not call the model": "kind: Agent\ntenant: acme\nname: x\nmodels: [small]\n",
        "the tenant is suspended": "kind: Tenant\nname: acme\nmode: agency\nsuspended: true\n",
        "the API key is revoked": "",
    }
    async with hedging(tmp_path, monkeypatch) as (here, _, hedges, timer):
        timer.by_hand = True
        for what, change in changes.items():
            await here.apply(well)
            timer.alone.clear()

            async def meanwhile(request: Request, reply: Reply, body: dict[str, Any], change: str = change) -> None:
                if change:
                    await here.apply(change)
                else:
                    await here.verb("apikey revoke", Revoke(id=here.key_ids["acme/x"]))
                timer.due.set()
                await after(timer.alone)(request, reply, body)

            before = len(here.provider.seen)
            here.provider.script = [meanwhile]
            code, headers, _ = await here.post("acme/x", chat())
            assert (code, headers["x-sekimori-key"]) == (200, "clients/acme/own"), what
            assert here.provider.keys()[before:] == [OWN], what
        assert await pairs(here) == [("own", "answered", 200)] * len(changes)
        assert hedges.made == 0


async def test_a_key_that_is_frozen_is_not_lent_and_the_first_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hedging(tmp_path, monkeypatch) as (here, _, _, timer):
        await here.verb("key freeze", KeyPath(path="clients/acme/second"))
        here.provider.script = [after(timer.heard)]
        code, headers, _ = await here.post("acme/x", chat())
        assert (code, headers["x-sekimori-key"]) == (200, "clients/acme/own")
        assert here.provider.keys() == [OWN]
        assert await pairs(here) == [("own", "answered", 200), ("second", "yielded", None)]


async def test_nothing_of_a_hedge_leaves_before_its_record_or_once_it_is_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hedging(tmp_path, monkeypatch) as (here, hand, _, timer):
        ledger = here.running.home.ledger
        write, held, go = ledger.write, asyncio.Event(), asyncio.Event()

        async def slow(*drafts: Draft) -> list[str]:
            if any(draft.kind == entry.DECIDED and draft.hop == 1 for draft in drafts):
                held.set()
                await until(go)
            return await write(*drafts)

        monkeypatch.setattr(ledger, "write", slow)
        for then, keys, ends in (
            (answer_well, [OWN], [("own", "answered", 200), ("second", "not_sent", None)]),
            (status(500), [OWN], [("own", "answered", 500), ("second", "not_sent", None)]),
            (LIMITED, [OWN, SECOND], [("own", "yielded", 429), ("second", "answered", 200)]),
        ):
            held.clear()
            go.clear()
            first = Slow(then=then)
            before, known = len(here.provider.seen), len(await pairs(here))
            here.provider.script = [first]
            asked = asyncio.create_task(here.post("acme/x", chat()))
            await until(held)
            assert here.provider.keys()[before:] == [OWN], "not recorded yet"
            first.go.set()
            answer = timer.legs[0].answer
            async with asyncio.timeout(20):
                while not answer.body and answer.refusal is None:
                    await asyncio.sleep(0.001)
            go.set()
            await asked
            assert here.provider.keys()[before:] == keys
            assert (await pairs(here))[known:] == ends
            hand.now += 400.0


async def test_where_a_hedge_cannot_be_recorded_the_call_is_refused_and_both_places_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hedging(tmp_path, monkeypatch) as (here, _, _, _):
        ledger = here.running.home.ledger
        write = ledger.write

        async def breaks(*drafts: Draft) -> list[str]:
            if any(draft.kind == entry.DECIDED and draft.hop == 1 for draft in drafts):
                raise Fault("ledger_unavailable", "The disk is full.")
            return await write(*drafts)

        monkeypatch.setattr(ledger, "write", breaks)
        await here.apply("kind: Limit\ntenant: acme\ntokensPerDay: 1000000\n")
        slow = Slow()
        here.provider.script = [slow]
        code, _, body = await here.post("acme/x", chat())
        assert (code, code_of(body)) == (503, "ledger_unavailable")
        await until(slow.cut)
        assert here.provider.keys() == [OWN]
        assert await pairs(here) == [("own", "interrupted", None)]
        [used] = await here.of_kind("acme", entry.KEY_USED)
        assert used.usage.estimated, "it was sent"


async def test_a_probe_that_loses_gives_its_place_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hedging(tmp_path, monkeypatch) as (here, hand, _, timer):
        hand.draw = 0.9
        assert await called(here, LIMITED) == [SECOND, OWN]
        hand.draw = 0.0
        assert await called(here, after(timer.alone)) == [OWN], "what rests is not asked beside another"
        hand.now += 20.0
        first, probe = Slow(), Slow()
        here.provider.script = [first, probe]
        asked = asyncio.create_task(here.post("acme/x", chat()))
        await until(probe.asked)
        first.go.set()
        assert (await asked)[0] == 200
        await until(probe.cut)
        hand.draw = 0.9
        assert await called(here) == [SECOND], "the next call tries it"


async def test_a_call_that_needs_a_capability_or_may_be_kept_has_one_key_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = "kind: Agent\ntenant: acme\nname: {}\nmodels: [tiny]\ncapabilities: [{}]\n"
    documents = (HEDGED, agent.format("x", "web_search"), agent.format("y", "stored_state"))
    async with hedging(tmp_path, monkeypatch, *documents) as (here, _, hedges, _):
        await here.apply("kind: Route\ntenant: acme\nprovider: house\nagent: y\n" + HEDGED.partition("house\n")[2])
        assert (await here.post("acme/x", chat(web_search_options={})))[0] == 200
        assert (await here.post("acme/y", chat()))[0] == 200
        assert hedges.calls == 0, "for such a call nobody so much as looks at the clock"
        assert (await here.post("acme/x", chat()))[0] == 200
        assert hedges.calls == 1


async def test_explain_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with hedging(tmp_path, monkeypatch) as (here, _, _, _):
        told = await here.verb("route explain", Explain(tenant="acme", agent="x", model="tiny"))
        assert [hop["hedges"] for hop in told["routes"]] == [[50, 1], [50, 1]]
        show.route(told)
        assert "Where one brings nothing for 50 ms, an equal is asked beside it, for at most one call in 10." in (
            capsys.readouterr().out
        )
        [step] = [one for one in told["steps"] if one["check"] == "hedge"]
        assert step["text"] == "1 more at most, each after 50 ms without an answer."
