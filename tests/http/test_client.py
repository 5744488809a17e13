"""What a caller of a provider may rely on."""

from __future__ import annotations

import asyncio

import pytest

from sekimori.errors import Fault
from sekimori.http.client import ClientLimits
from tests.http.provider import CHUNKED, OK, ask, plays, request_of, whole
from tests.http.wire import PATIENCE, QUICK, Clock, Edge, Wire, happens


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
