"""A small deployment for the tests of the vault, and a disk that breaks."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

from sekimori.identity.names import uid
from sekimori.terms import OPERATOR, Grant, Limits, Origin, Principal, Provider, Route
from sekimori.vault.durable import Disk
from sekimori.vault.kek import KekFile
from sekimori.vault.keys import KeyInfo, Keys

DEPLOYMENT = "sekimori.example"
ACME = uid(b"acme............")
GLOBEX = uid(b"globex..........")
DAY = "2026-11-22"


def provider(owner: str) -> Provider:
    return Provider(
        name="openai",
        owner=OPERATOR if owner == OPERATOR else "tenant",
        owner_uid=owner,
        catalog="openai",
        origin=Origin("https", "api.openai.com", 443),
        base_path="",
        dialects=frozenset({"openai"}),
        models=("*",),
    )


def route(info: KeyInfo, server: str = OPERATOR, **changed: str) -> Route:
    fields = {"key": info.path, "key_uid": info.uid, "key_owner_uid": info.owner_uid, **changed}
    return Route(position="primary", provider=provider(server), model="gpt", **fields)  # type: ignore[arg-type]


def grant(tenant: str, *routes: Route) -> Grant:
    return Grant(
        principal=Principal("tenant", tenant, "agent", uid(b"agent..........."), "credential", frozenset({"write"})),
        generation=1,
        dialect="openai",
        operation="chat",
        model="gpt",
        routes=routes,
        limits=Limits(),
        reasons=(),
    )


async def lent(keys: Keys, info: KeyInfo) -> tuple[bytes, int]:
    """The key as the gateway would get it for a call of its owner."""
    way = route(info)
    tenant = GLOBEX if info.owner_uid == OPERATOR else info.owner_uid
    async with keys.lend(grant(tenant, way), way) as lent:
        return lent.secret.reveal(), lent.version


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Killed(BaseException):
    """The process is gone: nothing of it catches this, and nothing of it writes after it."""


FAULTS: dict[str, Callable[[], BaseException]] = {
    "killed": Killed,
    "no space": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "broken": lambda: OSError(errno.EIO, "Input/output error"),
}


class QuickDisk(Disk):
    """Waits for no disk: in these tests a process dies, not the machine."""

    def sync(self, descriptor: int) -> None:
        pass


class BrokenDisk(QuickDisk):
    """Fails at one step: before it, after it (it happened all the same), or in its middle. Counts its steps."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.at: int | None = None
        self.how = "before"
        self.fault = "killed"
        self.dead = False
        self.struck = False

    def arm(self, at: int | None, how: str = "before", fault: str = "killed") -> None:
        self.steps.clear()
        self.at, self.how, self.fault = at, how, fault
        self.struck = False

    def _step(self, name: str, work: Callable[[], None], half: Callable[[], None]) -> None:
        if self.dead:
            raise Killed
        self.steps.append(name)
        if self.at != len(self.steps) - 1:
            return work()
        self.struck = True
        if self.how == "after":
            work()
        elif self.how == "half":
            half()
        self.dead = self.fault == "killed"
        raise FAULTS[self.fault]()

    def create(self, path: Path, data: bytes) -> None:
        def half() -> None:
            super(BrokenDisk, self).create(path, data[: len(data) // 2])

        self._step(f"create {path.name}", lambda: super(BrokenDisk, self).create(path, data), half)

    def overwrite(self, path: Path, data: bytes) -> None:
        def half() -> None:
            super(BrokenDisk, self).overwrite(path, data[: len(data) // 2])

        self._step(f"overwrite {path.name}", lambda: super(BrokenDisk, self).overwrite(path, data), half)

    def rename(self, source: Path, target: Path) -> None:
        self._step(f"rename {target.name}", lambda: super(BrokenDisk, self).rename(source, target), lambda: None)

    def remove(self, path: Path) -> None:
        self._step(f"remove {path.name}", lambda: super(BrokenDisk, self).remove(path), lambda: None)

    def make_folder(self, path: Path) -> None:
        self._step(f"make {path.name}", lambda: super(BrokenDisk, self).make_folder(path), lambda: None)

    def remove_folder(self, path: Path) -> None:
        self._step(f"remove {path.name}", lambda: super(BrokenDisk, self).remove_folder(path), lambda: None)

    def sync_folder(self, path: Path) -> None:
        self._step(f"sync {path.name}", lambda: super(BrokenDisk, self).sync_folder(path), lambda: None)


def kek_file(home: Path, disk: Disk | None = None) -> KekFile:
    return KekFile(home / "kek", disk or QuickDisk())
