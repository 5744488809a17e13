"""Signing keys of the logs: one Ed25519 key per origin, made on first use, encrypted at rest like everything else."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sekimori.vault.daykeys import Run
from sekimori.vault.embedded import Embedded
from sekimori.vault.envelope import KEY_BYTES

_SIGNING = ("log-signing", "ed25519", "1")


class LogSigner:
    """Signs the checkpoints of one log (ledger/note.Signer). Shows its name only."""

    __slots__ = ("__key", "name", "public")

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self.name = name
        self.public = key.public_key().public_bytes_raw()
        self.__key = key

    def sign(self, message: bytes, /) -> bytes:
        return self.__key.sign(message)

    def __repr__(self) -> str:
        return f"LogSigner({self.name!r})"

    def __reduce__(self) -> str:
        raise TypeError("a key is not serialised")


class Signers:
    """Who signs for the logs of a deployment."""

    def __init__(self, store: Embedded, deployment: str, run: Run, random: Callable[[int], bytes]) -> None:
        self._store = store
        self._deployment = deployment
        self._run = run
        self._random = random
        self._held: dict[str, LogSigner] = {}

    async def signer(self, origin: str) -> LogSigner:
        """Who signs the checkpoints of a log; the key is durable before it signs.

        `origin` is `<deployment>/<owner uid>`. Raises ValueError for another deployment's; VaultFault.
        """
        found = self._held.get(origin)
        return found if found is not None else await self._run(self._make, origin)

    def forget(self, owner_uid: str) -> None:
        """Drop an owner's key from memory. On the vault's thread."""
        self._held.pop(f"{self._deployment}/{owner_uid}", None)

    def _make(self, origin: str) -> LogSigner:
        found = self._held.get(origin)
        if found is not None:
            return found
        deployment, _, owner = origin.rpartition("/")
        if deployment != self._deployment:
            raise ValueError(f"{origin!r} is not a log of {self._deployment!r}")
        try:
            seed = self._store.get(owner, *_SIGNING)
        except FileNotFoundError:
            seed = self._random(KEY_BYTES)
            self._store.put(owner, *_SIGNING, seed)
        signer = LogSigner(origin, Ed25519PrivateKey.from_private_bytes(seed))
        self._held[origin] = signer
        return signer
