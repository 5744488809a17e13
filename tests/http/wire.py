"""Raw ends of a connection for the tests: they write any bytes and read what really comes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from sekimori.errors import Refusal
from sekimori.http.client import ClientLimits, Pool
from sekimori.http.limits import Limits
from sekimori.http.server import Handler, Reply, Request, Server
from sekimori.terms import Headers, Origin

PATIENCE = 10.0
"""Seconds after which a wait is a failure, never a result."""
QUICK = 0.01
"""Period of the sweep in tests that drive the clock by hand."""


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


def words(refusal: Refusal, target: str | None) -> tuple[int, Headers, bytes]:
    text = f"{refusal.reason}: {refusal.text}"
    return refusal.status, [(b"content-type", b"text/plain"), (b"x-reason", refusal.reason.encode())], text.encode()


class Wire:
    """A raw client or server end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def until(self, end: bytes) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(end)

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(count)

    async def rest(self) -> bytes:
        """Everything to the end of the connection."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    async def ended(self) -> bytes:
        """Everything to the end or the reset of the connection."""
        got = b""
        async with asyncio.timeout(PATIENCE):
            try:
                while data := await self.reader.read(65536):
                    got += data
            except ConnectionError:
                pass
        return got

    async def reply(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """One response, framed by content-length or chunks."""
        head = await self.until(b"\r\n\r\n")
        start, *rows = head[:-4].split(b"\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (row.partition(b":") for row in rows)}
        if fields.get(b"transfer-encoding") == b"chunked":
            body = b""
            while size := int(await self.until(b"\r\n"), 16):
                body += await self.exactly(size)
                assert await self.exactly(2) == b"\r\n"
            assert await self.exactly(2) == b"\r\n"
        else:
            body = await self.exactly(int(fields.get(b"content-length", b"0")))
        return int(start.split(b" ")[1]), fields, body

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        transport: Any = self.writer.transport
        transport.abort()


class Seen:
    """A handler that notes what it was asked and answers with it."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []

    async def __call__(self, request: Request, reply: Reply) -> None:
        body = await request.body()
        self.requests.append((request.method, request.target, body))
        await reply.send(200, [(b"content-type", b"text/plain")], b"%s %s" % (request.target.encode(), body))


class Edge:
    """Servers, pools and raw ends of one test, closed with it."""

    def __init__(self) -> None:
        self.closers: list[Callable[[], Awaitable[object]]] = []

    async def serve(
        self,
        handler: Handler,
        *,
        limits: Limits | None = None,
        clock: Clock | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Served:
        # Without a clock of its own a test must never see a deadline: it would be the machine's mood.
        server = Server(handler, refuse=words, limits=limits or Limits(), tls=tls, clock=clock or Clock())
        port = await server.start("127.0.0.1", 0)
        self.closers.append(lambda: server.drain(0.0))
        return Served(self, server, port)

    async def connect(self, port: int, *, tls: ssl.SSLContext | None = None, host: str | None = None) -> Wire:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=host)
        wire = Wire(reader, writer)

        async def close() -> None:
            writer.transport.abort()

        self.closers.append(close)
        return wire

    async def upstream(self, script: Callable[[Wire], Awaitable[None]], tls: ssl.SSLContext | None = None) -> Origin:
        """A raw provider: `script` plays one accepted connection."""
        playing: set[asyncio.Task[None]] = set()

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            playing.add(task)
            try:
                await script(Wire(reader, writer))
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass  # the client left in the middle of the play, or the test is over
            finally:
                playing.discard(task)
                writer.close()

        server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=tls)

        async def close() -> None:
            server.close()
            for task in list(playing):
                task.cancel()
            await asyncio.gather(*playing, return_exceptions=True)

        self.closers.append(close)
        return Origin("https" if tls else "http", "127.0.0.1", server.sockets[0].getsockname()[1])

    def pool(
        self, *, limits: ClientLimits | None = None, clock: Clock | None = None, tls: ssl.SSLContext | None = None
    ) -> Pool:
        async def connect(
            origin: Origin, factory: Callable[[], asyncio.Protocol]
        ) -> tuple[asyncio.Transport, asyncio.Protocol]:
            return await asyncio.get_running_loop().create_connection(
                factory, origin.host, origin.port, ssl=tls, server_hostname="provider.test" if tls else None
            )

        pool = Pool(connect, limits=limits or ClientLimits(), clock=clock or Clock())
        self.closers.append(pool.aclose)
        return pool

    async def close(self) -> None:
        for close in reversed(self.closers):
            await close()


class Served:
    """A listening server of a test."""

    def __init__(self, edge: Edge, server: Server, port: int) -> None:
        self.edge = edge
        self.server = server
        self.port = port

    async def wire(self) -> Wire:
        return await self.edge.connect(self.port)

    async def ask(self, data: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        """One request on a connection of its own."""
        wire = await self.wire()
        wire.send(data)
        answer = await wire.reply()
        wire.close()
        return answer


async def happens(true: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.002)


class Errors:
    """Collects what reaches the loop's exception handler."""

    def __enter__(self) -> list[BaseException]:
        self.loop = asyncio.get_running_loop()
        found: list[BaseException] = []
        self.loop.set_exception_handler(lambda _, context: found.append(context["exception"]))
        return found

    def __exit__(self, *_: object) -> None:
        self.loop.set_exception_handler(None)
