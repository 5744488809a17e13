"""What a provider can do wrong, and what the caller hears of it."""

from __future__ import annotations

import asyncio

import pytest

from sekimori.errors import Fault, Upstream
from sekimori.http.client import ClientLimits, Deadlines, Pool
from sekimori.terms import Headers, Origin
from tests.http.provider import CHUNKED, OK, QUICKLY, ask, plays, request_of, whole
from tests.http.wire import PATIENCE, QUICK, Clock, Edge, Wire, happens

MALFORMED: dict[str, bytes] = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTML": b"<html>\r\n\r\n",
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\n",
    "status 20": b"HTTP/1.1 20 OK\r\n\r\n",
    "empty": b"\r\n\r\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
    "obs-fold": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello\r\n\r\n",
    "bare LF in the head": b"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 5\r\n\r\nhello",
    "NUL": b"HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 5\r\n\r\nhello",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "same length twice": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length not a number": b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
    "coding gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked from 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "compressed though not asked": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + OK,
    "interim replies without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + OK,
    "endless header": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000,
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 201 + b"\r\n",
    "endless interim header": b"HTTP/1.1 100 Continue\r\nX: " + b"a" * 100_000,
}
MALFORMED_BODIES: dict[str, bytes] = {
    "chunk size": CHUNKED + b"2\r\nhi\r\nxyz\r\nhello\r\n0\r\n\r\n",
    "chunk too long": CHUNKED + b"2\r\nhi\r\n4\r\nhello\r\n0\r\n\r\n",
    "chunk line in LF": CHUNKED + b"2\r\nhi\r\n5\nhello\r\n0\r\n\r\n",
    "endless chunk extension": CHUNKED + b"2\r\nhi\r\n5;" + b"a" * 10_000,
    "endless trailers": CHUNKED + b"2\r\nhi\r\n0\r\n" + b"X: y\r\n" * 5000,
}
TRUNCATED: dict[str, bytes] = {
    "in a length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
    "before the content": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "in a chunk": CHUNKED + b"5\r\nhel",
    "in a chunk line": CHUNKED + b"5\r\nhello\r\n5",
    "between chunks": CHUNKED + b"5\r\nhello\r\n",
    "before the last line": CHUNKED + b"5\r\nhello\r\n0\r\n",
    "in trailers": CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n",
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED.keys())
async def test_malformed_heads(edge: Edge, answer: bytes) -> None:
    pool = edge.pool()
    with pytest.raises(Upstream) as failed:
        await ask(pool, await edge.upstream(plays(answer)))
    assert (failed.value.reason, failed.value.sent) == ("upstream_malformed", True)
    await happens(lambda: not pool.open)


@pytest.mark.parametrize("answer", MALFORMED_BODIES.values(), ids=MALFORMED_BODIES.keys())
async def test_malformed_bodies(edge: Edge, answer: bytes) -> None:
    pool = edge.pool()
    with pytest.raises(Upstream) as failed:
        await whole(await ask(pool, await edge.upstream(plays(answer))))
    assert (failed.value.reason, failed.value.sent) == ("upstream_malformed", True)
    await happens(lambda: not pool.open)


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("answer", TRUNCATED.values(), ids=TRUNCATED.keys())
async def test_truncated_content(edge: Edge, answer: bytes, then: str) -> None:
    pool = edge.pool()
    with pytest.raises(Upstream) as failed:
        await whole(await ask(pool, await edge.upstream(plays(answer, then=then))))
    assert failed.value.sent
    # A reset may overtake the head itself.
    assert failed.value.reason in (
        ("upstream_truncated",) if then == "close" else ("upstream_truncated", "upstream_unreachable")
    )


async def test_what_arrived_before_the_break_is_handed_on_first(edge: Edge) -> None:
    pool = edge.pool()
    response = await ask(pool, await edge.upstream(plays(CHUNKED + b"5\r\nhello\r\n", then="close")))
    async with asyncio.timeout(PATIENCE):
        assert await response.read() == b"hello"
        for _ in range(2):
            with pytest.raises(Upstream) as failed:
                await response.read()
            assert failed.value.reason == "upstream_truncated"


@pytest.mark.parametrize(
    ("answer", "then", "reason"),
    [
        (b"", "close", "upstream_unreachable"),
        (b"", "reset", "upstream_unreachable"),
        (b"HTTP/1.1 200 OK\r\nX: ", "close", "upstream_truncated"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "close", "upstream_truncated"),
    ],
)
async def test_a_disconnect_before_the_head(edge: Edge, answer: bytes, then: str, reason: str) -> None:
    pool = edge.pool()
    with pytest.raises(Upstream) as failed:
        await ask(pool, await edge.upstream(plays(answer, then=then)))
    assert (failed.value.reason, failed.value.sent) == (reason, True)


async def test_a_request_is_never_sent_twice(edge: Edge) -> None:
    """Not even when a pooled connection ends without a byte of an answer: the provider may have done the work."""
    asked = 0

    async def script(wire: Wire) -> None:
        nonlocal asked
        await request_of(wire)
        asked += 1
        wire.send(OK)
        await request_of(wire)
        asked += 1

    origin = await edge.upstream(script)
    pool = edge.pool()
    await whole(await ask(pool, origin))
    with pytest.raises(Upstream) as failed:
        await ask(pool, origin)
    assert (failed.value.reason, failed.value.sent, asked, pool.dialled) == ("upstream_unreachable", True, 2, 1)


async def test_nobody_listens(edge: Edge) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(Upstream) as failed:
        await ask(edge.pool(), Origin("http", "127.0.0.1", port))
    assert (failed.value.reason, failed.value.sent) == ("upstream_unreachable", False)


async def test_a_dialer_s_own_refusal_passes_through(edge: Edge) -> None:
    async def connect(*_: object) -> tuple[asyncio.Transport, asyncio.Protocol]:
        raise Upstream("upstream_address_forbidden", "No.")

    with pytest.raises(Upstream) as failed:
        await ask(Pool(connect), Origin("http", "127.0.0.1", 1))
    assert (failed.value.reason, failed.value.sent) == ("upstream_address_forbidden", False)


async def test_a_dial_that_hangs_times_out(edge: Edge) -> None:
    async def connect(*_: object) -> tuple[asyncio.Transport, asyncio.Protocol]:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    with pytest.raises(Upstream) as failed:
        await ask(Pool(connect), Origin("http", "127.0.0.1", 1), deadlines=Deadlines(connect=0.01))
    assert (failed.value.reason, failed.value.sent) == ("upstream_timeout", False)


@pytest.mark.parametrize("drip", [b"", b"HTTP/1.1 200 OK\r\nX: y", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_head_that_does_not_come_to_its_end_times_out(edge: Edge, drip: bytes) -> None:
    clock = Clock()
    pool = edge.pool(limits=QUICKLY, clock=clock)
    task = asyncio.create_task(ask(pool, await edge.upstream(plays(drip)), deadlines=Deadlines(first_byte=120)))
    await happens(lambda: len(pool.open) == 1 and next(iter(pool.open)).deadline < float("inf"))
    clock.pass_(119)
    await asyncio.sleep(3 * QUICK)
    assert not task.done()
    clock.pass_(1)
    with pytest.raises(Upstream) as failed:
        await task
    assert (failed.value.reason, failed.value.sent) == ("upstream_timeout", True)


async def test_a_content_that_stalls_times_out(edge: Edge) -> None:
    clock = Clock()
    pool = edge.pool(limits=QUICKLY, clock=clock)
    response = await ask(pool, await edge.upstream(plays(CHUNKED + b"2\r\nhi\r\n")), deadlines=Deadlines(idle=60))
    assert await response.read() == b"hi"
    clock.pass_(100)  # nobody reads: that is our own delay, not the provider's
    task = asyncio.create_task(response.read())
    await asyncio.sleep(3 * QUICK)
    assert not task.done()
    clock.pass_(60)
    with pytest.raises(Upstream) as failed:
        await task
    assert failed.value.reason == "upstream_timeout"


@pytest.mark.parametrize("drip", [b"1\r\nx\r\n", b"1"])
async def test_a_slow_loris_is_cut_in_all(edge: Edge, drip: bytes) -> None:
    """Bytes that keep coming do not carry a call past its end, and chunk framing without content is no progress."""
    clock = Clock()
    more = asyncio.Event()

    async def script(wire: Wire) -> None:
        await request_of(wire)
        wire.send(CHUNKED + b"1\r\nx\r\n")
        while True:
            await more.wait()
            more.clear()
            wire.send(drip)

    pool = edge.pool(limits=QUICKLY, clock=clock)
    response = await ask(pool, await edge.upstream(script), deadlines=Deadlines(idle=60, total=100))
    assert await response.read() == b"x"

    async def drain() -> None:
        while await response.read():
            pass

    task = asyncio.create_task(drain())
    for _ in range(4):
        more.set()
        await asyncio.sleep(3 * QUICK)
        clock.pass_(30)
    with pytest.raises(Upstream) as failed:
        async with asyncio.timeout(PATIENCE):
            await task
    assert failed.value.reason == "upstream_timeout"


async def test_too_large_a_reply_is_cut(edge: Edge) -> None:
    pool = edge.pool()
    for answer in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 5000,
        CHUNKED + b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n",
    ):
        with pytest.raises(Upstream) as failed:
            await whole(await ask(pool, await edge.upstream(plays(answer))), 1000)
        assert failed.value.reason == "upstream_too_large"


async def test_an_endless_body_is_not_taken_in_while_nobody_reads(edge: Edge) -> None:
    sent = 0

    async def script(wire: Wire) -> None:
        nonlocal sent
        await request_of(wire)
        wire.send(CHUNKED)
        while True:
            wire.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await wire.writer.drain()
            sent += 4096

    pool = edge.pool(limits=ClientLimits(buffered_bytes=65536))
    response = await ask(pool, await edge.upstream(script))
    before = -1
    while sent != before:
        before = sent
        await asyncio.sleep(0.05)
    held = sum(len(piece) for piece in response.pieces)
    assert held < 65536 + 512 * 1024
    assert await response.read()
    await happens(lambda: sent > before)
    response.abort()
    await happens(lambda: not pool.open)


@pytest.mark.parametrize("moment", ["head", "content"])
async def test_cancelling_cuts_the_connection(edge: Edge, moment: str) -> None:
    gone = asyncio.Event()

    async def script(wire: Wire) -> None:
        await request_of(wire)
        if moment == "content":
            wire.send(CHUNKED)
        await wire.ended()
        gone.set()

    pool = edge.pool()

    async def call() -> None:
        async with await ask(pool, await edge.upstream(script)) as response:
            await response.read()

    task = asyncio.create_task(call())
    await happens(lambda: len(pool.open) == 1)
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(PATIENCE):
        await gone.wait()
    assert not pool.open


async def test_leaving_a_response_early_cuts_it(edge: Edge) -> None:
    pool = edge.pool()
    origin = await edge.upstream(plays(CHUNKED + b"2\r\nhi\r\n"))
    async with await ask(pool, origin) as response:
        assert await response.read() == b"hi"
    await happens(lambda: not pool.open)
    with pytest.raises(Upstream):
        await response.read()


async def test_closing_the_pool_ends_what_is_under_way(edge: Edge) -> None:
    pool = edge.pool()
    origin = await edge.upstream(plays())
    task = asyncio.create_task(ask(pool, origin))
    await happens(lambda: len(pool.open) == 1)
    await asyncio.sleep(0)
    await pool.aclose()
    with pytest.raises(Upstream):
        await task
    with pytest.raises(Fault) as refused:
        await ask(pool, origin)
    assert refused.value.reason == "draining"


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("POST", "/x", [(b"x", b"a\r\nhost: b")]),
        ("POST", "/x", [(b"x", b"a\0b")]),
        ("POST", "/x", [(b"host", b"b")]),
        ("POST", "/x", [(b"content-length", b"5")]),
        ("POST", "/x", [(b"accept-encoding", b"gzip")]),
        ("POST", "/x y", []),
        ("POST", "/x\r\nhost: b", []),
        ("POST", "x", []),
        ("POST", "/x#y", []),
        ("PO ST", "/x", []),
    ],
)
async def test_what_would_split_a_request_is_not_sent(edge: Edge, method: str, target: str, headers: Headers) -> None:
    pool = edge.pool()
    with pytest.raises(ValueError):
        await pool.request(Origin("http", "127.0.0.1", 1), "k", method, target, headers, b"")
    assert pool.dialled == 0
