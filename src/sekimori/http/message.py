"""A request as a handler sees it, and the way back to its caller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from sekimori.errors import Refused
from sekimori.http.framing import RequestHead
from sekimori.terms import Headers

if TYPE_CHECKING:
    from sekimori.http.connection import Connection

JOIN_BYTES: Final = 16 * 1024
"""Up to here one copy is cheaper than a vectored write."""
_LAST_CHUNK: Final = b"0\r\n\r\n"


class Peer(Struct, frozen=True):
    """Who is at the other end of the connection."""

    address: str
    """IP address; empty for a Unix socket."""
    certificate: bytes | None = None
    """DER of the client certificate that the TLS handshake verified."""


class CallerLeft(ConnectionError):
    """The reply cannot be delivered any more."""


class Request:
    """One request whose framing and target passed the rules of `framing`."""

    __slots__ = ("_connection", "_fields", "headers", "method", "path", "peer", "query", "secure", "target")

    def __init__(self, head: RequestHead, connection: Connection) -> None:
        line = head.line
        self.method = line.method
        self.target = line.target
        self.path = line.path
        """Canonical and not percent-decoded: comparing it as text is comparing what was asked."""
        self.query = line.query
        self.headers = head.headers
        self.peer = connection.peer
        self.secure = connection.secure
        self._connection = connection
        self._fields: dict[bytes, bytes | None] | None = None

    def header(self, name: bytes) -> bytes | None:
        """The value of a field by its lower-case name; None where absent. Raises Refused where it is repeated."""
        fields = self._fields
        if fields is None:
            fields = self._fields = {}
            for field, value in self.headers:
                fields[field] = None if field in fields else value
        try:
            value_or_repeated = fields[name]
        except KeyError:
            return None
        if value_or_repeated is None:
            raise Refused("bad_request", f"The header {name.decode('ascii', 'replace')} is given twice.")
        return value_or_repeated

    def all(self, name: bytes) -> list[bytes]:
        """Every value of a field, in order."""
        return [value for field, value in self.headers if field == name]

    async def body(self) -> bytes:
        """The whole content. Raises Refused with status 413 (too large), 400 (bad framing) or 408 (too slow), and

        Fault('overloaded') when all requests together hold too much.
        """
        return await self._connection.body(self)


class Reply:
    """The way back. Either one `send`, or `start`, any number of `write`s, and `finish`.

    The server owns framing: content-length, transfer-encoding, connection and date are never the handler's.
    Methods raise CallerLeft once the connection is gone.
    """

    __slots__ = ("_chunked", "_connection", "_head", "_left", "_mute", "done", "started")

    def __init__(self, connection: Connection, mute: bool) -> None:
        self._connection = connection
        self._mute = mute  # HEAD: the head alone
        self._head = b""  # started, not sent yet
        self._left = -1  # content bytes still owed where a length was stated
        self._chunked = False
        self.started = False
        """A status was decided; another one cannot be sent any more."""
        self.done = False
        """The last byte was handed over."""

    async def send(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole reply in one write."""
        connection = self._connection
        head = connection.reply_head(self, status, headers, len(body))
        self.done = True
        connection.send(head, b"" if self._mute or status in (204, 304) else body)
        connection.replied()

    async def start(self, status: int, headers: Headers, *, length: int | None = None) -> None:
        """Begin a reply whose content follows; chunked unless `length` (bytes) is given.

        The head travels with the first `write` (an empty one sends it alone).
        """
        self._head = self._connection.reply_head(self, status, headers, length)
        self._chunked = length is None and self._connection.minor == 1
        self._left = -1 if length is None else length
        if self._mute or status in (204, 304):
            self._mute, self._chunked, self._left = True, False, -1

    async def write(self, data: bytes) -> None:
        """Send a piece of the content; waits while the caller takes less than is sent."""
        connection = self._connection
        if not self.started or self.done:
            raise RuntimeError("write outside of a started reply")
        if self._left >= 0:
            self._left -= len(data)
            if self._left < 0:
                raise RuntimeError("more content than the length that was stated")
        head = self._head
        self._head = b""
        if self._mute:
            data = b""
        if data and self._chunked:
            if len(data) <= JOIN_BYTES:
                connection.send(b"%b%x\r\n%b\r\n" % (head, len(data), data))
            else:
                connection.send(head + b"%x\r\n" % len(data), data, b"\r\n")
        elif data or head:
            connection.send(head, data)
        if connection.paused is not None:
            await connection.drained()

    async def finish(self, data: bytes = b"") -> None:
        """Send the last piece and the end of the reply in one write."""
        connection = self._connection
        if not self.started or self.done:
            raise RuntimeError("finish outside of a started reply")
        if self._left >= 0 and self._left != len(data):
            raise RuntimeError("not as much content as the length that was stated")
        self.done = True
        head = self._head
        self._head = b""
        if self._mute:
            data = b""
        if not self._chunked:
            connection.send(head, data)
        elif not data:
            connection.send(head + _LAST_CHUNK)
        elif len(data) <= JOIN_BYTES:
            connection.send(b"%b%x\r\n%b\r\n0\r\n\r\n" % (head, len(data), data))
        else:
            connection.send(head + b"%x\r\n" % len(data), data, b"\r\n0\r\n\r\n")
        connection.replied()

    def abort(self) -> None:
        """Cut the connection so that the caller sees an error, not a short reply.

        What was written just before may be lost with it: last words belong into `finish`.
        """
        self.done = True
        self._connection.cut()


Handler = Callable[[Request, Reply], Awaitable[None]]
"""Answers one request. Raising a Refusal answers with it; any other error is a 500, or an abort once started."""
