"""The fixed upstream: the OpenAI dialect in its own process, always the same words, as cheap as Python can be.

`python -m bench.upstream` listens on a free port of 127.0.0.1, prints it, and ends when its standard input does.
It answers 401 to a wrong provider key and 400 to anything that is not the request that was sent: what a target
changes on the way shows as a failed round.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from typing import Final, cast

import uvloop

from bench import traffic

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n")
_AUTHORIZATION: Final = b"\r\nauthorization: bearer " + traffic.PROVIDER_KEY.lower().encode() + b"\r\n"
_START: Final = f"post {traffic.PATH} http/1.1\r\n".encode()
_MODEL: Final[dict[bytes, traffic.Kind]] = {
    b'"model":"' + traffic.model(kind).encode() + b'"': kind for kind in traffic.KINDS
}
_JSON: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_SSE: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_END: Final = b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One connection; requests are answered one after the other."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.buffer = b""
        self.streaming = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass

    def connection_lost(self, exc: Exception | None) -> None:
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.answer_next()

    def answer_next(self) -> None:
        while self.buffer and not self.streaming:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            head = self.buffer[: end + 2].lower()
            found = _LENGTH.search(head)
            if found is None:
                return self.refuse(411)
            whole = end + 4 + int(found[1])
            if len(self.buffer) < whole:
                return None
            body, self.buffer = self.buffer[end + 4 : whole], self.buffer[whole:]
            self.answer(head, body)
        return None

    def answer(self, head: bytes, body: bytes) -> None:
        if not head.startswith(_START):
            return self.refuse(404)
        if _AUTHORIZATION not in head:
            return self.refuse(401)
        at = body.find(traffic.CALL) + len(traffic.CALL)
        number = body[at : at + traffic.NONCE_DIGITS]
        kind = next((kind for name, kind in _MODEL.items() if name in body), None)
        if kind is None or not number.isdigit() or traffic.PROMPT not in body or not body.endswith(b"}"):
            return self.refuse(400)
        if kind == "plain":
            reply = traffic.reply(kind, number)
            return self.transport.write(_JSON % len(reply) + reply)
        chunks = traffic.chunks(kind, number)
        self.transport.write(_SSE)
        if kind == "burst":
            for chunk in chunks:
                self.transport.write(chunk)
            return self.transport.write(_END)
        self.streaming = True
        return self.pace(chunks, 0, self.loop.time())

    def pace(self, chunks: list[bytes], position: int, began: float) -> None:
        if self.transport.is_closing():
            return
        if position < traffic.EVENTS:
            self.transport.write(chunks[position])
            due = began + (position + 1) * traffic.PACE_SECONDS
            self.loop.call_at(due, self.pace, chunks, position + 1, began)
            return
        for chunk in chunks[position:]:
            self.transport.write(chunk)
        self.transport.write(_END)
        self.streaming = False
        self.answer_next()

    def refuse(self, status: int) -> None:
        self.transport.write(b"HTTP/1.1 %d No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)
        self.transport.close()


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    done = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), done.set)
    await done.wait()
    server.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main())
