"""A scripted provider, and how the tests of the client ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sekimori.http.client import ClientLimits, Deadlines, Pool, Response
from sekimori.terms import Headers, Origin
from tests.http.wire import PATIENCE, QUICK, Wire

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
