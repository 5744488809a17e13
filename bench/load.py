"""The load generator: N keep-alive connections in their own process, a fixed number of requests, every reply checked.

`python -m bench.load` reads one `Task` per line (JSON) and writes one `Outcome` per line; it ends with its input.
A reply that is not, byte for byte, what the upstream was asked to say is a failure, and so is a closed connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import time
from typing import Final, cast

import msgspec
import uvloop
from msgspec import Struct

from bench import traffic

_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,8}")


class Task(Struct, frozen=True):
    """One round at one target."""

    kind: traffic.Kind
    port: int
    authorization: str
    connections: int
    requests: int
    """Timed requests, all connections together."""
    warm: int
    """Requests before them, not timed."""
    first: int
    """The first nonce; rounds do not repeat nonces."""
    deadline_s: float
    more: list[tuple[str, str]] = []
    """Further header fields that the target needs."""
    exact: bool = True
    """False: the target writes replies anew, and what must be right is whose they are, their words and their end."""


class Outcome(Struct, frozen=True):
    """What a round showed. `failure` is None if and only if every reply was whole and right."""

    requests: int
    failures: int
    failure: str | None
    seconds: float
    p50_us: float
    p99_us: float


class Wrong(Exception):
    """A reply that is not what was asked for."""


class ReplyReader:
    """Reads one reply of status 200 at any chunking; strict, and only as large as what is expected."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.buffer = b""
        self.body: list[bytes] = []
        self.length = 0
        self.left = -1
        """Bytes of a body with a length that are still to come; -1 before the head, -2 in a chunked body."""

    def feed(self, data: bytes) -> bool:
        """True once the reply is whole. Raises `Wrong` as soon as it cannot be right."""
        self.buffer = self.buffer + data if self.buffer else data
        if self.left == -1:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self.buffer) > 16_384:
                    raise Wrong("a head without an end")
                return False
            head, self.buffer = self.buffer[:end], self.buffer[end + 4 :]
            self.left = self.framing(head)
        return self.chunked() if self.left == -2 else self.sized()

    def framing(self, head: bytes) -> int:
        if not head.startswith(b"HTTP/1.1 200 "):
            raise Wrong((head + b" | " + self.buffer)[:400].decode("latin-1"))
        lines = [line.partition(b":") for line in head.lower().split(b"\r\n")[1:]]
        fields = [(name, value.strip()) for name, _, value in lines]
        if (b"connection", b"close") in fields:
            raise Wrong("the target will not keep the connection")
        lengths = [int(value) for name, value in fields if name == b"content-length"]
        codings = [value for name, value in fields if name == b"transfer-encoding"]
        if codings == [b"chunked"] and not lengths:
            return -2
        if len(lengths) == 1 and not codings:
            return lengths[0]
        raise Wrong("a reply without one clear length")

    def take(self, data: bytes) -> None:
        self.length += len(data)
        if self.length > self.limit:
            raise Wrong(f"more than the {self.limit} bytes expected")
        self.body.append(data)

    def sized(self) -> bool:
        data, self.buffer = self.buffer, b""
        if len(data) > self.left:
            raise Wrong("bytes after the reply")
        self.take(data)
        self.left -= len(data)
        return self.left == 0

    def chunked(self) -> bool:
        buffer, at = self.buffer, 0
        while (line := buffer.find(b"\r\n", at)) >= 0:
            if not _SIZE.fullmatch(buffer, at, line):
                raise Wrong("a bad chunk size")
            size = int(buffer[at:line], 16)
            end = line + 2 + size + 2
            if len(buffer) < end:
                break
            if buffer[end - 2 : end] != b"\r\n":
                raise Wrong("a chunk without an end")
            if size == 0:
                if len(buffer) > end:
                    raise Wrong("bytes after the reply")
                return True
            self.take(buffer[line + 2 : end - 2])
            at = end
        self.buffer = buffer[at:]
        if len(self.buffer) > self.limit + 32:
            raise Wrong(f"a chunk of more than the {self.limit} bytes expected")
        return False


class Round:
    """The state that all connections of a round share."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.before, self.after = traffic.request(task.kind, f"127.0.0.1:{task.port}", task.authorization, task.more)
        size = len(traffic.reply(task.kind, traffic.nonce(0)))
        self.limit = size if task.exact else 4 * size
        self.given = 0
        self.taken_ns: list[int] = []
        self.failures = 0
        self.failure: str | None = None
        self.finished = 0
        self.began = 0.0
        self.done = asyncio.Event()

    def take(self) -> int | None:
        """The number of the next request; None when all are given out."""
        number = self.given
        if number >= self.task.warm + self.task.requests or self.failures:
            return None
        if number == self.task.warm:
            self.began = time.perf_counter()
        self.given += 1
        return number

    def check(self, body: bytes, nonce: bytes) -> None:
        """Raises `Wrong` for a body that does not answer the request with this nonce."""
        kind, wanted = self.task.kind, traffic.reply(self.task.kind, nonce)
        if body == wanted:
            return
        try:
            right = not self.task.exact and traffic.said(kind, body) == traffic.said(kind, wanted)
        except ValueError as error:
            raise Wrong(f"{error}: {body[:300].decode('latin-1')}") from error
        if not right:
            raise Wrong("a body that differs: " + body[:300].decode("latin-1"))

    def fail(self, reason: str) -> None:
        self.failures += 1
        self.failure = self.failure or reason
        self.done.set()

    def finish(self, number: int, taken_ns: int) -> None:
        self.finished += 1
        if number >= self.task.warm:
            self.taken_ns.append(taken_ns)
        if self.finished == self.task.warm + self.task.requests:
            self.done.set()

    def outcome(self, seconds: float) -> Outcome:
        ordered = sorted(self.taken_ns) or [0]
        rank = [ordered[min(len(ordered) - 1, int(len(ordered) * part))] / 1000 for part in (0.5, 0.99)]
        return Outcome(self.finished, self.failures, self.failure, seconds, *rank)


class Connection(asyncio.Protocol):
    """One caller: asks, checks the answer, asks again."""

    def __init__(self, shared: Round) -> None:
        self.shared = shared
        self.reader: ReplyReader | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self.ask()

    def ask(self) -> None:
        number = self.shared.take()
        if number is None:
            self.reader = None
            return
        self.number = number
        self.nonce = traffic.nonce(self.shared.task.first + number)
        self.reader = ReplyReader(self.shared.limit)
        request = self.shared.before + self.nonce + self.shared.after
        self.asked_ns = time.perf_counter_ns()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            if self.reader is None:
                raise Wrong("bytes that nobody asked for")
            if not self.reader.feed(data):
                return
            taken_ns = time.perf_counter_ns() - self.asked_ns
            self.shared.check(b"".join(self.reader.body), self.nonce)
        except Wrong as wrong:
            self.reader = None
            self.shared.fail(str(wrong))
            self.transport.abort()
            return
        self.shared.finish(self.number, taken_ns)
        self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.reader is not None:
            self.shared.fail(f"the connection was closed in mid-call ({exc or 'end of stream'})")


async def run(task: Task) -> Outcome:
    """One round. Returns within its deadline; what has not been answered by then is a failure."""
    loop = asyncio.get_running_loop()
    shared = Round(task)
    made: list[asyncio.Transport] = []
    try:
        async with asyncio.timeout(task.deadline_s):
            for _ in range(task.connections):
                transport, _protocol = await loop.create_connection(lambda: Connection(shared), "127.0.0.1", task.port)
                made.append(transport)
            await shared.done.wait()
    except TimeoutError:
        shared.fail(f"{shared.given - shared.finished} calls unanswered after {task.deadline_s:g} s")
    except OSError as error:
        shared.fail(f"no connection: {error}")
    seconds = time.perf_counter() - shared.began
    for transport in made:
        transport.abort()
    return shared.outcome(seconds)


def main() -> None:
    for line in sys.stdin.buffer:
        outcome = uvloop.run(run(msgspec.json.decode(line, type=Task)))
        sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
