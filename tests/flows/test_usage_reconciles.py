"""What usage reports say is what the ledger says, and that is what the provider counted: after price changes in
mid-call, cancellations and faults, by every grouping and in every form."""

from __future__ import annotations

import asyncio
import csv
import io
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sekimori import serve
from sekimori.cli import show
from sekimori.control.arguments import Put
from sekimori.control.arguments import Usage as UsageOf
from sekimori.control.home import open_home
from sekimori.http.server import Reply, Request
from sekimori.ledger import entry
from sekimori.ledger.protocols import Recorded
from sekimori.meter.prices import DAY_MS, day_of
from sekimori.sandbox.app import serve_sandbox
from sekimori.sandbox.provider import Provider as Sandbox
from sekimori.sandbox.replies import fingerprint
from sekimori.terms import NO_TAGS, Usage
from tests.flows.place import DONE, EVENTS, JSON, USAGE_EVENT, Place, chat, chunk, completion, place

OPERATOR = """
kind: Operator
allowPrivate: [{{host: 127.0.0.1, port: {port}}}]
prices:
- {{catalog: compatible, model: tiny, input: "{input}", output: "{output}", source: {source}, date: 2026-11-01}}
- {{catalog: compatible, model: tiny, from: 2099-01-01, input: "1000", output: "1000", source: later, date: 2026-11-01}}
"""
A, B = "contract-a (2026-11-01)", "contract-b (2026-11-01)"
COST_A = 7 * 1_000 + 3 * 10_000
"""Nano-dollars of 7 tokens in and 3 out (tests/flows/place) at 1 and 10 dollars a million."""
COST_B = 7 * 2_000 + 3 * 25_000


class Gate:
    """A provider's answers that wait, a stream in the middle of it, until the test opens."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def __call__(self, request: Request, reply: Reply, body: dict[str, Any]) -> None:
        if body.get("stream"):
            await reply.start(200, [EVENTS])
            await reply.write(chunk("one "))
            await self.opened.wait()
            await reply.write(USAGE_EVENT)
            await reply.finish(DONE)
        else:
            await self.opened.wait()
            await reply.send(200, [JSON], completion())


async def price_of_tiny(here: Place, input: str, output: str, source: str) -> None:
    await here.apply(OPERATOR.format(port=here.provider_port, input=input, output=output, source=source))


async def held_up(here: Place, gate: Gate, *bodies: dict[str, Any]) -> list[asyncio.Task[Any]]:
    """Calls that have arrived at the provider and are not answered."""
    before = len(here.provider.seen)
    here.provider.script = [gate for _ in bodies]
    tasks = [asyncio.create_task(here.post("acme/x", body)) for body in bodies]
    async with asyncio.timeout(15):
        while len(here.provider.seen) < before + len(bodies):
            await asyncio.sleep(0.01)
    return tasks


async def settled(here: Place) -> list[Recorded]:
    return [one for one in await here.entries("acme") if one.leaf.kind == entry.SETTLED]


async def test_a_price_that_changes_in_mid_day_holds_for_what_settles_after_it(tmp_path: Path) -> None:
    """Calls under way when the new price is applied are settled by it, streams and plain replies alike; whatever was
    settled before keeps the price that it had. The report of the day, the ledger and the budget agree to the digit."""
    limit = "kind: Limit\ntenant: acme\nmoneyPerDay: '1'\n"
    async with place(tmp_path, documents=limit) as here:
        await price_of_tiny(here, "1", "10", "contract-a")
        for stream in (False, True, False, True):
            assert (await here.post("acme/x", chat(max_tokens=9, stream=stream)))[0] == 200
        gate = Gate()
        under_way = await held_up(here, gate, *(chat(max_tokens=9, stream=n % 2 == 1) for n in range(6)))
        await price_of_tiny(here, "2", "25", "contract-b")
        for stream in (False, True, False):
            assert (await here.post("acme/y", chat(max_tokens=9, stream=stream)))[0] == 200
        assert not any(task.done() for task in under_way)
        gate.opened.set()
        assert [status for status, _, _ in await asyncio.gather(*under_way)] == [200] * 6

        found = [one.payload for one in await settled(here)]
        assert [(one.price_source, one.cost_nano) for one in found] == [(A, COST_A)] * 4 + [(B, COST_B)] * 9
        held = {one.leaf.generation for one in (await settled(here))[7:]}
        assert held == {(await settled(here))[0].leaf.generation}, "admitted by the generation of the old price"

        whole = 4 * COST_A + 9 * COST_B
        by_source = {
            source: sum(one.cost_nano or 0 for one in found if one.price_source == source) for source in (A, B)
        }
        assert by_source == {A: 4 * COST_A, B: 9 * COST_B}
        for by in ((), ("model",), ("day",), ("key", "provider"), ("model", "day", "agent")):
            lines = await here.verb("usage", UsageOf(by=by, tenant="acme"))
            assert (sum(one["uses"] for one in lines), sum(one["cost_nano"] for one in lines)) == (13, whole)
            assert sum(one["unpriced"] for one in lines) == 0
        by_agent = await here.verb("usage", UsageOf(by=("agent",), tenant="acme"))
        assert {one["agent"]: one["cost_nano"] for one in by_agent} == {
            "x": 4 * COST_A + 6 * COST_B,
            "y": 3 * COST_B,
        }
        tenant = here.running.home.snapshot.uid("tenant/acme")
        assert here.running.budget.used(f"tenant:{tenant}") == (130, whole, whole)


async def test_a_price_from_a_day_on_holds_from_its_midnight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that begins on one day and ends on the next is the next day's, in price and report."""
    midnight = day_of("2027-01-01") * DAY_MS
    clock = [midnight - 60_000]
    monkeypatch.setattr(serve, "open_home", partial(open_home, clock=lambda: clock[0]))
    async with place(tmp_path) as here:
        await here.apply(
            f"kind: Operator\nallowPrivate: [{{host: 127.0.0.1, port: {here.provider_port}}}]\nprices:\n"
            '- {catalog: compatible, model: tiny, input: "1", output: "10", source: contract-a, date: 2026-11-01}\n'
            "- {catalog: compatible, model: tiny, from: 2027-01-01, input: '2', output: '25', source: contract-b,"
            " date: 2026-11-01}\n"
        )
        assert (await here.post("acme/x", chat()))[0] == 200
        gate = Gate()
        under_way = await held_up(here, gate, chat(stream=True), chat())
        clock[0] = midnight - 1
        assert (await here.post("acme/x", chat(stream=True)))[0] == 200
        clock[0] = midnight
        gate.opened.set()
        await asyncio.gather(*under_way)
        assert (await here.post("acme/x", chat()))[0] == 200

        found = [(one.leaf.time // DAY_MS, one.payload) for one in await settled(here)]
        last = midnight // DAY_MS
        assert [(day, one.price_source, one.cost_nano) for day, one in found] == [
            *[(last - 1, A, COST_A)] * 2,
            *[(last, B, COST_B)] * 3,
        ]
        by_day = await here.verb("usage", UsageOf(by=("day",), tenant="acme"))
        assert [(one["day"], one["uses"], one["cost_nano"]) for one in by_day] == [
            ("2026-12-31", 2, 2 * COST_A),
            ("2027-01-01", 3, 3 * COST_B),
        ]
        new_year = await here.verb("usage", UsageOf(by=("model",), since="2027-01-01", tenant="acme"))
        assert [(one["model"], one["cost_nano"]) for one in new_year] == [("tiny", 3 * COST_B)]


# Against the practice provider's own count.

EXACT, VAGUE = "sk-exact-2a9f04c1b7d84e53", "sk-vague-61c8e2f0d95b4a37"
"""With the first everything is told or refused; with the second usage is not told at all."""
SANDBOX = """
kind: Operator
allowPrivate: [{{host: 127.0.0.1, port: {port}}}, {{host: 127.0.0.1, port: {sandbox}}}]
prices:
- {{catalog: sandbox, model: sandbox-echo, input: "3", output: "15", cached: "0.3", source: s, date: 2026-11-01}}
- {{catalog: sandbox, model: sandbox-slow-stream-1ms, input: "0.7", output: "2.1", source: s, date: 2026-11-01}}
- {{catalog: sandbox, model: sandbox-slow-stream-20000ms, input: "0.7", output: "2.1", source: s, date: 2026-11-01}}
- {{catalog: sandbox, model: sandbox-no-usage, input: "0.000000001", output: "1", source: s, date: 2026-11-01}}
---
kind: Provider
name: practice
tenant: acme
catalog: sandbox
baseUrl: http://127.0.0.1:{sandbox}
models: [sandbox-echo, sandbox-slow-stream-1ms, sandbox-slow-stream-20000ms, sandbox-slow-first-byte-1ms, {faults}]
---
kind: Provider
name: vague
tenant: acme
catalog: sandbox
baseUrl: http://127.0.0.1:{sandbox}
models: [sandbox-no-usage]
---
{{kind: Key, path: clients/acme/exact, provider: practice}}
---
{{kind: Key, path: clients/acme/vague, provider: vague}}
---
{{kind: Route, tenant: acme, provider: practice, key: clients/acme/exact}}
---
{{kind: Route, tenant: acme, provider: vague, key: clients/acme/vague}}
---
{{kind: Agent, tenant: acme, name: x, models: ["sandbox-*"], tags: ["team-*"]}}
---
{{kind: Agent, tenant: acme, name: y, models: ["sandbox-*"], tagged: [research]}}
"""
FAULTS = ("sandbox-rate-limited", "sandbox-server-error", "sandbox-cut", "sandbox-truncated", "sandbox-malformed")


@asynccontextmanager
async def practised(folder: Path, *documents: str) -> AsyncIterator[tuple[Place, Sandbox]]:
    """A place in which acme's models are the practice provider's."""
    sandbox = Sandbox()
    server, port = await serve_sandbox(provider=sandbox)
    try:
        async with place(folder) as here:
            written = SANDBOX.format(port=here.provider_port, sandbox=port, faults=", ".join(FAULTS))
            await here.apply("---\n".join([written, *documents]))
            for path, secret in (("exact", EXACT), ("vague", VAGUE)):
                await here.verb("key put", Put(path=f"clients/acme/{path}", secret=secret.encode()))
            yield here, sandbox
    finally:
        await server.drain(0.0)


async def all_ended(here: Place, sandbox: Sandbox) -> None:
    """Wait until no call is under way, here or at the provider."""
    await here.settled()
    async with asyncio.timeout(15):
        while any(one.answered + one.failed < one.requests for one in sandbox.totals.values()):
            await asyncio.sleep(0.01)


def asked(dialect: str, model: str, text: str, stream: bool) -> tuple[dict[str, Any], str]:
    """A call's body and path."""
    if dialect == "gemini":
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return {"contents": [{"role": "user", "parts": [{"text": text}]}]}, f"/v1beta/models/{model}:{method}"
    body = chat(model, text, max_tokens=64, **({"stream": True} if stream else {}))
    return body, "/v1/messages" if dialect == "anthropic" else "/v1/chat/completions"


LABELS: tuple[tuple[tuple[bytes, bytes], ...], ...] = (
    (),
    ((b"x-sekimori-tags", b"team-a"), (b"x-sekimori-session", b"s-1")),
    ((b"x-sekimori-tags", b"team-a,team-b"), (b"x-sekimori-user", b"u-1")),
)


async def a_mixed_morning(here: Place, sandbox: Sandbox) -> int:
    """Calls of every kind at once; the number of those whose callers left."""
    calls = []
    for number, (dialect, stream, agent, model) in enumerate(
        itertools.product(
            ("openai", "anthropic", "gemini"),
            (False, True),
            ("acme/x", "acme/y"),
            ("sandbox-echo", "sandbox-slow-stream-1ms", "sandbox-no-usage", "sandbox-slow-first-byte-1ms", *FAULTS),
        )
    ):
        body, path = asked(dialect, model, "word " * (1 + number % 17), stream)
        if dialect == "openai" and number % 2:
            body["prompt_cache_key"] = "s-2"  # half of its input comes from the cache; and it names a session
        labels = LABELS[number % 3] if agent == "acme/x" else ()
        calls.append(here.post(agent, body, path, *labels))
    await asyncio.gather(*calls, return_exceptions=True)
    # Callers who leave in the middle of a stream that would have gone on for minutes.
    before = sandbox.totals[fingerprint(EXACT)].requests
    leaving = []
    for dialect in ("openai", "anthropic", "gemini", "openai"):
        body, path = asked(dialect, "sandbox-slow-stream-20000ms", "a b c", True)
        leaving.append(asyncio.create_task(here.post("acme/x", body, path)))
    async with asyncio.timeout(15):
        while sandbox.totals[fingerprint(EXACT)].requests < before + len(leaving):
            await asyncio.sleep(0.01)
    for task in leaving:
        task.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    await all_ended(here, sandbox)
    return len(leaving)


FIGURES = ("uses", "answered", "input", "output", "cached", "cache_write", "reasoning", "estimated", "unpriced")
GROUPINGS = ("agent", "key", "provider", "model", "day", "tag", "user", "session")


def of_ledger(
    uses: Iterable[Recorded], agents: dict[str, str], by: tuple[str, ...]
) -> dict[tuple[str, ...], list[int]]:
    """Group -> FIGURES and nano-dollars, added up from the entries alone."""
    sums: dict[tuple[str, ...], list[int]] = {}
    for one in uses:
        used = one.payload
        assert isinstance(used, entry.KeyUsed)
        said, usage = used.tags or NO_TAGS, used.usage or Usage()
        names = {
            "agent": agents[one.leaf.agent or ""],
            "key": used.key,
            "provider": used.provider,
            "model": used.model,
            "day": f"{datetime.fromtimestamp(one.leaf.time / 1000, UTC):%Y-%m-%d}",
            "tag": ",".join(said.tags),
            "user": said.end_user,
            "session": said.session,
        }
        row = sums.setdefault(tuple(names[name] for name in by), [0] * (len(FIGURES) + 1))
        figures = [1, used.outcome == "answered", usage.input, usage.output, usage.cached, usage.cache_write]
        figures += [usage.reasoning, usage.estimated, used.usage is not None and used.cost_nano is None]
        for at, figure in enumerate([*figures, used.cost_nano or 0]):
            row[at] += figure
    return sums


async def test_every_grouping_in_every_form_says_what_ledger_and_provider_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with practised(tmp_path) as (here, sandbox):
        left = await a_mixed_morning(here, sandbox)
        uses = [one for one in await here.entries("acme") if one.leaf.kind == entry.KEY_USED]
        payloads = [one.payload for one in uses]

        # Ledger and provider.
        totals = sandbox.totals
        for name, key in (("clients/acme/exact", EXACT), ("clients/acme/vague", VAGUE)):
            mine = [one for one in payloads if one.key == name]
            assert len(mine) == totals[fingerprint(key)].requests, "a request that is not in the ledger, or the reverse"
        exact = totals[fingerprint(EXACT)]
        told = [one for one in payloads if one.key == "clients/acme/exact" and one.usage and not one.usage.estimated]
        assert (exact.answered, exact.input, exact.output, exact.cached) == (
            len(told),
            sum(one.usage.input for one in told),
            sum(one.usage.output for one in told),
            sum(one.usage.cached for one in told),
        )
        vague = [one for one in payloads if one.key == "clients/acme/vague"]
        assert len(vague) == totals[fingerprint(VAGUE)].answered == 12
        assert all(one.usage.estimated and one.outcome == "answered" for one in vague)
        aborted = [one for one in payloads if one.outcome == "aborted"]
        assert len(aborted) == left
        assert all(one.usage.estimated and one.cost_nano for one in aborted)
        assert exact.failed == sum(1 for one in payloads if one.key == "clients/acme/exact") - len(told)

        assert exact.input > exact.cached > 0 and exact.output > 0, "there was nothing to be counted"

        # Reports and ledger.
        agents = {here.running.home.snapshot.uid(f"agent/acme/{name}") or "": name for name in ("x", "y")}
        all_by = [by for count in (0, 1, 2, len(GROUPINGS)) for by in itertools.combinations(GROUPINGS, count)]
        assert len(all_by) == 1 + 8 + 28 + 1
        for by in all_by:
            expected = of_ledger(uses, agents, by)
            assert len(expected) > 1 or by in ((), ("day",)), "nothing to be told apart"
            lines = await here.verb("usage", UsageOf(by=by, tenant="acme"))  # type: ignore[arg-type]
            columns = [{"tag": "tags", "user": "end_user"}.get(name, name) for name in by]
            told_by = {
                tuple(one[name] for name in columns): [*(one[name] for name in FIGURES), one["cost_nano"]]
                for one in lines
            }
            assert told_by == expected, by
            assert len(lines) == len(expected)

            capsys.readouterr()
            show.usage_csv(lines)
            rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
            assert {
                tuple(row[name] for name in columns): [*(int(row[name]) for name in FIGURES), nano(row["cost"])]
                for row in rows
            } == expected, by

            show.usage(lines, by)
            table = [figures_of(text) for text in capsys.readouterr().out.splitlines()]
            printed = [figures for figures in table if figures is not None]
            assert sorted(printed) == sorted((row[0], row[2], row[4], row[3], row[-1]) for row in expected.values()), (
                "uses, input, cached, output, cost"
            )

        # One tag alone: what carries it, whatever else it carries.
        for tag in ("team-a", "team-b", "research"):
            (line,) = await here.verb("usage", UsageOf(tag=tag, tenant="acme"))
            carrying = [one for one in payloads if tag in (one.tags or NO_TAGS).tags]
            assert line["uses"] == len(carrying) > 0
            assert line["cost_nano"] == sum(one.cost_nano or 0 for one in carrying)


def nano(dollars: str) -> int:
    whole, _, rest = dollars.partition(".")
    assert len(rest) == 9
    return int(whole + rest)


def figures_of(text: str) -> tuple[int, ...] | None:
    """Uses, input, cached, output and cost of a table's row; None for other lines."""
    words = text.split()
    if len(words) < 6 or words[-1] != "USD":
        return None
    return (*(int(word) for word in words[-6:-2]), nano(words[-2]))


async def test_hundreds_of_parallel_calls_on_one_budget_end_where_the_provider_ends(tmp_path: Path) -> None:
    """Never past the limit with what is held, whenever it is looked at; nothing held when all have ended; and what the
    budget counted is what the ledger says, of which all that was told is what the provider counted."""
    limit = 40_000
    budgets = f"kind: Limit\ntenant: acme\ntokensPerDay: {limit}\n"
    async with practised(tmp_path, budgets) as (here, sandbox):
        tenant = f"tenant:{here.running.home.snapshot.uid('tenant/acme')}"
        budget = here.running.budget
        seen: list[int] = []

        async def watch() -> None:
            while True:
                spend = budget._spends.get(tenant)
                if spend is not None:
                    used = budget.used(tenant)
                    assert used is not None
                    seen.append(used[0] + spend.held_tokens)
                await asyncio.sleep(0)

        def call(number: int) -> asyncio.Task[Any]:
            stays = number % 5 != 0
            model = "sandbox-slow-stream-1ms" if stays else "sandbox-slow-stream-20000ms"
            body, path = asked(("openai", "anthropic")[number % 2], model, "word " * (number % 29), number % 3 > 0)
            return asyncio.create_task(here.post(("acme/x", "acme/y")[number % 2], body, path))

        watcher = asyncio.create_task(watch())
        tasks = [call(number) for number in range(400)]
        async with asyncio.timeout(60):
            await asyncio.wait([task for number, task in enumerate(tasks) if number % 5 != 0])
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        await all_ended(here, sandbox)
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
        assert watcher.cancelled(), "it met something that must not be"

        codes = [one[0] for one in ended if isinstance(one, tuple)]
        assert codes.count(200) > 50
        assert codes.count(429) > 50, "the limit never bit: this proves nothing"
        assert set(codes) == {200, 429}
        assert len(codes) < 400, "nobody left in the middle"
        assert max(seen) <= limit
        assert max(seen) > limit - 200, "the limit was never near: this proves nothing"

        uses = [one.payload for one in await here.entries("acme") if one.leaf.kind == entry.KEY_USED]
        counted = sum(one.usage.input + one.usage.output for one in uses if one.usage is not None)
        cost = sum(one.cost_nano or 0 for one in uses)
        assert budget.used(tenant) == (counted, cost, cost)
        assert counted <= limit
        assert not list(budget.running())
        told = [one.usage for one in uses if one.usage is not None and not one.usage.estimated]
        total = sandbox.totals[fingerprint(EXACT)]
        assert (total.requests, total.answered) == (len(uses), len(told))
        assert (total.input, total.output) == (sum(one.input for one in told), sum(one.output for one in told))
        (line,) = await here.verb("usage", UsageOf(tenant="acme"))
        assert (line["uses"], line["input"] + line["output"]) == (len(uses), counted)
        assert line["estimated"] == len(uses) - len(told)
