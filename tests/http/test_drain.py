"""A drain ends what is under way, says so on the wire, and cuts what does not come to its end."""

from __future__ import annotations

import asyncio

from sekimori.http.limits import Limits
from sekimori.http.server import Reply, Request
from tests.http.wire import PATIENCE, Edge, Seen, happens

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_replies_under_way_end_and_say_close(edge: Edge) -> None:
    go = asyncio.Event()

    async def handler(request: Request, reply: Reply) -> None:
        if request.target == "/stream":
            await reply.start(200, [])
            await reply.write(b"data: 1\n\n")
            await go.wait()
            await reply.finish(b"data: 2\n\n")
        else:
            await go.wait()
            await reply.send(200, [], b"whole")

    served = await edge.serve(handler)
    idle, plain, stream, partial = [await served.wire() for _ in range(4)]
    plain.send(GET)
    stream.send(GET.replace(b"/x", b"/stream"))
    partial.send(GET[:-4])
    await stream.until(b"data: 1\n\n\r\n")
    await happens(lambda: served.server.requests_in_flight == 2 and served.server.connections == 4)
    await happens(lambda: sum(connection.idle for connection in served.server._open) == 1)
    drained = asyncio.create_task(served.server.drain(PATIENCE))
    assert await idle.rest() == b""
    refused = await _refuses(served.port)
    assert refused
    assert not drained.done()
    partial.send(GET[-4:])
    go.set()
    for wire in (plain, partial):
        status, fields, body = await wire.reply()
        assert (status, body, fields[b"connection"]) == (200, b"whole", b"close")
        assert await wire.rest() == b""
    assert await stream.rest() == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"
    assert await drained
    assert (served.server.connections, served.server.requests_in_flight) == (0, 0)


async def test_what_does_not_end_is_cut_and_the_handler_may_still_record(edge: Edge) -> None:
    recorded = asyncio.Event()

    async def handler(request: Request, reply: Reply) -> None:
        await reply.start(200, [])
        await reply.write(b"data: 1\n\n")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0.02)
            recorded.set()

    served = await edge.serve(handler)
    wire = await served.wire()
    wire.send(GET)
    await wire.until(b"data: 1\n\n\r\n")
    async with asyncio.timeout(PATIENCE):
        assert not await served.server.drain(0.01)
    assert recorded.is_set()
    assert not (await wire.ended()).endswith(b"0\r\n\r\n")
    assert not served.server.tasks


async def test_a_handler_that_does_not_end_does_not_hold_the_drain_for_ever(edge: Edge) -> None:
    release = asyncio.Event()

    async def handler(request: Request, reply: Reply) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    served = await edge.serve(handler, limits=Limits(cut_s=0.01))
    wire = await served.wire()
    wire.send(GET)
    await happens(lambda: served.server.requests_in_flight == 1)
    async with asyncio.timeout(PATIENCE):
        assert not await served.server.drain(0.01)
    release.set()
    await happens(lambda: not served.server.tasks)


async def test_pipelined_requests_after_the_last_reply_are_not_answered(edge: Edge) -> None:
    go = asyncio.Event()
    seen = Seen()

    async def handler(request: Request, reply: Reply) -> None:
        await go.wait()
        await seen(request, reply)

    served = await edge.serve(handler)
    wire = await served.wire()
    wire.send(GET * 3)
    await happens(lambda: served.server.requests_in_flight == 1)
    drained = asyncio.create_task(served.server.drain(PATIENCE))
    await asyncio.sleep(0)
    go.set()
    assert (await wire.reply())[1][b"connection"] == b"close"
    wire.writer.write_eof()
    assert await wire.rest() == b""
    assert await drained
    assert len(seen.requests) == 1


async def test_draining_twice_and_with_nothing_is_well(edge: Edge) -> None:
    served = await edge.serve(Seen())
    assert await served.server.drain(0.0)
    assert await served.server.drain(0.0)


async def _refuses(port: int) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False
