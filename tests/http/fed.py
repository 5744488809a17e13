"""A server connection without a socket: bytes are fed in any cut, what it writes is kept."""

from __future__ import annotations

import asyncio
from typing import Any

from sekimori.http.connection import Connection
from sekimori.http.server import Server


class Transport(asyncio.Transport):
    """Keeps what is written; never blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closing = False
        self.reading = True
        self.ended = False
        self.protocol: Any = None

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: Any) -> None:
        self.written += data

    def writelines(self, list_of_data: Any) -> None:
        for data in list_of_data:
            self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close


class Fed:
    """One connection of `server`, fed by hand. Bytes that come while it does not read wait, as in a socket."""

    def __init__(self, server: Server) -> None:
        server.loop = asyncio.get_running_loop()
        self.transport = Transport()
        self.connection = Connection(server)
        self.transport.protocol = self.connection
        server._arriving += 1
        self.connection.connection_made(self.transport)
        self.waiting = bytearray()

    @property
    def written(self) -> bytes:
        return bytes(self.transport.written)

    def feed(self, data: bytes) -> None:
        self.waiting += data
        self._pour()

    def _pour(self) -> None:
        if self.waiting and self.transport.reading and not self.transport.closing:
            data = bytes(self.waiting)
            self.waiting.clear()
            self.connection.data_received(data)

    async def settle(self) -> None:
        """Let the handler run until nothing moves any more."""
        calm = 0
        before = -1
        while calm < 5:
            self._pour()
            await asyncio.sleep(0)
            now = len(self.transport.written) + len(self.waiting)
            calm = calm + 1 if now == before else 0
            before = now

    async def end(self) -> None:
        self.transport.close()
        await asyncio.wait([self.connection.task], timeout=10)
