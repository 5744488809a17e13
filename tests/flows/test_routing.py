"""Several keys, aliases, rests and conversations, call by call through the real gateway. The clock and the draw are the
test's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from sekimori import serve
from sekimori.control import verbs
from sekimori.control.arguments import Explain, Put
from sekimori.http.client import Deadlines
from sekimori.http.server import Reply, Request
from sekimori.ledger import entry
from sekimori.terms import Origin
from tests.attacks.attacker import MESSAGES, VERSION, code_of, control, get, question
from tests.flows.place import JSON, SECRETS, Place, chat, chunk, place, status, sweep

OWN, HOUSE = SECRETS["clients/acme/own"], SECRETS["operator/house"]
MORE = {f"clients/acme/{name}": f"sk-acme{name}-5d0b7a91c3e84f26a1b7d0" for name in ("second", "third", "fourth")}
SECOND, THIRD, FOURTH = MORE.values()

KEYS = "".join(f"kind: Key\npath: {path}\nprovider: house\n---\n" for path in MORE)
PAIR = "kind: Route\ntenant: acme\nprovider: house\nkey: clients/acme/own\nalso: [{key: clients/acme/second}]\n"
FALLBACK = "fallback: {key: operator/house}\n"


class Hand:
    """What a test moves: the monotonic clock, and the number that draws among equals."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.draw = 0.0


@asynccontextmanager
async def routed(folder: Path, monkeypatch: pytest.MonkeyPatch, *documents: str) -> AsyncIterator[tuple[Place, Hand]]:
    """A place in which acme has four keys at `house`; `documents` are applied on top."""
    hand = Hand()
    for module in (serve, verbs):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: hand.now))
    async with place(folder, documents=KEYS + "---\n".join(documents)) as here:
        for path, secret in MORE.items():
            await here.verb("key put", Put(path=path, secret=secret.encode()))
        listener = here.running.listener
        listener._at = structs.replace(listener._at, draw=lambda: hand.draw)
        yield here, hand
        sweep(here, list(MORE.values()))


async def called(here: Place, *answers: Any, agent: str = "acme/x", body: Any = None) -> list[str]:
    """The keys that one call used."""
    before = len(here.provider.seen)
    here.provider.script = list(answers)
    await here.post(agent, body or chat())
    here.provider.script = []
    return here.provider.keys()[before:]


LIMITED = status(429, "slow down", (b"retry-after", b"20"))


async def test_a_limited_key_rests_as_long_as_it_says_and_its_equal_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with routed(tmp_path, monkeypatch, PAIR) as (here, hand):
        here.provider.script = [LIMITED]
        code, headers, _ = await here.post("acme/x", chat())
        assert (code, headers["x-sekimori-key"]) == (200, "clients/acme/second")
        decided = await here.of_kind("acme", entry.DECIDED)
        settled = await here.of_kind("acme", entry.SETTLED)
        used = await here.of_kind("acme", entry.KEY_USED)
        assert [(one.position, one.key) for one in decided] == [
            ("primary", "clients/acme/own"),
            ("primary", "clients/acme/second"),
        ]
        assert [(one.outcome, one.status) for one in settled] == [("yielded", 429), ("answered", 200)]
        assert [one.key for one in used] == ["clients/acme/own", "clients/acme/second"]

        hand.now += 19.9
        assert await called(here) == [SECOND], "it rests"
        hand.now += 0.2
        assert await called(here) == [OWN]
        assert await called(here) == [OWN], "and is well again"
        hand.draw = 0.5
        assert await called(here) == [SECOND], "the draw chooses between equals that are well"


async def test_without_a_retry_after_the_rests_double_within_the_routes_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with routed(tmp_path, monkeypatch, PAIR + "coolDown: {first: 2, longest: 6}\n") as (here, hand):
        for length in (2.0, 4.0, 6.0, 6.0):
            assert await called(here, status(529)) == [OWN, SECOND], length
            hand.now += length - 0.1
            assert await called(here) == [SECOND], length
            hand.now += 0.1
        assert await called(here, status(429, "", (b"retry-after", b"3600"))) == [OWN, SECOND]
        hand.now += 6.0
        assert await called(here) == [OWN], "a provider cannot put a key away for an hour"


async def test_one_call_at_a_time_tries_what_has_rested_and_one_that_leaves_gives_its_place_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = asyncio.Event()

    async def hangs(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        hanging.set()
        await asyncio.Event().wait()

    async with routed(tmp_path, monkeypatch, PAIR) as (here, hand):
        await called(here, LIMITED)
        hand.now += 20.0
        here.provider.script = [hangs]
        probe = asyncio.create_task(here.post("acme/x", chat()))
        await asyncio.wait_for(hanging.wait(), 10)
        assert await called(here) == [SECOND], "while one tries it, it rests for everyone else"
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        await asyncio.wait_for(here.provider.left.wait(), 10)
        await here.settled()
        assert await called(here) == [OWN]
        # And a probe that fails rests longer than before.
        await called(here, status(429))
        hand.now += 5.0
        assert await called(here, status(429)) == [OWN, SECOND]
        hand.now += 9.9
        assert await called(here) == [SECOND]


async def test_where_all_rest_the_one_that_rests_shortest_is_asked_and_its_own_answer_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with routed(tmp_path, monkeypatch, PAIR) as (here, hand):
        shorter = status(429, "", (b"retry-after", b"9"))
        assert await called(here, LIMITED, shorter) == [OWN, SECOND]
        here.provider.script = [shorter, LIMITED]
        code, headers, body = await here.post("acme/x", chat())
        assert here.provider.keys()[2:] == [SECOND, OWN]
        assert (code, code_of(body), headers["retry-after"]) == (429, "upstream_rate_limited", "20")
        assert await called(here) == [SECOND], "nothing is refused because everything rests"
        assert await called(here) == [SECOND]
        hand.now += 21.0
        assert await called(here) == [OWN]


async def test_only_what_the_route_names_moves_a_call_to_an_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with routed(tmp_path, monkeypatch, PAIR) as (here, hand):
        for code in (400, 401, 403, 404, 408, 422, 500, 502):
            assert await called(here, status(code)) == [OWN], code
            hand.now += 400.0
        # What the caller did wrong makes nothing rest; a provider's own failure does, though no call moves for it.
        await called(here, status(404))
        assert await called(here) == [OWN]
        await called(here, status(500))
        assert await called(here) == [SECOND]
        await here.apply(PAIR + "when: [server_error]\n")
        hand.now += 400.0
        assert await called(here, status(500)) == [OWN, SECOND]
        hand.now += 400.0
        assert await called(here, status(429)) == [OWN]
        await here.apply(PAIR + "when: []\n")
        hand.now += 400.0
        assert await called(here, status(429)) == [OWN]


async def test_a_provider_that_cannot_be_reached_rests_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    route = (
        "kind: Route\ntenant: acme\nprovider: acme-llm\nkey: clients/acme/llm\nwhen: [connect_failed]\n"
        "also: [{key: clients/acme/own, provider: house}]\n"
    )
    async with routed(tmp_path, monkeypatch) as (here, hand):
        port, dead = here.provider_port, 1  # nobody listens on port 1
        await here.apply(
            f"kind: Operator\nallowPrivate: [{{host: 127.0.0.1, port: {port}}}, {{host: 127.0.0.1, port: {dead}}}]\n"
            f"---\nkind: Provider\nname: acme-llm\ntenant: acme\ncatalog: compatible\n"
            f"baseUrl: http://127.0.0.1:{dead}\ndialects: [openai]\nmodels: [small]\n---\n{route}"
        )
        small = chat("acme-llm/small")
        assert await called(here, body=small) == [OWN]
        settled = await here.of_kind("acme", entry.SETTLED)
        assert [one.outcome for one in settled] == ["yielded", "answered"]
        assert settled[0].status is None
        count = len(settled)
        assert await called(here, body=small) == [OWN]
        assert len(await here.of_kind("acme", entry.SETTLED)) == count + 1, "it was not dialled again"
        hand.now += 5.0
        assert await called(here, body=small) == [OWN]
        assert len(await here.of_kind("acme", entry.SETTLED)) == count + 3


async def test_the_fallback_comes_after_all_equals_and_only_by_this_calls_own_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with routed(tmp_path, monkeypatch, PAIR + FALLBACK) as (here, _):
        assert await called(here, LIMITED, LIMITED) == [OWN, SECOND, HOUSE]
        decided = await here.of_kind("acme", entry.DECIDED)
        assert [one.position for one in decided] == ["primary", "primary", "fallback"]
        # Both rest now: still the call's own keys are asked first, and one that answers serves.
        assert (await called(here)) == [OWN]
        await called(here, LIMITED, LIMITED)
        assert await called(here, LIMITED, LIMITED, LIMITED) == [OWN, SECOND, HOUSE]
        await here.apply(PAIR + "when: []\n" + FALLBACK)
        assert await called(here, LIMITED) == [OWN, HOUSE], "no equal is named, so the fallback is next"


async def test_hops_are_bounded_however_many_keys_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    four = PAIR.replace("second}]", "second}, {key: clients/acme/third}, {key: clients/acme/fourth}]")
    async with routed(tmp_path, monkeypatch, four + FALLBACK) as (here, _):
        assert await called(here, *[LIMITED] * 9) == [OWN, SECOND, THIRD, HOUSE]
        assert (await called(here, *[LIMITED] * 9))[0] == FOURTH
        await here.apply(four)
        assert len(await called(here, *[LIMITED] * 9)) == 3


async def test_each_hop_is_decided_anew_and_what_is_gone_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = PAIR.replace("second}]", "second}, {key: clients/acme/third}]")

    async with routed(tmp_path, monkeypatch, three) as (here, hand):

        async def changing(request: Request, reply: Reply, body: dict[str, Any]) -> None:
            await here.apply(PAIR.replace("second", "third"))
            await LIMITED(request, reply, body)

        assert await called(here, changing) == [OWN, THIRD], "the second key is no longer the route's"

        async def closing(request: Request, reply: Reply, body: dict[str, Any]) -> None:
            await here.apply(PAIR.replace("clients/acme/own", "clients/acme/fourth"))
            await LIMITED(request, reply, body)

        await here.apply(three)
        hand.now += 400.0
        here.provider.script = [closing]
        before = len(here.provider.seen)
        code, _, _ = await here.post("acme/x", chat())
        assert code == 429, "what failed is no longer granted, so nothing says what may follow it"
        assert here.provider.keys()[before:] == [OWN]


ALIAS = """
kind: Agent
tenant: acme
name: x
models: [tiny, small, acme-only, fast]
---
kind: Agent
tenant: acme
name: y
models: [tiny, fast]
---
kind: Alias
tenant: acme
name: fast
targets: [{model: house/tiny, weight: 3}, {model: acme-llm/acme-only}]
"""


async def test_an_alias_is_called_listed_and_recorded_in_both_dialects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def message(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        told = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": body["model"],
                "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
        await reply.send(200, [JSON], json.dumps(told).encode())

    async with routed(tmp_path, monkeypatch, ALIAS) as (here, hand):
        code, headers, _ = await here.post("acme/x", chat("fast", temperature=0.5))
        assert (code, headers["x-sekimori-key"]) == (200, "clients/acme/own")
        hand.draw = 0.75
        here.provider.script = [message]
        code, _, _ = await here.post("acme/x", question("fast"), MESSAGES, VERSION)
        assert code == 200
        (first, _, sent), (second, _, asked) = here.provider.seen
        assert (first, sent) == ("/v1/chat/completions", chat("tiny", temperature=0.5))
        assert (second, asked["model"]) == ("/acme/v1/messages", "acme-only")
        decided = await here.of_kind("acme", entry.DECIDED)
        assert [(one.model, one.provider, one.provider_model) for one in decided] == [
            ("fast", "house", "tiny"),
            ("fast", "acme-llm", "acme-only"),
        ]
        assert decided[0].reasons[0] == "alias fast of the tenant"
        for fields in ((), (VERSION,)):
            _, page = await get(here, "/v1/models", *fields, agent="acme/x")
            assert "fast" in [one["id"] for one in json.loads(page)["data"]]
            assert (await get(here, "/v1/models/fast", *fields, agent="acme/x"))[0] == 200

        # Agent y does not list acme-only: for it the alias is the other target alone, whatever is drawn.
        assert (await here.post("acme/y", chat("fast")))[0] == 200
        assert here.provider.seen[-1][2]["model"] == "tiny"
        # A target that rests gives way to the other one.
        hand.draw = 0.0
        assert await called(here, LIMITED, body=chat("fast")) == [OWN, OWN]
        assert [seen[2]["model"] for seen in here.provider.seen[-2:]] == ["tiny", "acme-only"]
        await called(here, body=chat("fast"))
        assert here.provider.seen[-1][2]["model"] == "acme-only"
        assert await called(here, body=chat("tiny")) == [OWN], "who names the model itself still gets it"


async def test_an_agents_own_alias_comes_before_the_tenants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = "kind: Alias\ntenant: acme\nagent: x\nname: fast\ntargets: [{model: house/small}]\n"
    async with routed(tmp_path, monkeypatch, ALIAS, own) as (here, _):
        for agent, model in (("acme/x", "small"), ("acme/y", "tiny")):
            assert (await here.post(agent, chat("fast")))[0] == 200
            assert here.provider.seen[-1][2]["model"] == model
        code, _, body = await here.post("globex/z", chat("fast"))
        assert (code, code_of(body)) == (404, "model_not_found")


async def test_a_conversation_stays_with_its_key_and_moves_only_while_that_rests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with routed(tmp_path, monkeypatch, PAIR + "sticky: conversation\n") as (here, hand):

        async def turn(number: int, length: int) -> str:
            said = [{"role": "user", "content": f"talk {number}"}, {"role": "assistant", "content": "yes"}] * length
            [key] = await called(here, body=chat("tiny", messages=said[: 2 * length - 1]))
            return key

        homes = [await turn(number, 1) for number in range(12)]
        assert set(homes) == {OWN, SECOND}
        for draw in (0.1, 0.9):
            hand.draw = draw
            assert [await turn(number, 3) for number in range(12)] == homes
        mine = homes.index(OWN)
        said = chat("tiny", messages=[{"role": "user", "content": f"talk {mine}"}])
        assert await called(here, LIMITED, body=said) == [OWN, SECOND]
        assert await turn(mine, 2) == SECOND
        hand.now += 20.0
        assert await turn(mine, 3) == OWN
        keyed = {
            await_key
            for n in range(6)
            for await_key in await called(here, body=chat(text=f"{n}", prompt_cache_key="k"))
        }
        assert len(keyed) == 1


async def test_state_kept_at_a_provider_has_one_key_whatever_rests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = "kind: Agent\ntenant: acme\nname: x\nmodels: [tiny]\ncapabilities: [stored_state]\n"
    async with routed(tmp_path, monkeypatch, PAIR + FALLBACK, agent) as (here, hand):
        hand.draw = 0.9
        assert await called(here, body=chat(store=True)) == [OWN]
        assert await called(here, LIMITED, body=chat(store=True)) == [OWN]
        assert await called(here, body=chat(store=True)) == [OWN]
        assert await called(here) == [SECOND]


async def test_explain_tells_shares_and_what_rests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with routed(tmp_path, monkeypatch, ALIAS, PAIR + FALLBACK) as (here, hand):
        asked = Explain(tenant="acme", agent="x", model="fast")
        told = await here.verb("route explain", asked)
        assert [(hop["key"], hop["position"], hop["weight"]) for hop in told["routes"]] == [
            ("clients/acme/own", "primary", 3),
            ("clients/acme/second", "primary", 3),
            ("clients/acme/llm", "primary", 2),
            ("operator/house", "fallback", 1),
        ]
        assert told["resting"] == []
        assert [(one["name"], one["chosen"]) for one in told["targets"]] == [
            ("house/tiny", True),
            ("acme-llm/acme-only", True),
        ]
        await called(here, LIMITED, body=chat("fast"))
        hand.now += 5.0
        [rest] = (await here.verb("route explain", asked))["resting"]
        assert (rest["key"], rest["model"], rest["because"], rest["seconds"]) == (
            "clients/acme/own", "tiny", "rate_limited", 15.0,
        )  # fmt: skip
        other = Explain(tenant="globex", agent="z", model="tiny")
        assert (await here.verb("route explain", other))["resting"] == []
        _, figures = await control(here, "/metrics")
        assert b"\nsekimori_resting 1.0\n" in figures
        assert b"\nsekimori_rests_total 1.0\n" in figures


async def test_a_stream_moves_on_before_its_first_byte_and_never_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = asyncio.Event()

    async def late(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.start(200, [(b"content-type", b"text/event-stream")])
        await reply.write(chunk("one "))
        await go.wait()
        await reply.finish(b'data: {"error":{"message":"busy","type":"overloaded_error","code":"529"}}\n\n')

    async def early(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.start(200, [(b"content-type", b"text/event-stream")])
        await reply.finish(b'data: {"error":{"message":"busy","type":"overloaded_error","code":"529"}}\n\n')

    async with routed(tmp_path, monkeypatch, PAIR) as (here, hand):
        assert await called(here, early, body=chat(stream=True)) == [OWN, SECOND]
        hand.now += 400.0
        origin = Origin("http", "127.0.0.1", here.running.gateway_port)
        here.provider.script = [late]
        fields = [(b"authorization", b"Bearer " + here.keys["acme/x"].encode()), JSON]
        data = json.dumps(chat(stream=True)).encode()
        response = await here._pool.request(origin, "t", "POST", "/v1/chat/completions", fields, data, Deadlines())
        assert await asyncio.wait_for(response.read(), 10) == chunk("one ")
        go.set()
        assert b"overloaded" in await asyncio.wait_for(response.read_all(10_000), 10)
        assert here.provider.keys()[2:] == [OWN]
