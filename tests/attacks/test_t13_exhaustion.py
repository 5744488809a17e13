"""T13: one caller exhausts the process: slow, huge, endless, deeply nested.

Time is the listener's own clock, moved by hand: what is shown is that a bound exists and what happens at it, not how
long a machine takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from sekimori.http.server import Reply, Request
from sekimori.ledger import entry
from tests.attacks.attacker import call_bytes, code_of, get, wire
from tests.flows.place import EVENTS, JSON, Place, chat, chunk, place
from tests.http.wire import Wire, happens


def jump(here: Place, seconds: float) -> None:
    """Time passes for the listener."""
    server = here.running.gateway
    clock: Callable[[], float] = server.clock
    server.clock = lambda: clock() + seconds


async def test_slow_heads_and_bodies_are_cut_and_cost_no_place(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        port, key = here.running.gateway_port, here.keys["acme/x"].encode()
        slow = [
            b"",
            b"P",
            b"POST /v1/chat/completions HTTP/1.1\r\n",
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-A: b",
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Length: 9\r\n\r\n{"
            % key,
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n"
            b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"mod' % key,
        ]
        ends: list[Wire] = []
        for data in slow * 20:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            ends.append(Wire(reader, writer))
            ends[-1].send(data)
        await happens(lambda: here.running.gateway.requests_in_flight == 40)
        assert (await here.post("acme/x", chat()))[0] == 200, "the slow ones keep others out"
        jump(here, 400.0)
        got = await asyncio.gather(*(end.ended() for end in ends))
        for data, reply in zip(slow * 20, got, strict=True):
            assert reply == b"" or reply.startswith(b"HTTP/1.1 408"), data
        for end in ends:
            end.reset()
        await happens(lambda: here.running.gateway.requests_in_flight == 0)
        assert (await here.post("acme/x", chat()))[0] == 200
        refused = await here.of_kind("acme", entry.REFUSED)
        assert {one.status for one in refused} == {408}
        assert len(refused) <= 2


async def test_heads_and_bodies_beyond_their_bounds_are_refused_without_being_read(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        key = here.keys["acme/x"]
        bombs = {
            b"431": [
                b"\r\n".join(b"X-%d: y" % number for number in range(150)),
                b"X-Long: " + b"a" * 40_000,
                b"Cookie: " + b"a=b; " * 8_000,
            ],
            b"413": [b"Content-Length: 99999999999"],
            b"400": [b"Content-Length: 9999999999999999", b"Content-Length: " + b"9" * 500],
            b"414": [],
        }
        for status, heads in bombs.items():
            for head in heads:
                async with wire(here.running.gateway_port) as end:
                    end.send(call_bytes(key, "hello", head, length=False))
                    assert (await end.ended()).split(b" ")[1] == status, head[:40]
        async with wire(here.running.gateway_port) as end:
            end.send(call_bytes(key, line=b"POST /v1/chat/completions?" + b"a" * 9000 + b" HTTP/1.1"))
            assert (await end.ended()).split(b" ")[1] == b"414"
        async with wire(here.running.gateway_port) as end:
            # A body that does not end: the bound holds for what comes in chunks, too.
            head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n" % key.encode()
            end.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
            piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"

            async def flood() -> None:
                while True:
                    end.send(piece)
                    await end.writer.drain()

            flooding = asyncio.create_task(flood())
            reply = await end.until(b"\r\n\r\n")
            flooding.cancel()
            await asyncio.gather(flooding, return_exceptions=True)
            assert reply.startswith(b"HTTP/1.1 413")
        assert here.provider.seen == []


async def test_a_stranger_makes_us_hold_little(tmp_path: Path) -> None:
    """Before it is known who calls, a body is not taken in: what a stranger sends stays in his own kernel."""
    async with place(tmp_path) as here:

        async def stranger() -> int:
            """How much of his body a stranger gets rid of."""
            async with wire(here.running.gateway_port) as end:
                head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer no\r\n"
                end.send(head + b"Content-Length: 30000000\r\n\r\n")
                assert (await end.reply())[0] == 401
                gone = 0
                with contextlib.suppress(ConnectionError):
                    while gone < 30_000_000:
                        end.send(bytes(65536))
                        await end.writer.drain()
                        gone += 65536
                return gone

        async with asyncio.timeout(20):
            assert max(await asyncio.gather(*(stranger() for _ in range(20)))) < 12_000_000
        assert (await here.post("acme/x", chat()))[0] == 200


async def test_connections_beyond_the_bound_are_told_so_and_the_rest_goes_on(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        server = here.running.gateway
        server.limits = replace(server.limits, connections=server.connections + 12)
        assert (await here.post("acme/x", chat()))[0] == 200
        ends = [Wire(*await asyncio.open_connection("127.0.0.1", here.running.gateway_port)) for _ in range(30)]
        await happens(lambda: server.turned_away >= 10)
        seen = await asyncio.gather(*(peek(end) for end in ends))
        assert sum(data.startswith(b"HTTP/1.1 503") for data in seen) >= 10
        assert (await here.post("acme/x", chat()))[0] == 200, "a kept connection was pushed out"
        for end in ends:
            end.reset()
        await happens(lambda: server.connections <= 2)
        assert (await get(here, "/healthz"))[0] == 200


async def peek(end: Wire) -> bytes:
    try:
        async with asyncio.timeout(0.2):
            return await end.reader.read(12)
    except (TimeoutError, ConnectionError):
        return b""


async def test_a_caller_that_takes_nothing_holds_the_provider_back_and_is_cut(tmp_path: Path) -> None:
    """Memory between a fast provider and a caller that does not read stays within the water marks."""
    written = 0
    left = asyncio.Event()

    async def endless(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        nonlocal written
        piece = chunk("w" * 8000)
        try:
            await reply.start(200, [EVENTS])
            while True:
                await reply.write(piece)
                written += len(piece)
        finally:
            left.set()

    async with place(tmp_path) as here:
        here.provider.script = [endless]
        async with wire(here.running.gateway_port) as end:
            sock: socket.socket = end.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            end.reader._transport.pause_reading()  # type: ignore[attr-defined]
            data = json.dumps(chat(stream=True)).encode()
            head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n"
            end.send(head % here.keys["acme/x"].encode() + b"Content-Length: %d\r\n\r\n%b" % (len(data), data))
            before = -1
            async with asyncio.timeout(20):
                while written != before or not written:
                    before = written
                    await asyncio.sleep(0.3)
            assert written < 40_000_000, "the provider is not held back"
            jump(here, 60.0)
            await asyncio.wait_for(left.wait(), 10)
        await here.settled()
        [settled] = await here.of_kind("acme", entry.SETTLED)
        assert settled.outcome == "aborted"
        assert settled.usage.estimated


async def test_floods_of_small_things_are_bounded(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        key = here.keys["acme/x"].encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n" % key
        async with wire(here.running.gateway_port) as end:
            # A byte a chunk: twenty times the work of its size.
            end.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 20_000)
            assert (await end.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 400")
        async with wire(here.running.gateway_port) as end:
            # Requests without waiting for a reply: the connection is not read beyond its bound, and order is kept.
            end.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 3000)
            for _ in range(3000):
                assert (await end.reply())[0] == 200
        async with wire(here.running.gateway_port) as end:
            end.send(head + b"Expect: 100-continue\r\n" * 2 + b"Content-Length: 5\r\n\r\n")
            assert (await end.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 417")
        assert here.provider.seen == []
        # An agent in a loop fills neither the record nor the memory of refusals.
        for number in range(300):
            await here.post("acme/x", chat(f"nobody-{number}"))
        assert len(await here.of_kind("acme", entry.REFUSED)) <= 3


async def test_one_agent_in_a_flood_does_not_stop_a_neighbour(tmp_path: Path) -> None:
    limit = "kind: Limit\ntenant: acme\nconcurrency: 8\n"
    go = asyncio.Event()

    async def waits(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await go.wait()
        await reply.send(503, [JSON], b"{}")

    async with place(tmp_path, documents=limit) as here:
        here.provider.script = [waits] * 8
        flood = [asyncio.create_task(here.post("acme/y", chat())) for _ in range(150)]
        await happens(lambda: len(here.provider.seen) == 8)
        for _ in range(5):
            assert (await here.post("globex/z", chat("globex-only")))[0] == 200
        go.set()
        codes = [code for code, _, _ in await asyncio.gather(*flood)]
        assert codes.count(429) == 142
        code, _, body = await here.post("acme/y", b"[" * 500_000)
        assert (code, code_of(body)) == (400, "malformed_json")
