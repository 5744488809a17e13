"""T09: something happens unrecorded: a crash, a full disk, a caller that leaves in the wrong moment."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sekimori.control.arguments import Nothing
from sekimori.errors import Fault, Upstream
from sekimori.http.server import Reply, Request
from sekimori.ledger import entry
from sekimori.ledger import ledger as ledger_module
from sekimori.ledger.disk import Disk
from tests.attacks.attacker import MESSAGES, VERSION, back_up, bearer, call_bytes, code_of, get, question, wire
from tests.flows.place import EVENTS, JSON, Answer, Place, answer_well, chat, chunk, place, serving


class Broken(Disk):
    """The ledger's disk, which fails while told to: `write` is the journal's, the others are what comes behind it."""

    def __init__(self) -> None:
        self.fault = 0
        self.deeds: set[str] = set()
        self.persists = False

    def _may(self, deed: str) -> None:
        if self.fault and deed in self.deeds:
            raise OSError(self.fault, os.strerror(self.fault))

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        if self.persists and self.fault:
            super().write(descriptor, data, offset)
        self._may("write")
        super().write(descriptor, data, offset)

    def publish(self, path: Path, data: bytes, *, settle: bool = True) -> None:
        self._may("publish")
        super().publish(path, data, settle=settle)

    def prewrite(self, path: Path, size: int) -> None:
        self._may("prewrite")
        super().prewrite(path, size)

    @contextlib.contextmanager
    def failing(self, fault: int, *deeds: str, persists: bool = False) -> Iterator[None]:
        self.fault, self.deeds, self.persists = fault, set(deeds), persists
        try:
            yield
        finally:
            self.fault = 0


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Broken:
    broken = Broken()
    monkeypatch.setattr(ledger_module, "Disk", lambda: broken)
    return broken


async def pairs(here: Place) -> list[tuple[str, int | None]]:
    return [(one.outcome, one.status) for one in await here.of_kind("acme", entry.SETTLED)]


async def test_on_a_full_disk_nothing_leaves_and_the_reply_says_what_to_do(tmp_path: Path, disk: Broken) -> None:
    async with place(tmp_path) as here:
        assert (await here.post("acme/x", chat()))[0] == 200
        for fault in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
            with disk.failing(fault, "write"):
                for path, body, more in (
                    ("/v1/chat/completions", chat(), ()),
                    ("/v1/chat/completions", chat(stream=True), ()),
                    (MESSAGES, question(), (VERSION,)),
                    ("/v1/chat/completions", chat("nobody-has-it"), ()),  # not even a refusal goes unrecorded
                ):
                    code, _, reply = await here.post("acme/x", body, path, *more)
                    assert code == 503, fault
                    assert b"operator must" in reply
                    assert str(tmp_path).encode() not in reply
                code, _, reply = await here.send("POST", "/v1/chat/completions", [bearer("nobody")], b"{}")
                assert (code, code_of(reply)) == (503, "ledger_unavailable")
                assert (await get(here, "/readyz"))[0] == 503
            assert (await here.post("acme/x", chat()))[0] == 200, "calls go on when the disk is back"
            assert (await get(here, "/readyz"))[0] == 200
        assert len(here.provider.seen) == 5
        assert await pairs(here) == [("answered", 200)] * 5


async def test_a_disk_that_fails_between_the_halves_holds_the_reply_back(tmp_path: Path, disk: Broken) -> None:
    """The provider has answered and is paid; the caller gets nothing that no record says."""
    failing = contextlib.ExitStack()

    async def breaks(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        failing.enter_context(disk.failing(errno.ENOSPC, "write"))
        await answer_well(request, reply, body)

    async with place(tmp_path, check=False) as here:
        for stream in (False, True):
            here.provider.script = [breaks]
            if stream:
                with pytest.raises(Upstream, match="upstream_truncated"):
                    await here.post("acme/x", chat(stream=True))
            else:
                code, _, body = await here.post("acme/x", chat())
                assert (code, code_of(body)) == (503, "ledger_unavailable")
                assert b"hi there" not in body
            failing.close()
            assert (await here.post("acme/x", chat()))[0] == 200
        assert b"[DONE]" not in b"".join(reply for _, reply in here.replies)
    async with back_up(here), serving(here):
        assert sorted(one for one, _ in await pairs(here)) == ["answered"] * 2 + ["interrupted"] * 2
        used = await here.of_kind("acme", entry.KEY_USED)
        assert len(used) == 4, "a key was used, and the tenant's record does not say so"
        await here.check_invariants()


KEPT = """
{kind: Agent, tenant: acme, name: x, models: [tiny], capabilities: [stored_state, background]}
---
{kind: Route, tenant: acme, agent: x, provider: house, key: clients/acme/own}
"""


async def test_what_became_of_a_stored_response_and_could_not_be_recorded_did_not_happen(
    tmp_path: Path, disk: Broken
) -> None:
    """A response that was begun exists for nobody; its end is told by the next who looks; what was deleted is gone at
    the provider alone."""
    failing = contextlib.ExitStack()
    whole = {"id": "resp_1", "object": "response", "store": True, "output": [], "usage": None}
    usage = {"input_tokens": 50, "output_tokens": 30, "total_tokens": 80}

    def says(breaks: bool, **more: Any) -> Answer:
        async def answer(request: Request, reply: Reply, body: dict[str, Any]) -> None:
            if breaks:
                failing.enter_context(disk.failing(errno.ENOSPC, "write"))
            await reply.send(200, [JSON], json.dumps({**whole, **more}).encode())

        return answer

    async def about(here: Place, method: str) -> int:
        status, _, _ = await here.send(
            method, "/v1/responses/resp_1", [bearer(here.keys["acme/x"])], b"", agent="acme/x"
        )
        failing.close()
        return status

    begun = {"model": "tiny", "input": "hello", "background": True}
    async with place(tmp_path, documents=KEPT, check=False) as here:
        for breaks, expected in ((True, 503), (False, 200)):
            here.provider.script = [says(breaks, status="queued")]
            assert (await here.post("acme/x", begun, "/v1/responses"))[0] == expected
            failing.close()
            if breaks:
                assert await about(here, "GET") == 404
        here.provider.script = [says(breaks, status="completed", usage=usage) for breaks in (True, False, False)]
        assert [await about(here, "GET") for _ in range(3)] == [503, 200, 200]
        here.provider.script = [says(breaks, deleted=True) for breaks in (True, False)]
        assert [await about(here, "DELETE") for _ in range(3)] == [503, 200, 404]
    async with back_up(here), serving(here):
        used = await here.of_kind("acme", entry.KEY_USED)
        assert [bool(one.began) for one in used].count(True) == 1
        [corrected] = [one for one in used if one.corrects is not None]
        [began] = [one for one in used if one.began]
        assert (began.usage.input + corrected.usage.input, began.usage.output + corrected.usage.output) == (50, 30)
        assert await about(here, "GET") == 404


async def test_a_write_that_failed_and_persisted_is_not_there_twice(tmp_path: Path, disk: Broken) -> None:
    async with place(tmp_path, check=False) as here:
        with disk.failing(errno.EIO, "write", persists=True):
            assert (await here.post("acme/x", chat()))[0] == 503
            assert (await here.post("acme/x", chat()))[0] == 503
        assert here.provider.seen == []
        assert (await here.post("acme/x", chat()))[0] == 200
    async with back_up(here), serving(here):
        await here.check_invariants()
        assert len(await here.of_kind("acme", entry.DECIDED)) == 1


async def test_tiles_that_cannot_be_written_lose_nothing_that_was_promised(tmp_path: Path, disk: Broken) -> None:
    """The journal takes entries while the logs behind it cannot grow; verification says so, and catches up."""
    async with place(tmp_path, check=False) as here:
        with disk.failing(errno.ENOSPC, "publish", "prewrite"):
            for _ in range(5):
                assert (await here.post("acme/x", chat()))[0] == 200
            await here.running.home.ledger.integrate()
            assert here.running.home.ledger.troubles
        assert len(await here.of_kind("acme", entry.DECIDED)) == 5
        assert not here.running.home.ledger.troubles
        await here.check_invariants()


async def test_callers_that_leave_at_any_moment_leave_whole_pairs(tmp_path: Path) -> None:
    """A storm of callers that cut the connection after 0, 1, 2 … turns of the loop."""

    async def stream(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        await reply.start(200, [EVENTS])
        for _ in range(50):
            await reply.write(chunk("word "))
            await asyncio.sleep(0)
        await reply.finish(b"data: [DONE]\n\n")

    async with place(tmp_path) as here:
        head = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n"
        )

        async def leave(turns: int, streamed: bool) -> None:
            data = json.dumps(chat(stream=streamed)).encode()
            async with wire(here.running.gateway_port) as end:
                end.send(head % (here.keys["acme/x"].encode(), len(data)) + data)
                for _ in range(turns):
                    await asyncio.sleep(0)

        here.provider.script = []
        for streamed in (False, True):
            if streamed:
                here.provider.script = [stream] * 200
            await asyncio.gather(*(leave(turns, streamed) for turns in range(0, 60, 2)))
        await here.settled()
        decided = await here.of_kind("acme", entry.DECIDED)
        outcomes = {one for one, _ in await pairs(here)}
        assert len(decided) >= len(here.provider.seen)
        assert outcomes <= {"answered", "aborted", "not_sent", "interrupted"}
        used = await here.of_kind("acme", entry.KEY_USED)
        assert len(used) >= len(here.provider.seen), "a provider saw a call of which the record knows no use"


async def test_what_the_provider_saw_is_never_more_than_what_is_recorded(tmp_path: Path, disk: Broken) -> None:
    """Calls under load while the disk comes and goes."""
    async with place(tmp_path, check=False) as here:

        async def caller(number: int) -> int:
            code, _, _ = await here.post("acme/x", chat(text=f"n{number}"))
            return code

        codes: list[int] = []
        for burst in range(6):
            calls = [asyncio.create_task(caller(burst * 10 + each)) for each in range(10)]
            await asyncio.sleep(0)
            with disk.failing(errno.ENOSPC, "write"):
                for _ in range(burst * 3):
                    await asyncio.sleep(0)
                codes += await asyncio.gather(*calls)
        assert set(codes) <= {200, 503}
    async with back_up(here), serving(here):
        await here.check_invariants()
        decided = await here.of_kind("acme", entry.DECIDED)
        assert len(here.provider.seen) <= len(decided)
        answered = sum(one == "answered" for one, _ in await pairs(here))
        assert codes.count(200) <= answered, "a caller has a reply that the record calls interrupted"


KILLED = """
import asyncio, os, signal, sys
from sekimori.config import load
from sekimori.serve import running
from sekimori.telemetry import Log
from pathlib import Path

async def main():
    async with running(load(Path(sys.argv[1]), {}), log=Log(level="error")) as deployment:
        print(deployment.gateway_port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_kill_9_with_calls_under_way_forgets_none_of_them(tmp_path: Path) -> None:
    arrived: asyncio.Queue[None] = asyncio.Queue()

    async def hangs(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        if body.get("stream"):
            await reply.start(200, [EVENTS])
            await reply.write(chunk("one "))
        arrived.put_nowait(None)
        await asyncio.Event().wait()

    async with place(tmp_path, check=False) as here:
        keys = dict(here.keys)
    async with back_up(here):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, str(here.home), stdout=asyncio.subprocess.PIPE, env={**os.environ}
        )
        assert process.stdout is not None
        port = int(await asyncio.wait_for(process.stdout.readline(), 60))
        here.provider.script = [answer_well, hangs, hangs, hangs]
        async with contextlib.AsyncExitStack() as stack:
            first = await stack.enter_async_context(wire(port))
            first.send(call_bytes(keys["acme/x"]))
            assert (await first.reply())[0] == 200
            for streamed in (False, True, True):
                end = await stack.enter_async_context(wire(port))
                data = json.dumps(chat(stream=streamed)).encode()
                head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n"
                end.send(head % keys["acme/x"].encode() + b"content-length: %d\r\n\r\n" % len(data) + data)
                await asyncio.wait_for(arrived.get(), 20)
            process.kill()
            assert await process.wait() == -9
        here.provider.script = []
        async with serving(here):
            assert sorted(one for one, _ in await pairs(here)) == ["answered"] + ["interrupted"] * 3
            assert len(await here.of_kind("acme", entry.KEY_USED)) == 4
            assert (await here.post("acme/x", chat()))[0] == 200
            await here.check_invariants()


@pytest.mark.host
async def test_a_real_disk_that_is_full_to_the_last_byte(tmp_path: Path) -> None:
    """A tmpfs of 64 MiB under the home, filled to the brim while calls come in."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs", str(mounted)], check=True)
    try:
        async with place(mounted, check=False) as here:
            assert (await here.post("acme/x", chat()))[0] == 200
            with (mounted / "ballast").open("wb") as ballast, contextlib.suppress(OSError):
                while True:
                    ballast.write(bytes(1 << 16))
                    ballast.flush()
            assert shutil.disk_usage(mounted).free == 0
            codes = [(await here.post("acme/x", chat(text="x" * 2000)))[0] for _ in range(40)]
            assert set(codes) <= {200, 503}
            with contextlib.suppress(Exception):  # a change needs space: it fails whole, and says so
                await here.issue("acme", "y")
            (mounted / "ballast").unlink()
            assert (await here.post("acme/x", chat()))[0] == 200
            assert len(here.provider.seen) == codes.count(200) + 2
            await here.check_invariants()
        async with back_up(here), serving(here):
            await here.check_invariants()
            assert len(await here.of_kind("acme", entry.DECIDED)) >= len(here.provider.seen)
    finally:
        subprocess.run(["umount", "-l", str(mounted)], check=True)


async def test_a_damaged_home_is_named_with_the_fix_and_not_served_on(tmp_path: Path) -> None:
    async with place(tmp_path, check=False) as here:
        assert (await here.post("acme/x", chat()))[0] == 200
    for name in ("deployment.sqlite", "vault/vault.json", "kek"):
        path = here.home / name
        whole = path.read_bytes()
        for damaged in (whole[: len(whole) // 2], b"\0" * len(whole), b""):
            path.write_bytes(damaged)
            with pytest.raises(Fault) as caught:
                async with serving(here):
                    pytest.fail(f"a home was served on a damaged {name}")
            assert caught.value.advice, name
            assert caught.value.reason in ("home_damaged", "store_unavailable", "key_unavailable"), name
        path.unlink()
        with pytest.raises(Fault) as caught:
            async with serving(here):
                pytest.fail(f"a home was served without its {name}")
        assert caught.value.advice
        path.write_bytes(whole)
        path.chmod(0o600)
    async with back_up(here), serving(here):
        assert (await here.post("acme/x", chat()))[0] == 200
        await here.check_invariants()


async def test_a_tenants_damaged_database_loses_nothing_and_stops_nobody_else(tmp_path: Path) -> None:
    async with place(tmp_path, check=False) as here:
        assert (await here.post("acme/x", chat()))[0] == 200
        uid = str(here.running.home.snapshot.uid("tenant/acme"))
    [path] = [one for one in (here.home / "tenants").rglob("*.sqlite") if uid in str(one)]
    whole = path.read_bytes()
    made = 1
    for damaged in (b"", b"\0" * len(whole), whole[:5000], whole[:4096] + os.urandom(len(whole) - 4096)):
        path.write_bytes(damaged)
        before = len(here.provider.seen)
        async with back_up(here), serving(here):
            assert (await here.post("globex/z", chat("globex-only")))[0] == 200
            code, _, body = await here.post("acme/x", chat())
            assert code == 200 or (code, code_of(body)) == (503, "ledger_unavailable")
            assert len(here.provider.seen) == before + 1 + (code == 200)
            made += code == 200
            [finding] = [one for one in (await here.verb("doctor", Nothing()))["findings"] if one["what"] == "database"]
            assert finding["state"] == "fault"
            assert finding["fix"]
        for extra in ("-wal", "-shm"):
            path.with_name(path.name + extra).unlink(missing_ok=True)
        path.write_bytes(whole)
    async with back_up(here), serving(here):
        assert (await here.post("acme/x", chat()))[0] == 200
        await here.check_invariants()
        assert len(await here.of_kind("acme", entry.DECIDED)) == made + 1
