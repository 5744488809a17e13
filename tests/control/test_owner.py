"""One home, one owner: the lock, the socket, who is answered, and what a caller may send."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sekimori.control import arguments, owner
from sekimori.control.client import call
from sekimori.control.home import open_home
from sekimori.control.owner import Failed, Lock, NotServed, Progress, ask, check_private, listen, take_lock
from sekimori.control.verbs import answer
from sekimori.errors import Fault, Refused
from tests.control.world import ACME, SHARED, made, settings_of

HOLD = """
import sys, time
from pathlib import Path
from sekimori.control.owner import Lock
assert Lock(Path(sys.argv[1])).take(sys.argv[2]) is None
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir(mode=0o700)
    return made


def hold(folder: Path, role: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder), role], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


# -- the lock ----------------------------------------------------------------------------------------------------------


async def test_a_second_server_is_told_who_serves(folder: Path) -> None:
    process = hold(folder, "serve")
    try:
        with pytest.raises(Fault) as caught:
            await take_lock(folder, "serve")
        assert caught.value.reason == "home_in_use"
        assert str(process.pid) in caught.value.text
        assert str(folder) in caught.value.text
        assert "--home" in caught.value.advice
    finally:
        process.kill()
        process.wait()
    (await take_lock(folder, "serve")).release()


async def test_a_command_at_work_is_waited_for(folder: Path) -> None:
    process = hold(folder, "key put")
    try:
        with pytest.raises(Fault, match="key put"):
            await take_lock(folder, "serve", patience=0.05)
        waiting = asyncio.create_task(take_lock(folder, "serve", patience=30))
        await asyncio.sleep(0.05)
        assert not waiting.done()
    finally:
        process.kill()
        process.wait()
    async with asyncio.timeout(20):
        (await waiting).release()


def test_the_lock_is_not_followed_through_a_link(folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder / "owner.lock").symlink_to(victim)
    with pytest.raises(Fault):
        Lock(folder).take("serve")
    assert victim.read_text() == "precious"


def test_whatever_stands_in_the_lock_is_only_shown(folder: Path) -> None:
    (folder / "owner.lock").write_bytes(b"\xff{ not json")
    lock = Lock(folder)
    assert lock.take("serve") is None
    holder = Lock(folder).take("serve")
    assert holder is not None
    assert (holder.pid, holder.role) == (os.getpid(), "serve")
    lock.release()


# -- the socket --------------------------------------------------------------------------------------------------------


async def echo(verb: str, args: msgspec.Raw, uid: int, progress: Progress) -> object:
    if verb == "refuse":
        raise Refused("not_found", "No such thing.", advice="Look again.")
    if verb == "slow":
        progress("half way")
        await asyncio.sleep(0.05)
    return {"verb": verb, "args": msgspec.json.decode(args), "uid": uid}


async def test_a_verb_is_answered_with_the_callers_uid(folder: Path) -> None:
    said: list[str] = []
    async with listen(folder, echo):
        assert (folder / "owner.sock").stat().st_mode & 0o777 == 0o600
        assert await ask(folder, "x", {"a": 1}) == {"verb": "x", "args": {"a": 1}, "uid": os.geteuid()}
        await ask(folder, "slow", {}, said.append)
        with pytest.raises(Failed) as caught:
            await ask(folder, "refuse", {})
    assert said == ["half way"]
    assert (caught.value.problem.reason, caught.value.problem.advice) == ("not_found", "Look again.")
    assert not (folder / "owner.sock").exists()


async def test_an_answer_that_is_nothing_is_an_answer(folder: Path) -> None:
    async def nothing(*_: object) -> object:
        return None

    async with listen(folder, nothing):
        assert await ask(folder, "x", {}) is None


async def test_nobody_serves(folder: Path) -> None:
    with pytest.raises(NotServed):
        await ask(folder, "x", {})
    async with listen(folder, echo):
        pass
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(folder / "owner.sock"))
    with pytest.raises(NotServed):
        await ask(folder, "x", {})
    async with listen(folder, echo):
        assert await ask(folder, "x", {})


async def test_a_home_however_deep(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True, mode=0o700)
    async with listen(deep, echo):
        assert await ask(deep, "x", {})


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT RUN: needs root to become another user")
async def test_another_user_is_refused_by_the_kernels_word(tmp_path: Path, folder: Path) -> None:
    asked: list[str] = []

    async def answered(verb: str, *_: object) -> object:
        asked.append(verb)
        return None

    script = """
import os, socket, sys
os.setgroups([]); os.setgid(4242); os.setuid(4242)
connection = socket.socket(socket.AF_UNIX); connection.connect(sys.argv[1])
body = b'{"verb":"key list","args":{}}'
connection.sendall(len(body).to_bytes(4, "big") + body)
print(connection.makefile("rb").read()[4:].decode())
"""
    async with listen(folder, answered):
        # Even where somebody opened the folder and the socket to the world.
        (folder / "owner.sock").chmod(0o666)
        for path in (folder, *folder.parents):
            if path == Path(tempfile.gettempdir()):
                break
            path.chmod(0o711)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(folder / "owner.sock"), stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(20):
            out, _ = await process.communicate()
    assert b"forbidden" in out
    assert asked == []


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(str(folder / "owner.sock"))
    try:
        yield reader, writer
    finally:
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x02{}",
        b"\x00\x00\x00\x03abc",
        b"\x00\x00\x00\x04\xff\xfe\xfd\xfc",
        b"GET / HTTP/1.1\r\n\r\n" + b"x" * 2000,
        (100_000).to_bytes(4, "big") + b"[" * 100_000,
        b"\x00\x00\x00\x22" + b'{"verb":"x","args":{},"more":true}',
    ],
)
async def test_what_is_no_request_is_refused(folder: Path, sent: bytes) -> None:
    async with listen(folder, echo):
        async with connected(folder) as (reader, writer), asyncio.timeout(20):
            writer.write(sent)
            writer.write_eof()
            answered = await reader.read()
        assert b'"ok"' not in answered or b'"error"' in answered
        assert await ask(folder, "x", {}), "and the next caller is served"


async def test_a_caller_who_sends_nothing_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "REQUEST_SECONDS", 0.05)
    async with listen(folder, echo), connected(folder) as (reader, writer), asyncio.timeout(20):
        writer.write(b"\x00\x00\x00\x10{")
        assert await reader.read() == b""


async def test_who_has_asked_nothing_does_not_hold_up_the_end(folder: Path) -> None:
    async with asyncio.timeout(5), AsyncExitStack() as stack:
        await stack.enter_async_context(listen(folder, echo))
        reader, writer = await asyncio.open_unix_connection(str(folder / "owner.sock"))
        writer.write(b"\x00\x00")
        await asyncio.sleep(0.01)
        await stack.aclose()
        assert await reader.read() == b""
        writer.close()


async def test_a_change_goes_on_when_its_caller_leaves(folder: Path) -> None:
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(*_: object) -> object:
        begun.set()
        await may_end.wait()
        ended.set()
        return None

    async with listen(folder, slow), asyncio.timeout(20):
        asking = asyncio.create_task(ask(folder, "x", {}))
        await begun.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        may_end.set()
        await ended.wait()


async def test_a_server_that_ends_in_the_middle_says_that_nothing_is_known(folder: Path) -> None:
    async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4)
        writer.close()

    async with await asyncio.start_unix_server(dies, str(folder / "owner.sock")), asyncio.timeout(20):
        with pytest.raises(Fault, match="not known"):
            await ask(folder, "x", {})


async def test_too_many_callers_are_told_so(folder: Path) -> None:
    may_end = asyncio.Event()

    async def slow(*_: object) -> object:
        await may_end.wait()
        return None

    async with listen(folder, slow), asyncio.timeout(20):
        asking = [asyncio.create_task(ask(folder, "x", {})) for _ in range(owner.CONNECTIONS + 4)]
        done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        assert all(isinstance(task.exception(), Failed) for task in done)
        may_end.set()
        answers = await asyncio.gather(*asking, return_exceptions=True)
    assert answers.count(None) == owner.CONNECTIONS


# -- the same verbs, served or not -------------------------------------------------------------------------------------


def files(*texts: str) -> arguments.Files:
    return arguments.Files(files=tuple(arguments.File("f.yaml", text.encode()) for text in texts))


async def test_served_or_not_a_verb_is_answered_alike(tmp_path: Path) -> None:
    settings = await made(tmp_path / "home")
    await call(settings, "apply", files(SHARED + "---" + ACME))
    alone: list[Any] = [
        await call(settings, verb, args)
        for verb, args in (
            ("export", arguments.Nothing()),
            ("key list", arguments.Listing()),
            ("route explain", arguments.Explain(tenant="acme", agent="analyst", model="m-1")),
            ("diff", files(SHARED)),
        )
    ]
    async with open_home(settings) as home:

        async def answered(verb: str, args: msgspec.Raw, uid: int, progress: Progress) -> object:
            return await answer(home, verb, args, uid, progress)

        async with listen(settings.home, answered):
            served = [
                await call(settings, verb, args)
                for verb, args in (
                    ("export", arguments.Nothing()),
                    ("key list", arguments.Listing()),
                    ("route explain", arguments.Explain(tenant="acme", agent="analyst", model="m-1")),
                    ("diff", files(SHARED)),
                )
            ]
            with pytest.raises(Failed) as caught:
                await call(settings, "nonsense", arguments.Nothing())
            assert caught.value.problem.reason == "wrong_use"
            with pytest.raises(Failed) as caught:
                await call(settings, "key put", arguments.Listing(tenant="x"))
            assert caught.value.problem.reason == "wrong_use"
    assert alone == served


async def test_a_verb_that_breaks_is_a_fault_and_not_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = await made(tmp_path / "home")
    async with open_home(settings) as home:
        monkeypatch.setattr(type(home), "tenants", None)
        with pytest.raises(Fault, match="usage` failed unexpectedly: TypeError"):
            await answer(home, "usage", b"{}", 0, lambda text: None)


async def test_where_there_is_no_home(tmp_path: Path) -> None:
    with pytest.raises(Failed) as caught:
        await call(settings_of(tmp_path / "none"), "export", arguments.Nothing())
    assert caught.value.problem.reason == "not_found"
    assert "sekimori init" in caught.value.problem.advice
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="not a folder"):
        check_private(tmp_path / "file")


async def test_a_home_that_others_can_enter_is_refused(folder: Path) -> None:
    folder.chmod(0o750)
    with pytest.raises(Fault) as caught:
        check_private(folder)
    assert f"chmod 700 {folder}" in caught.value.advice
