"""T10: a fallback takes a key that the policy does not allow."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from sekimori.control.arguments import Adopt, Explain, Put, Revoke
from sekimori.control.arguments import Path as KeyPath
from sekimori.control.owner import Failed
from sekimori.http.client import Deadlines
from sekimori.http.server import Reply, Request
from sekimori.ledger import entry
from sekimori.terms import Origin
from tests.attacks.attacker import CHAT, MESSAGES, VERSION, bearer, code_of, hostile, lead_house_to, question, received
from tests.flows.place import EVENTS, JSON, SECRETS, Answer, Place, chat, chunk, place, status
from tests.flows.test_hedging import HEDGED, Slow, hedging, until
from tests.flows.test_routing import SECOND
from tests.http.wire import Wire

OWN, HOUSE = SECRETS["clients/acme/own"], SECRETS["operator/house"]

ROUTE = "kind: Route\ntenant: acme\nprovider: house\nkey: clients/acme/own\n"
FALLBACK = ROUTE + "fallback: {key: operator/house, when: [rate_limited, overloaded]}\n"


async def called(here: Place, *answers: Answer, agent: str = "acme/x", path: str = CHAT, **more: Any) -> list[str]:
    """The keys that one call used."""
    before = len(here.provider.seen)
    here.provider.script = list(answers)
    body = question(**more) if path == MESSAGES else chat(**more)
    await here.post(agent, body, path, *([VERSION] if path == MESSAGES else []))
    here.provider.script = []
    return here.provider.keys()[before:]


async def test_nothing_but_what_the_route_names_moves_a_call_to_the_operators_key(tmp_path: Path) -> None:
    async def cut(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        reply.abort()

    async def half(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.start(200, [JSON], length=100)
        await reply.write(b"{")
        reply.abort()

    async def nonsense(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.send(200, [JSON], b"<html>429 rate_limit_error overloaded</html>")

    async def error_in_200(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.send(200, [JSON], b'{"error":{"type":"rate_limit_error","code":"429","message":"429"}}')

    async def wrong_kind(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.send(200, [EVENTS], b'data: {"error":{"type":"rate_limit_error","message":"x"}}\n\n')

    async with place(tmp_path) as here:
        for answer in (cut, half, nonsense, error_in_200, wrong_kind):
            assert await called(here, answer) == [OWN], answer.__name__
        for code in (
            400,
            401,
            402,
            403,
            404,
            408,
            409,
            413,
            422,
            425,
            428,
            431,
            451,
            500,
            501,
            502,
            504,
            520,
            530,
            599,
        ):
            retry = (b"retry-after", b"1")
            assert await called(here, status(code, "rate_limit_error: overloaded 429 529", retry)) == [OWN], code
        assert await called(here, status(429)) == [OWN, HOUSE]  # so the attacks failed for what they were
        assert await called(here, status(529), path=MESSAGES) == [OWN, HOUSE]


async def test_a_tenant_in_vpc_mode_never_reaches_the_operators_key(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        with pytest.raises(Failed) as caught:
            await here.apply("kind: Tenant\nname: acme\nmode: vpc\n")
        assert caught.value.problem.reason == "document_invalid"
        await here.apply(f"kind: Tenant\nname: acme\nmode: vpc\n---\n{ROUTE}")
        for answer in (status(429), status(529), status(503)):
            assert await called(here, answer) == [OWN]
        for forbidden in (FALLBACK, "kind: Route\ntenant: acme\nagent: y\nprovider: house\nkey: operator/house\n"):
            with pytest.raises(Failed):
                await here.apply(forbidden)
        assert HOUSE not in here.provider.keys()


async def test_each_hop_is_decided_on_the_policy_of_its_own_instant(tmp_path: Path) -> None:
    """While the first key's 429 is on its way, the leave to use the second one is taken."""

    def meanwhile(change: Any) -> Answer:
        async def limited(request: Request, reply: Reply, body: dict[str, Any]) -> None:
            await change
            await status(429)(request, reply, body)

        return limited

    agent = "kind: Agent\ntenant: acme\nname: x\nmodels: [tiny, small, acme-only]\n"
    async with place(tmp_path) as here:
        changes = {
            "the fallback is taken out": here.apply(ROUTE),
            "the agent is suspended": here.apply(agent + "suspended: true\n"),
            "the agent may no longer call the model": here.apply(agent.replace("tiny, small", "small")),
            "the tenant is suspended": here.apply("kind: Tenant\nname: acme\nmode: agency\nsuspended: true\n"),
            "the second key is frozen": here.verb("key freeze", KeyPath(path="operator/house")),
            "its condition changes": here.apply(FALLBACK.replace("rate_limited, ", "")),
        }
        for what, change in changes.items():
            assert await called(here, meanwhile(change)) == [OWN], what
            await here.apply(f"kind: Tenant\nname: acme\nmode: agency\n---\n{agent}---\n{FALLBACK}")
            if "frozen" in what:
                await here.verb("key unfreeze", KeyPath(path="operator/house"))
            assert await called(here, status(429)) == [OWN, HOUSE], f"after: {what}"
        revoked = here.verb("apikey revoke", Revoke(id=here.key_ids["acme/x"]))
        assert await called(here, meanwhile(revoked)) == [OWN], "a revoked agent was moved on to the operator's key"


async def test_a_slow_key_is_raced_by_its_equals_and_never_by_the_fallback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = HEDGED.replace("after: 50", "after: 50, most: 2") + "fallback: {key: operator/house, when: [timed_out]}\n"
    async with hedging(tmp_path, monkeypatch, pair) as (here, _, hedges, timer):
        for agent, keys in (("acme/x", [OWN, SECOND]), ("acme/y", [OWN])):
            # Agent y has a route of its own, with one key and a fallback: there is nothing to race with.
            alone = FALLBACK.replace("acme\n", "acme\nagent: y\n") + "hedge: {after: 50}\n"
            await here.apply(alone)
            before, slow = len(here.provider.seen), [Slow() for _ in keys]
            here.provider.script = list(slow)
            asked = asyncio.create_task(here.post(agent, chat()))
            await until(slow[-1].asked)
            if len(keys) > 1:
                await until(timer.alone)  # it waits for what is under way: nobody else is asked
            slow[0].go.set()
            assert (await asked)[0] == 200
            assert here.provider.keys()[before:] == keys
        assert hedges.calls == 1, "of the other agent nobody so much as looked at the clock"
        assert HOUSE not in here.provider.keys()


async def test_what_is_kept_at_a_provider_never_changes_keys(tmp_path: Path) -> None:
    """Stored state, files and conversations belong to one key: naming one on another would cross tenants."""
    granted = (
        "kind: Agent\ntenant: acme\nname: x\nmodels: [tiny]\n"
        "capabilities: [stored_state, files_by_id, background, unknown_fields]\n"
        "---\nkind: Agent\ntenant: globex\nname: z\nmodels: [tiny, globex-only]\n"
        "capabilities: [stored_state, files_by_id, background, unknown_fields]\n"
    )
    async with place(tmp_path, documents=granted) as here:
        asks: list[dict[str, Any]] = [
            {"store": True},
            {"previous_response_id": "resp_1"},
            {"metadata": {"a": "b"}},
            {"background": True},
            {"some_new_field": {"conversation": "c-1"}},
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f-1"}}]}]},
        ]
        # Ids exist here only for the key that made them: these two were made elsewhere, with the client's own.
        await here.verb("object adopt", Adopt(path="clients/acme/own", ids=("resp_1", "f-1")))
        for more in asks:
            assert await called(here, status(429), **more) == [OWN], more
            # And on the key that tenants share there is no such thing at all.
            code, _, body = await here.post("globex/z", chat(**more))
            assert (code, code_of(body)) == (403, "capability_missing"), more
        assert HOUSE not in here.provider.keys()


async def test_after_the_first_byte_nothing_moves_in_either_dialect(tmp_path: Path) -> None:
    def stops(first: bytes, error: bytes, go: asyncio.Event) -> Answer:
        async def answer(request: Request, reply: Reply, body: dict[str, Any]) -> None:
            await reply.start(200, [EVENTS])
            await reply.write(first)
            await go.wait()
            await reply.finish(error)

        return answer

    anthropic = b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":1}}}\n\n'
    limited = b'event: error\ndata: {"type":"error","error":{"type":"rate_limit_error","message":"x"}}\n\n'
    overloaded = b'data: {"error":{"type":"overloaded_error","message":"429 rate limit"}}\n\n'
    async with place(tmp_path) as here:
        plays = (
            (CHAT, chat(stream=True), chunk("one "), overloaded, b"upstream_overloaded"),
            (MESSAGES, question(stream=True), anthropic, limited, b"rate_limit_error"),
        )
        for number, (path, body, first, error, told) in enumerate(plays, 1):
            go = asyncio.Event()
            here.provider.script = [stops(first, error, go)]
            origin = Origin("http", "127.0.0.1", here.running.gateway_port)
            fields = [bearer(here.keys["acme/x"]), JSON, VERSION]
            data = json.dumps(body).encode()
            response = await here._pool.request(origin, "t", "POST", path, fields, data, Deadlines())
            got = await asyncio.wait_for(response.read(), 10)
            assert got == first
            go.set()
            got += await asyncio.wait_for(response.read_all(10_000), 10)
            assert told in got
            assert len(here.provider.seen) == number
        # A comment is no byte of an answer: nothing was released, so the policy may still move on.
        go = asyncio.Event()
        go.set()
        assert await called(here, stops(b": ping\n\n", limited, go), path=MESSAGES, stream=True) == [OWN, HOUSE]
        assert here.provider.keys()[:2] == [OWN, OWN]


async def test_a_second_hop_gets_the_callers_bytes_and_none_of_the_first_answer(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        poison = status(
            429, "use model gpt-9", (b"location", b"/v1/other"), (b"set-cookie", b"session=1"), (b"x-key", b"k")
        )
        assert await called(here, poison, text="as I wrote it", temperature=0.5) == [OWN, HOUSE]
        (path, first, body), (again, second, same) = here.provider.seen
        assert (path, body) == (again, same)
        drop = (b"authorization",)
        assert [one for one in first if one[0] not in drop] == [one for one in second if one[0] not in drop]
        code, headers, reply = await here.post("acme/x", chat())
        assert code == 200
        assert b"gpt-9" not in reply
        assert not {"set-cookie", "location", "x-key"} & headers.keys()


async def test_a_provider_that_answers_429_for_ever_is_asked_once_for_each_key(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        assert await called(here, *[status(429)] * 10) == [OWN, HOUSE]
        decided = await here.of_kind("acme", entry.DECIDED)
        settled = await here.of_kind("acme", entry.SETTLED)
        assert [one.position for one in decided] == ["primary", "fallback"]
        assert [one.outcome for one in settled] == ["yielded", "answered"]
        code, headers, body = await here.post("acme/y", chat())
        assert code == 200
        here.provider.script = [status(429, "limit of sk-house", (b"retry-after", b"999999999"))] * 2
        code, headers, body = await here.post("acme/x", chat())
        assert (code, code_of(body)) == (429, "upstream_rate_limited")
        assert int(headers["retry-after"]) <= 3600, "a provider could stop our callers for years"


async def test_a_first_key_that_was_taken_in_part_is_not_tried_on_the_second(tmp_path: Path) -> None:
    """The provider took the whole call and broke off: it may have been carried out, so it is not made again."""
    seen: list[bytes] = []

    async def swallows(end: Wire) -> None:
        seen.append(await received(end))

    async with hostile(swallows) as port, place(tmp_path) as here:
        await lead_house_to(here, port)
        code, _, body = await here.post("acme/x", chat())
        assert (code, code_of(body)) == (502, "upstream_unreachable")
        assert len(seen) == 1
        assert OWN.encode() in seen[0]
        [settled] = await here.of_kind("acme", entry.SETTLED)
        assert settled.outcome == "interrupted"
        assert settled.usage.estimated, "what may have been carried out counts as used"
        assert json.loads(body)["error"]["type"] == "server_error"


async def test_one_tenants_failures_never_move_another_tenants_calls(tmp_path: Path) -> None:
    """On the operator's key that both use: what one of them met or provoked is not held against the other."""
    shared = (
        "kind: Key\npath: operator/spare\nprovider: house\n---\n"
        "kind: Route\ntenant: globex\nprovider: house\nkey: operator/house\nweight: 1000\n"
        "also: [{key: operator/spare}]\n---\n"
        "kind: Route\ntenant: acme\nprovider: house\nkey: operator/house\nweight: 1000\n"
        "also: [{key: operator/spare}, {key: clients/acme/own}]\n"
    )
    spare = "sk-spare-91c0e7d5b24a4f3f8d6a7e"
    async with place(tmp_path, documents=shared) as here:
        await here.verb("key put", Put(path="operator/spare", secret=spare.encode()))
        listener = here.running.listener
        listener._at = structs.replace(listener._at, draw=lambda: 0.0)
        for failing in (429, 529, 500, 503, 429, 429):
            await called(here, *[status(failing, "", (b"retry-after", b"3600"))] * 3)
        assert await called(here) != [HOUSE], "acme's own calls do go round what failed"
        for _ in range(3):
            assert await called(here, agent="globex/z") == [HOUSE], "acme's failures moved globex"
        resting = (await here.verb("route explain", Explain(tenant="globex", agent="z", model="tiny")))["resting"]
        assert resting == [], "and globex can see none of them"


async def test_what_rests_brings_in_no_key_and_opens_no_fallback(tmp_path: Path) -> None:
    """However long and often a tenant's key fails, the operator's is used after this very call's own 429 alone."""
    async with place(tmp_path) as here:
        for _ in range(5):
            assert await called(here, status(429, "", (b"retry-after", b"3600"))) == [OWN, HOUSE]
        assert await called(here) == [OWN]
        for _ in range(5):
            assert await called(here, status(500)) == [OWN]
        assert await called(here, status(529)) == [OWN, HOUSE]
        await here.apply(ROUTE)
        assert await called(here, status(429)) == [OWN]
