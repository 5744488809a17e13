"""Day keys: what the ledger encrypts payloads with, one per owner, class of entry and UTC day.

Destroying one is the purge of everything under it, backups included. Each is a file of its own whose name says class
and day; both are bound into its encryption, so a file that is renamed to another day does not open. A destroyed one
leaves a mark: only so can "purged" be told from "lost".
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sekimori.identity import names
from sekimori.vault.durable import VaultFault
from sekimori.vault.embedded import Embedded
from sekimori.vault.envelope import KEY_BYTES

MOST_HELD: Final = 8192
"""Day keys held in memory, each way; the oldest goes first."""

_PURPOSE: Final = "day-key"
_VERSION: Final = re.compile(r"([1-9][0-9]{0,4})-([0-9]{4}-[0-9]{2}-[0-9]{2})")

V = TypeVar("V")
K = TypeVar("K")


class Run(Protocol):
    """Runs a function on the vault's one thread."""

    def __call__(self, work: Callable[..., V], *arguments: object) -> Awaitable[V]: ...


class DayKeys:
    """ledger/protocols.DayKeys on the embedded store."""

    def __init__(self, store: Embedded, run: Run, random: Callable[[int], bytes]) -> None:
        self._store = store
        self._run = run
        self._random = random
        self._serving: dict[str, dict[tuple[int, str], str]] = {}
        """Owner -> (class, day) -> id. Used on the vault's thread alone."""
        self._by_day: dict[tuple[str, int, str], tuple[str, AESGCM]] = {}
        self._by_id: dict[tuple[str, str], AESGCM] = {}

    def cached(self, owner_uid: str, class_: int, day: str) -> tuple[str, AESGCM] | None:
        """(id, key) where the key is durable and in memory, else None. No waiting."""
        return self._by_day.get((owner_uid, class_, day))

    async def day_key(self, owner_uid: str, class_: int, day: str) -> tuple[str, AESGCM]:
        """(id, key) for a class and a UTC day `YYYY-MM-DD`; made if there is none, durable on return.

        Raises VaultFault; ValueError for what is no class or day.
        """
        found = self._by_day.get((owner_uid, class_, day))
        return found if found is not None else await self._run(self._make, owner_uid, class_, day)

    async def open_day_key(self, owner_uid: str, daykey_id: str) -> AESGCM | None:
        """The key of an id; None where it was destroyed. Raises VaultFault where it is missing or damaged."""
        found = self._by_id.get((owner_uid, daykey_id))
        return found if found is not None else await self._run(self._open, owner_uid, daykey_id)

    async def destroy_day_key(self, owner_uid: str, daykey_id: str) -> None:
        """Destroy a key: the payloads under it are purged, wherever copies of them are.

        Repeat it after a VaultFault. No error where there is none of that id.
        """
        await self._run(self._destroy, owner_uid, daykey_id)

    # On the vault's thread, one at a time.

    def forget(self, owner_uid: str) -> None:
        """Drop every key of an owner from memory."""
        self._serving.pop(owner_uid, None)
        for day in [day for day in self._by_day if day[0] == owner_uid]:
            del self._by_day[day]
        for key in [key for key in self._by_id if key[0] == owner_uid]:
            del self._by_id[key]

    def _make(self, owner: str, class_: int, day: str) -> tuple[str, AESGCM]:
        version = f"{class_}-{day}"
        if _VERSION.fullmatch(version) is None:
            raise ValueError(f"{version!r} is not a class and a day")
        found = self._by_day.get((owner, class_, day))
        if found is not None:
            return found
        id = self._serves(owner).get((class_, day))
        if id is not None:
            key = self._store.get(owner, _PURPOSE, id, version)
        else:
            id, key = names.uid(self._random(names.UID_RANDOM_BYTES)), self._random(KEY_BYTES)
            try:
                self._store.put(owner, _PURPOSE, id, version, key)
            except VaultFault:
                self._serving.pop(owner, None)  # it may be there after all: the next look reads the folder
                raise
            self._serves(owner)[class_, day] = id
        aead = AESGCM(key)
        _hold(self._by_id, (owner, id), aead)
        _hold(self._by_day, (owner, class_, day), (id, aead))
        return id, aead

    def _open(self, owner: str, id: str) -> AESGCM | None:
        version = next((version for uid, version in self._store.items(owner, _PURPOSE) if uid == id), None)
        if version is None:
            if self._store.destroyed_owner(owner):
                return None
            raise VaultFault(f"The day key {id} of {owner} is missing.", "Restore the vault's folder from a backup.")
        if self._store.destroyed(owner, _PURPOSE, id, version):
            return None
        aead = AESGCM(self._store.get(owner, _PURPOSE, id, version))
        _hold(self._by_id, (owner, id), aead)
        return aead

    def _destroy(self, owner: str, id: str) -> None:
        self._serving.pop(owner, None)
        self._by_id.pop((owner, id), None)
        for day in [day for day, (other, _) in self._by_day.items() if day[0] == owner and other == id]:
            del self._by_day[day]
        for uid, version in self._store.items(owner, _PURPOSE):
            if uid == id:
                self._store.destroy(owner, _PURPOSE, uid, version)

    def _serves(self, owner: str) -> dict[tuple[int, str], str]:
        """Which id serves a class and day. A destroyed one serves no more: the next entry gets a new key."""
        serving = self._serving.get(owner)
        if serving is None:
            serving = {}
            for id, version in self._store.items(owner, _PURPOSE):
                parts = _VERSION.fullmatch(version)
                if parts is not None and not self._store.destroyed(owner, _PURPOSE, id, version):
                    serving.setdefault((int(parts[1]), parts[2]), id)
            self._serving[owner] = serving
        return serving


def _hold(cache: dict[K, V], key: K, value: V) -> None:
    while len(cache) >= MOST_HELD:
        del cache[next(iter(cache))]
    cache[key] = value
