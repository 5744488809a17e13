"""One home, one owner: the lock, and the socket through which others ask the owner.

A process that serves a home holds a lock on `owner.lock` and listens on `owner.sock` (0600, in a folder of 0700).
Who connects is known by the kernel's word (`SO_PEERCRED`), not by anything sent; only the home's own user and root
are answered. The caller checks the other end the same way before it sends a secret.

Frames, both ways: four bytes of length, big-endian, then JSON. A request is `{"verb", "args"}`; the answer is any
number of `{"progress"}` and then one `{"ok"}` or `{"error"}`. One request a connection.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from sekimori.errors import REASONS, Fault, Refusal, Refused

LARGEST: Final = 64 << 20
"""Bytes of one frame."""
REQUEST_SECONDS: Final = 10.0
CONNECTIONS: Final = 16
"""Callers at once; a person and a few scripts."""

Progress = Callable[[str], None]
Answer = Callable[[str, Raw, int, Progress], Awaitable[object]]
"""(verb, args, uid of the caller, progress) -> what is answered; raises Refusal."""


class Holder(Struct):
    """What the holder of the lock wrote into it, for people."""

    pid: int
    role: str
    """`serve`, or the verb of a command that works on a home nobody serves."""


class Problem(Struct, frozen=True):
    """A refusal as it travels; `detail` holds problems of documents, as plain values."""

    reason: str
    text: str
    advice: str = ""
    detail: list[dict[str, Any]] = []


class Failed(Exception):
    """What the owner answered instead of a result."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.reason)
        self.problem = problem


class _Request(Struct, forbid_unknown_fields=True):
    verb: str
    args: Raw


class _Reply(Struct, omit_defaults=True):
    progress: str = ""
    done: bool = False
    ok: Raw = Raw(b"null")
    error: Problem | None = None


class Lock:
    """The home's lock; held until `release` or until the process ends, however it ends."""

    def __init__(self, home: Path) -> None:
        self.path = home / "owner.lock"
        self._fd = -1

    def take(self, role: str) -> Holder | None:
        """None when the lock is ours now, else who holds it. Raises Fault where the file is not ours to lock."""
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise Fault(
                "store_unavailable",
                f"{self.path} cannot be opened: {error.strerror}.",
                advice="Run as the user who owns the home.",
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                os.close(fd)
                raise Fault(
                    "store_unavailable",
                    f"{self.path} cannot be locked: {error.strerror}.",
                    advice="Put the home on a local disk.",
                ) from error
            held = os.pread(fd, 4096, 0)
            os.close(fd)
            try:
                return msgspec.json.decode(held, type=Holder)
            except msgspec.DecodeError:
                return Holder(0, "")  # taken this instant, not yet written
        if not self._same(fd):
            # The file was removed meanwhile: a lock on it would keep nobody out.
            os.close(fd)
            return self.take(role)
        os.ftruncate(fd, 0)
        os.pwrite(fd, msgspec.json.encode(Holder(os.getpid(), role)), 0)
        self._fd = fd
        return None

    def _same(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), self.path.lstat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1


async def take_lock(home: Path, role: str, *, patience: float = 5.0) -> Lock:
    """The home's lock. Waits for a command that is at work, not for a server.

    Raises `Fault('home_in_use')` naming the process.
    """
    lock = Lock(home)
    deadline = asyncio.get_running_loop().time() + patience
    while (holder := lock.take(role)) is not None:
        late = asyncio.get_running_loop().time() >= deadline
        if late or holder.role == "serve":
            doing = "served" if holder.role == "serve" else f"in use (`sekimori {holder.role}`)"
            raise Fault(
                "home_in_use",
                f"{home} is already {doing} by process {holder.pid}.",
                advice="Stop that process first, or use another home (`--home`).",
            )
        await asyncio.sleep(0.02)
    return lock


@asynccontextmanager
async def listen(home: Path, answer: Answer) -> AsyncIterator[None]:
    """Answer verbs on the home's socket until the block is left; verbs at work are let finish."""
    with _Folder(home) as (directory, name):
        with suppress(FileNotFoundError):
            os.unlink("owner.sock", dir_fd=directory)  # of an owner that was killed; we hold the lock
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            # The folder is 0700, so nobody else reaches the socket before its mode is set.
            listener.bind(name)
            os.chmod("owner.sock", 0o600, dir_fd=directory)
            listener.listen(CONNECTIONS)
        except OSError as error:
            listener.close()
            raise Fault(
                "store_unavailable",
                f"{home / 'owner.sock'} cannot be made: {error.strerror}.",
                advice="Put the home on a local disk that allows sockets.",
            ) from error
    server = _Server(answer)
    accepting = await asyncio.start_unix_server(server.connected, sock=listener, limit=1 << 16)
    try:
        yield
    finally:
        accepting.close()
        with suppress(FileNotFoundError):
            (home / "owner.sock").unlink()
        await server.finish()


class _Server:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.Task[None]] = set()
        """Those that have not got their request yet."""
        self._uids = (os.geteuid(), 0)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if len(self._tasks) > CONNECTIONS:
                raise Fault("overloaded", "Too many commands at once.", advice="Try again.")
            self._idle.add(task)
            await self._serve(task, reader, writer)
        except Refusal as refusal:
            await _answer(writer, _Reply(error=problem_of(refusal)))
            await _leave(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the caller left; what it asked for is done or was never begun
        finally:
            self._tasks.discard(task)
            self._idle.discard(task)
            writer.close()

    async def finish(self) -> None:
        """Let verbs at work end; whoever has asked nothing yet is not waited for."""
        for task in self._idle:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=60.0)

    async def _serve(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        uid = _peer(writer.get_extra_info("socket"))
        if uid not in self._uids:
            raise Refused("forbidden", "This home belongs to another user.", advice="Run as its owner, or as root.")
        async with asyncio.timeout(REQUEST_SECONDS):
            data = await _receive(reader)
        self._idle.discard(task)
        try:
            request = msgspec.json.decode(data, type=_Request)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refused(
                "wrong_use", "The request is not of this protocol.", advice="Use the same version."
            ) from error

        def progress(text: str) -> None:
            if not writer.is_closing():
                writer.write(_frame(_Reply(progress=text)))

        # A change that was begun is finished, whether or not its caller still listens.
        result = await asyncio.shield(asyncio.ensure_future(self._answer(request.verb, request.args, uid, progress)))
        await _answer(writer, _Reply(done=True, ok=Raw(msgspec.json.encode(result))))


async def ask(home: Path, verb: str, args: object, progress: Progress = lambda text: None) -> Any:
    """Ask the owner of a home; plain values as JSON has them. Raises `NotServed`, or `Failed` with its answer."""
    with _Folder(home) as (_, name):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            await asyncio.get_running_loop().sock_connect(connection, name)
        except OSError as error:
            connection.close()
            if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
                raise NotServed from error
            raise Fault(
                "store_unavailable",
                f"{home / 'owner.sock'} cannot be reached: {error.strerror}.",
                advice="Run as the user who owns the home.",
            ) from error
    if _peer(connection) not in (os.geteuid(), 0) and os.geteuid() != 0:
        connection.close()
        raise Fault("forbidden", f"{home / 'owner.sock'} is served by another user.", advice="Check whose home it is.")
    reader, writer = await asyncio.open_unix_connection(sock=connection, limit=1 << 16)
    try:
        writer.write(_framed(msgspec.json.encode({"verb": verb, "args": args})))
        await writer.drain()
        while True:
            reply = msgspec.json.decode(await _receive(reader), type=_Reply)
            if reply.error is not None:
                raise Failed(reply.error)
            if reply.done:
                return msgspec.json.decode(reply.ok)
            progress(reply.progress)
    except (OSError, asyncio.IncompleteReadError, msgspec.DecodeError) as error:
        raise Fault(
            "store_unavailable",
            "The server ended before it answered; whether the change was made is not known.",
            advice="Start it again and look (`sekimori export`, `sekimori ledger show`).",
        ) from error
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


class NotServed(Exception):
    """Nobody serves this home."""


def problem_of(refusal: Refusal) -> Problem:
    """How a refusal travels."""
    return Problem(refusal.reason, refusal.text, refusal.advice, list(getattr(refusal, "detail", ())))


def exit_status(reason: str) -> int:
    """1: the answer is no. 2: wrong use. 3: a fault."""
    if reason == "wrong_use":
        return 2
    _, status = REASONS.get(reason, (0, 500))
    return 1 if status < 500 else 3


def _peer(connection: socket.socket) -> int:
    """Uid of the process at the other end when it connected or listened, by the kernel's word."""
    _, uid, _ = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


class _Folder:
    """A name for the socket that fits `sockaddr_un` (108 bytes) however deep the home lies."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._fd = -1

    def __enter__(self) -> tuple[int, str]:
        try:
            self._fd = os.open(self._home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Fault(
                "home_damaged",
                f"{self._home} cannot be opened: {error.strerror}.",
                advice="`sekimori init` makes a home; `--home` names it.",
            ) from error
        plain = str(self._home / "owner.sock")
        return self._fd, plain if len(os.fsencode(plain)) < 100 else f"/proc/self/fd/{self._fd}/owner.sock"

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def check_private(home: Path) -> None:
    """Raises Fault unless the home is a folder that nobody but its owner can enter, and we are its owner or root."""
    try:
        status = home.stat()
    except FileNotFoundError as error:
        raise Refused(
            "not_found",
            f"There is no home at {home}.",
            advice="Make one with `sekimori init`, or name another with `--home`.",
        ) from error
    except OSError as error:
        raise Fault("store_unavailable", f"{home} cannot be read: {error.strerror}.") from error
    if not stat.S_ISDIR(status.st_mode):
        raise Refused("wrong_use", f"{home} is not a folder.", advice="Name a folder with `--home`.")
    if status.st_uid != os.geteuid() and os.geteuid() != 0:
        raise Fault("forbidden", f"{home} belongs to another user.", advice="Run as its owner.")
    if status.st_mode & 0o077:
        raise Fault("home_damaged", f"{home} can be entered by others.", advice=f"Run `chmod 700 {home}`.")


def _framed(data: bytes) -> bytes:
    if len(data) > LARGEST:
        raise Refused("wrong_use", "This is more than one command can carry.", advice="Split it into several.")
    return len(data).to_bytes(4, "big") + data


def _frame(reply: _Reply) -> bytes:
    return _framed(msgspec.json.encode(reply))


async def _receive(reader: asyncio.StreamReader) -> bytes:
    length = int.from_bytes(await reader.readexactly(4), "big")
    if length > LARGEST:
        raise Refused("wrong_use", "This is more than one command can carry.", advice="Split it into several.")
    return await reader.readexactly(length)


async def _leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let the answer be read: closing over bytes that nobody took would throw it away with them."""
    with suppress(OSError, TimeoutError):
        writer.write_eof()
        async with asyncio.timeout(1.0):
            while await reader.read(1 << 16):
                pass


async def _answer(writer: asyncio.StreamWriter, reply: _Reply) -> None:
    with suppress(OSError):
        writer.write(_frame(reply))
        await writer.drain()
