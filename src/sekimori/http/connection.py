"""One accepted connection: the protocol that reads it and the task that answers it.

The protocol reads heads and bodies as they arrive and hands each request to the task, which runs the handler; the next
request is looked at only when the reply is whole, so replies keep the order of requests. Deadlines are plain numbers
that the sweep of the server compares with the clock. A caller that leaves, also by half-closing, cancels the handler.
What the framing rules refuse is answered once and the connection ends: after an error nobody can say where the next
message would begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

from sekimori.errors import Fault, Refusal, Refused
from sekimori.http.body import Body
from sekimori.http.framing import Lines, Malformed, plausible_start, read_request
from sekimori.http.message import JOIN_BYTES, CallerLeft, Peer, Reply, Request
from sekimori.terms import Headers

if TYPE_CHECKING:
    from sekimori.http.server import Server

_NEVER: Final = float("inf")
_STATUS_LINES: Final = [
    b"HTTP/1.1 %d %b\r\n" % (code, HTTPStatus(code).phrase.encode() if code in set(HTTPStatus) else b"")
    for code in range(600)
]
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_OURS: Final = frozenset((b"content-length", b"transfer-encoding", b"connection", b"date", b"trailer", b"upgrade"))

# Where a connection stands with its input.
_HEAD, _BODY, _BUSY, _LINGER, _CLOSED = range(5)


class Connection(asyncio.Protocol):
    """One connection: reads requests, runs the handler, keeps the bounds."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.limits = server.limits
        self.deadline = _NEVER  # of the input
        self.write_deadline = _NEVER
        self.state = _HEAD
        self.made = False
        self.paused: asyncio.Future[None] | None = None
        self.minor = 1
        self.idle = True  # no request yet or the last one answered, and no byte of the next
        self._buffer = bytearray()
        self._scanned = 0
        self._lines = Lines()
        self._reading = True
        self._waiter: asyncio.Future[bool] | None = None
        self._next: Request | None = None
        self._close = False
        self._thrown = 0
        self._told = False  # a caller that leaves now is no news to the handler: it is cancelled once at most
        # Of the current request's body:
        self._content = b""
        self._body: Body | None = None  # not whole yet
        self._expect = False
        self._wanted: asyncio.Future[None] | None = None
        self._body_end = _NEVER
        self._failure: Refusal | None = None
        self._held = 0  # bytes of it that count against `Limits.bodies_bytes`

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own is one in all but inheritance
        self.transport.set_write_buffer_limits(self.limits.high_water_bytes)
        name = transport.get_extra_info("peername")
        tls = transport.get_extra_info("ssl_object")
        self.secure = tls is not None
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        self.peer = Peer(str(name[0]) if isinstance(name, tuple) else "", certificate)
        server = self.server
        self.deadline = server.clock() + self.limits.head_s
        self.made = True
        server.joined(self)
        self.task = server.loop.create_task(self._run())
        server.tasks.add(self.task)
        if server.draining:  # its handshake took that long
            self.drain()
        self.task.add_done_callback(server.ended)

    def connection_lost(self, exc: Exception | None) -> None:
        self.state = _CLOSED
        self.server.left(self)
        self._buffer.clear()
        self._release()
        if self.paused is not None:
            self.resume_writing()
        self._stop()

    def eof_received(self) -> bool:
        if self.state == _LINGER:
            self.transport.close()
        self._stop()
        return False  # the transport closes itself

    def pause_writing(self) -> None:
        self.paused = self.server.loop.create_future()
        self.write_deadline = self.server.clock() + self.limits.write_stall_s

    def resume_writing(self) -> None:
        self.write_deadline = _NEVER
        if self.paused is not None:
            self.paused.set_result(None)
            self.paused = None

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state == _HEAD:
            if self._buffer:
                self._buffer += data
                self._read_head(self._buffer)
            else:
                self._read_head(data)
        elif state == _BODY:
            self._read_body(data)
        elif state == _BUSY:
            self._keep(data)
        elif state == _LINGER:
            self._thrown += len(data)
            if self._thrown > self.limits.linger_bytes:
                self.transport.abort()

    # Reading.

    def _read_head(self, data: bytes | bytearray) -> None:
        limits = self.limits
        end = data.find(b"\r\n\r\n", self._scanned)
        if end < 0:
            size = len(data)
            if size > limits.head_bytes:
                self._refuse(Malformed("the request head is too long", 431))
            elif not plausible_start(bytes(data[:32])):
                self._refuse(Malformed("the request line is malformed"))
            else:
                if self.idle:
                    self.idle = False
                    self.deadline = self.server.clock() + limits.head_s
                self._scanned = max(size - 3, 0)
                if data is not self._buffer:
                    self._buffer += data
            return
        try:
            if end > limits.head_bytes:
                raise Malformed("the request head is too long", 431)
            head = read_request(
                bytes(data[:end]), self._lines, headers=limits.headers, target_bytes=limits.target_bytes
            )
        except Malformed as malformed:
            self._refuse(malformed)
            return
        self._scanned = 0
        self.idle = False
        self.deadline = _NEVER
        self.minor = head.line.minor
        self._close = head.close
        self._expect = head.expect
        rest = bytes(data[end + 4 :])
        if data is self._buffer:
            self._buffer.clear()
        self._next = Request(head, self)
        self._told = False
        self._failure = None
        length = head.length
        if head.chunked or length > len(rest):
            self.state = _BODY
            self._content = b""
            self._body = Body(limits, length, head.chunked)
            if rest:
                self._read_body(rest)
        else:
            self.state = _BUSY
            self._content = rest
            if length < len(rest):
                self._content = rest[:length]
                self._keep(rest[length:])
            if length > limits.body_bytes:
                self._spoil(Refused("body_too_large", "The body is too large."))
        if self._waiter is not None:
            self._waiter.set_result(True)
            self._waiter = None

    def _keep(self, data: bytes) -> None:
        """Hold what follows the current request; a caller that sends ahead waits at a bound."""
        self._buffer += data
        if len(self._buffer) > self.limits.pipelined_bytes:
            self._pause()

    def _read_body(self, data: bytes) -> None:
        body = self._body
        if body is None:  # spoiled
            return
        server = self.server
        try:
            rest = body.take(data)
            self._hold(body.size)
        except Refusal as refusal:
            self._spoil(refusal)
            return
        if rest is not None:
            self._content = body.whole()
            self._body = None
            self.state = _BUSY
            self._wake_body()
            if rest:
                self._keep(rest)
        elif self._wanted is not None:
            self.deadline = min(server.clock() + self.limits.body_idle_s, self._body_end)
        elif body.size > self.limits.early_body_bytes:
            self._pause()

    def _hold(self, size: int) -> None:
        server = self.server
        server.held_bytes += size - self._held
        self._held = size
        if server.held_bytes > self.limits.bodies_bytes:
            raise Fault("overloaded", "There are too many large requests.", retry_after=1.0)

    def _release(self) -> None:
        self.server.held_bytes -= self._held
        self._held = 0

    def _spoil(self, failure: Refusal) -> None:
        """The body cannot be had; the handler hears it when it asks, and this is the last request here."""
        self._failure = failure
        self._close = True
        self._body = None
        self._content = b""
        self._buffer.clear()
        self._release()
        self._pause()
        self._wake_body()

    def _wake_body(self) -> None:
        self.deadline = _NEVER
        if self._wanted is not None:
            if not self._wanted.done():
                self._wanted.set_result(None)
            self._wanted = None

    async def body(self, request: Request) -> bytes:
        if request is not self._next:
            raise RuntimeError("the body of a request that was answered")
        body = self._body
        if body is not None:
            if self._wanted is not None and not self._wanted.done():
                raise RuntimeError("the body is being read already")
            try:
                body.check()
            except Refused as refused:
                self._spoil(refused)
                raise
            if self._expect and not body.size:
                self._expect = False
                self.send(_CONTINUE)
            now = self.server.clock()
            self._body_end = now + self.limits.body_s
            self.deadline = min(now + self.limits.body_idle_s, self._body_end)
            self._wanted = self.server.loop.create_future()
            self._resume()
            await self._wanted
        if self._failure is not None:
            raise self._failure
        return self._content

    def _pause(self) -> None:
        if self._reading and self.state != _CLOSED and not self.transport.is_closing():
            self._reading = False
            self.transport.pause_reading()

    def _resume(self) -> None:
        if not self._reading and self.state != _CLOSED and not self.transport.is_closing():
            self._reading = True
            self.transport.resume_reading()

    def _refuse(self, malformed: Malformed) -> None:
        """Answer a head that cannot be read, then end: nobody knows where the next message begins."""
        reason = "unsupported_encoding" if malformed.status == 415 else "bad_request"
        words = malformed.text[0].upper() + malformed.text[1:] + "."
        self._answer(Refused(reason, words, status=malformed.status), None)

    def _answer(self, refusal: Refusal, target: str | None) -> None:
        self._close = True
        self._buffer.clear()
        reply = Reply(self, False)
        status, headers, body = self.server.words(refusal, target)
        with contextlib.suppress(CallerLeft):
            self.send(self.reply_head(reply, status, headers, len(body)), body)
        self._linger()

    # Writing.

    def reply_head(self, reply: Reply, status: int, headers: Headers, length: int | None) -> bytes:
        if reply.started:
            raise RuntimeError("a second reply to one request")
        lines = []
        for name, value in headers:
            if name in _OURS:
                raise ValueError(f"{name.decode()} belongs to the server")
            lines.append(b"%b: %b\r\n" % (name, value))
        block = b"".join(lines)
        if block.count(b"\n") != len(lines) or block.count(b"\r") != len(lines) or b"\0" in block:
            raise ValueError("a reply header holds a line break or NUL")
        reply.started = True
        self._expect = False  # an interim reply has no place any more
        if self._body is not None or self.server.draining:
            self._close = True
        if status < 200:
            raise ValueError("an interim status is not a reply")
        framing = b""
        if length is not None:
            if status not in (204, 304):
                framing = b"content-length: %d\r\n" % length
        elif self.minor == 0:
            self._close = True  # the end of the connection is the end of the content
        elif status not in (204, 304):
            framing = b"transfer-encoding: chunked\r\n"
        return b"%b%b%b%bdate: %b\r\n\r\n" % (
            _STATUS_LINES[status],
            block,
            framing,
            b"connection: close\r\n" if self._close else b"",
            self.server.date(),
        )

    def send(self, first: bytes, second: bytes = b"", third: bytes = b"") -> None:
        """Hand bytes to the transport in one write. Raises CallerLeft."""
        transport = self.transport
        if self.state == _CLOSED or transport.is_closing():
            raise CallerLeft("the caller left")
        if not second:
            if first:
                transport.write(first)
        elif len(second) <= JOIN_BYTES:
            transport.write(first + second + third)
        else:
            transport.writelines([part for part in (first, second, third) if part])

    async def drained(self) -> None:
        while self.paused is not None:
            await self.paused
        if self.state == _CLOSED:
            raise CallerLeft("the caller left")

    def replied(self) -> None:
        """A reply is whole: go on with the next request, or end. The handler may finish in peace."""
        self._told = True
        if self._close or self.server.draining:
            if self._body is not None or self._buffer or self._failure is not None:
                self._linger()
            else:
                self._end()

    def _end(self) -> None:
        """Close once everything is flushed; the sweep cuts a peer that does not take it."""
        self.deadline = self.server.clock() + self.limits.write_stall_s
        self.transport.close()

    def _linger(self) -> None:
        """End the output and read on for a moment: closing over unread input would reset the reply away."""
        if self.state == _CLOSED or self.transport.is_closing():
            return
        self.state = _LINGER
        self._buffer.clear()
        self.deadline = self.server.clock() + self.limits.linger_s
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._resume()
        if self._waiter is not None:
            self._waiter.set_result(False)
            self._waiter = None

    def cut(self) -> None:
        """The handler's own abort: it is not cancelled for it."""
        self._told = True
        self.abort()

    def abort(self) -> None:
        """Cut; with a reset where the transport allows, since a plain end would look like the end of a 1.0 reply."""
        if self.state == _CLOSED:
            return
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):  # already disconnected: there is nobody to tell
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.state = _CLOSED
        self.transport.abort()

    # Time and the task.

    def sweep(self, now: float, crowded: bool) -> None:
        if now >= self.write_deadline or (self.deadline <= now and self.transport.is_closing()):
            self.abort()
        elif now >= self.deadline:
            if self.state == _LINGER or self.idle:
                self._end()
            elif self.state == _HEAD:
                self._answer(Refused("bad_request", "The request head took too long.", status=408), None)
            else:
                self._spoil(Refused("bad_request", "The request body took too long.", status=408))
        elif crowded and self.idle and self.state == _HEAD:
            self.deadline = min(self.deadline, now + self.limits.idle_crowded_s)

    def drain(self) -> None:
        if self.idle and self.state == _HEAD:
            self._end()

    def _stop(self) -> None:
        if self._waiter is not None:
            self._waiter.set_result(False)
            self._waiter = None
        elif self._next is not None and not self._told:
            self._told = True
            self.task.cancel()

    async def _run(self) -> None:
        try:
            while await self._requested():
                await self._serve()
                if self.state != _BUSY or self._close:
                    return
                while self.paused is not None:  # replies nobody takes are not followed by more
                    await self.paused
                self._advance()
                if self._next is not None:  # pipelined: other connections have their turn first
                    await asyncio.sleep(0)
        finally:
            if self.state != _LINGER and not self.transport.is_closing():
                self.abort()

    async def _requested(self) -> bool:
        if self._next is None:
            if self.state != _HEAD or self.transport.is_closing():
                return False
            self._waiter = self.server.loop.create_future()
            return await self._waiter
        return True

    async def _serve(self) -> None:
        request = self._next
        assert request is not None
        server = self.server
        reply = Reply(self, request.method == "HEAD")
        server.requests_in_flight += 1
        try:
            await server.handler(request, reply)
            if not reply.done:
                raise RuntimeError("the handler left its reply unfinished")
        except CallerLeft:
            self.abort()
        except Exception as error:  # noqa: BLE001 - whatever a handler raises ends as one reply, never silently
            await self._failed(error, request, reply)
        finally:
            server.requests_in_flight -= 1
            self._next = None

    async def _failed(self, error: Exception, request: Request, reply: Reply) -> None:
        if isinstance(error, Refusal):
            refusal: Refusal = error
        else:
            self.server.loop.call_exception_handler({"message": "a handler failed", "exception": error})
            refusal = Fault("internal", "Something failed on our side.")
        if reply.started:
            if not reply.done:
                reply.abort()
            return
        status, headers, body = self.server.words(refusal, request.target)
        with contextlib.suppress(CallerLeft):
            await reply.send(status, headers, body)

    def _advance(self) -> None:
        """Turn to the next request, which may have arrived already."""
        self.state = _HEAD
        self.idle = True
        self._content = b""
        self._release()
        self.deadline = self.server.clock() + self.limits.idle_s
        if self._buffer:
            self._read_head(self._buffer)
        self._resume()
