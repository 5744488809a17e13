"""The embedded store: encrypted files under one folder of the home (docs/spec/vault.md).

    KEK -> tenant key, one per owner -> everything else of that owner

Promises to `vault/keys`, which any other store has to keep as well:
- what `put` returned from is durable, and `get` returns those bytes or raises; never others, never a default;
- a plaintext opens only for the owner, purpose, key and version it was put for;
- after `destroy_owner` nothing of that owner opens again, and its uid cannot be used again;
- a crash or an I/O error at any write leaves a store that opens, with that write done or not done.

Methods block and may be called from any thread; one at a time goes in. The home lock keeps other processes out.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from sekimori.errors import Refused
from sekimori.identity.names import is_uid
from sekimori.terms import OPERATOR
from sekimori.vault import durable, envelope
from sekimori.vault.durable import Disk, VaultFault
from sekimori.vault.envelope import KEY_BYTES, NONCE_BYTES, Binding, Damaged
from sekimori.vault.kek import Kek, Ring, Source

Random = Callable[[int], bytes]

HEADER: Final = "vault.json"
_OWNERS: Final = "owners"
_DESTROYED: Final = "destroyed"
_TENANT_KEY: Final = "tenant-key"
_TENANT_KEY_ID: Final = "tenant-key.1"
_PURPOSES: Final = frozenset({"index", "secret", "day-key", "log-signing", "pepper"})
_NAME: Final = re.compile(r"[0-9a-z][0-9a-z-]{0,63}")
_MARK_ID: Final = "destroyed.1"
"""In the place of the wrapping key's id in a mark, an empty envelope: nobody claims a purge by writing a file."""
_RESTORE: Final = "Restore the vault's folder from a backup as a whole; do not move single files."


class Header(Struct, frozen=True, forbid_unknown_fields=True):
    """What the folder says of itself."""

    format: int
    deployment: str
    kek: str
    """Id of the KEK that every tenant key is wrapped with, unless a rotation is on its way."""


class KekRotation(Struct, frozen=True):
    """What a rotation of the KEK came to."""

    previous: str
    current: str
    owners: int
    """Tenant keys that were re-wrapped."""


class Embedded:
    """An open store. Made by `create` (once per home) or `open`."""

    def __init__(self, folder: Path, header: Header, ring: Ring, source: Source, random: Random, disk: Disk) -> None:
        self._folder = folder
        self._header = header
        self._ring = ring
        self._source = source
        self._random = random
        self._disk = disk
        self._lock = threading.RLock()
        self._tenant_keys: dict[str, AESGCM] = {}
        self._checked: set[Path] = set()
        self._destroyed: set[str] = set()
        self.rotation_fault: VaultFault | None = None
        """Why a rotation of the KEK that was begun could not be finished at opening; for `doctor`. The store serves
        all the same: the source still holds every key that is needed."""

    def __repr__(self) -> str:
        return f"Embedded({str(self._folder)!r})"

    @classmethod
    def create(
        cls,
        folder: Path,
        deployment: str,
        source: Source,
        born_with: Sequence[tuple[str, str, str, bytes]] = (),
        *,
        random: Random = os.urandom,
        disk: Disk | None = None,
    ) -> Embedded:
        """Make the store, with the operator's (purpose, key uid, version, plaintext) of `born_with` in it.

        The folder's parent exists. The header is written last: until it is there, `create` may be repeated.
        Raises Refused `conflict` where there is one already, VaultFault where it cannot be written.
        """
        disk = disk or Disk()
        if os.path.lexists(folder / HEADER):
            raise Refused(
                "conflict", f"There is a vault in {folder} already.", advice="Open it, or choose another home."
            )
        ring = _load(source)
        for path in (folder, folder / _OWNERS, folder / _DESTROYED):
            durable.make_folder(disk, path)
        header = Header(format=envelope.FORMAT, deployment=deployment, kek=ring.current.id)
        store = cls(folder, header, ring, source, random, disk)
        store._tenant_key(OPERATOR, make=True)
        for purpose, key_uid, version, plaintext in born_with:
            store.put(OPERATOR, purpose, key_uid, version, plaintext)
        durable.write(disk, folder / HEADER, msgspec.json.encode(header) + b"\n")
        return store

    @classmethod
    def open(
        cls, folder: Path, deployment: str, source: Source, *, random: Random = os.urandom, disk: Disk | None = None
    ) -> Embedded:
        """Open the store and finish what a crash left begun. Raises VaultFault naming the fix; makes no new key."""
        disk = disk or Disk()
        header = _read_header(folder)
        if header.deployment != deployment:
            raise VaultFault(
                f"The vault in {folder} belongs to the deployment {header.deployment!r}, not {deployment!r}.",
                "Serve the home that the vault was made in.",
            )
        ring = _load(source)
        if ring.get(header.kek) is None:
            raise VaultFault(
                f"The vault is locked with {header.kek}, and {source.where} holds {', '.join(ring.ids)}.",
                f"Let it hold {header.kek}; during a rotation the new key first and {header.kek} after it.",
            )
        store = cls(folder, header, ring, source, random, disk)
        for path in (folder, folder / _OWNERS, folder / _DESTROYED):
            try:
                store._check(path)
            except FileNotFoundError:
                raise VaultFault(f"{path} is missing.", _RESTORE) from None
        store._tenant_key(OPERATOR, make=False)
        for mark in sorted((folder / _DESTROYED).iterdir()):
            if is_uid(mark.name):
                store._open_mark(OPERATOR, mark, store._owner_mark(mark.name), durable.read(mark))
                store._destroyed.add(mark.name)
                store._shred(mark.name)
        if source.writable and store._rotating:
            try:
                store.rotate_kek()
            except VaultFault as fault:
                store.rotation_fault = fault
        return store

    # -- plaintexts ------------------------------------------------------------------------------------------------

    def put(self, owner: str, purpose: str, key_uid: str, version: str, plaintext: bytes) -> None:
        """Encrypt and store; replaces what is there. Durable on return; after VaultFault it may or may not be there."""
        with self._lock:
            key = self._tenant_key(owner, make=True)
            path = self._path(owner, purpose, key_uid, version)
            if path.parent not in self._checked:
                durable.make_folder(self._disk, path.parent)
                self._checked.add(path.parent)
            binding = self._binding(owner, purpose, key_uid, version)
            nonce = self._random(NONCE_BYTES)
            durable.write(self._disk, path, envelope.seal(key, _TENANT_KEY_ID, binding, nonce, plaintext))

    def get(self, owner: str, purpose: str, key_uid: str, version: str) -> bytes:
        """The plaintext. Raises FileNotFoundError where it was never put or is destroyed, VaultFault otherwise."""
        with self._lock:
            path = self._path(owner, purpose, key_uid, version)
            try:
                key = self._tenant_key(owner, make=False)
                self._check(path.parent)
                sealed = durable.read(path)
            except FileNotFoundError:
                raise FileNotFoundError(f"{purpose} {key_uid} {version} of {owner}") from None
            binding = self._binding(owner, purpose, key_uid, version)
            if self._open_mark(owner, path, binding, sealed):
                raise FileNotFoundError(f"{purpose} {key_uid} {version} of {owner} is destroyed")
            return self._unseal(path, key, _TENANT_KEY_ID, binding, sealed)

    def destroyed(self, owner: str, purpose: str, key_uid: str, version: str) -> bool:
        """Whether it was destroyed on purpose, which a file that is merely missing does not show."""
        with self._lock:
            if owner in self._destroyed:
                return True
            path = self._path(owner, purpose, key_uid, version)
            binding = self._binding(owner, purpose, key_uid, version)
            with contextlib.suppress(FileNotFoundError):
                return self._open_mark(owner, path, binding, durable.read(path))
            return False

    def destroy(self, owner: str, purpose: str, key_uid: str, version: str) -> None:
        """Replace one plaintext by a mark that it was destroyed. Durable on return."""
        with self._lock:
            path = self._path(owner, purpose, key_uid, version)
            if path.exists():
                self._write_mark(owner, path, self._binding(owner, purpose, key_uid, version))

    def remove(self, owner: str, purpose: str, key_uid: str, version: str) -> None:
        """Remove one plaintext without a mark; no error where it is not there."""
        with self._lock:
            path = self._path(owner, purpose, key_uid, version)
            if path.parent.is_dir():
                durable.remove(self._disk, path)

    def items(self, owner: str, purpose: str) -> list[tuple[str, str]]:
        """(key uid, version) of everything put for a purpose, marks included, sorted."""
        with self._lock:
            folder = self._owner(owner) / purpose
            try:
                self._check(folder)
                names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
            except FileNotFoundError:
                return []
            split = [name.partition(".") for name in names]
            return sorted((key_uid, version) for key_uid, _, version in split)

    # -- owners ----------------------------------------------------------------------------------------------------

    def owners(self) -> list[str]:
        """Everyone who has a tenant key."""
        with self._lock:
            present = [path for path in (self._folder / _OWNERS).iterdir() if (path / _TENANT_KEY).exists()]
            return sorted(path.name for path in present if path.name == OPERATOR or is_uid(path.name))

    def destroyed_owner(self, owner: str) -> bool:
        """Whether an owner was destroyed on purpose."""
        return owner in self._destroyed

    def destroy_owner(self, owner: str) -> None:
        """Shred the tenant key, and with it everything of the owner. Durable on return; repeat it after a VaultFault.

        A mark that stays comes first: once it is there the owner is gone, and opening the store finishes the removal.
        If it cannot be written, the owner is gone until the process ends.
        """
        if owner == OPERATOR:
            raise Refused("forbidden", "The operator's own keys cannot be destroyed as a whole.", advice="Name a key.")
        with self._lock:
            mark = self._folder / _DESTROYED / self._owner(owner).name
            self._tenant_keys.pop(owner, None)
            self._destroyed.add(owner)  # first: a disk that fails does not keep the owner's keys in use
            self._write_mark(OPERATOR, mark, self._owner_mark(owner))
            self._shred(owner)

    # -- key-encryption key ----------------------------------------------------------------------------------------

    @property
    def kek_id(self) -> str:
        """Id of the KEK in use."""
        return self._ring.current.id

    @property
    def _rotating(self) -> bool:
        return self._header.kek != self._ring.current.id or (self._source.writable and len(self._ring.ids) > 1)

    def rotate_kek(self) -> KekRotation:
        """Re-wrap every tenant key with a new KEK, or finish the rotation that was begun.

        The new KEK is durable beside the old one before the first tenant key is touched, and the old one goes after
        the last: at every moment each tenant key opens with a KEK that the source holds. Nothing below a tenant key
        is touched. Raises VaultFault; Refused `wrong_use` where the source is not ours to write.
        """
        with self._lock:
            # What a failed attempt left on disk counts, not what it left in memory.
            self._ring = _load(self._source)
            self._header = _read_header(self._folder)
            owners = self.owners()
            for owner in owners:  # all of them open, or nothing is changed
                self._tenant_keys.pop(owner, None)
                self._tenant_key(owner, make=False)
            previous = self._header.kek
            if not self._rotating:
                self._source.stage(self._random)
                self._ring = _load(self._source)
            wrapped = sum(self._rewrap(owner, self._ring.current) for owner in owners)
            header = msgspec.structs.replace(self._header, kek=self._ring.current.id)
            durable.write(self._disk, self._folder / HEADER, msgspec.json.encode(header) + b"\n")
            self._header = header
            self._source.settle()
            self._ring = _load(self._source)
            self.rotation_fault = None
            return KekRotation(previous=previous, current=header.kek, owners=wrapped)

    def _rewrap(self, owner: str, kek: Kek) -> bool:
        path = self._owner(owner) / _TENANT_KEY
        sealed = durable.read(path)
        key = self._unwrap(path, owner, sealed)
        if envelope.wrapped_by(sealed) == kek.id:
            return False
        durable.write(self._disk, path, self._wrap(owner, kek, key))
        return True

    def _wrap(self, owner: str, kek: Kek, key: bytes) -> bytes:
        binding = self._binding(owner, _TENANT_KEY, _TENANT_KEY, "1")
        return envelope.seal(kek.aead, kek.id, binding, self._random(NONCE_BYTES), key)

    def _unwrap(self, path: Path, owner: str, sealed: bytes) -> bytes:
        try:
            kek_id = envelope.wrapped_by(sealed)
        except Damaged as error:
            raise _damaged(path, error) from error
        kek = self._ring.get(kek_id)
        if kek is None:
            raise VaultFault(
                f"{path} is locked with {kek_id}, and {self._source.where} holds {', '.join(self._ring.ids)}.",
                f"Add {kek_id} after the present key, then run `sekimori kek rotate` to finish the rotation.",
            )
        return self._unseal(path, kek.aead, kek_id, self._binding(owner, _TENANT_KEY, _TENANT_KEY, "1"), sealed)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _tenant_key(self, owner: str, *, make: bool) -> AESGCM:
        """The key of an owner; made for one who has nothing yet. FileNotFoundError where there is none."""
        found = self._tenant_keys.get(owner)
        if found is not None:
            return found
        folder = self._owner(owner)
        path = folder / _TENANT_KEY
        if owner in self._destroyed:
            if make:
                raise VaultFault(f"The keys of {owner} were destroyed.", "A uid is never used again: make a new one.")
            raise FileNotFoundError(path)
        try:
            self._check(folder)
            sealed = durable.read(path)
        except FileNotFoundError:
            if folder.is_dir() and any(not item.name.startswith(".") for item in folder.iterdir()):
                # Something of this owner is here that only the missing key opens: a new key would hide the loss.
                raise VaultFault(f"{path} is missing.", _RESTORE) from None
            if owner == OPERATOR and os.path.lexists(self._folder / HEADER):
                raise VaultFault(f"{path} is missing.", _RESTORE) from None
            if not make:
                raise
            return self._make_tenant_key(owner, folder, path)
        key = AESGCM(self._unwrap(path, owner, sealed))
        self._tenant_keys[owner] = key
        return key

    def _make_tenant_key(self, owner: str, folder: Path, path: Path) -> AESGCM:
        durable.make_folder(self._disk, folder)
        key = self._random(KEY_BYTES)
        durable.write(self._disk, path, self._wrap(owner, self._ring.current, key))
        self._tenant_keys[owner] = AESGCM(key)
        return self._tenant_keys[owner]

    def _binding(self, owner: str, purpose: str, key_uid: str, version: str) -> Binding:
        return Binding(purpose, self._header.deployment, owner, key_uid, version)

    def _unseal(self, path: Path, key: AESGCM, key_id: str, binding: Binding, sealed: bytes) -> bytes:
        try:
            if envelope.wrapped_by(sealed) != key_id:
                raise Damaged("another key wraps it")
            return envelope.unseal(key, binding, sealed)
        except Damaged as error:
            raise _damaged(path, error) from error

    def _owner_mark(self, owner: str) -> Binding:
        return self._binding(owner, "owner", "owner", "1")

    def _write_mark(self, by: str, path: Path, binding: Binding) -> None:
        """Write that what is bound so was destroyed; under the key of `by`, for the destroyed key cannot vouch."""
        key = self._tenant_key(by, make=False)
        durable.write(self._disk, path, envelope.seal(key, _MARK_ID, binding, self._random(NONCE_BYTES), b""))

    def _open_mark(self, by: str, path: Path, binding: Binding, sealed: bytes) -> bool:
        """Whether these bytes are the mark. False for any other envelope; VaultFault for a mark that is not genuine."""
        try:
            if envelope.wrapped_by(sealed) != _MARK_ID:
                if binding.purpose == "owner":
                    raise Damaged("it is not a mark")
                return False
            return envelope.unseal(self._tenant_key(by, make=False), binding, sealed) == b""
        except Damaged as error:
            raise _damaged(path, error) from error

    def _shred(self, owner: str) -> None:
        """Overwrite and remove the tenant key, then the rest. Overwriting is a courtesy: a disk may keep copies."""
        folder = self._owner(owner)
        if not folder.is_dir() or folder.is_symlink():
            return
        key = folder / _TENANT_KEY
        try:
            if key.exists():
                self._disk.overwrite(key, self._random(key.stat().st_size))
                self._disk.remove(key)
                self._disk.sync_folder(folder)
            for item in folder.iterdir():
                if item.is_dir() and not item.is_symlink():
                    for file in item.iterdir():
                        self._disk.remove(file)
                    self._disk.remove_folder(item)
                else:
                    self._disk.remove(item)
            self._disk.remove_folder(folder)
            self._disk.sync_folder(folder.parent)
        except OSError as error:
            raise durable.unwritable(folder, error) from error
        self._checked = {path for path in self._checked if folder not in (path, *path.parents)}

    def _owner(self, owner: str) -> Path:
        # Names come from the database and from documents; none of them may walk out of the folder.
        if owner != OPERATOR and not is_uid(owner):
            raise ValueError(f"{owner!r} is not the uid of an owner")
        return self._folder / _OWNERS / owner

    def _path(self, owner: str, purpose: str, key_uid: str, version: str) -> Path:
        if purpose not in _PURPOSES or not _NAME.fullmatch(key_uid) or not _NAME.fullmatch(version):
            raise ValueError(f"{purpose!r} {key_uid!r} {version!r} names nothing in a vault")
        return self._owner(owner) / purpose / f"{key_uid}.{version}"

    def _check(self, folder: Path) -> None:
        """Each folder once a run: it is ours alone, so nobody else can change what is in it later."""
        if folder not in self._checked:
            durable.check_folder(folder)
            durable.sweep(folder)
            self._checked.add(folder)


def _load(source: Source) -> Ring:
    try:
        return source.load()
    except FileNotFoundError:
        raise VaultFault(
            f"The key-encryption key {source.where} is missing.",
            "Restore it from where it is kept; without it the vault cannot be opened by anyone.",
        ) from None


def _read_header(folder: Path) -> Header:
    path = folder / HEADER
    try:
        durable.check_folder(folder)
        header = msgspec.json.decode(durable.read(path), type=Header)
    except FileNotFoundError:
        raise VaultFault(
            f"There is no vault in {folder}.", "Run `sekimori init`, or restore it from a backup."
        ) from None
    except msgspec.MsgspecError as error:
        raise VaultFault(f"{path} is damaged.", _RESTORE) from error
    if header.format != envelope.FORMAT:
        raise VaultFault(f"{path} is of format {header.format}, which this version does not know.", "Upgrade sekimori.")
    return header


def _damaged(path: Path, error: Damaged) -> VaultFault:
    return VaultFault(f"{path} does not open: {error}.", _RESTORE)
