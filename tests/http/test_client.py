"""What a provider can do wrong, and what a caller may rely on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sekimori.errors import Fault, Upstream
from sekimori.http.client import ClientLimits, Deadlines, Pool, Response
from sekimori.terms import Headers, Origin
from tests.http.wire import PATIENCE, QUICK, Clock, Edge, Wire, happens

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
QUICKLY = ClientLimits(sweep_s=QUICK)


async def ask(
    pool: Pool,
    origin: Origin,
    credential: str = "key-1",
    *,
    method: str = "POST",
    headers: Headers | None = None,
    body: bytes = b"ask",
    deadlines: Deadlines | None = None,
    on_sent: Callable[[], None] | None = None,
) -> Response:
    async with asyncio.timeout(PATIENCE):
        return await pool.request(origin, credential, method, "/v1/x", headers or [], body, deadlines, on_sent)


async def whole(response: Response, limit: int = 1 << 30) -> bytes:
    async with asyncio.timeout(PATIENCE):
        return await response.read_all(limit)


async def request_of(wire: Wire) -> tuple[bytes, bytes]:
    head = await wire.until(b"\r\n\r\n")
    length = 0
    for row in head.split(b"\r\n"):
        if row.lower().startswith(b"content-length: "):
            length = int(row[16:])
    return head, await wire.exactly(length)


def plays(*answers: bytes, then: str = "stay") -> Callable[[Wire], Awaitable[None]]:
    """A provider that answers each request with the next of `answers`, then stays, closes or resets."""

    async def script(wire: Wire) -> None:
        for answer in answers:
            await request_of(wire)
            wire.send(answer)
        if then == "stay":
            await wire.rest()
        elif then == "reset":
            await wire.writer.drain()
            wire.reset()

    return script


# The honest provider.


async def test_what_is_sent(edge: Edge) -> None:
    heads: list[tuple[bytes, bytes]] = []

    async def script(wire: Wire) -> None:
        while True:
            heads.append(await request_of(wire))
            wire.send(OK)

    origin = await edge.upstream(script)
    pool = edge.pool()
    sent: list[str] = []
    response = await ask(
        pool, origin, headers=[(b"authorization", b"Bearer k")], body=b"x" * 70_000, on_sent=lambda: sent.append("sent")
    )
    assert (response.status, await whole(response), sent) == (200, b"hello", ["sent"])
    await whole(await ask(pool, origin, method="GET", body=b""))
    host = b"host: 127.0.0.1:%d\r\n" % origin.port
    assert heads == [
        (
            b"POST /v1/x HTTP/1.1\r\n" + host + b"accept-encoding: identity\r\nauthorization: Bearer k\r\n"
            b"content-length: 70000\r\n\r\n",
            b"x" * 70_000,
        ),
        (b"GET /v1/x HTTP/1.1\r\n" + host + b"accept-encoding: identity\r\n\r\n", b""),
    ]
    assert pool.dialled == 1


@pytest.mark.parametrize(
    ("answer", "status", "content"),
    [
        (OK, 200, b"hello"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", 304, b""),
        (b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 2\r\n\r\nno", 302, b"no"),
        (b"HTTP/1.1 529 Overloaded\r\nContent-Length: 1\r\n\r\n!", 529, b"!"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"hello"),
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", 200, b"hello"),
        (CHUNKED + b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n", 200, b"hello!"),
        (CHUNKED + b"0\r\n\r\n", 200, b""),
    ],
)
async def test_whole_answers_and_the_connection_serves_again(
    edge: Edge, answer: bytes, status: int, content: bytes
) -> None:
    origin = await edge.upstream(plays(answer, answer))
    pool = edge.pool()
    for _ in range(2):
        response = await ask(pool, origin)
        assert (response.status, await whole(response)) == (status, content)
        assert await response.read() == b""
    assert (pool.dialled, pool.idle) == (1, 1)


async def test_alike_when_every_byte_comes_alone(edge: Edge) -> None:
    answer = b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"5\r\nhello\r\n1;q\r\n!\r\n0\r\nX: y\r\n\r\n"

    async def script(wire: Wire) -> None:
        await request_of(wire)
        for byte in answer:
            wire.send(bytes((byte,)))
            await asyncio.sleep(0.001)
        await wire.rest()

    pool = edge.pool()
    assert await whole(await ask(pool, await edge.upstream(script))) == b"hello!"
    assert pool.idle == 1


async def test_pieces_come_as_they_arrive(edge: Edge) -> None:
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await request_of(wire)
        wire.send(CHUNKED + b"4\r\none \r\n")
        await go.wait()
        wire.send(b"3\r\ntwo\r\n6\r\n three\r\n0\r\n\r\n")
        await wire.rest()

    pool = edge.pool()
    async with await ask(pool, await edge.upstream(script)) as response, asyncio.timeout(PATIENCE):
        assert await response.read() == b"one "
        go.set()
        got = b""
        while piece := await response.read():
            got += piece
        assert got == b"two three"
    assert pool.idle == 1


async def test_content_to_the_end_of_the_connection(edge: Edge) -> None:
    pool = edge.pool()
    for start in (b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\n"):
        origin = await edge.upstream(plays(start + b"hello", then="close"))
        assert await whole(await ask(pool, origin)) == b"hello"
    assert pool.idle == 0


async def test_head_has_no_content(edge: Edge) -> None:
    pool = edge.pool()
    origin = await edge.upstream(plays(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", OK))
    response = await ask(pool, origin, method="HEAD", body=b"")
    assert await whole(response) == b""
    assert await whole(await ask(pool, origin)) == b"hello"
    assert pool.dialled == 1


# Connections and credentials.


async def test_two_credentials_never_share_a_connection(edge: Edge) -> None:
    origin = await edge.upstream(plays(OK, OK, OK))
    pool = edge.pool()
    for credential in ("key-1", "key-2", "key-1", "key-2"):
        await whole(await ask(pool, origin, credential))
    assert (pool.dialled, pool.idle) == (2, 2)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        OK + b"x",
        CHUNKED + b"5\r\nhello\r\n0\r\n\r\n" + OK,
        b"HTTP/1.1 204 No Content\r\n\r\nhello",
    ],
    ids=["close", "1.0", "a second answer", "a byte more", "an answer after chunks", "content after 204"],
)
async def test_a_connection_with_anything_doubtful_is_not_used_again(edge: Edge, answer: bytes) -> None:
    origin = await edge.upstream(plays(answer, OK))
    pool = edge.pool()
    assert await whole(await ask(pool, origin)) in (b"hello", b"")
    assert pool.idle == 0
    response = await ask(pool, origin)
    assert b"forged" not in await whole(response)
    assert pool.dialled == 2


async def test_bytes_nobody_asked_for_end_an_idle_connection(edge: Edge) -> None:
    """An answer sent in advance must not become the answer to somebody's next question."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await request_of(wire)
        wire.send(OK)
        await go.wait()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        await wire.ended()

    origin = await edge.upstream(script)
    pool = edge.pool()
    await whole(await ask(pool, origin))
    assert pool.idle == 1
    go.set()
    await happens(lambda: pool.idle == 0)


@pytest.mark.parametrize("sign", ["its end", "a forged answer"])
async def test_an_idle_connection_with_something_to_read_is_not_used(edge: Edge, sign: str) -> None:
    """Even when the loop has not seen it yet: it is looked at before use."""
    accepted = 0

    async def script(wire: Wire) -> None:
        nonlocal accepted
        accepted += 1
        await request_of(wire)
        wire.send(OK)
        if accepted == 1:
            if sign == "its end":
                return
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        await wire.ended()

    origin = await edge.upstream(script)
    pool = edge.pool(limits=ClientLimits(probe_s=0.0))
    response = await ask(pool, origin)
    # Read without letting the loop look at the socket again, as far as that can be had.
    assert await whole(response) == b"hello"
    assert await whole(await ask(pool, origin)) == b"hello"
    assert accepted == 2


async def test_an_answer_before_the_request_has_left_is_heard_and_the_connection_dropped(edge: Edge) -> None:
    async def script(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")
        await asyncio.get_running_loop().create_future()

    pool = edge.pool()
    response = await ask(pool, await edge.upstream(script), body=b"x" * 30_000_000)
    assert (response.status, await whole(response), pool.idle) == (413, b"large", 0)


async def test_idle_connections_are_bounded_and_expire(edge: Edge) -> None:
    clock = Clock()
    origin = await edge.upstream(plays(OK, OK))
    pool = edge.pool(limits=ClientLimits(sweep_s=QUICK, idle_per_key=2, idle=3, idle_s=50), clock=clock)

    async def three(credential: str) -> None:
        responses = await asyncio.gather(*(ask(pool, origin, credential) for _ in range(3)))
        for response in responses:
            await whole(response)

    await three("key-1")
    assert pool.idle == 2
    await three("key-2")
    assert pool.idle == 3
    clock.pass_(50)
    await happens(lambda: pool.idle == 0 and not pool.open)


async def test_open_connections_are_bounded(edge: Edge) -> None:
    origin = await edge.upstream(plays())
    pool = edge.pool(limits=ClientLimits(connections=1))
    first = asyncio.create_task(ask(pool, origin))
    await happens(lambda: len(pool.open) == 1)
    with pytest.raises(Fault) as refused:
        await ask(pool, origin)
    assert refused.value.reason == "overloaded"
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


# The provider that fails.

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
