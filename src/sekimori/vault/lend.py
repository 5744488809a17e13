"""A provider key on loan: what may be done with a secret that was lent, and nothing else.

The borrower never sees the secret. It gives the head and body of a request and gets the header fields that
authenticate it: the key itself, a token that was bought with it (vault/leases), or a signature (vault/sigv4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from sekimori.errors import Fault
from sekimori.terms import Dialect, Grant, Headers, Route
from sekimori.upstream.catalog import ENTRIES, request_headers
from sekimori.vault import sigv4
from sekimori.vault.credentials import Aws, hidden, read, word
from sekimori.vault.secret import Secret

if TYPE_CHECKING:
    from sekimori.vault.keys import Keys
    from sekimori.vault.leases import Token

_PIECE: Final = 8
"""Characters of a key that a text may not have in a row."""
_TRIES: Final = 3
"""How often a token is bought while the key is rotated meanwhile."""


class Held(Struct, frozen=True):
    """A decrypted key in memory. `Secret` keeps it out of every repr."""

    secret: Secret
    path: str
    owner_uid: str
    version: int
    until: float


class Lent:
    """`async with keys.lend(grant, route) as lent:`; the secret is gone when the block ends."""

    __slots__ = ("_grant", "_held", "_keys", "_route", "_sends", "_token", "lease")

    def __init__(self, keys: Keys, grant: Grant, route: Route, sends: bool = True) -> None:
        self._keys = keys
        self._grant = grant
        self._route = route
        self._sends = sends
        self._held: Held | None = None
        self._token: Token | None = None
        self.lease = 0
        """Number of a token that was in memory already, for `Leases.refused`; 0 where the secret is none, or the token
        was bought for this loan."""

    async def __aenter__(self) -> Lent:
        self._held = self._keys.at_hand(self._grant, self._route) or await self._keys.fetch(self._route)
        if self._route.credential != "api_key" and self._sends:
            await self._prepare(self._held)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.give_back()

    async def _prepare(self, held: Held) -> None:
        """Buy the token, or load the signer; both may wait, so the key is looked up again after it."""
        keys, route = self._keys, self._route
        for _ in range(_TRIES):
            form = read(route.credential, held.secret.reveal())
            if isinstance(form, Aws):
                await sigv4.load()
            elif keys.leases is None:
                raise Fault("key_unavailable", "This process buys no tokens.", advice="Start `sekimori serve`.")
            else:
                scope = ENTRIES[route.provider.catalog].scope
                self._token, bought = await keys.leases.token(
                    held.owner_uid, route.key_uid, held.version, form, scope, held.path
                )
                self.lease = 0 if bought else self._token.number
            # Frozen, destroyed or rotated while we waited: the token of a key that is gone is used no more.
            after = keys.at_hand(self._grant, route) or await keys.fetch(route)
            if after.version == held.version:
                self._held = after
                return
            held = after
        raise Fault("key_unavailable", "The provider key for this call changes all the time.", advice="Retry.")

    def give_back(self) -> None:
        """End the loan before the block does: the request head is sent, and waiting for the answer needs no key."""
        self._held = self._token = None

    @property
    def secret(self) -> Secret:
        """What is kept for the key. Raises RuntimeError outside of the block."""
        return self._loan().secret

    @property
    def version(self) -> int:
        """Version of the key; raises RuntimeError outside of the block."""
        return self._loan().version

    def headers(
        self, dialect: Dialect, method: str, target: str, caller: tuple[tuple[bytes, bytes], ...], body: bytes
    ) -> Headers:
        """The header fields of a finished request to the route's provider, authentication among them.

        Bind them to no name that outlives the request. Raises Fault `key_unavailable`, RuntimeError outside of the
        block.
        """
        value, provider = self._loan().secret.reveal(), self._route.provider
        if self._route.credential == "api_key":
            return request_headers(provider, dialect, word(value), caller)
        if self._token is not None:
            return request_headers(provider, dialect, self._token.secret.reveal(), caller, ("bearer",))
        headers = request_headers(provider, dialect, b"", caller, ())
        form = read(self._route.credential, value)
        assert isinstance(form, Aws)
        region, service = provider.placement.location, ENTRIES[provider.catalog].service
        return headers + sigv4.signature(form, service, region, method, provider.origin, target, headers, body)

    def told_in(self, text: str) -> bool:
        """Whether a text repeats the key, or a piece of it: of keys in an odd form no pattern would show that."""
        value = self._loan().secret.reveal()
        if self._route.credential == "api_key":
            parts = [value.decode("latin-1")]
        else:
            parts = hidden(read(self._route.credential, value))
            token = self._token
            if token is None and self._keys.leases is not None:
                token = self._keys.leases.held(self._route.key_owner_uid, self._route.key_uid)
            if token is not None:
                parts.append(token.secret.reveal().decode("latin-1"))
        return any(part[at : at + _PIECE] in text for part in parts for at in range(max(1, len(part) - _PIECE + 1)))

    def _loan(self) -> Held:
        if self._held is None:
            raise RuntimeError("the key is not on loan")
        return self._held
