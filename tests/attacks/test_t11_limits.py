"""T11: limits are evaded by concurrency, restarts or clock steps."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sekimori.control.arguments import Revoke
from sekimori.http.server import Reply, Request
from sekimori.ledger import entry
from tests.attacks.attacker import CHAT, COUNT, MESSAGES, VERSION, Clock, back_up, call_bytes, code_of, question, wire
from tests.flows.place import EVENTS, Place, answer_well, chat, chunk, place, serving, status
from tests.flows.test_hedging import HEDGED, Slow, hedging
from tests.flows.test_routing import OWN

MINUTE = "kind: Limit\ntenant: acme\nagent: x\nrequestsPerMinute: 5\n"
TENANT = "kind: Limit\ntenant: acme\nrequestsPerMinute: 7\n"


async def admitted(here: Place, *calls: Any) -> int:
    """How many of some calls, all at once, were let through."""
    before = len(here.provider.seen)
    await asyncio.gather(*calls)
    return len(here.provider.seen) - before


async def test_a_burst_through_every_door_at_once_gets_exactly_the_bound(tmp_path: Path) -> None:
    async with place(tmp_path, documents=f"{MINUTE}---\n{TENANT}") as here:
        calls = [
            lambda: here.post("acme/x", chat()),
            lambda: here.post("acme/x", chat("house/tiny", stream=True)),
            lambda: here.post("acme/x", chat("small")),
            lambda: here.post("acme/x", question(), MESSAGES, VERSION),
            lambda: here.post("acme/x", {"model": "tiny", "messages": []}, COUNT, VERSION),
            lambda: here.post("acme/x", chat("acme-only")),
        ]
        assert await admitted(here, *(call() for call in calls * 5)) == 5
        assert await admitted(here, *(here.post("acme/y", chat()) for _ in range(10))) == 2, "the tenant's own bound"
        assert await admitted(here, *(here.post("globex/z", chat()) for _ in range(4))) == 4, "a neighbour's are his"


async def test_new_keys_connections_and_pipelines_open_no_second_window(tmp_path: Path) -> None:
    async with place(tmp_path, documents=MINUTE) as here:
        first = here.keys["acme/x"]
        assert await admitted(here, *(here.post("acme/x", chat()) for _ in range(4))) == 4
        second = await here.issue("acme", "x")
        await here.verb("apikey revoke", Revoke(id=here.key_ids["acme/x"]))
        third = await here.issue("acme", "x")
        assert len({first, second, third}) == 3
        before = len(here.provider.seen)
        async with wire(here.running.gateway_port) as end:
            end.send(b"".join(call_bytes(key) for key in (first, third, first, third) * 3))
            codes = [(await end.reply())[0] for _ in range(12)]
        assert codes.count(200) == len(here.provider.seen) - before == 1
        # Nor does a change of documents, of the limit itself included.
        await here.apply("kind: Agent\ntenant: acme\nname: x\nmodels: [tiny]\n")
        assert (await here.post("acme/x", chat()))[0] == 429
        await here.apply(MINUTE.replace("5", "6"))
        assert await admitted(here, *(here.post("acme/x", chat()) for _ in range(5))) == 1
        await here.apply(MINUTE.replace("5", "2"))
        assert (await here.post("acme/x", chat()))[0] == 429


async def test_calls_that_fail_or_are_left_count_like_others(tmp_path: Path) -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    async def hangs(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    async with place(tmp_path, documents=MINUTE) as here:
        here.provider.script = [status(500), status(400), status(429), answer_well, hangs]
        assert (await here.post("acme/x", chat()))[0] == 502
        assert (await here.post("acme/x", chat()))[0] == 400
        assert (await here.post("acme/x", chat()))[0] == 200  # by the fallback: one call, one place
        call = asyncio.create_task(here.post("acme/x", chat()))
        await asyncio.wait_for(arrived.wait(), 10)
        call.cancel()
        await asyncio.wait_for(left.wait(), 10)
        await here.settled()
        assert (await here.post("acme/x", chat()))[0] == 200
        assert (await here.post("acme/x", chat()))[0] == 429
        # What was refused before it was admitted takes no place from who is allowed.
        for body in (b"{", json.dumps(chat("nobody-has-it")).encode(), b"[]"):
            await here.post("acme/y", body)
        assert (await here.post("acme/y", chat()))[0] == 200


async def test_neither_a_restart_nor_the_wall_clock_opens_the_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    async with place(tmp_path, documents=MINUTE) as here:
        assert await admitted(here, *(here.post("acme/x", chat()) for _ in range(9))) == 5
        for ahead in (61.0, 86_400.0, -3600.0, 0.0):
            clock.ahead_s = ahead
            assert (await here.post("acme/x", chat()))[0] == 429, f"a clock that stepped by {ahead} s"
    for behind in (0.0, -30.0, -7200.0):
        clock.ahead_s = behind
        async with back_up(here), serving(here):
            assert (await here.post("acme/x", chat()))[0] == 429, f"a restart with the clock {behind} s off"
            assert await admitted(here, *(here.post("acme/y", chat()) for _ in range(3))) == 3
            await here.check_invariants()  # the record is whole, whatever its clock did


async def test_concurrency_is_held_exactly_and_given_back_on_every_way_out(tmp_path: Path) -> None:
    running, most = 0, 0
    go = asyncio.Event()

    async def counts(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await reply.start(200, [EVENTS])
            await reply.write(chunk("one "))
            await go.wait()
            await reply.finish(b"data: [DONE]\n\n")
        finally:
            running -= 1

    limit = "kind: Limit\ntenant: acme\nagent: x\nconcurrency: 3\n"
    async with place(tmp_path, documents=limit) as here:
        here.provider.script = [counts] * 3
        held = [asyncio.create_task(here.post("acme/x", chat(stream=True))) for _ in range(3)]
        async with asyncio.timeout(10):
            while running < 3:
                await asyncio.sleep(0.005)
        for _ in range(8):
            code, headers, body = await here.post("acme/x", chat())
            assert (code, code_of(body)) == (429, "concurrency_limited")
            assert int(headers["retry-after"]) >= 1
        assert (await here.post("acme/y", chat()))[0] == 200
        held[0].cancel()  # one caller leaves: his place is free once his call has been settled
        async with asyncio.timeout(10):
            while running == 3:
                await asyncio.sleep(0.005)
        async with asyncio.timeout(10):
            while (await here.post("acme/x", chat()))[0] != 200:
                await asyncio.sleep(0.01)
        go.set()
        await asyncio.gather(*held[1:])
        assert most == 3
        here.provider.script = [status(500), status(400)]
        for _ in range(2):
            await here.post("acme/x", chat())
        codes = [code for code, _, _ in await asyncio.gather(*(here.post("acme/x", chat()) for _ in range(3)))]
        assert codes == [200] * 3
        assert not list(here.running.budget.running())


async def test_a_call_that_never_left_gives_its_place_back_and_cannot_be_minted_into_more(tmp_path: Path) -> None:
    async with place(tmp_path, documents=MINUTE) as here:
        pool: Any = here.running.pool
        connect = pool.connect

        async def nobody(*arguments: Any) -> Any:
            raise OSError(111, "refused")

        pool.connect = nobody
        for _ in range(12):
            assert (await here.post("acme/x", chat()))[0] == 502
        pool.connect = connect
        assert {one.outcome for one in await here.of_kind("acme", entry.SETTLED)} == {"not_sent"}
        assert await admitted(here, *(here.post("acme/x", chat()) for _ in range(20))) == 5
    async with back_up(here), serving(here):
        assert (await here.post("acme/x", chat()))[0] == 429, "calls that never left shifted the window of a restart"


async def test_figures_in_refusals_are_true_and_waiting_that_long_is_enough(tmp_path: Path) -> None:
    async with place(tmp_path, documents=MINUTE) as here:
        budget: Any = here.running.budget
        clock, ahead = budget._clock, 0.0
        budget._clock = lambda: clock() + ahead
        for left in (4, 3, 2, 1, 0):
            _, headers, _ = await here.post("acme/x", chat())
            assert headers["x-ratelimit-remaining-requests"] == str(left)
        code, headers, _ = await here.post("acme/x", chat(), CHAT)
        assert code == 429
        ahead = float(headers["retry-after"])
        assert (await here.post("acme/x", chat()))[0] == 200


def tokens(bound: int, *of: str) -> str:
    return "---\n".join(f"kind: Limit\ntenant: acme\n{one}tokensPerDay: {bound}\n" for one in of or ("",))


async def used(here: Place) -> int:
    """Tokens that the record says were used."""
    return sum(one.usage.input + one.usage.output for one in await here.of_kind("acme", entry.KEY_USED) if one.usage)


async def test_a_burst_gets_no_more_tokens_than_the_budget_and_cancelling_mints_none(tmp_path: Path) -> None:
    """Each call holds 24 tokens or so of input and 30 of output until it has ended: 400 are room for a few at once."""
    async with place(tmp_path, documents=tokens(400)) as here:
        open_ = 0
        highest = 0

        async def slow(request: Request, reply: Reply, body: dict[str, Any]) -> None:
            nonlocal open_, highest
            open_ += 1
            highest = max(highest, open_)
            await asyncio.sleep(0.05)
            open_ -= 1
            await answer_well(request, reply, body)

        here.provider.script = [slow] * 200
        calls = [asyncio.create_task(here.post("acme/x", chat(max_tokens=30))) for _ in range(60)]
        await asyncio.sleep(0.02)
        for task in calls[::4]:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await here.settled()
        assert highest * (30 + 20) <= 400
        for _ in range(40):
            await here.post("acme/x", chat(max_tokens=30))
        assert 300 < await used(here) <= 400
        assert not list(here.running.budget.running())


async def test_a_slow_provider_and_a_policy_that_hedges_pass_no_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limit(bound: int) -> str:
        return f"kind: Limit\ntenant: acme\ntokensPerDay: {bound}\n"

    async with hedging(tmp_path, monkeypatch) as (here, _, hedges, timer):
        await here.apply(limit(1_000_000))
        assert (await here.post("acme/x", chat(max_tokens=30)))[0] == 200
        [decided] = await here.of_kind("acme", entry.DECIDED)
        held = decided.reserved.input + decided.reserved.output
        # Room for four calls and for one of them twice.
        bound = await used(here) + 6 * held - 1
        await here.apply(limit(bound))
        slow = [Slow() for _ in range(8)]
        here.provider.script = list(slow)
        timer.waits.clear()
        calls = [asyncio.create_task(here.post("acme/x", chat(max_tokens=30))) for _ in range(4)]
        async with asyncio.timeout(20):
            while timer.waits.count(None) < 4:  # none of them asks anybody else
                await asyncio.sleep(0.01)
        assert (len(here.provider.seen), hedges.made) == (6, 1)
        assert (await here.post("acme/x", chat(max_tokens=30)))[0] == 429, "what is asked twice holds twice"
        for one, key in zip(slow, here.provider.keys()[1:], strict=False):
            if key == OWN:
                one.go.set()
        assert [code for code, _, _ in await asyncio.gather(*calls)] == [200] * 4
        await here.settled()
        assert await used(here) == 5 * 10 + held <= bound
        assert not list(here.running.budget.running())


async def test_a_key_that_takes_one_call_at_a_time_takes_one_hedge_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = "kind: Limit\ntenant: acme\nkey: clients/acme/second\nconcurrency: 1\n"
    async with hedging(tmp_path, monkeypatch, HEDGED, limit) as (here, _, hedges, timer):
        slow = [Slow() for _ in range(3)]
        here.provider.script = list(slow)
        calls = [asyncio.create_task(here.post("acme/x", chat())) for _ in range(2)]
        async with asyncio.timeout(20):
            while timer.waits.count(None) < 2:
                await asyncio.sleep(0.01)
        assert (len(here.provider.seen), hedges.made) == (3, 1)
        for one in slow:
            one.go.set()
        assert [code for code, _, _ in await asyncio.gather(*calls)] == [200, 200]


async def test_asking_for_absurdly_long_answers_buys_nothing(tmp_path: Path) -> None:
    async with place(tmp_path, documents=tokens(5000)) as here:
        for more in (
            {"max_tokens": 2**31 - 1},
            {"max_completion_tokens": 5000},
            {"max_tokens": 100, "n": 64},
            {"n": 2},  # no bound of its own: the default, twice
            {"stream": True},
        ):
            code, headers, body = await here.post("acme/x", chat(**more))
            assert (code, code_of(body)) == (429, "budget_exhausted"), more
            assert headers["x-should-retry"] == "false"
        assert (await here.post("acme/x", question(max_tokens=10**6), MESSAGES, VERSION))[0] == 429
        assert not here.provider.seen
        # A cap of the document is what a call may ask for, and what counts where it asks for nothing.
        await here.apply(tokens(5000).replace("tokensPerDay", "maxOutputTokens: 50\ntokensPerDay"))
        code, _, body = await here.post("acme/x", chat(max_tokens=51))
        assert (code, code_of(body)) == (400, "output_cap_exceeded")
        assert (await here.post("acme/x", chat()))[0] == 200


async def test_changed_or_missing_tags_escape_no_budget_that_the_document_puts_on_them(tmp_path: Path) -> None:
    agent = "kind: Agent\ntenant: acme\nname: x\nmodels: [tiny]\ntagged: [lab]\ntags: [free]\n---\n"
    async with place(tmp_path, documents=agent + tokens(100, "tag: lab\n")) as here:
        assert (await here.post("acme/x", chat(max_tokens=80)))[0] == 429
        assert (await here.post("acme/x", chat(max_tokens=30)))[0] == 200
        header = b"x-sekimori-tags"
        for more, answer in (
            ((header, b"free"), 429),
            ((header, b"lab"), 429),
            ((header, b"LAB,free"), 429),
            ((header, b"lab2"), 403),
            ((header, b"other"), 403),
            ((header, b",lab"), 429),
            ((header, b"lab free"), 400),
            ((header, b"\xc3\xbcber"), 400),
        ):
            code, _, _ = await here.post("acme/x", chat(max_tokens=70), CHAT, more)
            assert code == answer, more
        twice = [(header, b"free"), (header, b"free")]
        assert (await here.post("acme/x", chat(max_tokens=70), CHAT, *twice))[0] in (400, 401, 429)
        assert await used(here) == 10


async def test_a_clock_that_is_set_back_opens_no_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    async with place(tmp_path, documents=tokens(100)) as here:
        assert (await here.post("acme/x", chat(max_tokens=60)))[0] == 200
        assert (await here.post("acme/x", chat(max_tokens=60)))[0] == 200
        assert (await here.post("acme/x", chat(max_tokens=80)))[0] == 429
        clock.ahead_s = -86_400.0
        assert (await here.post("acme/x", chat(max_tokens=80)))[0] == 429
    async with back_up(here), serving(here):
        assert (await here.post("acme/x", chat(max_tokens=80)))[0] == 429, "nor does a restart"
        clock.ahead_s = 86_400.0
        assert (await here.post("acme/x", chat(max_tokens=60)))[0] == 200, "tomorrow it does"


async def test_tokens_are_counted_through_every_door(tmp_path: Path) -> None:
    async with place(tmp_path, documents=tokens(100)) as here:
        long = "x" * 400
        for body, path in (
            (chat(text=long, max_tokens=1), CHAT),
            (question(text=long, max_tokens=1), MESSAGES),
            ({"model": "tiny", "messages": [{"role": "user", "content": long}]}, COUNT),
        ):
            code, _, _ = await here.post("acme/x", body, path, *([] if path == CHAT else [VERSION]))
            assert code == 429, path
        assert not here.provider.seen
