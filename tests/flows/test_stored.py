"""Stored responses through the real openai SDK: what is kept is fetched, cancelled, listed and deleted by who made it.

Against the sandbox provider, through a whole deployment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from sekimori.control.arguments import Put
from sekimori.ledger import entry
from sekimori.sandbox.app import serve_sandbox
from sekimori.sandbox.provider import Provider
from sekimori.sandbox.replies import fingerprint
from tests.attacks.attacker import back_up
from tests.flows.place import Place, place, serving

SECRETS = {
    "operator/practice": "sk-practice-7a41e0c35b9d",
    "clients/acme/practice": "sk-acmepractice-55d0c1aa",
    "clients/acme/other": "sk-acmeother-90be11d7",
}
MAY = "capabilities: [stored_state, background]"
DOCUMENTS = f"""
kind: Operator
allowPrivate:
  - {{{{host: 127.0.0.1, port: {{port}}}}}}
  - {{{{host: 127.0.0.1, port: {{own}}}}}}
prices:
  - {{{{catalog: sandbox, model: sandbox-echo, input: "1", output: "2", source: "https://x.test", date: 2026-11-01}}}}
---
{{{{kind: Provider, name: practice, catalog: sandbox, baseUrl: "http://127.0.0.1:{{port}}", models: ["sandbox*"]}}}}
---
{{{{kind: Key, path: operator/practice, provider: practice}}}}
---
{{{{kind: Key, path: clients/acme/practice, provider: practice}}}}
---
{{{{kind: Key, path: clients/acme/other, provider: practice}}}}
---
{{{{kind: Route, tenant: acme, provider: practice, key: clients/acme/practice}}}}
---
{{{{kind: Agent, tenant: acme, name: x, models: ["sandbox*"], {MAY}}}}}
---
{{{{kind: Agent, tenant: acme, name: y, models: ["sandbox*"], {MAY}}}}}
"""
WORDS = "count these five words please"


@pytest.fixture
async def practice() -> AsyncIterator[tuple[Provider, int]]:
    provider = Provider()
    server, port = await serve_sandbox(provider=provider)
    yield provider, port
    await server.drain(0.0)


@pytest.fixture
async def here(tmp_path: Path, practice: tuple[Provider, int]) -> AsyncIterator[Place]:
    """Agents `x` and `y` of one tenant are served by the same key of its own."""
    async with place(tmp_path) as here:
        await prepare(here, practice[1])
        yield here


async def prepare(here: Place, port: int) -> None:
    await here.apply(DOCUMENTS.format(port=port, own=here.provider_port))
    for path, secret in SECRETS.items():
        await here.verb("key put", Put(path=path, secret=secret.encode()))


def client_of(here: Place, agent: str = "acme/x") -> openai.AsyncOpenAI:
    url = f"http://127.0.0.1:{here.running.gateway_port}/v1"
    return openai.AsyncOpenAI(base_url=url, api_key=here.keys[agent], max_retries=0, timeout=60)


async def used(here: Place) -> list[tuple[int, int, int]]:
    """(uses, tokens, nano-USD) of the tenant by agent, as its report sums them."""
    await here.entries("acme")
    uid = str(here.running.home.snapshot.uid("tenant/acme"))
    rows = await here.running.home.database.tenant(uid).usage(["agent"], "2000-01-01", "9999-12-31")
    assert all(row.input >= 0 and row.output >= 0 and row.cost_nano >= 0 for row in rows)
    return sorted((row.uses, row.input + row.output, row.cost_nano) for row in rows)


async def test_a_stored_response_is_fetched_listed_and_deleted(here: Place, practice: tuple[Provider, int]) -> None:
    async with client_of(here) as client:
        made = await client.responses.create(model="sandbox-echo", input="one two")
        raw = await client.responses.with_raw_response.retrieve(made.id, include=["reasoning.encrypted_content"])
        found = raw.parse()
        assert (found.id, found.status, found.output_text) == (made.id, "completed", made.output_text)
        assert raw.headers["x-sekimori-key"] == "clients/acme/practice"
        assert raw.headers["x-sekimori-record"]
        items = [item async for item in client.responses.input_items.list(made.id, limit=1, order="asc")]
        assert len(items) == 1
        again = await client.responses.create(model="sandbox-echo", input="three", previous_response_id=made.id)
        pages = [item.id async for item in client.responses.input_items.list(again.id, limit=1)]
        assert len(pages) == len(set(pages)) == 3, "the SDK goes on from page to page"
        with pytest.raises(openai.BadRequestError, match="synchronous"):
            await client.responses.cancel(made.id)
        assert await client.responses.delete(made.id) is None  # type: ignore[func-returns-value]
        total = practice[0].totals[fingerprint(SECRETS["clients/acme/practice"])]
        asked = total.requests
        for call in (client.responses.retrieve, client.responses.cancel, client.responses.delete):
            with pytest.raises(openai.NotFoundError, match="not found"):
                await call(made.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.input_items.list(made.id)
        with pytest.raises(openai.BadRequestError, match="Previous response"):
            await client.responses.create(model="sandbox-echo", input="four", previous_response_id=made.id)
        assert practice[0].totals[fingerprint(SECRETS["clients/acme/practice"])].requests == asked, (
            "it is gone here, too"
        )
    decided = await here.of_kind("acme", entry.DECIDED)
    assert {(one.operation, one.model, one.provider_model) for one in decided[1:3]} == {
        ("response_retrieve", "practice/sandbox-echo", "sandbox-echo"),
        ("response_items", "practice/sandbox-echo", "sandbox-echo"),
    }
    for one in await here.of_kind("acme", entry.KEY_USED):
        assert (one.key, one.provider, one.model) == ("clients/acme/practice", "practice", "sandbox-echo")
    settled = await here.of_kind("acme", entry.SETTLED)
    assert [one.usage is None for one in settled] == [one.operation != "responses" for one in decided]
    assert not any(one.usage.estimated for one in settled if one.usage is not None)


async def test_background_work_is_metered_once_and_by_the_providers_figures(here: Place) -> None:
    async with client_of(here) as client:
        made = await client.responses.create(model="sandbox-echo", input=WORDS, background=True)
        assert (made.status, made.usage) == ("queued", None)
        [estimated] = await used(here)
        assert estimated[1] > 0, "what nobody ever looks at is not free"
        states = [(await client.responses.retrieve(made.id)).status for _ in range(2)]
        assert states == ["in_progress", "completed"]
        looks = await asyncio.gather(*(client.responses.retrieve(made.id) for _ in range(5)))
        final = looks[0]
        assert final.usage is not None
        assert final.output_text
        tokens = final.usage.input_tokens + final.usage.output_tokens
        cost = final.usage.input_tokens * 1_000 + final.usage.output_tokens * 2_000
        assert await used(here) == [(8, tokens, cost)]
        # Its output exists from then on, as that of any call: it is the sandbox that has no items by reference.
        reference: Any = [{"type": "item_reference", "id": final.output[0].id}]
        with pytest.raises(openai.BadRequestError, match="Item with id"):
            await client.responses.create(model="sandbox-echo", input=reference)
    keys = await here.of_kind("acme", entry.KEY_USED)
    assert [bool(one.began) for one in keys] == [True] + [False] * 8
    [corrects] = [one.corrects for one in keys if one.corrects is not None]
    assert corrects.id == made.id


async def test_who_fetches_the_end_does_not_pay_for_it(here: Place) -> None:
    async with client_of(here) as maker, client_of(here, "acme/y") as other:
        made = await maker.responses.create(model="sandbox-echo", input=WORDS, background=True)
        for _ in range(2):
            final = await other.responses.retrieve(made.id)
        assert final.usage is not None
        tokens = final.usage.input_tokens + final.usage.output_tokens
        assert [row[:2] for row in await used(here)] == [(1, tokens), (2, 0)]


async def test_a_cancelled_response_is_metered_by_what_it_says(here: Place) -> None:
    async with client_of(here) as client:
        made = await client.responses.create(model="sandbox-echo", input=WORDS, background=True)
        ended = await client.responses.cancel(made.id)
        assert ended.status == "cancelled"
        assert ended.usage is not None
        assert (await client.responses.cancel(made.id)).status == "cancelled"
        assert (await client.responses.retrieve(made.id)).status == "cancelled"
        [(uses, tokens, _)] = await used(here)
        assert (uses, tokens) == (4, ended.usage.input_tokens)


async def test_what_is_deleted_unseen_keeps_its_estimate(here: Place) -> None:
    async with client_of(here) as client:
        made = await client.responses.create(model="sandbox-echo", input=WORDS, background=True)
        before = await used(here)
        await client.responses.delete(made.id)
        [(uses, *rest)] = await used(here)
        assert (uses, rest) == (2, list(before[0][1:]))


@pytest.mark.parametrize("look", [0, 2])
async def test_neither_is_lost_nor_told_twice_over_a_restart(
    tmp_path: Path, practice: tuple[Provider, int], look: int
) -> None:
    async with place(tmp_path, check=False) as here:
        await prepare(here, practice[1])
        async with client_of(here) as client:
            made = await client.responses.create(model="sandbox-echo", input=WORDS, background=True)
            for _ in range(look):
                await client.responses.retrieve(made.id)
    async with back_up(here), serving(here), client_of(here) as client:
        for _ in range(3):
            final = await client.responses.retrieve(made.id)
        assert final.usage is not None
        [(uses, tokens, _)] = await used(here)
        assert (uses, tokens) == (4 + look, final.usage.input_tokens + final.usage.output_tokens)
        await client.responses.delete(made.id)
    async with back_up(here), serving(here), client_of(here) as client:
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(made.id)


async def test_a_bound_on_tokens_holds_what_nobody_looked_at(here: Place) -> None:
    await here.apply("{kind: Limit, tenant: acme, tokensPerDay: 20000, maxOutputTokens: 8000}")
    async with client_of(here) as client:
        made = []
        with pytest.raises(openai.RateLimitError):
            for _ in range(9):
                made.append(
                    (
                        await client.responses.create(
                            model="sandbox-echo", input=f"{WORDS} {len(made)}", background=True
                        )
                    ).id
                )
        assert len(made) == 2, "each holds its whole reservation until it is known"
        for id in made:
            for _ in range(2):
                final = await client.responses.retrieve(id)
        assert final.status == "completed"
        await client.responses.create(model="sandbox-echo", input=WORDS, background=True)


async def test_a_provider_that_has_it_no_more_is_answered_for(here: Place, practice: tuple[Provider, int]) -> None:
    async with client_of(here) as client:
        made = await client.responses.create(model="sandbox-echo", input="x")
        practice[0]._kept._items.clear()
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(made.id)


async def test_refusals_are_the_dialects_own(here: Place) -> None:
    async with client_of(here) as client:
        made = await client.responses.create(model="sandbox-echo", input="x")
        with pytest.raises(openai.BadRequestError, match="fetched whole"):
            await client.responses.retrieve(made.id, stream=True)
        with pytest.raises(openai.BadRequestError, match="starting_after"):
            await client.responses.retrieve(made.id, starting_after=3)
        with pytest.raises(openai.BadRequestError, match="frobnicate"):
            await client.responses.retrieve(made.id, extra_query={"frobnicate": "1"})
        with pytest.raises(openai.BadRequestError, match="no body"):
            await client.responses.cancel(made.id, extra_body={"x": 1})
        await client.responses.retrieve(made.id, stream=False)
    url = f"http://127.0.0.1:{here.running.gateway_port}/v1/responses/{made.id}"
    async with httpx2.AsyncClient(trust_env=False) as raw:
        key = {"authorization": f"Bearer {here.keys['acme/x']}"}
        reply = await raw.put(url, headers=key)
        assert (reply.status_code, reply.headers["allow"]) == (405, "GET, DELETE")
        assert (await raw.request("GET", url, headers=key, content=b"{}")).status_code == 400
        assert (await raw.get(url)).status_code == 401
        for id in ("a" * 3000, "a%2Fb", "..%2Fx", "%C3%A9"):
            reply = await raw.get(f"http://127.0.0.1:{here.running.gateway_port}/v1/responses/{id}", headers=key)
            assert reply.status_code in (400, 404), id
    await here.apply("{kind: Agent, tenant: acme, name: x, models: ['sandbox*']}")
    async with client_of(here) as client:
        with pytest.raises(openai.PermissionDeniedError, match="stored_state"):
            await client.responses.retrieve(made.id)


async def test_a_key_that_may_only_read_may_not(here: Place) -> None:
    async with client_of(here) as client:
        made = await client.responses.create(model="sandbox-echo", input="x")
    here.keys["acme/reads"] = await here.issue("acme", "x", scopes=["read"])
    async with client_of(here, "acme/reads") as client:
        with pytest.raises(openai.PermissionDeniedError, match="scope"):
            await client.responses.retrieve(made.id)
        with pytest.raises(openai.PermissionDeniedError, match="scope"):
            await client.responses.retrieve("resp_nobodys")


async def test_azure_callers_fetch_theirs(here: Place) -> None:
    url = f"http://127.0.0.1:{here.running.gateway_port}"
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=url, api_key=here.keys["acme/x"], api_version="2025-04-01-preview", max_retries=0
    ) as client:
        made = await client.responses.create(model="sandbox-echo", input="x", background=True)
        assert (await client.responses.retrieve(made.id)).status == "in_progress"
        assert (await client.responses.cancel(made.id)).status == "cancelled"
        assert [item async for item in client.responses.input_items.list(made.id)]
        await client.responses.delete(made.id)
