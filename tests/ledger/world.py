"""What a ledger needs around it, in memory: keys, signers, rows, a clock; and a disk that fails when told to."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sekimori.ledger import entry, merkle, note
from sekimori.ledger.disk import Disk
from sekimori.ledger.entry import Row
from sekimori.ledger.ledger import Draft, Ledger
from sekimori.ledger.log import fetch, files
from sekimori.ledger.note import Key
from sekimori.ledger.tiles import Reader
from sekimori.ledger.verify import verify_log

DEPLOYMENT = "sekimori.test"
ACME = "acme0000000000000000000000"
GLOBEX = "globex00000000000000000000"


class Signer:
    """The same key for the same origin, in every process."""

    def __init__(self, origin: str, signed: list[bytes] | None = None) -> None:
        self.name = origin
        self.signed = [] if signed is None else signed
        self._key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(origin.encode()).digest())
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes, /) -> bytes:
        self.signed.append(message)
        return self._key.sign(message)


def key_of(log: str) -> Key:
    origin = f"{DEPLOYMENT}/{log}"
    return Key(origin, Signer(origin).public)


class Keys:
    """Day keys derived from their name. `purge` destroys one; `made` are those at hand without waiting."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, int, str], tuple[str, AESGCM]] = {}
        self.destroyed: set[str] = set()

    def cached(self, owner_uid: str, class_: int, day: str) -> tuple[str, AESGCM] | None:
        return self.made.get((owner_uid, class_, day))

    async def day_key(self, owner_uid: str, class_: int, day: str) -> tuple[str, AESGCM]:
        at = (owner_uid, class_, day)
        if at not in self.made:
            id = f"{class_}.{day}"
            self.made[at] = (id, self._key(owner_uid, id))
        return self.made[at]

    async def open_day_key(self, owner_uid: str, daykey_id: str) -> AESGCM | None:
        return None if daykey_id in self.destroyed else self._key(owner_uid, daykey_id)

    @staticmethod
    def _key(owner: str, id: str) -> AESGCM:
        return AESGCM(hashlib.sha256(f"{owner}/{id}".encode()).digest())


class Rows:
    """In memory; survives as long as the test keeps it, as a database survives a process."""

    def __init__(self) -> None:
        self.logs: dict[str, dict[int, Row]] = {}
        self.broken: Callable[[], None] = lambda: None

    async def put(self, log: str, rows: Sequence[Row]) -> None:
        self.broken()
        for row in rows:
            self.logs.setdefault(log, {}).setdefault(row.index, row)

    async def get(self, log: str, start: int, end: int) -> list[Row]:
        rows = self.logs.get(log, {})
        return [rows[index] for index in range(start, end) if index in rows]

    async def find(self, log: str, id: str) -> int | None:
        return next((row.index for row in self.logs.get(log, {}).values() if row.id == id), None)


class Crash(BaseException):
    """The process is gone at this very point."""


class Watched(Disk):
    """Does everything, and knows what would be left if the power went now: only what was synchronised, under names
    that were. `ext4` is kinder; a disk need not be."""

    def __init__(self) -> None:
        self.durable: dict[Path, bytes] = {}
        self.unsettled: dict[Path, bytes] = {}

    def prewrite(self, path: Path, size: int) -> None:
        super().prewrite(path, size)
        self.durable[path] = bytes(size)

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        super().write(descriptor, data, offset)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        whole = self.durable[path] if path in self.durable else path.read_bytes()
        self.durable[path] = whole[:offset] + data + whole[offset + len(data) :]

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        self.durable[new] = self.durable.pop(old)

    def publish(self, path: Path, data: bytes, *, settle: bool = True) -> None:
        self.unsettled[path] = data
        super().publish(path, data, settle=settle)

    def remove(self, path: Path) -> None:
        super().remove(path)
        self.durable.pop(path, None)

    def settle(self, directory: Path) -> None:
        super().settle(directory)
        for path in [path for path in self.unsettled if path.parent == directory]:
            self.durable[path] = self.unsettled.pop(path)

    def assume(self, home: Path) -> None:
        """What is there is durable."""
        self.durable.update({path: path.read_bytes() for path in home.rglob("*") if path.is_file()})

    def after_power_loss(self, home: Path, other: Path) -> None:
        """What is left of `home`, at `other`."""
        for path, data in self.durable.items():
            there = other / path.relative_to(home)
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(data)


class FaultyDisk(Watched):
    """Counts its deeds and does `fault` to the one numbered `at` (and to `lasting` more).

    `fault`: `full` and `broken` do nothing of the deed; `torn` does half of it; `persisted` does it whole; all raise
    OSError. `kill`, `kill_torn` and `kill_persisted` raise Crash, and nothing works after it."""

    def __init__(self, at: int = -1, fault: str = "broken", lasting: int = 1) -> None:
        super().__init__()
        self.at = at
        self.fault = fault
        self.lasting = lasting
        self.deeds = 0
        self.hit = False
        self.dead = False

    def _deed(self, half: Callable[[], None] | None, whole: Callable[[], Any]) -> None:
        if self.dead:
            raise Crash
        number = self.deeds
        self.deeds += 1
        if not 0 <= self.at <= number < self.at + self.lasting:
            whole()
            return
        self.hit = True
        kind = self.fault.removeprefix("kill").removeprefix("_")
        if kind == "torn" and half is not None:
            half()
        elif kind == "persisted":
            whole()
        if self.fault.startswith("kill"):
            self.dead = True
            raise Crash
        raise OSError(errno.ENOSPC if self.fault == "full" else errno.EIO, "injected")

    def prewrite(self, path: Path, size: int) -> None:
        self._deed(
            lambda: super(FaultyDisk, self).prewrite(path, size // 2),
            lambda: super(FaultyDisk, self).prewrite(path, size),
        )

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        self._deed(
            lambda: super(FaultyDisk, self).write(descriptor, data[: len(data) // 2], offset),
            lambda: super(FaultyDisk, self).write(descriptor, data, offset),
        )

    def rename(self, old: Path, new: Path) -> None:
        self._deed(None, lambda: super(FaultyDisk, self).rename(old, new))

    def publish(self, path: Path, data: bytes, *, settle: bool = True) -> None:
        self._deed(
            lambda: path.with_name(path.name + ".new").write_bytes(data[: len(data) // 2]) and None,
            lambda: super(FaultyDisk, self).publish(path, data, settle=settle),
        )

    def remove(self, path: Path) -> None:
        self._deed(None, lambda: super(FaultyDisk, self).remove(path))

    def make(self, directory: Path) -> None:
        if not directory.is_dir():
            self._deed(None, lambda: super(FaultyDisk, self).make(directory))


class World:
    """One home and what is around it; `open` may be called again after a crash."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.keys = Keys()
        self.rows = Rows()
        self.now = 1_800_000_000_000
        self.signed: list[bytes] = []
        """Every checkpoint that was ever signed, published or not."""

    def copy(self, home: Path) -> World:
        """The same home at another place, as it lies on the disk now."""
        shutil.copytree(self.home, home)
        world = World(home)
        world.now, world.signed = self.now, list(self.signed)
        world.rows.logs = {log: dict(rows) for log, rows in self.rows.logs.items()}
        return world

    async def crash(self, ledger: Ledger) -> None:
        """Let go of a home as a kill does: nothing more is written."""
        disk = FaultyDisk()
        disk.dead = True
        ledger._disk = ledger._journal._disk = disk
        await ledger._release()

    def clock(self) -> int:
        self.now += 1
        return self.now

    async def open(self, **settings: Any) -> Ledger:
        settings = {"checkpoint_seconds": 3600.0, "segment_bytes": 32768, "ahead": False} | settings
        return await Ledger.open(
            self.home,
            DEPLOYMENT,
            keys=self.keys,
            signer=lambda origin: Signer(origin, self.signed),
            rows=self.rows,
            clock=self.clock,
            **settings,
        )


def decided(log: str, call: str, hop: int = 0, **changes: Any) -> Draft:
    payload = entry.Decided(
        **{
            "dialect": "openai",
            "operation": "chat",
            "model": "gpt-5",
            "stream": False,
            "provider": "openai",
            "provider_model": "gpt-5-2026",
            "key": "operator/openai",
            "key_uid": "key00000000000000000000000",
            "position": "primary",
            "reasons": ["route acme/default"],
            "request_bytes": 1024,
            "max_output": 4096,
            "verdict": None,
            "credential": "k7",
            **changes,
        }
    )
    return Draft(entry.DECIDED, entry.AGENT_EXECUTION, log, "agent", "agent:agent", call, hop, payload, 3)


def settled(log: str, call: str, hop: int = 0, outcome: entry.Outcome = "answered") -> Draft:
    payload = entry.Settled(outcome=outcome, status=200, ms_total=12, released_bytes=10)
    return Draft(entry.SETTLED, entry.AGENT_EXECUTION, log, "agent", "agent:agent", call, hop, payload, 3)


def key_used(log: str, call: str, hop: int = 0) -> Draft:
    payload = entry.KeyUsed(
        key="operator/openai", key_uid="k", key_version=1, provider="openai", model="gpt-5-2026", outcome="answered"
    )
    return Draft(entry.KEY_USED, entry.KEY_ACCESS, log, "agent", "agent:agent", call, hop, payload, 3)


async def call(ledger: Ledger, log: str) -> list[str]:
    """A whole call; returns the ids of its entries."""
    id = ledger.new_id()
    first = await ledger.write(decided(log, id))
    return first + await ledger.write(settled(log, id), key_used(log, id))


async def sound(world: World, acknowledged: dict[str, list[str]]) -> None:
    """What must hold of a home that nobody has open, whatever happened to it: it opens, every log verifies whole,
    every acknowledged entry is there, and every checkpoint ever signed fits the tree as it is now."""
    ledger = await world.open()
    try:
        await ledger.integrate()
        assert ledger.troubles == {}
        sizes = {log: ledger.size(log) for log in ledger.logs()}
        for log, ids in acknowledged.items():
            for id in ids:
                assert await ledger.find(log, id) is not None, f"acknowledged entry {id} of {log} is lost"
    finally:
        await ledger.close()
    trees: dict[str, list[bytes]] = {}
    for log, size in sizes.items():
        directory = world.home / "ledger" / log
        report = await verify_log(
            fetch(directory), key_of(log), files=files(directory), rows=world.rows, keys=world.keys
        )
        assert report.problems == []
        assert report.size == size
        assert not report.running
        assert set(report.payloads) <= {"present"}
        reader = Reader(fetch(directory), size)
        trees[f"{DEPLOYMENT}/{log}"] = [merkle.leaf_hash(reader.entry(index)) for index in range(size)]
    for message in world.signed:
        checkpoint = note.parse_checkpoint(message.decode())
        leaves = trees[checkpoint.origin][: checkpoint.size]
        assert len(leaves) == checkpoint.size
        node = lambda level, index, leaves=leaves: merkle.perfect(leaves[index << level : (index + 1) << level])  # noqa: E731
        assert merkle.root(checkpoint.size, node) == checkpoint.root, "a fork was signed"
