"""Who calls: the credential of a request against an index in memory. Pure; on the path of every call.

A request carries one credential: under `authorization: Bearer`, `x-api-key`, `api-key` or `x-goog-api-key`, or the
same value under several of these names (SDKs of two dialects in one agent do that). A name that comes twice or two
values that differ are refused rather than chosen from: whoever puts a second credential before ours must not decide
whose call it is. Credentials in the query string are refused: they end in access logs of everything on the way.

A stranger learns little: a key we do not know and a key that was revoked get the same words, so a thief cannot tell
what he holds. `credential_expired` is told, for only who holds a key that was real can ask, and its owner needs to
know. The `reason` of the refusal stays exact for record and metrics; reply codes must not repeat it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NoReturn
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from sekimori.errors import Refused
from sekimori.identity import apikey
from sekimori.terms import Headers, Principal, Scope

SHOWN_ONCE: Final = "Issue a key with `sekimori apikey issue`, or ask who operates this gateway."
NOT_VALID: Final = "The API key is not valid."

_PLAIN: Final = frozenset({b"x-api-key", b"api-key", b"x-goog-api-key"})
_NAMES: Final = _PLAIN | {b"authorization"}
_BEARER: Final = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([^ \t]+)")
# `key` is Gemini's, the others are what clients of other gateways send; without case, `-` and `_`.
_QUERY: Final = re.compile(
    rb"(?:^|[&;?])(?:key|apikey|xapikey|xgoogapikey|token|accesstoken|authorization|auth|bearer)(?:[=&;]|$)"
)


class Credential(Struct, frozen=True):
    """One issued API key, as the index holds it. Never the key itself."""

    id: str
    """Public id; stands in records, lists and logs."""
    tenant: str
    tenant_uid: str
    agent: str
    agent_uid: str
    scopes: frozenset[Scope]
    hash: bytes
    """HMAC-SHA-256 of the key under `pepper`, 32 bytes."""
    pepper: int
    """Version of the pepper."""
    expires_ms: int | None = None
    """First millisecond (UTC) in which the key is no longer accepted; None for never."""
    revoked: bool = False


class _Known(Struct, frozen=True):
    credential: Credential
    principal: Principal


class KeyIndex:
    """Every issued key by its hash. Entries are replaced one by one; what is put bites on the next look-up.

    The look-up goes by the HMAC, not by the key: who lacks the pepper cannot steer which entries a guess comes near,
    so the timing of the dictionary tells nothing of the keys.
    """

    __slots__ = ("_hashes", "_known", "_peppers")

    def __init__(self, peppers: Iterable[apikey.Pepper]) -> None:
        """Peppers that are in use; raises ValueError where there is none."""
        given = tuple(peppers)
        if not given:
            raise ValueError("an index of keys needs a pepper")
        self._peppers: tuple[apikey.Pepper, ...] = ()
        for pepper in given:
            self.use(pepper)
        self._known: dict[bytes, _Known] = {}
        self._hashes: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._hashes)

    @property
    def pepper(self) -> apikey.Pepper:
        """The newest pepper: under it new keys are hashed."""
        return self._peppers[0]

    def derived(self, *names: str) -> bytes:
        """A key of its own purpose, 32 bytes, the same as long as the pepper is. No API key has these bytes: they begin
        with NUL.
        """
        return self.pepper.hash("\0".join(("", *names)).encode())

    def use(self, pepper: apikey.Pepper) -> None:
        """Take a further pepper into use; it must not be there yet."""
        if any(known.version == pepper.version for known in self._peppers):
            raise ValueError(f"pepper {pepper.version} is in use already")
        self._peppers = tuple(sorted((*self._peppers, pepper), key=lambda known: known.version, reverse=True))

    def put(self, credential: Credential) -> None:
        """Add a credential, or replace the one of the same id.

        Raises ValueError where its pepper is not in use, or where another id holds the same hash.
        """
        if not any(pepper.version == credential.pepper for pepper in self._peppers):
            raise ValueError(f"credential {credential.id}: pepper {credential.pepper} is not in use")
        holder = self._known.get(credential.hash)
        if holder is not None and holder.credential.id != credential.id:
            raise ValueError(f"credentials {credential.id} and {holder.credential.id} are one key")
        before = self._hashes.get(credential.id)
        if before is not None and before != credential.hash:
            del self._known[before]
        principal = Principal(
            tenant=credential.tenant,
            tenant_uid=credential.tenant_uid,
            agent=credential.agent,
            agent_uid=credential.agent_uid,
            credential=credential.id,
            scopes=credential.scopes,
        )
        self._hashes[credential.id] = credential.hash
        self._known[credential.hash] = _Known(credential, principal)

    def remove(self, id: str) -> None:
        """Forget a credential; a key that is forgotten is unknown. No error where it is not there."""
        hashed = self._hashes.pop(id, None)
        if hashed is not None:
            del self._known[hashed]

    def get(self, id: str) -> Credential | None:
        """The credential of a public id."""
        hashed = self._hashes.get(id)
        return None if hashed is None else self._known[hashed].credential

    def require(self, id: str, now_ms: int) -> None:
        """Passes while the credential of an id is in force. Raises Refused credential_revoked or credential_expired."""
        _require(self.get(id), now_ms)

    def find(self, key: bytes) -> _Known | None:
        """The entry of a key as it is sent."""
        for pepper in self._peppers:
            known = self._known.get(pepper.hash(key))
            if known is not None and known.credential.pepper == pepper.version:
                return known
        return None


def authenticate(headers: Headers, query: str, index: KeyIndex, now_ms: int) -> Principal:
    """The principal of a request.

    `headers` in the form of terms.Headers (lower-case names), `query` without its `?`, `now_ms` in UTC.
    Raises Refused: credential_missing, credential_ambiguous, credential_malformed, credential_unknown,
    credential_expired or credential_revoked.
    """
    if query:
        _refuse_credential_in(query)
    key = b""
    seen: list[bytes] | None = None
    for name, value in headers:
        if name not in _NAMES:
            continue
        if name == b"authorization":
            bearer = _BEARER.fullmatch(value)
            if bearer is None:
                # Before a possible second credential: `Basic` beside a good key is still two credentials.
                raise Refused(
                    "credential_malformed",
                    "The authorization header is not of the form `Bearer KEY`.",
                    advice="Send `authorization: Bearer sk-sek_…`.",
                )
            value = bearer[1]
        if seen is None:
            seen = [name]
            key = value
        elif name in seen or value != key:
            raise Refused(
                "credential_ambiguous",
                "The request carries more than one credential.",
                advice="Send one API key, under one header.",
            )
        else:
            seen.append(name)
    if seen is None:
        raise Refused("credential_missing", "The request carries no API key.", advice=SHOWN_ONCE)
    # Another length costs no hash; a wrong checksum is told apart only after a miss, off the path of good keys.
    known = index.find(key) if len(key) == apikey.LENGTH else None
    if known is None:
        _refuse_unknown(key)
    _require(known.credential, now_ms)
    return known.principal


def _require(credential: Credential | None, now_ms: int) -> None:
    if credential is None or credential.revoked:
        raise Refused("credential_revoked", NOT_VALID, advice=SHOWN_ONCE)
    if credential.expires_ms is not None and now_ms >= credential.expires_ms:
        raise Refused("credential_expired", "The API key has expired.", advice=SHOWN_ONCE)


def _refuse_unknown(key: bytes) -> NoReturn:
    wrong = apikey.fault(key)
    if wrong == "form":
        raise Refused(
            "credential_malformed",
            "This is not an API key of this gateway.",
            advice=f"Keys begin with `{apikey.PREFIX}` and have {apikey.LENGTH} characters. {SHOWN_ONCE}",
        )
    if wrong == "checksum":
        raise Refused(
            "credential_malformed",
            "The API key has a typing error: its checksum is wrong.",
            advice="Copy the whole key again.",
        )
    raise Refused("credential_unknown", NOT_VALID, advice=SHOWN_ONCE)


def _refuse_credential_in(query: str) -> None:
    # Decoded as a whole, in one pass over at most a request target: an encoded name is still a name to whoever decodes
    # it, and an encoded `&` only makes us refuse more.
    plain = unquote_to_bytes(query).lower()
    if _QUERY.search(plain.translate(None, b"-_")) or apikey.PREFIX.encode() in plain:
        raise Refused(
            "credential_malformed",
            "Credentials in the query string are not accepted: they end in logs.",
            advice="Send the API key in a header, e.g. `authorization: Bearer sk-sek_…`.",
        )
