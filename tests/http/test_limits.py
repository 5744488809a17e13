"""Bounds in bytes and time. The clock is the test's own: order and outcome are asserted, never durations."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sekimori.errors import Refused
from sekimori.http.limits import Limits
from sekimori.http.server import Reply, Request
from tests.http.fed import Fed
from tests.http.wire import PATIENCE, QUICK, Clock, Edge, Seen, happens

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


def limits(**others: Any) -> Limits:
    return Limits(sweep_s=QUICK, **others)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"a" * 40_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 8_000_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 50_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a" * 40_000 + b": y\r\n\r\n", 431),
    ],
    ids=["long target", "endless target", "long value", "8 MB value", "101 fields", "50,000 fields", "long name"],
)
async def test_head_bombs(edge: Edge, data: bytes, status: int) -> None:
    seen = Seen()
    served = await edge.serve(seen)
    wire = await served.wire()
    wire.send(data)
    got, fields, _ = await wire.reply()
    assert (got, fields[b"connection"]) == (status, b"close")
    assert seen.requests == []


async def test_what_is_just_within_the_bounds_passes(edge: Edge) -> None:
    served = await edge.serve(Seen())
    target = b"/" + b"a" * 8191
    assert (await served.ask(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target))[0] == 200
    assert (await served.ask(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 99 + b"\r\n"))[0] == 200
    assert (await served.ask(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 32_000 + b"\r\n\r\n"))[0] == 200


@pytest.mark.parametrize(
    "data",
    [
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001,
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999999\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1;a=b\r\nx\r\n" * 1001 + b"0\r\n\r\n",
    ],
)
async def test_bodies_beyond_the_bound_are_413(edge: Edge, data: bytes) -> None:
    seen = Seen()
    served = await edge.serve(seen, limits=Limits(body_bytes=1000))
    wire = await served.wire()
    wire.send(data)
    status, fields, _ = await wire.reply()
    assert (status, fields[b"x-reason"], fields[b"connection"]) == (413, b"body_too_large", b"close")
    assert seen.requests == []


async def test_bodies_of_all_requests_together_are_bounded(edge: Edge) -> None:
    served = await edge.serve(Seen(), limits=Limits(bodies_bytes=1000))
    wires = [await served.wire() for _ in range(3)]
    for wire in wires[:2]:
        wire.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n" + b"x" * 499)
    await happens(lambda: served.server.held_bytes == 998)
    wires[2].send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n" + b"x" * 499)
    status, fields, _ = await wires[2].reply()
    assert (status, fields[b"x-reason"]) == (503, b"overloaded")
    assert served.server.held_bytes == 998
    wires[0].send(b"x")
    assert (await wires[0].reply())[0] == 200
    await happens(lambda: served.server.held_bytes == 499)
    wires[1].close()
    await happens(lambda: served.server.held_bytes == 0)


async def test_a_body_cut_into_too_many_chunks_is_refused(edge: Edge) -> None:
    """Each chunk costs far more to read than to send."""
    served = await edge.serve(Seen())
    wire = await served.wire()
    wire.send(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 20_000)
    status, _, body = await wire.reply()
    assert status == 400
    assert b"chunks" in body


async def test_a_slow_head_is_408_though_bytes_keep_coming(edge: Edge) -> None:
    clock = Clock()
    seen = Seen()
    served = await edge.serve(seen, limits=limits(head_s=10), clock=clock)
    wire = await served.wire()
    connection = (await _connections(served, 1))[0]
    for number in range(1, 5):
        wire.send(b"GET"[:number] if number < 4 else b" /")
        await happens(lambda: not connection.idle)
        clock.pass_(3)
        await _swept(served)
    status, fields, _ = await wire.reply()
    assert (status, fields[b"connection"]) == (408, b"close")
    assert seen.requests == []


async def test_a_connection_that_says_nothing_is_closed_silently(edge: Edge) -> None:
    clock = Clock()
    served = await edge.serve(Seen(), limits=limits(head_s=10), clock=clock)
    wire = await served.wire()
    await _connections(served, 1)
    clock.pass_(10)
    assert await wire.rest() == b""


async def test_an_idle_connection_is_closed_but_not_one_in_use(edge: Edge) -> None:
    clock = Clock()
    go = asyncio.Event()

    async def handler(request: Request, reply: Reply) -> None:
        if request.target == "/wait":
            await go.wait()
        await reply.send(200, [], b"")

    served = await edge.serve(handler, limits=limits(idle_s=75), clock=clock)
    idle, used = await served.wire(), await served.wire()
    idle.send(GET)
    await idle.reply()
    used.send(GET.replace(b"/x", b"/wait"))
    await happens(lambda: served.server.requests_in_flight == 1)
    clock.pass_(74)
    await _swept(served)
    idle.send(GET)
    assert (await idle.reply())[0] == 200
    clock.pass_(75)
    assert await idle.rest() == b""
    clock.pass_(10_000)
    await _swept(served)
    go.set()
    assert (await used.reply())[0] == 200


async def test_idle_connections_go_sooner_when_it_is_crowded(edge: Edge) -> None:
    clock = Clock()
    served = await edge.serve(Seen(), limits=limits(connections=4, idle_s=75, idle_crowded_s=5), clock=clock)
    wires = [await served.wire() for _ in range(4)]
    for wire in wires:
        wire.send(GET)
        await wire.reply()
    await _swept(served)
    clock.pass_(5)
    for wire in wires:
        assert await wire.rest() == b""


async def test_a_slow_body_is_408_between_pieces(edge: Edge) -> None:
    clock = Clock()
    seen = Seen()
    served = await edge.serve(seen, limits=limits(body_idle_s=20, body_s=1000), clock=clock)
    wire = await served.wire()
    wire.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
    connection = (await _connections(served, 1))[0]
    await happens(lambda: connection._wanted is not None)
    clock.pass_(19)
    await _swept(served)
    wire.send(b"l")
    await happens(lambda: connection._body._missing == 2)
    clock.pass_(19)
    await _swept(served)
    assert connection._failure is None
    clock.pass_(1)
    status, fields, _ = await wire.reply()
    assert (status, fields[b"connection"]) == (408, b"close")
    assert seen.requests == []


async def test_a_slow_body_is_408_in_all(edge: Edge) -> None:
    clock = Clock()
    served = await edge.serve(Seen(), limits=limits(body_idle_s=20, body_s=50), clock=clock)
    wire = await served.wire()
    wire.send(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection = (await _connections(served, 1))[0]
    await happens(lambda: connection._wanted is not None)
    for number in range(1, 4):
        wire.send(b"1\r\nx\r\n")
        await happens(lambda count=number: connection._body.size == count)
        clock.pass_(16)
        await _swept(served)
    assert connection._failure is None
    clock.pass_(2)
    assert (await wire.reply())[0] == 408


async def test_no_deadline_runs_while_the_handler_does_not_ask_for_the_body(edge: Edge) -> None:
    clock = Clock()
    go = asyncio.Event()

    async def handler(request: Request, reply: Reply) -> None:
        await go.wait()
        await reply.send(200, [], await request.body())

    served = await edge.serve(handler, limits=limits(), clock=clock)
    wire = await served.wire()
    wire.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
    await happens(lambda: served.server.requests_in_flight == 1)
    clock.pass_(10_000)
    await _swept(served)
    go.set()
    wire.send(b"hello")
    assert (await wire.reply())[2] == b"hello"


async def test_a_caller_that_does_not_take_its_reply_is_cut(edge: Edge) -> None:
    clock = Clock()
    cancelled = asyncio.Event()

    async def handler(request: Request, reply: Reply) -> None:
        await reply.start(200, [])
        try:
            while True:
                await reply.write(b"x" * 100_000)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    served = await edge.serve(handler, limits=limits(write_stall_s=30), clock=clock)
    wire = await served.wire()
    wire.send(GET)
    connection = (await _connections(served, 1))[0]
    await _stands_still(connection)
    clock.pass_(30)
    async with asyncio.timeout(PATIENCE):
        await cancelled.wait()
    await happens(lambda: served.server.connections == 0)


async def test_a_last_reply_nobody_takes_is_cut(edge: Edge) -> None:
    clock = Clock()

    async def handler(request: Request, reply: Reply) -> None:
        await reply.send(200, [], b"x" * 20_000_000)

    served = await edge.serve(handler, limits=limits(write_stall_s=30), clock=clock)
    wire = await served.wire()
    wire.send(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    connection = (await _connections(served, 1))[0]
    await happens(connection.transport.is_closing)
    clock.pass_(31)
    await happens(lambda: served.server.connections == 0)


async def test_pipelined_requests_wait_while_their_replies_are_not_taken(edge: Edge) -> None:
    served_count = 0

    async def handler(request: Request, reply: Reply) -> None:
        nonlocal served_count
        served_count += 1
        await reply.send(200, [], b"x" * 100_000)

    served = await edge.serve(handler)
    wire = await served.wire()
    wire.send(GET * 1000)
    before = -1
    while served_count != before:
        before = served_count
        await asyncio.sleep(0.05)
    assert served_count < 1000


async def test_pipelined_bytes_are_bounded(edge: Edge) -> None:
    go = asyncio.Event()

    async def handler(request: Request, reply: Reply) -> None:
        await go.wait()
        await reply.send(200, [], b"")

    served = await edge.serve(handler, limits=Limits(pipelined_bytes=1000))
    fed = Fed(served.server)
    fed.feed(GET)
    for _ in range(100):
        fed.feed(GET)
    await fed.settle()
    assert not fed.transport.reading
    assert len(fed.connection._buffer) <= 1000 + len(GET)
    go.set()
    await fed.settle()
    assert fed.written.count(b"HTTP/1.1 200") == 101
    await fed.end()


async def test_one_connection_too_many_is_told_so(edge: Edge) -> None:
    served = await edge.serve(Seen(), limits=limits(connections=2))
    wires = [await served.wire() for _ in range(2)]
    await _connections(served, 2)
    extra = await served.wire()
    assert b"503" in await extra.ended()
    assert served.server.turned_away == 1
    wires[0].send(GET)
    assert (await wires[0].reply())[0] == 200
    wires[1].close()
    await happens(lambda: served.server.connections == 1)
    late = await served.wire()
    late.send(GET)
    assert (await late.reply())[0] == 200


async def test_lingering_after_an_error_is_bounded_in_bytes_and_time(edge: Edge) -> None:
    clock = Clock()
    served = await edge.serve(Seen(), limits=limits(linger_s=2, linger_bytes=100_000), clock=clock)
    wire = await served.wire()
    wire.send(b"BAD\r\n\r\n")
    assert (await wire.reply())[0] == 400
    clock.pass_(2)
    await happens(lambda: served.server.connections == 0)
    wire = await served.wire()
    wire.send(b"BAD\r\n\r\n")
    assert (await wire.reply())[0] == 400
    while not wire.writer.transport.is_closing() and served.server.connections:
        wire.send(b"x" * 10_000)
        await asyncio.sleep(0)
    await happens(lambda: served.server.connections == 0)


async def test_a_body_that_is_refused_early_does_not_keep_the_connection(edge: Edge) -> None:
    clock = Clock()

    async def handler(request: Request, reply: Reply) -> None:
        raise Refused("credential_missing", "Who are you?")

    served = await edge.serve(handler, limits=limits(linger_s=2), clock=clock)
    wire = await served.wire()
    wire.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nhello")
    assert (await wire.reply())[0] == 401
    clock.pass_(2)
    await happens(lambda: served.server.connections == 0)


@contextmanager
def _few_descriptors(left: int) -> Iterator[None]:
    """Leave `left` file descriptors to this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1 + left, hard))
    fill = []
    try:
        while True:
            try:
                fill.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        for _ in range(left):
            os.close(fill.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in fill:
            os.close(descriptor)


async def test_out_of_descriptors_it_stops_accepting_and_comes_back(edge: Edge) -> None:
    served = await edge.serve(Seen(), limits=limits())
    wire = await served.wire()
    wire.send(GET)
    await wire.reply()
    with _few_descriptors(1):
        raw = socket.socket()
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", served.port))
        await happens(lambda: served.server._deaf)
        wire.send(GET)
        assert (await wire.reply())[0] == 200  # who is in, is served
    await asyncio.get_running_loop().sock_sendall(raw, GET)
    async with asyncio.timeout(PATIENCE):
        assert (await asyncio.get_running_loop().sock_recv(raw, 100)).startswith(b"HTTP/1.1 200 OK")
    raw.close()


async def _connections(served: Any, count: int) -> list[Any]:
    await happens(lambda: len(served.server._open) == count)
    return list(served.server._open)


async def _swept(served: Any) -> None:
    """Until the deadlines were compared with the clock once more, from beginning to end."""
    for _ in range(2):
        timer = served.server._timer
        await happens(lambda before=timer: served.server._timer is not before)


async def _stands_still(connection: Any) -> None:
    """Until the connection's output is stuck: it waits, and what it holds no longer shrinks."""
    await happens(lambda: connection.paused is not None)
    before = -1
    while before != (now := connection.transport.get_write_buffer_size()) or connection.paused is None:
        before = now
        await asyncio.sleep(0.05)
