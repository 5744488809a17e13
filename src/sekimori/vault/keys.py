"""Provider keys and every other secret of a deployment: put, rotated, frozen, lent. The one place of plaintext.

`lend` is the only way to a provider key. It answers a grant and one of its routes, asks again who owns the key and
whose server it would go to, and gives the plaintext until its block is left. What is decrypted stays in memory for at
most a minute and goes at once when its key is rotated, frozen or destroyed: a look-up that read the disk before a
change and ends after it starts over rather than bring the old key back.

Keys are known by uid. Which slug a tenant's uid has, who may ask and what is recorded is `control/changes`' business.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from sekimori.errors import Fault, Refused
from sekimori.identity import names
from sekimori.identity.apikey import PEPPER_BYTES, Pepper
from sekimori.terms import OPERATOR, CredentialKind, Grant, Route
from sekimori.vault.credentials import checked
from sekimori.vault.daykeys import DayKeys
from sekimori.vault.durable import Disk, VaultFault
from sekimori.vault.embedded import Embedded, KekRotation
from sekimori.vault.index import Index, KeyInfo, at, by_uid, check_path, replaced
from sekimori.vault.kek import Source
from sekimori.vault.leases import Leases
from sekimori.vault.lend import Held, Lent
from sekimori.vault.secret import Secret
from sekimori.vault.signing import LogSigner, Signers

CACHE_SECONDS: Final = 60.0
"""How long a decrypted provider key stays in memory."""

_INDEX: Final = ("index", "index", "1")
_PEPPER: Final = ("pepper", "api-keys")
T = TypeVar("T")


class _Changes(Struct):
    """How far the changes to one owner's keys have come, each by its number. What was read at `made` is current when
    it includes every change that is `told`, and stays so (may be kept) when it includes every one that is `begun`."""

    begun: int = 0
    """Handed to the vault's thread. Of the event loop."""
    made: int = 0
    """Ended on the disk, well or not. Of the vault's thread."""
    told: int = 0
    """Its caller has heard of it. Of the event loop."""


class Keys:
    """The vault of a deployment. Made by `create` (once) or `open`; both block. Everything else is for the event loop.

    Methods that touch the disk raise VaultFault, whose text and advice are for the operator and name paths.
    """

    def __init__(
        self,
        store: Embedded,
        deployment: str,
        *,
        random: Callable[[int], bytes],
        clock: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._deployment = deployment
        self._random = random
        self._clock = clock
        self._now_ms = now_ms
        # One thread: the store takes one caller at a time, and what is begun ends even if its caller is cancelled.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vault")
        self._held: dict[str, Held] = {}
        self._indexes: dict[str, Index] = {}
        self._stopped: set[str] = set()
        """Uids that are frozen or gone here and now, whatever the disk says."""
        self._changes: defaultdict[str, _Changes] = defaultdict(_Changes)
        self._fetching: dict[str, asyncio.Lock] = {}
        self.leases: Leases | None = None
        """Who buys tokens with a lent secret; given by the process that serves, for it alone calls providers."""
        self.signers = Signers(store, deployment, self._run, random)
        self.days = DayKeys(store, self._run, random)
        """The keys of payloads: what the ledger takes."""
        self._peppers = self._read_peppers()

    @classmethod
    def create(
        cls,
        folder: Path,
        deployment: str,
        source: Source,
        *,
        random: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        disk: Disk | None = None,
    ) -> Keys:
        """Make the vault of a new home. Raises Refused `conflict` where there is one, VaultFault."""
        pepper = (*_PEPPER, "1", random(PEPPER_BYTES))
        store = Embedded.create(folder, deployment, source, [pepper], random=random, disk=disk)
        return cls(store, deployment, random=random, clock=clock, now_ms=now_ms)

    @classmethod
    def open(
        cls,
        folder: Path,
        deployment: str,
        source: Source,
        *,
        random: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        disk: Disk | None = None,
    ) -> Keys:
        """Open the vault of a home. Raises VaultFault naming the fix."""
        store = Embedded.open(folder, deployment, source, random=random, disk=disk)
        return cls(store, deployment, random=random, clock=clock, now_ms=now_ms)

    async def close(self) -> None:
        """End what is under way, and lend no more."""
        self._held.clear()
        if self.leases is not None:
            self.leases.close()
        await asyncio.to_thread(self._thread.shutdown)

    # -- lending ---------------------------------------------------------------------------------------------------

    def lend(self, grant: Grant, route: Route, *, sends: bool = True) -> Lent:
        """The key of one of the grant's routes: `async with keys.lend(grant, route) as lent: lent.headers(…)`.

        Entering raises Upstream `upstream_unauthorized` where no token is given for the key's secret, and Fault
        `key_unavailable` where the route is not the grant's, the key belongs to another tenant or would go to a server
        of another owner, is unknown, frozen or destroyed, or cannot be decrypted. A loan that sends nothing buys no
        token.
        """
        return Lent(self, grant, route, sends)

    def at_hand(self, grant: Grant, route: Route) -> Held | None:
        """For `Lent`: the decrypted key, where it is in memory; None where it must be fetched. Raises Fault on no
        leave."""
        owner = route.key_owner_uid
        tenant = grant.principal.tenant_uid
        server = route.provider.owner_uid
        if (
            route not in grant.routes
            or (owner != OPERATOR and owner != tenant)
            or (server != OPERATOR and server != tenant)
            # The operator's key never goes to a server that a tenant chose: that is how base URLs steal keys.
            or (owner == OPERATOR and server != OPERATOR)
        ):
            raise Fault("key_unavailable", "There is no leave to use this key.", advice="Ask the operator.")
        held = self._held.get(route.key_uid)
        if held is None or held.path != route.key or held.owner_uid != owner or self._clock() >= held.until:
            return None
        return held

    async def fetch(self, route: Route) -> Held:
        """For `Lent`: the key from the store, for a route whose leave `at_hand` has judged. Raises Fault."""
        owner, uid = route.key_owner_uid, route.key_uid
        lock = self._fetching.setdefault(uid, asyncio.Lock())
        async with lock:  # of many calls that miss at once, one reads
            while True:
                held = self._held.get(uid)
                if held is None or self._clock() >= held.until:
                    made, held = await self._decrypt(owner, uid)
                    changes = self._changes[owner]
                    if made < changes.told:
                        continue  # an older key than somebody was told of; each time round a change came to its end
                    if held is not None and made == changes.begun:
                        self._held[uid] = held
                        asyncio.get_running_loop().call_later(CACHE_SECONDS, self._expire, uid, held)
                if held is not None and uid not in self._stopped and held.path == route.key and held.owner_uid == owner:
                    return held
                raise Fault(
                    "key_unavailable",
                    "The provider key for this call is frozen, or is not there.",
                    advice="See `sekimori key list`; put or unfreeze it.",
                )

    async def _decrypt(self, owner: str, uid: str) -> tuple[int, Held | None]:
        """(changes that are included, the key or None where it is not to be had); Fault where the store cannot tell."""
        changes = self._changes[owner]

        def work() -> tuple[int, KeyInfo | None, bytes]:
            # Of one piece, for changes are made on this thread: index and secret belong together.
            info = by_uid(self._load_index(owner), uid)
            if info is None or info.frozen:
                return changes.made, None, b""
            return changes.made, info, self._store.get(owner, "secret", uid, str(info.version))

        try:
            made, info, value = await self._run(work)
        except FileNotFoundError:
            raise Fault(
                "key_unavailable",
                "The provider key for this call is not where it was stored.",
                advice="The operator finds the cause with `sekimori doctor`.",
            ) from None
        except VaultFault as fault:
            raise Fault(
                "key_unavailable",
                "The provider key for this call cannot be opened.",
                advice="The operator finds the cause with `sekimori doctor`.",
            ) from fault
        if info is None:
            return made, None
        return made, Held(Secret(value), info.path, owner, info.version, self._clock() + CACHE_SECONDS)

    def _expire(self, uid: str, held: Held) -> None:
        if self._held.get(uid) is held:
            del self._held[uid]

    def token_refused(self, route: Route, number: int) -> None:
        """A provider did not accept the held token of this number (`Lent.lease`): the next loan buys another."""
        if self.leases is not None:
            self.leases.refused(route.key_owner_uid, route.key_uid, number)

    def now_ms(self) -> int:
        """Wall time, as the vault has it."""
        return self._now_ms()

    # -- provider keys ---------------------------------------------------------------------------------------------

    async def put(
        self,
        owner_uid: str,
        path: str,
        secret: Secret,
        actor: str,
        *,
        key_uid: str | None = None,
        credential: CredentialKind = "api_key",
    ) -> KeyInfo:
        """Store a new provider key under a new uid, or under the given one, which was never used.

        Raises Refused `wrong_use` (path or secret), `conflict` (path or uid is taken); VaultFault.
        """
        check_path(owner_uid, path)
        secret = Secret(checked(credential, secret.reveal()))
        uid = names.uid(self._random(names.UID_RANDOM_BYTES)) if key_uid is None else key_uid
        if not names.is_uid(uid):
            raise Refused("wrong_use", f"`{uid}` is not a uid.")
        now = self._now_ms()

        def change(index: Index) -> tuple[Index, KeyInfo]:
            if any(info.path == path for info in index.keys):
                raise Refused("conflict", f"There is a key at {path}.", advice=f"Run `sekimori key rotate {path}`.")
            if uid in index.destroyed or by_uid(index, uid) is not None:
                raise Refused("conflict", "This key's uid was used before.", advice="Uids are never used again.")
            info = KeyInfo(path, uid, owner_uid, 1, now, now, actor, frozen=False)
            self._store.put(owner_uid, "secret", uid, "1", secret.reveal())
            return msgspec.structs.replace(index, keys=(*index.keys, info)), info

        return await self._change(owner_uid, uid, change)

    async def rotate(
        self, owner_uid: str, path: str, secret: Secret, actor: str, *, credential: CredentialKind = "api_key"
    ) -> KeyInfo:
        """Store a new version. On return only the new one is lent, and the old one is gone from disk and memory.

        Raises Refused `not_found`, `wrong_use`; VaultFault. A frozen key stays frozen.
        """
        secret = Secret(checked(credential, secret.reveal()))
        now = self._now_ms()
        info = await self._info(owner_uid, path)

        def change(index: Index) -> tuple[Index, KeyInfo]:
            before = at(index, path)
            after = msgspec.structs.replace(before, version=before.version + 1, changed_ms=now, by=actor)
            self._store.put(owner_uid, "secret", before.uid, str(after.version), secret.reveal())
            return replaced(index, after), after

        return await self._change(owner_uid, info.uid, change)

    async def freeze(self, owner_uid: str, path: str) -> KeyInfo:
        """Stop lending a key. It bites before this first waits; if it cannot be made durable it bites all the same
        until the process ends, and VaultFault says so. Raises Refused `not_found`."""
        return await self._set_frozen(owner_uid, path, frozen=True)

    async def unfreeze(self, owner_uid: str, path: str) -> KeyInfo:
        """Lend a frozen key again, from when that is durable. Raises Refused `not_found`; VaultFault."""
        return await self._set_frozen(owner_uid, path, frozen=False)

    async def _set_frozen(self, owner_uid: str, path: str, *, frozen: bool) -> KeyInfo:
        info = await self._info(owner_uid, path)
        if frozen:
            self._stopped.add(info.uid)

        def change(index: Index) -> tuple[Index, KeyInfo]:
            after = msgspec.structs.replace(at(index, path), frozen=frozen)
            return replaced(index, after), after

        after = await self._change(owner_uid, info.uid, change)
        if not frozen:
            self._stopped.discard(info.uid)
        return after

    async def destroy(self, owner_uid: str, path: str) -> KeyInfo:
        """Destroy a key; its uid is never used again. Returns what it was. Raises Refused `not_found`; VaultFault."""
        info = await self._info(owner_uid, path)
        self._stopped.add(info.uid)

        def change(index: Index) -> tuple[Index, KeyInfo]:
            gone = at(index, path)
            left = tuple(other for other in index.keys if other.uid != gone.uid)
            return Index(left, (*index.destroyed, gone.uid)), gone

        return await self._change(owner_uid, info.uid, change)

    async def metadata(self, owner_uid: str, path: str) -> KeyInfo | None:
        """What is known of the key at a path; None where there is none."""
        return next((info for info in (await self._index(owner_uid)).keys if info.path == path), None)

    async def list(self, owner_uid: str) -> tuple[KeyInfo, ...]:
        """The keys of an owner, by path."""
        return tuple(sorted((await self._index(owner_uid)).keys, key=lambda info: info.path))

    async def _info(self, owner_uid: str, path: str) -> KeyInfo:
        return at(await self._index(owner_uid), path)

    async def _index(self, owner: str) -> Index:
        changes = self._changes[owner]

        def work() -> tuple[int, Index]:
            return changes.made, self._load_index(owner)

        while (found := self._indexes.get(owner)) is None:
            made, index = await self._run(work)
            if made == changes.begun:
                self._indexes[owner] = index
            if made >= changes.told:
                return index
        return found

    def _load_index(self, owner: str) -> Index:
        index = self._read_index(owner)
        self._sweep(owner, index)  # what a crash left of the last change
        return index

    def _read_index(self, owner: str) -> Index:
        try:
            return msgspec.json.decode(self._store.get(owner, *_INDEX), type=Index)
        except msgspec.MsgspecError as error:
            raise VaultFault(f"The index of the keys of {owner} is of another version.", "Upgrade sekimori.") from error
        except FileNotFoundError:
            if any(True for _ in self._store.items(owner, "secret")):
                raise VaultFault(
                    f"The index of the keys of {owner} is missing.", "Restore the vault's folder from a backup."
                ) from None
            return Index()

    async def _change(self, owner: str, uid: str, change: Callable[[Index], tuple[Index, KeyInfo]]) -> KeyInfo:
        """Change an owner's index: read what the disk has, change it, write it. The write of the index decides.

        Whatever happens, also cancellation, memory forgets: it must not say what the disk does not.
        """

        def work() -> KeyInfo:
            index, info = change(self._read_index(owner))
            self._store.put(owner, *_INDEX, msgspec.json.encode(index))
            self._sweep(owner, index)
            return info

        return await self._make(owner, uid, work)

    async def _make(self, owner: str, uid: str | None, work: Callable[[], T]) -> T:
        """Do what changes an owner's keys, on the vault's thread; `uid` is the key that it is about, None for all."""
        changes = self._changes[owner]
        changes.begun += 1
        number = changes.begun

        def counted() -> T:
            try:
                return work()
            finally:
                changes.made = number  # the thread takes them in the order in which they were begun

        self._forget(owner, uid)
        try:
            return await self._run(counted)
        finally:
            # A caller that left was told nothing: the change may still be waiting for its turn.
            if changes.made >= number:
                changes.told = max(changes.told, number)
            self._forget(owner, uid)

    def _sweep(self, owner: str, index: Index) -> None:
        """Remove every version that the index does not name: rotated away, destroyed, or of a change that failed."""
        current = {(info.uid, str(info.version)) for info in index.keys}
        for uid, version in self._store.items(owner, "secret"):
            if (uid, version) not in current:
                self._store.remove(owner, "secret", uid, version)

    def _forget(self, owner: str, uid: str | None) -> None:
        self._indexes.pop(owner, None)
        if self.leases is not None:
            self.leases.forget(owner, uid)
        if uid is not None:
            self._held.pop(uid, None)
            return
        for held_uid in [held_uid for held_uid, held in self._held.items() if held.owner_uid == owner]:
            del self._held[held_uid]

    # -- owners and the key-encryption key -------------------------------------------------------------------------

    async def destroy_owner(self, owner_uid: str) -> None:
        """Shred everything of a tenant: provider keys, day keys and with them its payloads, its signing key.

        Raises Refused `forbidden` for the operator; VaultFault, after which it is to be repeated.
        """

        def work() -> None:
            try:
                self._store.destroy_owner(owner_uid)
            finally:
                # Here and not after waiting: whatever was under way for this owner ended before this began.
                self.days.forget(owner_uid)
                self.signers.forget(owner_uid)

        await self._make(owner_uid, None, work)

    @property
    def kek_id(self) -> str:
        """Version id of the key-encryption key in use."""
        return self._store.kek_id

    @property
    def rotation_fault(self) -> VaultFault | None:
        """Why a rotation of the KEK that was begun could not be finished when the vault was opened."""
        return self._store.rotation_fault

    async def rotate_kek(self) -> KekRotation:
        """Re-wrap every tenant key with a new KEK, or finish the rotation that was begun. See Embedded.rotate_kek."""
        return await self._run(self._store.rotate_kek)

    # -- for the ledger and for API keys ------------------------------------------------------------------------------

    def cached(self, owner_uid: str, class_: int, day: str) -> tuple[str, AESGCM] | None:
        """See DayKeys.cached."""
        return self.days.cached(owner_uid, class_, day)

    async def day_key(self, owner_uid: str, class_: int, day: str) -> tuple[str, AESGCM]:
        """See DayKeys.day_key."""
        return await self.days.day_key(owner_uid, class_, day)

    async def open_day_key(self, owner_uid: str, daykey_id: str) -> AESGCM | None:
        """See DayKeys.open_day_key."""
        return await self.days.open_day_key(owner_uid, daykey_id)

    async def signer(self, origin: str) -> LogSigner:
        """See Signers.signer."""
        return await self.signers.signer(origin)

    @property
    def peppers(self) -> tuple[Pepper, ...]:
        """Peppers that API keys are hashed with, newest first; at least one."""
        return self._peppers

    async def add_pepper(self) -> Pepper:
        """Make a new pepper for the keys issued from now on; those issued before keep theirs. Raises VaultFault."""

        def work() -> Pepper:
            self._store.put(OPERATOR, *_PEPPER, str(self._read_peppers()[0].version + 1), self._random(PEPPER_BYTES))
            self._peppers = self._read_peppers()
            return self._peppers[0]

        return await self._run(work)

    def _read_peppers(self) -> tuple[Pepper, ...]:
        versions = sorted((int(version) for _, version in self._store.items(OPERATOR, "pepper")), reverse=True)
        if not versions:
            raise VaultFault("The pepper of the API keys is missing.", "Restore the vault's folder from a backup.")
        return tuple(Pepper(version, self._store.get(OPERATOR, *_PEPPER, str(version))) for version in versions)

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
