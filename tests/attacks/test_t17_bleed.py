"""T17: data of one tenant ends in another's reply, cancelled calls included."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from pathlib import Path
from typing import Any

from sekimori.control.arguments import Usage
from sekimori.errors import Upstream
from sekimori.http.server import Reply, Request
from sekimori.ledger import entry
from tests.attacks.attacker import MESSAGES, VERSION, control, hostile, lead_house_to, question, received, wire
from tests.flows.place import EVENTS, JSON, Place, chat, chunk, completion, place, status
from tests.http.wire import Wire

AGENTS = ("acme/x", "acme/y", "globex/z")
CANARY = {"acme": "canary-acme-7f3a", "globex": "canary-globex-91be"}


def canary(agent: str, number: int) -> str:
    return f"{CANARY[agent.split('/')[0]]}-{agent[-1]}{number:04}"


class Echo:
    """A provider that repeats each question, breaks off now and then, and notes which key came by which connection."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.connections: dict[int, tuple[Any, set[bytes]]] = {}

    async def __call__(self, request: Request, reply: Reply, body: dict[str, Any]) -> None:
        key = next(value for name, value in request.headers if name == b"authorization")
        self.connections.setdefault(id(request._connection), (request._connection, set()))[1].add(key)
        said = body["messages"][-1]["content"]
        mood = self.chance.random()
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)
        if mood < 0.08:
            reply.abort()
        elif mood < 0.14:
            await status(self.chance.choice([429, 500, 400, 529]), said)(request, reply, body)
        elif body.get("stream"):
            await reply.start(200, [EVENTS])
            for _ in range(6):
                await reply.write(chunk(said + " "))
                await asyncio.sleep(0)
            if mood < 0.25:
                reply.abort()
                return
            await reply.finish(b"data: [DONE]\n\n")
        elif mood < 0.25:
            await reply.start(200, [JSON], length=5000)
            await reply.write(completion(said))
            reply.abort()
        else:
            await reply.send(200, [JSON], completion(said))


async def test_no_canary_under_load_cancellation_and_faults_is_seen_by_a_neighbour(tmp_path: Path) -> None:
    chance = random.Random(17)
    echo = Echo(71)
    async with place(tmp_path) as here:
        here.provider.script = [echo] * 5000

        async def ask(agent: str, number: int) -> None:
            mine = canary(agent, number)
            body = chat(text=mine, stream=chance.random() < 0.5)
            if chance.random() < 0.3:
                await asyncio.sleep(0)
            try:
                code, headers, reply = await here.post(agent, body)
            except Upstream:
                return  # cut off in mid-stream, as its provider was
            text = reply.decode() + json.dumps(headers)
            for other in AGENTS:
                for at in range(400):
                    if (other, at) != (agent, number) and canary(other, at) in text:
                        raise AssertionError(f"{agent} {number} was given what {other} {at} wrote")
            if code == 200 and not body["stream"]:
                assert mine in text

        async def caller(agent: str, offset: int) -> None:
            for number in range(offset, offset + 20):
                call = asyncio.create_task(ask(agent, number))
                if chance.random() < 0.3:
                    for _ in range(chance.randrange(30)):
                        await asyncio.sleep(0)
                    call.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await call

        await asyncio.gather(*(caller(agent, offset) for agent in AGENTS for offset in range(0, 120, 20)))
        await here.settled()
        here.provider.script = []
        keys = [keys for _, keys in echo.connections.values()]
        assert len(keys) >= 2
        assert all(len(each) == 1 for each in keys), "two keys came by one connection"
        assert len(here.provider.seen) > 200
        await everything_kept_apart(here)


async def everything_kept_apart(here: Place) -> None:
    """No canary in the other tenant's record, in the log or in figures; none in any file but encrypted."""
    for log, other in (("acme", "globex"), ("globex", "acme")):
        for one in await here.entries(log):
            assert CANARY[other] not in repr(one.payload)
    figures = (await control(here, "/metrics"))[1] + json.dumps(await here.verb("usage", Usage(by=("agent",)))).encode()
    for word in CANARY.values():
        assert word.encode() not in here.log.getvalue()
        assert word.encode() not in figures
        for path in here.home.rglob("*"):
            if path.is_file():
                assert word.encode() not in path.read_bytes(), path
    await here.check_invariants(canaries=CANARY)


async def test_the_reply_to_a_call_that_was_given_up_is_nobodys(tmp_path: Path) -> None:
    """The provider answers after its caller left: the next call by the same key must not be handed that answer."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def provider(end: Wire) -> None:
        while True:
            asked = await received(end)
            said = json.loads(asked.partition(b"\r\n\r\n")[2])["messages"][0]["content"]
            if "acme" in said:
                arrived.set()
                await go.wait()
            body = completion(said)
            end.send(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
            )

    async with hostile(provider) as port, place(tmp_path) as here:
        await lead_house_to(here, port)
        # On the key that both tenants share.
        await here.apply("kind: Route\ntenant: acme\nagent: y\nprovider: house\nkey: operator/house\n")
        for turns in range(6):
            arrived.clear()
            go.clear()
            call = asyncio.create_task(here.post("acme/y", chat(text=canary("acme/y", turns))))
            await asyncio.wait_for(arrived.wait(), 10)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            go.set()
            for _ in range(turns * 5):
                await asyncio.sleep(0)
            replies = await asyncio.gather(
                *(here.post("globex/z", chat(text=canary("globex/z", turns * 10 + each))) for each in range(4))
            )
            for each, (code, _, body) in enumerate(replies):
                assert code == 200
                assert canary("globex/z", turns * 10 + each).encode() in body
                assert CANARY["acme"].encode() not in body
        await here.settled()


async def test_a_late_second_reply_on_a_shared_key_reaches_nobody(tmp_path: Path) -> None:
    """After a whole reply to one tenant the provider sends another one unasked, at once or while the next call runs."""
    poison = completion(canary("acme/y", 9999))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"

    async def provider(end: Wire) -> None:
        while True:
            asked = await received(end)
            said = json.loads(asked.partition(b"\r\n\r\n")[2])["messages"][0]["content"]
            body = completion(said)
            end.send(head % len(body) + body)
            if "acme" in said:
                await end.writer.drain()
                for _ in range(int(said[-1])):
                    await asyncio.sleep(0)
                end.send(head % len(poison) + poison)

    async with hostile(provider) as port, place(tmp_path) as here:
        await lead_house_to(here, port)
        await here.apply("kind: Route\ntenant: acme\nagent: y\nprovider: house\nkey: operator/house\n")
        for number in range(10):
            await here.post("acme/y", chat(text=canary("acme/y", number)))
            for _ in range(number):
                await asyncio.sleep(0)
            for each in range(3):
                mine = canary("globex/z", number * 3 + each)
                code, _, body = await here.post("globex/z", chat(text=mine))
                if code == 200:
                    assert mine.encode() in body
                assert b"9999" not in body, "an answer that nobody asked for was handed to another tenant"


async def test_pipelined_and_kept_connections_mix_no_agents(tmp_path: Path) -> None:
    """One connection, two tenants in turn, one of them refused, one cut off: each reply is its own caller's."""

    async def echoes(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.send(200, [JSON], completion(body["messages"][-1]["content"]))

    async with place(tmp_path) as here, wire(here.running.gateway_port) as end:
        here.provider.script = [echoes] * 100
        asked: list[tuple[str, int, bool]] = []
        for number in range(24):
            agent = AGENTS[number % 3]
            good = number % 5 != 4
            data = json.dumps(chat("tiny" if good else "nobody-has-it", text=canary(agent, number))).encode()
            head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Length: %d"
            end.send(head % (here.keys[agent].encode(), len(data)) + b"\r\n\r\n" + data)
            asked.append((agent, number, good))
        for agent, number, good in asked:
            code, _, body = await end.reply()
            here.replies.append((agent, body))
            assert code == (200 if good else 404)
            assert (canary(agent, number).encode() in body) == good
            for other, at, _ in asked:
                if at != number:
                    assert canary(other, at).encode() not in body
        await here.check_invariants(canaries=CANARY)


async def test_errors_of_a_shared_provider_tell_one_tenant_nothing_of_another(tmp_path: Path) -> None:
    """The provider's own words about its last caller: organisation, limits, another prompt."""
    seen: list[str] = []

    def tells(code: int) -> Any:
        async def answer(request: Request, reply: Reply, body: dict[str, Any]) -> None:
            last = seen[-1] if seen else ""
            seen.append(body["messages"][-1]["content"])
            error = {"error": {"message": f"after {last} of org-globex1 key sk-house-0f3c", "type": last, "code": last}}
            headers = [(b"x-last-prompt", last.encode()), (b"openai-organization", b"org-globex1")]
            await reply.send(code, [JSON, *headers], json.dumps(error).encode())

        return answer

    async with place(tmp_path) as here:
        await here.apply("kind: Route\ntenant: acme\nagent: y\nprovider: house\nkey: operator/house\n")
        for code in (401, 402, 403, 407, 408, 429, 500, 502, 503, 504, 529):
            here.provider.script = [tells(code)] * 3
            await here.post("globex/z", chat(text=canary("globex/z", code)))
            for path, body in (("/v1/chat/completions", chat()), (MESSAGES, question())):
                answered, headers, reply = await here.post("acme/y", body, path, VERSION)
                assert answered >= 400
                whole = json.dumps(headers).encode() + reply
                assert b"canary-globex" not in whole, code
                assert b"org-globex1" not in whole, code
        assert len(await here.of_kind("acme", entry.SETTLED)) == 22
