"""The listening half of the edge.

    server = Server(handler, refuse=words, limits=Limits())
    port = await server.start("127.0.0.1", 0)
    ...
    finished = await server.drain(10.0)

The server accepts by itself, so that a connection is counted before its TLS handshake and a full house answers at once.
One sweep every `Limits.sweep_s` enforces every deadline of every connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import time
from collections.abc import Callable
from email.utils import formatdate

from sekimori.errors import Fault, Refusal
from sekimori.http.connection import Connection
from sekimori.http.limits import Limits
from sekimori.http.message import CallerLeft, Handler, Peer, Reply, Request
from sekimori.terms import Headers

__all__ = ["CallerLeft", "Handler", "Limits", "Peer", "Refuse", "Reply", "Request", "Server"]

Refuse = Callable[[Refusal, str | None], tuple[int, Headers, bytes]]
"""Words a refusal for the target that was asked (None where it could not be read): status, headers, body."""

_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_ACCEPTS_A_TURN = 64


class Server:
    """Listens, bounds, and hands requests to `handler`.

    `refuse` words every answer that the handler did not give: refused framing, a Refusal it raised, a failure.
    `tls` may be replaced at any time: the next connection uses the new context.
    `clock` gives seconds that never go back; deadlines are compared with it. `wall` gives the time that replies say.
    Errors of a handler that are no Refusal go to the loop's exception handler.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        refuse: Refuse,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.handler = handler
        self.refuse = refuse
        self.limits = limits or Limits()
        self.tls = tls
        self.clock = clock
        self.wall = wall
        self.draining = False
        self.requests_in_flight = 0
        self.held_bytes = 0
        """Request content held, of bodies that came in more than one piece."""
        self.handshakes_failed = 0
        self.turned_away = 0
        """Connections refused because `Limits.connections` were open."""
        self.tasks: set[asyncio.Task[None]] = set()
        self._open: set[Connection] = set()
        self._joining: set[asyncio.Task[None]] = set()
        self._arriving = 0  # accepted, handshake not done
        self._listener: socket.socket | None = None
        self._deaf = False  # out of file descriptors: the sweep listens again
        self._timer: asyncio.TimerHandle | None = None
        self._quiet: asyncio.Future[None] | None = None
        self._second = 0
        self._date = b""

    @property
    def connections(self) -> int:
        """Open connections, those in their handshake included."""
        return len(self._open) + self._arriving

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port (that the system chose where 0 was asked). Raises OSError."""
        loop = asyncio.get_running_loop()
        family, _, _, _, address = (await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))[0]
        listener = socket.create_server(address[:2], family=family, backlog=1024)
        return await self.start_on(listener)

    async def start_on(self, listener: socket.socket) -> int:
        """Listen on a bound socket, which is the server's from now on; returns its port (0 for a Unix socket)."""
        self.loop = asyncio.get_running_loop()
        listener.setblocking(False)
        listener.listen(1024)
        self._listener = listener
        self.loop.add_reader(listener.fileno(), self._accept)
        self._timer = self.loop.call_later(self.limits.sweep_s, self._sweep)
        name = listener.getsockname()
        return int(name[1]) if isinstance(name, tuple) else 0

    async def drain(self, deadline_s: float) -> bool:
        """Stop listening, let replies end (they say `connection: close`), and cut what is left after `deadline_s`.

        True if nothing had to be cut. Cancelled handlers have `Limits.cut_s` to come to their end.
        """
        self.draining = True
        if self._listener is not None:
            self.loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
        for connection in list(self._open):
            connection.drain()
        finished = await self._idle(deadline_s)
        if not finished:
            for task in self._joining:
                task.cancel()
            for connection in list(self._open):
                connection.abort()
            await self._idle(self.limits.cut_s)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return finished

    async def _idle(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._open or self.tasks or self._joining:
                    self._quiet = self.loop.create_future()
                    await self._quiet
                return True
        return False

    # The connections' side.

    def joined(self, connection: Connection) -> None:
        self._arriving -= 1
        self._open.add(connection)

    def left(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._changed()

    def ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self._changed()
        if not task.cancelled() and (error := task.exception()) is not None:
            self.loop.call_exception_handler({"message": "a connection failed", "exception": error, "task": task})

    def words(self, refusal: Refusal, target: str | None) -> tuple[int, Headers, bytes]:
        """What `refuse` says; a bare status where it fails."""
        try:
            return self.refuse(refusal, target)
        except Exception as error:  # noqa: BLE001 - a caller that is refused stays refused
            self.loop.call_exception_handler({"message": "a refusal could not be worded", "exception": error})
            return refusal.status, [], b""

    def date(self) -> bytes:
        """The Date field's value for now."""
        now = int(self.wall())
        if now != self._second:
            self._second = now
            self._date = formatdate(now, usegmt=True).encode()
        return self._date

    def _changed(self) -> None:
        if self._quiet is not None and not self._quiet.done():
            self._quiet.set_result(None)

    # Accepting.

    def _accept(self) -> None:
        listener = self._listener
        assert listener is not None
        for _ in range(_ACCEPTS_A_TURN):
            try:
                accepted, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._deaf = True
                    self.loop.remove_reader(listener.fileno())
                    return
                continue  # that one connection broke before it was ours (accept(2) hands on its network errors)
            accepted.setblocking(False)
            if self.connections >= self.limits.connections:
                self._turn_away(accepted)
                continue
            self._arriving += 1
            task = self.loop.create_task(self._join(accepted))
            self._joining.add(task)

    async def _join(self, accepted: socket.socket) -> None:
        tls = self.tls
        connection = Connection(self)
        try:
            await self.loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=tls,
                ssl_handshake_timeout=self.limits.handshake_s if tls is not None else None,
                ssl_shutdown_timeout=self.limits.linger_s if tls is not None else None,
            )
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError
            self.handshakes_failed += 1
            accepted.close()
        finally:
            if not connection.made:
                self._arriving -= 1
            current = asyncio.current_task()
            assert current is not None
            self._joining.discard(current)
            self._changed()

    def _turn_away(self, accepted: socket.socket) -> None:
        self.turned_away += 1
        with accepted:
            if self.tls is None:
                status, headers, body = self.words(
                    Fault("overloaded", "There are too many connections.", retry_after=1.0), None
                )
                fields = b"".join([b"%b: %b\r\n" % field for field in headers])
                with contextlib.suppress(OSError):  # told in vain
                    accepted.send(
                        b"HTTP/1.1 %d \r\n%bcontent-length: %d\r\nconnection: close\r\n\r\n%b"
                        % (status, fields, len(body), body)
                    )

    def _sweep(self) -> None:
        # First, so that nothing that happens below ends the enforcement of deadlines.
        self._timer = self.loop.call_later(self.limits.sweep_s, self._sweep)
        now = self.clock()
        crowded = self.connections * 4 > self.limits.connections * 3
        for connection in list(self._open):
            connection.sweep(now, crowded)
        if self._deaf and self._listener is not None:
            self._deaf = False
            self.loop.add_reader(self._listener.fileno(), self._accept)
