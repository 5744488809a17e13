"""A caller that leaves, and a handler that cuts."""

from __future__ import annotations

import asyncio

import pytest

from sekimori.http.server import CallerLeft, Reply, Request
from tests.http.wire import PATIENCE, Edge, happens

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("how", ["close", "half-close", "reset"])
@pytest.mark.parametrize("streaming", [False, True])
async def test_a_caller_that_leaves_cancels_the_handler(edge: Edge, how: str, streaming: bool) -> None:
    events: list[str] = []
    waiting = asyncio.Event()

    async def handler(request: Request, reply: Reply) -> None:
        try:
            if streaming:
                await reply.start(200, [])
                await reply.write(b"data: 1\n\n")
            waiting.set()
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            events.append("cancelled")
            await asyncio.sleep(0)  # a shielded end still runs
            events.append("recorded")
            with pytest.raises(CallerLeft):
                await (reply.finish() if streaming else reply.send(200, [], b""))
            raise

    served = await edge.serve(handler)
    wire = await served.wire()
    wire.send(GET)
    async with asyncio.timeout(PATIENCE):
        await waiting.wait()
    assert served.server.requests_in_flight == 1
    if how == "close":
        wire.close()
    elif how == "reset":
        wire.reset()
    else:
        wire.writer.write_eof()
    await happens(lambda: not served.server.tasks)
    assert events == ["cancelled", "recorded"]
    assert served.server.requests_in_flight == 0
    await happens(lambda: served.server.connections == 0)


async def test_a_caller_that_leaves_in_its_body_cancels_the_handler(edge: Edge) -> None:
    cancelled = asyncio.Event()

    async def handler(request: Request, reply: Reply) -> None:
        try:
            await request.body()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    served = await edge.serve(handler)
    wire = await served.wire()
    wire.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell")
    await happens(lambda: served.server.requests_in_flight == 1)
    wire.close()
    async with asyncio.timeout(PATIENCE):
        await cancelled.wait()


async def test_a_handler_that_aborts_comes_to_its_own_end(edge: Edge) -> None:
    ended = asyncio.Event()

    async def handler(request: Request, reply: Reply) -> None:
        reply.abort()
        for _ in range(5):
            await asyncio.sleep(0)
        ended.set()

    served = await edge.serve(handler)
    wire = await served.wire()
    wire.send(GET)
    assert await wire.ended() == b""
    async with asyncio.timeout(PATIENCE):
        await ended.wait()
    await happens(lambda: served.server.connections == 0)


async def test_a_caller_that_leaves_after_its_reply_disturbs_nobody(edge: Edge) -> None:
    replied, go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(request: Request, reply: Reply) -> None:
        await reply.send(200, [], b"whole")
        replied.set()
        await go.wait()
        ended.set()

    served = await edge.serve(handler)
    wire = await served.wire()
    wire.send(GET)
    assert (await wire.reply())[2] == b"whole"
    wire.reset()
    await happens(lambda: served.server.connections == 0)
    go.set()
    async with asyncio.timeout(PATIENCE):
        await ended.wait()
