"""Budgets in a whole deployment: they bite, open again, survive a restart, and agree with the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from sekimori.control.arguments import Usage as UsageOf
from sekimori.http.server import Reply, Request
from sekimori.ledger import entry
from sekimori.ledger.protocols import Recorded
from tests.attacks.attacker import MESSAGES, VERSION, back_up, question
from tests.flows.place import EVENTS, JSON, Place, answer_well, chat, chunk, place, serving, status

PRICES = """
kind: Operator
allowPrivate: [{{host: 127.0.0.1, port: {port}}}]
prices:
- {{catalog: compatible, model: tiny, input: "1", output: "10", source: contract, date: 2026-11-01}}
"""
# 7 tokens in and 3 out (tests/flows/place) cost 7 * 1,000 + 3 * 10,000 nano-dollars.
COST = 37_000


async def no_usage(request: Request, reply: Reply, body: dict[str, Any]) -> None:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
    await reply.send(200, [JSON], json.dumps({"id": "c", "choices": [choice]}).encode())


async def message(request: Request, reply: Reply, body: dict[str, Any]) -> None:
    said = {"type": "message", "role": "assistant", "content": [], "usage": {"input_tokens": 4, "output_tokens": 2}}
    await reply.send(200, [JSON], json.dumps({"id": "m", "model": "tiny", "stop_reason": "end_turn", **said}).encode())


async def cut(request: Request, reply: Reply, body: dict[str, Any]) -> None:
    await reply.start(200, [EVENTS])
    await reply.write(chunk("one "))
    reply.abort()


async def priced(here: Place, *limits: str) -> None:
    await here.apply("---\n".join([PRICES.format(port=here.provider_port), *limits]))


async def uses(here: Place, tenant: str = "acme") -> list[Recorded]:
    return [one for one in await here.entries(tenant) if one.leaf.kind == entry.KEY_USED]


def spent(entries: list[Recorded]) -> tuple[int, int]:
    """(tokens, nano) of what the ledger says."""
    tokens = nano = 0
    for one in entries:
        assert isinstance(one.payload, entry.KeyUsed)
        if one.payload.usage is not None:
            tokens += one.payload.usage.input + one.payload.usage.output
        nano += one.payload.cost_nano or 0
    return tokens, nano


def scope(here: Place, name: str) -> str:
    snapshot = here.running.home.snapshot
    kind, _, rest = name.partition(":")
    tenant = snapshot.uid("tenant/acme")
    if kind == "tenant":
        return f"tenant:{tenant}"
    if kind == "agent":
        return f"agent:{snapshot.uid(f'agent/acme/{rest}')}"
    return f"key:{tenant}/{snapshot.uid(f'key/{rest}')}" if kind == "key" else f"tag:{tenant}/{rest}"


async def test_a_money_budget_bites_and_says_when_it_opens(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        # A call of 70 bytes or so holds 24 input tokens or so and 10 of output: 130,000 nano-dollars at most.
        await priced(here, "kind: Limit\ntenant: acme\nmoneyPerDay: '0.0002'\n")
        codes = []
        for _ in range(6):
            code, headers, body = await here.post("acme/x", chat(max_tokens=10))
            codes.append(code)
        assert codes == [200, 200, 429, 429, 429, 429]
        assert headers["x-should-retry"] == "false"
        assert "retry-after" not in headers
        error = json.loads(body)["error"]
        assert error["code"] == "budget_exhausted"
        assert error["type"] == "rate_limit_error"
        assert "moneyPerDay" in error["message"]
        assert "T00:00:00Z" in error["message"]
        assert (await here.post("globex/z", chat(max_tokens=10)))[0] == 200, "a neighbour's budget is his"
        assert spent(await uses(here)) == (20, 2 * COST)
        assert here.running.budget.used(scope(here, "tenant:")) == (20, 2 * COST, 2 * COST)
        code, _, body = await here.post("acme/x", chat("small", max_tokens=10))
        assert (code, json.loads(body)["error"]["code"]) == (403, "budget_unpriced")
        # A higher bound holds at once.
        await priced(here, "kind: Limit\ntenant: acme\nmoneyPerDay: '0.01'\n")
        assert (await here.post("acme/x", chat(max_tokens=10)))[0] == 200


async def test_tokens_a_minute_are_told_in_both_dialects(tmp_path: Path) -> None:
    async with place(tmp_path, documents="kind: Limit\ntenant: acme\ntokensPerMinute: 100\n") as here:
        code, headers, _ = await here.post("acme/x", chat(max_tokens=40))
        assert code == 200
        assert headers["x-ratelimit-limit-tokens"] == "100"
        assert 0 < int(headers["x-ratelimit-remaining-tokens"]) < 60
        assert headers["x-ratelimit-reset-tokens"].endswith("s")
        here.provider.script = [message]
        code, headers, _ = await here.post("acme/x", question(max_tokens=40), MESSAGES, VERSION)
        assert code == 200
        assert headers["anthropic-ratelimit-tokens-limit"] == "100"
        assert headers["anthropic-ratelimit-tokens-reset"].endswith("Z")
        code, headers, body = await here.post("acme/x", question(max_tokens=70), MESSAGES, VERSION)
        assert (code, json.loads(body)["error"]["type"]) == (429, "rate_limit_error")
        assert int(headers["anthropic-ratelimit-tokens-remaining"]) == 100 - 10 - 6
        assert 0 < int(headers["retry-after"]) <= 61
        code, headers, body = await here.post("acme/x", chat(max_tokens=1000))
        assert (code, json.loads(body)["error"]["code"]) == (429, "tokens_limited")
        assert headers["x-should-retry"] == "false", "it can never fit"
        assert headers["x-ratelimit-remaining-tokens"] == "84"


async def test_what_nobody_knows_is_settled_at_the_reservation(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await priced(here, "kind: Limit\ntenant: acme\nmoneyPerDay: '1'\n")
        here.provider.script = [no_usage, cut]
        assert (await here.post("acme/x", chat(max_tokens=10)))[0] == 200
        await here.post("acme/x", chat(max_tokens=20, stream=True))
        decided = await here.of_kind("acme", entry.DECIDED)
        settled = await here.of_kind("acme", entry.SETTLED)
        used = [one.payload for one in await uses(here)]
        for before, after, key in zip(decided, settled, used, strict=True):
            assert before.reserved is not None
            assert after.usage == key.usage == before.reserved
            assert after.usage.estimated
            assert after.cost_nano == key.cost_nano == before.reserved_nano
        assert [one.reserved.output for one in decided] == [one.max_output for one in decided] == [10, 20]
        assert [one.outcome for one in settled] == ["answered", "interrupted"]
        assert here.running.budget.used(scope(here, "tenant:"))[:2] == spent(await uses(here))  # type: ignore[index]
    # Without such a bound the estimate follows the bytes, as it did.
    async with place(tmp_path / "other") as here:
        here.provider.script = [no_usage]
        await here.post("acme/x", chat(max_tokens=5000))
        (used_up,) = [one.payload for one in await uses(here)]
        assert used_up.usage.estimated
        assert used_up.usage.output < 100


async def test_a_caller_who_leaves_pays_what_was_reserved_and_holds_nothing(tmp_path: Path) -> None:
    async with place(tmp_path, documents="kind: Limit\ntenant: acme\ntokensPerDay: 1000\n") as here:

        async def never(request: Request, reply: Reply, body: dict[str, Any]) -> None:
            await reply.start(200, [EVENTS])
            await reply.write(chunk("one "))
            await asyncio.sleep(60)

        here.provider.script = [never]
        task = asyncio.create_task(here.post("acme/x", chat(max_tokens=100, stream=True)))
        async with asyncio.timeout(15):
            while not here.provider.seen:
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await here.settled()
        (decided,) = await here.of_kind("acme", entry.DECIDED)
        assert here.running.budget.used(scope(here, "tenant:"))[0] == decided.reserved.input + 100  # type: ignore[index]


async def test_a_hop_that_gave_way_counts_where_it_used_something(tmp_path: Path) -> None:
    fallback = """
kind: Route
tenant: acme
provider: house
key: clients/acme/own
fallback: {key: operator/house, when: [rate_limited, server_error]}
"""
    async with place(tmp_path) as here:
        await priced(here, fallback, "kind: Limit\ntenant: acme\nmoneyPerDay: '0.01'\n")
        here.provider.script = [status(429), answer_well]
        assert (await here.post("acme/x", chat(max_tokens=10)))[0] == 200
        assert spent(await uses(here)) == (10, COST)
        assert here.running.budget.used(scope(here, "tenant:")) == (10, COST, COST)
        # The operator's key has a bound of its own for this tenant: with no room there, the hop does not follow.
        await here.apply("kind: Limit\ntenant: acme\nkey: operator/house\ntokensPerDay: 20\n")
        here.provider.script = [status(429), answer_well]
        assert (await here.post("acme/x", chat(max_tokens=10)))[0] == 429
        assert here.running.budget.used(scope(here, "key:operator/house")) == (10, COST, COST)
        assert len(here.provider.seen) == 3


TAGGED = """
kind: Agent
tenant: acme
name: x
models: [tiny, small, acme-only]
tags: ["team-*"]
tagged: [research]
---
kind: Limit
tenant: acme
tag: research
tokensPerDay: 60
---
kind: Limit
tenant: acme
tag: team-a
tokensPerDay: 60
"""


async def test_tags_are_recorded_reported_and_bounded(tmp_path: Path) -> None:
    async with place(tmp_path, documents=TAGGED) as here:
        tags = (b"x-sekimori-tags", b"Team-A, team-b")
        session = (b"x-sekimori-session", b"s-1")
        code, _, _ = await here.post("acme/x", chat(max_tokens=10, user="u-7"), "/v1/chat/completions", tags, session)
        assert code == 200
        assert (await here.post("acme/x", chat(max_tokens=10)))[0] == 200
        assert (await here.post("acme/y", chat(max_tokens=10)))[0] == 200
        decided = await here.of_kind("acme", entry.DECIDED)
        said = [one.tags for one in decided]
        assert said[0].tags == ("research", "team-a", "team-b")
        assert (said[0].end_user, said[0].session) == ("u-7", "s-1")
        assert said[1].tags == ("research",)
        assert said[2] is None
        assert [one.payload.tags for one in await uses(here)] == said
        for name, tokens in (("tag:research", 20), ("tag:team-a", 10)):
            assert here.running.budget.used(scope(here, name))[0] == tokens  # type: ignore[index]
        assert (await here.post("acme/x", chat(max_tokens=30)))[0] == 429
        code, _, body = await here.post("acme/x", chat(), "/v1/chat/completions", (b"x-sekimori-tags", b"made-up"))
        assert (code, json.loads(body)["error"]["code"]) == (403, "tag_not_allowed")
        for wrong in (b"", b"a b", b"a\xff", b",".join(b"t%d" % n for n in range(9)), b"x" * 65):
            code, _, body = await here.post("acme/x", chat(), "/v1/chat/completions", (b"x-sekimori-tags", wrong))
            assert (code, json.loads(body)["error"]["code"]) == (400, "bad_request"), wrong

        by_tag = await here.verb("usage", UsageOf(by=("tag",)))
        assert [(one["tags"], one["uses"], one["input"] + one["output"]) for one in by_tag] == [
            ("", 1, 10),
            ("research", 1, 10),
            ("research,team-a,team-b", 1, 10),
        ]
        (of_tag,) = await here.verb("usage", UsageOf(tag="research"))
        assert of_tag["uses"] == 2
        assert await here.verb("usage", UsageOf(tag="team")) == []
        by_user = await here.verb("usage", UsageOf(by=("user", "session")))
        assert [(one["end_user"], one["session"], one["uses"]) for one in by_user] == [("", "", 2), ("u-7", "s-1", 1)]
        entries = await uses(here)
        for by in [(), ("tag",), ("user",), ("session",), ("agent", "tag", "day"), ("key", "model", "session")]:
            lines = await here.verb("usage", UsageOf(by=by, tenant="acme"))
            assert sum(one["uses"] for one in lines) == len(entries)
            assert sum(one["input"] + one["output"] for one in lines) == spent(entries)[0]
            assert sum(one["cost_nano"] for one in lines) == spent(entries)[1]


async def test_a_restart_reads_what_was_used_from_the_record(tmp_path: Path) -> None:
    limits = """
kind: Limit
tenant: acme
moneyPerMonth: '1'
---
kind: Limit
tenant: acme
agent: x
tokensPerDay: 100
---
kind: Limit
tenant: acme
key: clients/acme/own
tokensPerDay: 1000
"""
    async with place(tmp_path) as here:
        for _ in range(3):  # before there was any bound
            assert (await here.post("acme/x", chat(max_tokens=10)))[0] == 200
        await priced(here, limits)
        for agent in ("acme/x", "acme/y"):
            assert (await here.post(agent, chat(max_tokens=10)))[0] == 200
        names = ("tenant:", "agent:x", "key:clients/acme/own")
        before = [here.running.budget.used(scope(here, name)) for name in names]
        assert [one and one[0] for one in before] == [50, 40, 50]
        assert before[0] == (*spent(await uses(here)), spent(await uses(here))[1])
        assert (await here.post("acme/x", chat(max_tokens=50)))[0] == 429
    async with back_up(here), serving(here):
        assert (await here.post("acme/x", chat(max_tokens=50)))[0] == 429, "a restart opened the day anew"
        assert [here.running.budget.used(scope(here, name)) for name in names] == before
        assert (await here.post("acme/x", chat(max_tokens=10)))[0] == 200


async def test_a_record_that_cannot_be_read_closes_the_budgets_of_its_tenant_alone(tmp_path: Path) -> None:
    documents = (
        "kind: Limit\ntenant: acme\ntokensPerDay: 10000\n---\nkind: Limit\ntenant: globex\ntokensPerDay: 10000\n"
    )
    async with place(tmp_path, documents=documents) as here:
        for agent in ("acme/x", "globex/z"):
            assert (await here.post(agent, chat(max_tokens=10)))[0] == 200
        uid = here.running.home.snapshot.uid("tenant/acme")
    file = here.home / "tenants" / f"{uid}.sqlite"
    rename(file, "usage", "usage_away")
    async with back_up(here), serving(here):
        for _ in range(2):
            code, headers, body = await here.post("acme/x", chat(max_tokens=10))
            assert (code, json.loads(body)["error"]["code"]) == (503, "budget_unknown")
        assert headers["retry-after"] == "5"
        assert (await here.post("globex/z", chat(max_tokens=10)))[0] == 200
        assert len(here.provider.seen) == 3
        await here.apply("kind: Limit\ntenant: acme\nrequestsPerMinute: 1000\n")
        assert (await here.post("acme/x", chat(max_tokens=10)))[0] == 200, "no bound on usage, nothing to be known"
        await here.apply(documents)
        rename(file, "usage_away", "usage")
        budget: Any = here.running.budget
        clock = budget._clock
        budget._clock = lambda: clock() + 6
        assert (await here.post("acme/x", chat(max_tokens=10)))[0] == 200
        assert here.running.budget.used(scope(here, "tenant:"))[0] == spent(await uses(here))[0] == 30  # type: ignore[index]


def rename(file: Path, table: str, to: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO {to}")
        connection.commit()


@pytest.mark.parametrize("operation", ["count_tokens"])
async def test_counting_holds_its_input_and_is_charged_nothing(tmp_path: Path, operation: str) -> None:
    async def count(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.send(200, [JSON], b'{"input_tokens": 11}')

    async with place(tmp_path, documents="kind: Limit\ntenant: acme\ntokensPerDay: 100\n") as here:
        here.provider.script = [count]
        body = {"model": "tiny", "messages": [{"role": "user", "content": "x" * 100}]}
        assert (await here.post("acme/x", body, f"{MESSAGES}/{operation}", VERSION))[0] == 200
        assert here.running.budget.used(scope(here, "tenant:")) == (0, 0, 0)
        body["messages"][0]["content"] = "x" * 400  # type: ignore[index]
        assert (await here.post("acme/x", body, f"{MESSAGES}/{operation}", VERSION))[0] == 429


async def test_a_key_without_room_never_makes_a_call_fall_back(tmp_path: Path) -> None:
    limit = "kind: Limit\ntenant: acme\nkey: clients/acme/own\ntokensPerDay: 60\n"
    async with place(tmp_path, documents=limit) as here:
        assert (await here.post("acme/x", chat(max_tokens=10)))[0] == 200
        code, _, body = await here.post("acme/x", chat(max_tokens=40))
        assert (code, json.loads(body)["error"]["code"]) == (429, "budget_exhausted")
        assert "This key may use 60 tokens a day" in json.loads(body)["error"]["message"]
        assert len(here.provider.seen) == 1, "there is a fallback, and it was not asked"
        # A fallback that a provider's answer lets try has its own bounds, and the first key's are not in its way.
        here.provider.script = [status(429), answer_well]
        assert (await here.post("acme/x", chat(max_tokens=10)))[0] == 200
        assert here.running.budget.used(scope(here, "key:clients/acme/own")) == (10, 0, 0)
        assert not list(here.running.budget.running())
