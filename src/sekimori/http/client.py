"""The calling half of the edge: a pool of connections to providers, each owned by one (origin, credential).

    pool = Pool(dialer.connect, limits=ClientLimits())
    async with await pool.request(origin, key_uid, "POST", "/v1/messages", headers, body, deadlines) as response:
        piece = await response.read()

Two credentials never share a connection, so no reply of one can ever be read as the other's. A request is never sent
twice: a pooled connection that has ended is replaced only while no byte of the request was written to it. A redirect is
a status like any other and never followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, cast

from sekimori.errors import Fault, Upstream
from sekimori.http.exchange import CLOSING_S, Deadlines, Exchange, Key, Response, failure
from sekimori.http.limits import ClientLimits
from sekimori.terms import Headers, Origin

__all__ = ["ClientLimits", "Connect", "Deadlines", "Pool", "Response"]

Connect = Callable[[Origin, Callable[[], asyncio.Protocol]], Awaitable[tuple[asyncio.Transport, asyncio.Protocol]]]
"""Opens a transport to an origin (TLS included) and gives it the protocol. egress/dial implements it."""

_START: Final = re.compile(r"[A-Z]{1,24} /[\x21\x22\x24-\x7e]*")
_OURS: Final = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"connection", b"accept-encoding", b"upgrade", b"expect")
)


class Pool:
    """Connections to providers. `connect` opens them; `clock` gives seconds that never go back."""

    def __init__(
        self, connect: Connect, *, limits: ClientLimits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.connect = connect
        self.limits = limits or ClientLimits()
        self.clock = clock
        self.open: set[Exchange] = set()
        self.dialled = 0
        """Connections opened so far."""
        self._connecting = 0
        self._idle: dict[Key, list[Exchange]] = {}
        self._resting = 0
        self._hosts: dict[Origin, bytes] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._quiet: asyncio.Future[None] | None = None

    @property
    def idle(self) -> int:
        """Connections kept for a next call."""
        return self._resting

    async def request(
        self,
        origin: Origin,
        credential: Hashable,
        method: str,
        target: str,
        headers: Headers,
        body: bytes = b"",
        deadlines: Deadlines | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> Response:
        """Send a request and return once the head of the final response is here.

        `credential` names what authenticates the call (a key's uid and version, not the secret); connections are its
        own. `on_sent` is called when the request was handed to the transport: a borrowed secret is not needed any more.
        Host, content-length, connection and accept-encoding are the client's. Raises Upstream (its `sent` says whether
        a byte may have left): upstream_unreachable, upstream_timeout, upstream_malformed, upstream_truncated, and what
        `connect` raises; Fault('overloaded') when the pool is full.
        """
        times = deadlines or Deadlines()
        head = self._head(origin, method, target, headers, len(body))
        end = self.clock() + times.total
        key = (origin, credential)
        connection = self._take(key) or await self._dial(key, times)
        connection.begin(head, body, method == "HEAD", times, end)
        head, headers = b"", []  # they hold the credential, and an answer may be minutes away
        if on_sent is not None:
            try:
                on_sent()
            except BaseException:
                connection.fail(failure("upstream_truncated", "The call was abandoned.", sent=True))
                raise
        return await connection.answered()

    async def aclose(self) -> None:
        """Cut every connection; calls in flight fail with upstream_truncated, later ones are refused."""
        self._closed = True
        for connection in list(self.open):
            connection.fail(failure("upstream_truncated", "The gateway is shutting down.", sent=True))
            if connection.transport is not None:
                connection.transport.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                while self.open:
                    self._quiet = self.loop.create_future()
                    await self._quiet

    def _head(self, origin: Origin, method: str, target: str, headers: Headers, size: int) -> bytes:
        host = self._hosts.get(origin)
        if host is None:
            if len(self._hosts) >= 4096:
                self._hosts.clear()
            host = self._hosts[origin] = _host(origin)
        lines = []
        for name, value in headers:
            if name in _OURS:
                raise ValueError(f"{name.decode()} belongs to the client")
            lines.append(b"%b: %b\r\n" % (name, value))
        block = b"".join(lines)
        if block.count(b"\n") != len(lines) or block.count(b"\r") != len(lines) or b"\0" in block:
            raise ValueError("a request header holds a line break or NUL")
        start = f"{method} {target}"
        if _START.fullmatch(start) is None:
            raise ValueError("the method or target cannot be sent")
        length = b"content-length: %d\r\n" % size if size or method not in ("GET", "HEAD") else b""
        return b"%b HTTP/1.1\r\nhost: %b\r\naccept-encoding: identity\r\n%b%b\r\n" % (
            start.encode(),
            host,
            block,
            length,
        )

    def _take(self, key: Key) -> Exchange | None:
        resting = self._idle.get(key)
        while resting:
            connection = resting.pop()  # the one used last: it is the likeliest to live
            self._resting -= 1
            if not resting:
                del self._idle[key]
            assert connection.transport is not None
            probe = self.clock() - connection.idle_since >= self.limits.probe_s
            if not connection.transport.is_closing() and not (probe and connection.stale()):
                return connection
            connection.close()
        return None

    async def _dial(self, key: Key, times: Deadlines) -> Exchange:
        if self._closed:
            raise Fault("draining", "The gateway is shutting down.")
        if len(self.open) + self._connecting >= self.limits.connections:
            raise Fault("overloaded", "There are too many calls to providers.", retry_after=1.0)
        self.loop = asyncio.get_running_loop()
        self._connecting += 1
        try:
            async with asyncio.timeout(times.connect):
                transport, protocol = await self.connect(key[0], lambda: Exchange(self, key))
        except Upstream:
            raise
        except TimeoutError as error:
            raise failure("upstream_timeout", "The provider could not be reached in time.", sent=False) from error
        except OSError as error:  # ssl.SSLError is one
            raise failure("upstream_unreachable", "The provider cannot be reached.", sent=False) from error
        finally:
            self._connecting -= 1
        if self._closed or transport.is_closing():
            transport.abort()
            raise failure("upstream_unreachable", "The provider closed at once.", sent=False)
        self.dialled += 1
        if self._timer is None:
            self._timer = self.loop.call_later(self.limits.sweep_s, self._sweep)
        return cast(Exchange, protocol)

    # The connections' side.

    def give_back(self, connection: Exchange) -> None:
        """Keep an idle connection for the next call with its key, or close it where enough are kept."""
        resting = self._idle.setdefault(connection.key, [])
        if self._closed or len(resting) >= self.limits.idle_per_key or self._resting >= self.limits.idle:
            if not resting:
                del self._idle[connection.key]
            connection.close()
            return
        now = self.clock()
        connection.idle_since = now
        connection.deadline = now + self.limits.idle_s
        resting.append(connection)
        self._resting += 1

    def forget(self, connection: Exchange) -> None:
        """An idle connection must not be used again."""
        resting = self._idle.get(connection.key)
        if resting is not None and connection in resting:
            resting.remove(connection)
            self._resting -= 1
            if not resting:
                del self._idle[connection.key]

    def lost(self, connection: Exchange) -> None:
        self.open.discard(connection)
        self.forget(connection)
        if self._quiet is not None and not self._quiet.done():
            self._quiet.set_result(None)

    def _sweep(self) -> None:
        self._timer = self.loop.call_later(self.limits.sweep_s, self._sweep) if self.open else None
        now = self.clock()
        for connection in list(self.open):
            connection.sweep(now)


def _host(origin: Origin) -> bytes:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    default = 443 if origin.scheme == "https" else 80
    return (host if origin.port == default else f"{host}:{origin.port}").encode("ascii")
