"""What the three HTTP targets share: our server and client without sockets, and two readers that others wrote."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

import h11
import httptools

from sekimori.errors import Refusal, Upstream
from sekimori.http.client import ClientLimits, Deadlines, Pool
from sekimori.http.exchange import Exchange, Response
from sekimori.http.limits import Limits
from sekimori.http.server import Reply, Request, Server
from sekimori.terms import Headers, Origin
from tests.http.fed import Fed, Transport

T = TypeVar("T")
LOOP = asyncio.new_event_loop()
ORIGIN = Origin("http", "127.0.0.1", 8080)
LIMITS = Limits(
    head_bytes=2048, target_bytes=512, headers=20, body_bytes=4096, early_body_bytes=64, pipelined_bytes=512
)


class Seen(NamedTuple):
    """One request as a reader understood it."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes


class Got(NamedTuple):
    """One response as a reader understood it."""

    status: int
    headers: Headers
    content: bytes


def run(scenario: Coroutine[Any, Any, T]) -> T:
    return LOOP.run_until_complete(scenario)


def cut(data: bytes, seed: int) -> list[bytes]:
    """The same bytes in pieces that `seed` decides."""
    pieces = []
    position = 0
    while position < len(data):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        size = 1 + (seed >> 8) % (3 if seed & 1 else 40)
        pieces.append(data[position : position + size])
        position += size
    return pieces


def words(refusal: Refusal, target: str | None) -> tuple[int, Headers, bytes]:
    return refusal.status, [(b"x-reason", refusal.reason.encode())], b""


async def served(
    pieces: list[bytes], handler: Callable[[Request, Reply], Coroutine[Any, Any, None]] | None = None
) -> tuple[list[Seen], bytes]:
    """What our server understood of the bytes and what it wrote, the dates left out."""
    seen: list[Seen] = []

    async def answer(request: Request, reply: Reply) -> None:
        body = await request.body()
        seen.append(Seen(request.method.encode(), request.target.encode(), list(request.headers), body))
        await reply.send(200, [], b"")

    server = Server(handler or answer, refuse=words, limits=LIMITS, clock=lambda: 0.0)
    server.date = lambda: b"now"  # type: ignore[method-assign]
    fed = Fed(server)
    for piece in pieces:
        fed.feed(piece)
    await fed.settle()
    fed.connection.eof_received()
    await fed.end()
    assert not server.tasks
    return seen, fed.written


async def called(pieces: list[bytes], method: str = "POST") -> tuple[Got | None, bool, Upstream | None]:
    """What our client understood, whether it kept the connection, and why it failed if it did."""
    transports: list[Transport] = []

    async def connect(_: Origin, factory: Callable[[], asyncio.Protocol]) -> tuple[asyncio.Transport, asyncio.Protocol]:
        transport = Transport()
        transport.protocol = protocol = factory()
        transports.append(transport)
        protocol.connection_made(transport)
        return transport, protocol

    pool = Pool(connect, limits=ClientLimits(head_bytes=2048, headers=20, buffered_bytes=1 << 30), clock=lambda: 0.0)
    asking = asyncio.ensure_future(pool.request(ORIGIN, "k", method, "/", [], b"", Deadlines()))
    while not transports or not transports[0].written:
        await asyncio.sleep(0)
    transport = transports[0]
    exchange = transport.protocol
    assert isinstance(exchange, Exchange)
    for piece in pieces:
        if not transport.closing:
            exchange.data_received(piece)
    kept = pool.idle == 1
    if not transport.closing:
        exchange.eof_received()
        transport.close()
    try:
        response: Response = await asking
        content = await response.read_all(1 << 30)
    except Upstream as failed:
        return None, False, failed
    finally:
        await pool.aclose()
    return Got(response.status, response.headers, content), kept, None


def same(fields: Headers) -> Headers:
    """The fields in h11's spelling: it puts the coding's name in lower case."""
    return [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in fields]


def h11_requests(data: bytes) -> list[Seen]:
    """The requests that h11 reads until it wants more or refuses."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    seen: list[Seen] = []
    request: h11.Request | None = None
    body = b""
    connection.receive_data(data)
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None
                seen.append(Seen(request.method, request.target, list(request.headers), body))
                connection.send(h11.Response(status_code=204, headers=[]))
                connection.send(h11.EndOfMessage())
                connection.start_next_cycle()
            else:
                return seen
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        return seen


def httptools_requests(data: bytes) -> list[Seen]:
    """The requests that llhttp reads until it wants more or refuses."""
    seen: list[Seen] = []

    class Notes:
        url = b""
        body = b""

        def on_message_begin(self) -> None:
            self.url = self.body = b""

        def on_url(self, url: bytes) -> None:
            self.url += url

        def on_body(self, body: bytes) -> None:
            self.body += body

        def on_message_complete(self) -> None:
            seen.append(Seen(parser.get_method(), self.url, [], self.body))

    parser = httptools.HttpRequestParser(Notes())
    with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        parser.feed_data(data)
    return seen


def h11_response(data: bytes, method: str) -> Got | None:
    """The final response that h11 reads from a connection that ends after it; None where it refuses."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "a"), ("content-length", "0")]))
    connection.send(h11.EndOfMessage())
    head: h11.Response | None = None
    content = b""
    try:
        connection.receive_data(data)
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(b"")
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                content += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return Got(head.status_code, list(head.headers), content)
            elif isinstance(event, h11.InformationalResponse):
                if event.status_code == 101:
                    return None
            else:
                return None
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        return None
