"""`make faults`: kill -9 at every place of the walk, under load, and what must hold afterwards.

For each (site, nth) of the table a server with that trap is started on one and the same home, eight callers load it
with plain and streamed calls until it dies, and the home is opened again. Then:

    every call whose reply arrived whole has its record, settled as answered
    every log verifies from its files, and continues the checkpoint that was seen before: no fork
    every Decided has exactly one Settled
    no byte of a provider key or an API key in any file of the home, log or reply

Exit status 0 only if all of that held at every point and enough points were reached.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from sekimori.config import load
from sekimori.control.arguments import File, Files, Issue, Logs, Put
from sekimori.control.home import Home, init_home, open_home
from sekimori.control.verbs import answer
from sekimori.errors import Refusal
from sekimori.http.client import Deadlines, Pool
from sekimori.ledger import entry
from sekimori.ledger.merkle import fold, leaf_hash, peaks, perfect
from sekimori.sandbox.app import serve_sandbox
from sekimori.terms import Origin
from tests.faults.server import SITES
from tests.flows.place import _connect, spellings

SECRETS = {
    "operator/practice": "sk-faults-5b1e7c0d9a3f42e8b6",
    "clients/acme/practice": "sk-faultsown-c2a94e7f10d8",
    "clients/acme/second": "sk-faultssecond-91e4b07ad3c2",
}
DOCUMENTS = """
kind: Operator
allowPrivate: [{{host: 127.0.0.1, port: {port}}}]
---
kind: Tenant
name: acme
mode: agency
---
kind: Provider
name: practice
catalog: sandbox
baseUrl: http://127.0.0.1:{port}
models: ["sandbox*"]
---
{{kind: Key, path: operator/practice, provider: practice}}
---
{{kind: Key, path: clients/acme/practice, provider: practice}}
---
{{kind: Key, path: clients/acme/second, provider: practice}}
---
kind: Agent
tenant: acme
name: x
models: ["sandbox*"]
---
kind: Route
tenant: acme
provider: practice
key: clients/acme/practice
also: [{{key: clients/acme/second}}]
hedge: {{after: 50}}
fallback: {{key: operator/practice, when: [rate_limited]}}
"""
MODELS = [
    *["sandbox-echo"] * 6,
    "sandbox-rate-limited",
    "sandbox-truncated",
    "sandbox-slow-first-byte-90ms",
    "unknown-model",
]
CALLERS = 8
POINT_LIMIT = 12.0
"""Seconds until a trap must have sprung."""


class Campaign:
    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.log = folder / "serve.log"
        self.key = ""
        self.port = 0
        self.acknowledged: list[str] = []
        """Record ids of replies that arrived whole."""
        self.calls = 0
        self.checkpoints: dict[str, tuple[int, bytes]] = {}
        self.replies = bytearray()

    async def prepare(self, sandbox: int) -> None:
        settings = load(self.home, {})
        await init_home(settings, "faults.example", "test")
        async with open_home(settings, role="prepare") as home:
            for verb, arguments in (
                ("apply", Files(files=[File("d.yaml", DOCUMENTS.format(port=sandbox).encode())])),
                *(("key put", Put(path=path, secret=secret.encode())) for path, secret in SECRETS.items()),
            ):
                await self._verb(home, verb, arguments)
            issued = await self._verb(home, "apikey issue", Issue(tenant="acme", agent="x"))
            self.key = issued["key"]

    async def _verb(self, home: Home, verb: str, arguments: object) -> object:
        result = await answer(home, verb, msgspec.json.encode(arguments), 0, lambda text: None)
        return msgspec.json.decode(msgspec.json.encode(result))

    async def point(self, site: str, nth: int) -> bool:
        """Serve with the trap until it springs. Whether it did."""
        from sekimori.demo.model import free_port

        self.port = free_port()
        control = free_port()
        settings = self.home / "settings.toml"
        settings.write_text(
            f"[gateway]\nport = {self.port}\n[control]\nport = {control}\n[ledger]\ncheckpoint_seconds = 0.3\n"
            "integrate_entries = 64\n",
            encoding="utf-8",
        )
        with self.log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.faults.server", str(self.home), site, str(nth), stdout=sink, stderr=sink
            )
        load = [asyncio.create_task(self._caller(number, process)) for number in range(CALLERS)]
        try:
            async with asyncio.timeout(POINT_LIMIT):
                code = await process.wait()
        except TimeoutError:
            process.send_signal(signal.SIGTERM)
            code = await asyncio.wait_for(process.wait(), 45)
        for task in load:
            task.cancel()
        await asyncio.gather(*load, return_exceptions=True)
        if code not in (0, -signal.SIGKILL):
            raise AssertionError(f"{site}/{nth}: the server ended with {code}; see {self.log}")
        return code == -signal.SIGKILL

    async def _caller(self, number: int, process: asyncio.subprocess.Process) -> None:
        """Call until the server is gone; remember what was acknowledged."""
        pool = Pool(_connect)
        origin = Origin("http", "127.0.0.1", self.port)
        headers = [(b"authorization", b"Bearer " + self.key.encode()), (b"content-type", b"application/json")]
        chance = random.Random(number)
        while process.returncode is None:
            stream = chance.random() < 0.5
            model = chance.choice(MODELS)
            body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "x" * 200}]}
            self.calls += 1
            try:
                response = await pool.request(
                    origin, "c", "POST", "/v1/chat/completions", headers, json.dumps(body).encode(), Deadlines()
                )
                whole = await response.read_all(1_000_000)
            except (Refusal, OSError):
                await asyncio.sleep(0.05)  # not up yet, or gone: the loop's condition tells
                continue
            fields = dict(response.headers)
            self.replies += whole + repr(response.headers).encode()
            # A stream that was answered 200 is acknowledged by its last event, everything else by being whole.
            if response.status != 200 or not stream or whole.endswith(b"data: [DONE]\n\n"):
                self.acknowledged.append(fields[b"x-sekimori-record"].decode())
        await pool.aclose()

    async def judge(self) -> str:
        """Open the home again and look at everything. Raises AssertionError naming what does not hold."""
        async with open_home(load(self.home, {}), role="judge") as home:
            views = await self._verb(home, "ledger verify", Logs())
            assert isinstance(views, list)
            for view in views:
                assert view["ok"], f"a log does not verify: {view}"
            records: dict[str, entry.Leaf] = {}
            outcomes: dict[tuple[str | None, int | None], str] = {}
            for name in home.ledger.logs():
                entries = await home.ledger.entries(name, 0, home.ledger.size(name))
                self._no_fork(name, entries)
                records.update({one.leaf.id: one.leaf for one in entries})
                decided = [(one.leaf.call, one.leaf.hop) for one in entries if one.leaf.kind == entry.DECIDED]
                settled = [one for one in entries if one.leaf.kind == entry.SETTLED]
                outcomes |= {(one.leaf.call, one.leaf.hop): one.payload.outcome for one in settled}  # type: ignore[union-attr]
                assert len(settled) == len({(one.leaf.call, one.leaf.hop) for one in settled}), "a hop settled twice"
                assert len(decided) == len(settled), f"{name}: {len(decided)} decided, {len(settled)} settled"
                assert {*decided} == {(one.leaf.call, one.leaf.hop) for one in settled}, "pairs do not match"
            for record in self.acknowledged:
                leaf = records.get(record)
                assert leaf is not None, f"an acknowledged call has no record: {record}"
                if leaf.kind == entry.DECIDED:
                    found = outcomes[leaf.call, leaf.hop]
                    assert found == "answered", f"an acknowledged call is recorded as {found}"
        self._no_key_bytes()
        interrupted = sum(outcome == "interrupted" for outcome in outcomes.values())
        return f"{len(records)} entries, {len(self.acknowledged)} acknowledged, {interrupted} interrupted"

    def _no_fork(self, name: str, entries: list) -> None:  # type: ignore[type-arg]
        """The tree seen before is a prefix of today's."""
        hashes = [entry.leaf_bytes(one.leaf) for one in entries]
        before = self.checkpoints.get(name)
        if before is not None:
            size, root = before
            assert len(hashes) >= size, f"{name} shrank from {size} to {len(hashes)}"
            assert root_of(hashes[:size]) == root, f"{name} forked below {size}"
        self.checkpoints[name] = (len(hashes), root_of(hashes))

    def _no_key_bytes(self) -> None:
        needles = [needle for secret in (*SECRETS.values(), self.key) for needle in spellings(secret)]
        for path in [self.log, *self.home.rglob("*")]:
            if path.is_file():
                data = path.read_bytes()
                assert not any(needle in data for needle in needles), f"key bytes in {path}"
        assert not any(needle in self.replies for needle in needles), "key bytes in a reply"
        self.replies.clear()


def root_of(leaves: list[bytes]) -> bytes:
    """The Merkle tree head of the leaves (RFC 6962 2.1)."""
    hashes = [leaf_hash(leaf) for leaf in leaves]
    return fold([perfect(hashes[at << level : (at + 1) << level]) for level, at in peaks(0, len(hashes))])


async def campaign(points: list[tuple[str, int]], folder: Path) -> int:
    """Returns how many traps sprung."""
    server, port = await serve_sandbox()
    run = Campaign(folder)
    sprung = 0
    try:
        await run.prepare(port)
        for number, (site, nth) in enumerate(points, 1):
            began = time.monotonic()
            killed = await run.point(site, nth)
            sprung += killed
            said = await run.judge()
            how = "killed" if killed else "not reached"
            seconds = time.monotonic() - began
            print(f"{number:3}/{len(points)} {site:22} {nth:4}  {how:11} {seconds:4.1f} s  {said}", flush=True)
    finally:
        await server.drain(0.0)
    print(f"faults: {sprung} of {len(points)} kill points reached, {run.calls} calls, nothing lost, nothing forked")
    return sprung


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--points", type=int, default=0, help="only that many, spread over the table")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    points = [(site, nth) for site in SITES for nth in (1, chance.randrange(2, 12), chance.randrange(20, 90))]
    if options.points:
        points = points[:: max(1, len(points) // options.points)][: options.points]
    wanted = min(50, len(points) * 3 // 4)
    with tempfile.TemporaryDirectory(prefix="sekimori-faults-") as folder, suppress(KeyboardInterrupt):
        try:
            sprung = asyncio.run(campaign(points, Path(folder)))
        except AssertionError as broken:
            print(f"faults: FAILED: {broken}")
            return 1
        if sprung < wanted:
            print(f"faults: FAILED: only {sprung} kill points were reached; {wanted} are wanted")
            return 1
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
