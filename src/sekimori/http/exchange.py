"""One connection to a provider and the response that is being read from it.

At most one response at a time. What the framing shows to be whole stands alone (`Response` forgets its connection) and
the connection may serve the next call of its key; what is cut short, malformed or followed by more never goes back.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final, cast

from msgspec import Struct

from sekimori.errors import Upstream
from sekimori.http.framing import Chunks, Lines, Malformed, read_response
from sekimori.http.message import JOIN_BYTES
from sekimori.terms import Headers, Origin

if TYPE_CHECKING:
    from sekimori.http.client import Pool

Key = tuple[Origin, Hashable]
"""Whose a connection is: where it leads and which credential travels on it."""
CLOSING_S: Final = 5.0
"""A connection that is closing and does not end is cut after this."""
_NEVER: Final = float("inf")

# Where a connection stands with its input.
_IDLE, _HEAD, _BODY, _CLOSED = range(4)


class Deadlines(Struct, frozen=True):
    """Seconds a call may take; each may be late by `ClientLimits.sweep_s`."""

    connect: float = 10.0
    """Name, TCP and TLS."""
    first_byte: float = 120.0
    """From the request to the end of the response head."""
    idle: float = 60.0
    """Between two pieces of the content."""
    total: float = 900.0
    """From the call to the end of the content."""


def failure(reason: str, text: str, *, sent: bool) -> Upstream:
    """An Upstream that knows whether a byte of the request may have left."""
    error = Upstream(reason, text)
    error.sent = sent
    return error


class Response:
    """One response whose head has arrived. Read it to the end, or `abort`; as a context manager it sees to that."""

    __slots__ = ("connection", "delimited", "end", "headers", "pieces", "status")

    def __init__(self, status: int, headers: Headers, connection: Exchange, delimited: bool = True) -> None:
        self.status = status
        self.headers = headers
        self.connection: Exchange | None = connection
        """None once the content has arrived in full, or failed."""
        self.delimited = delimited
        """The framing shows where the content ends; else it ends with the connection, and a cut looks like an end."""
        self.pieces: list[bytes] = []
        self.end: Upstream | None = None

    async def read(self) -> bytes:
        """What has arrived of the content since the last read, waiting for some; b"" at its end.

        Raises Upstream: upstream_timeout, upstream_truncated, upstream_malformed. Cancelling it cuts the connection.
        """
        pieces = self.pieces
        connection = self.connection
        if not pieces:
            if connection is not None:
                try:
                    await connection.more()
                except asyncio.CancelledError:
                    self.abort()
                    raise
            if not pieces:
                if self.end is not None:
                    raise self.end
                return b""
        elif connection is not None and connection.paused:
            connection.resume()
        if len(pieces) == 1:
            return pieces.pop()
        data = b"".join(pieces)
        pieces.clear()
        return data

    async def read_all(self, limit: int) -> bytes:
        """The content to its end. Raises Upstream('upstream_too_large') beyond `limit` bytes, and as `read` does."""
        whole: list[bytes] = []
        size = 0
        while piece := await self.read():
            size += len(piece)
            if size > limit:
                self.abort()
                raise failure("upstream_too_large", "The provider's reply is too large.", sent=True)
            whole.append(piece)
        return whole[0] if len(whole) == 1 else b"".join(whole)

    def abort(self) -> None:
        """Leave: what is unread is cut off with its connection. Nothing happens to one that arrived in full."""
        self.pieces.clear()
        if self.connection is not None:
            self.connection.fail(failure("upstream_truncated", "The reply was abandoned.", sent=True))

    def detach(self) -> None:
        """Leave, at the end or before it: the same as `abort`, for whoever does not know which it is."""
        self.abort()

    async def __aenter__(self) -> Response:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.abort()


class Exchange(asyncio.Protocol):
    """One connection to a provider."""

    def __init__(self, pool: Pool, key: Key) -> None:
        self.pool = pool
        self.limits = pool.limits
        self.key = key
        self.state = _IDLE
        self.deadline = _NEVER
        self.idle_since = 0.0
        self.turn = 0
        self.transport: asyncio.Transport | None = None
        self._lines = Lines()
        self._head = b""
        self._interim = 0
        self._bodyless = False
        self._answer: asyncio.Future[Response] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._response: Response | None = None
        self._end = _NEVER  # of the whole call
        self._idle_s = _NEVER
        self._keep = False
        self._chunks: Chunks | None = None
        self._missing = 0  # content bytes still to come; -1: as long as the chunks or the connection last
        self._buffered = 0
        self.paused = False
        self._poll: select.poll | None = None

    # The call's side.

    def begin(self, head: bytes, body: bytes, bodyless: bool, times: Deadlines, end: float) -> None:
        """Write one request; `end` is when the whole call must have ended."""
        transport = self.transport
        assert transport is not None
        self.state = _HEAD
        self.turn += 1
        self._bodyless = bodyless
        self._end = end
        self._idle_s = times.idle
        self._interim = 0
        self.deadline = min(self.pool.clock() + times.first_byte, end)
        self._answer = self.pool.loop.create_future()
        if len(body) <= JOIN_BYTES:
            transport.write(head + body)
        else:
            transport.writelines([head, body])

    async def answered(self) -> Response:
        """Wait for the head of the response."""
        turn = self.turn
        answer = self._answer
        assert answer is not None
        try:
            return await answer
        except asyncio.CancelledError:
            if self.turn == turn:  # else the response ended meanwhile and the connection serves another call
                self.fail(failure("upstream_truncated", "The call was abandoned.", sent=True))
            raise

    def more(self) -> asyncio.Future[None]:
        """Done once the response has a further piece, or its end."""
        self.resume()
        self.deadline = min(self.pool.clock() + self._idle_s, self._end)
        self._waiter = waiter = self.pool.loop.create_future()
        return waiter

    def stale(self) -> bool:
        """Whether something waits to be read on this idle connection: its end, or bytes nobody asked for."""
        if self._poll is None:
            assert self.transport is not None
            self._poll = select.poll()
            self._poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    def fail(self, why: Upstream) -> None:
        """Cut, and let whoever waits hear why."""
        if self.state == _CLOSED:
            return
        busy = self.state != _IDLE
        self.state = _CLOSED
        self.deadline = _NEVER
        if busy:
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(why)
                self._answer.exception()  # whoever waits still gets it; one that was cancelled need not
            response = self._response
            if response is not None:
                self._response = None
                response.end = why
                response.connection = None
            self._wake()
        else:
            self.pool.forget(self)
        if self.transport is not None:
            self.transport.abort()

    def sweep(self, now: float) -> None:
        """Cut what is past its deadline."""
        if now < self.deadline:
            return
        if self.state == _CLOSED:
            if self.transport is not None:  # was closing and did not end
                self.transport.abort()
        elif self.state == _HEAD:
            self.fail(failure("upstream_timeout", "The provider did not answer in time.", sent=True))
        else:  # for an idle connection nobody hears it
            self.fail(failure("upstream_timeout", "The provider stalled in its reply.", sent=True))

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def resume(self) -> None:
        """Read on after the reader was too slow."""
        self._buffered = 0
        if self.paused and self.transport is not None:
            self.paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.pool.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(reset=exc is not None)
        self.state = _CLOSED
        self.pool.lost(self)

    def eof_received(self) -> bool:
        self._ended(reset=False)
        return False  # the transport closes itself

    def _ended(self, *, reset: bool) -> None:
        if self.state == _HEAD:
            if self._head or self._interim:
                self.fail(failure("upstream_truncated", "The provider broke off in its response head.", sent=True))
            else:
                self.fail(failure("upstream_unreachable", "The provider closed without an answer.", sent=True))
        elif self.state == _BODY:
            if self._missing < 0 and self._chunks is None and not reset:
                self._keep = False
                self._complete()
            else:
                self.fail(failure("upstream_truncated", "The provider broke off in its reply.", sent=True))
        elif self.state == _IDLE:
            self.state = _CLOSED
            self.pool.forget(self)

    def data_received(self, data: bytes) -> None:
        try:
            if self.state == _BODY:
                self._read_body(data)
            elif self.state == _HEAD:
                self._read_head(data)
            elif self.state == _IDLE:
                # Bytes that no request asked for would be read as the answer to the next one.
                self.fail(failure("upstream_malformed", "The provider sent what nobody asked for.", sent=False))
        except Malformed as malformed:
            self.fail(failure("upstream_malformed", f"The provider's reply is malformed: {malformed.text}.", sent=True))

    def _read_head(self, data: bytes) -> None:
        scanned = 0
        if self._head:
            scanned = max(len(self._head) - 3, 0)
            data = self._head + data
        while True:
            end = data.find(b"\r\n\r\n", scanned)
            if (end if end >= 0 else len(data)) > self.limits.head_bytes:
                raise Malformed("the head is too long")
            if end < 0:
                if not b"HTTP/1.".startswith(data[:7]):
                    raise Malformed("the status line is malformed")
                self._head = data
                return
            head = read_response(data[:end], self._lines, headers=self.limits.headers)
            data = data[end + 4 :]
            scanned = 0
            if head.status >= 200:
                break
            if head.status == 101:
                raise Malformed("a protocol switch that was not asked for")
            self._interim += 1
            if self._interim > self.limits.interim:
                raise Malformed("there are too many interim responses")
        self._head = b""
        delimited = head.chunked or head.length is not None
        self._response = response = Response(head.status, head.headers, self, delimited)
        self._keep = not head.close
        self.state = _BODY
        self._buffered = 0
        self._chunks = None
        self.deadline = self._end  # the idle deadline runs while somebody reads
        if self._bodyless or head.status in (204, 304) or head.length == 0:
            self._finish(data)
        else:
            if head.chunked:
                self._chunks = Chunks()
            self._missing = -1 if head.length is None else head.length
            if data:
                self._read_body(data)
        answer = self._answer
        if answer is not None and not answer.done():
            answer.set_result(response)

    def _read_body(self, data: bytes) -> None:
        response = self._response
        assert response is not None
        pieces = response.pieces
        if self._chunks is not None:
            rest = self._chunks.feed(data, pieces)
            if rest is not None:
                self._finish(rest)
                return
        elif self._missing < 0:
            pieces.append(data)
        else:
            missing = self._missing - len(data)
            if missing > 0:
                pieces.append(data)
                self._missing = missing
            else:
                pieces.append(data[: self._missing] if missing else data)
                self._finish(data[self._missing :] if missing else b"")
                return
        if self._waiter is not None:
            if pieces:  # framing alone is no progress: the idle deadline stays
                self.deadline = self._end
                self._wake()
            return
        self._buffered += len(data)
        if self._buffered > self.limits.buffered_bytes and not self.paused and self.transport is not None:
            self.paused = True
            self.transport.pause_reading()

    def _finish(self, rest: bytes) -> None:
        if rest:
            self._keep = False  # nobody asked for what follows
        self._complete()

    def _complete(self) -> None:
        """The content has arrived in full: the response stands alone, the connection may serve another call."""
        response = self._response
        transport = self.transport
        assert response is not None
        assert transport is not None
        response.connection = None
        self._response = None
        self._wake()
        # A response that came before the request had left in full leaves bytes behind that belong to no next request.
        if self._keep and not transport.is_closing() and not transport.get_write_buffer_size():
            self.state = _IDLE
            self.resume()
            self.pool.give_back(self)
        else:
            self.close()

    def close(self) -> None:
        """End without hurry."""
        self.state = _CLOSED
        self.deadline = self.pool.clock() + CLOSING_S
        if self.transport is not None:
            self.transport.close()
