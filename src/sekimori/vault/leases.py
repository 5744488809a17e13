"""Short-lived tokens, bought with a lent secret at the token endpoint of its cloud.

A token is held until a minute before it ends, and goes at once when its key is rotated, frozen or destroyed. Of many
calls that need one at once, one asks. Where to ask is the deployment's setting and nothing that a document or a secret
says: a secret that is shown to another endpoint is a stolen one. Sources: RFC 6749 section 4.4 and Microsoft's
"client credentials flow"; RFC 7523 and Google's "OAuth 2.0 for server to server applications".
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from typing import Final, Literal, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Struct

from sekimori.errors import Fault, Refusal, Refused, Upstream
from sekimori.http.client import Deadlines, Pool
from sekimori.terms import Headers, Origin
from sekimori.vault.credentials import Aws, Entra, Form, ServiceAccount, private_key
from sekimori.vault.secret import Secret

EARLY_S: Final = 60.0
"""A token is used no more from so many seconds before it ends: a call that begins with it must not outlive it."""
LONGEST_S: Final = 24 * 3600.0
"""Seconds that a token is held at most, whatever its giver says."""
ASSERTION_S: Final = 3600
"""Seconds that an assertion is good for: the most that Google takes."""
REFUSED_S: Final = 5.0
"""Seconds for which a refusal is repeated without asking again: a wrong secret must not become a flood."""
REPLY_LIMIT: Final = 64 * 1024
_DEADLINES: Final = Deadlines(connect=10.0, first_byte=10.0, idle=10.0, total=20.0)
_VISIBLE: Final = bytes(range(0x21, 0x7F))
_FORM: Final[Headers] = [(b"content-type", b"application/x-www-form-urlencoded"), (b"accept", b"application/json")]
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Token(Struct, frozen=True):
    """A token in memory."""

    number: int
    secret: Secret
    version: int
    """Of the key that it was bought with."""
    until: float


class _Given(Struct):
    """What a token endpoint says (RFC 6749 section 5.1)."""

    access_token: str
    expires_in: int
    token_type: str


_given: Final = msgspec.json.Decoder(_Given).decode
_Name = tuple[str, str]
"""(owner's uid, key's uid)."""
_Item = TypeVar("_Item")


class Leases:
    """Buys, holds and drops tokens. Of the event loop."""

    def __init__(
        self,
        pool: Pool,
        *,
        entra_authority: str,
        google_token_url: str,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`entra_authority` and `google_token_url` are settings of the deployment. Raises Refused `wrong_use` where one
        is no URL."""
        self._pool = pool
        self._entra, self._entra_path = _endpoint(entra_authority, "upstream.entra_authority")
        self._google, self._google_path = _endpoint(google_token_url, "upstream.google_token_url")
        self._google_url = google_token_url
        self._clock = clock
        self._now = now
        self._numbers = 0
        self._held: dict[_Name, Token] = {}
        self._flights: dict[_Name, tuple[int, asyncio.Task[Token]]] = {}
        self._refused: dict[_Name, tuple[int, float, Refusal]] = {}

    async def token(self, owner: str, uid: str, version: int, form: Form, scope: str) -> tuple[Token, bool]:
        """(a token for this version of the key, whether it was bought just now).

        Raises Upstream `upstream_unauthorized` where the secret is not accepted, and Fault `key_unavailable` where
        the endpoint cannot be reached or answers otherwise than it should.
        """
        name = (owner, uid)
        token = self._held.get(name)
        if token is not None and token.version == version and self._clock() < token.until:
            return token, False
        refused = self._refused.get(name)
        if refused is not None and refused[0] == version and self._clock() < refused[1]:
            raise _again(refused[2])
        flight = self._flights.get(name)
        if flight is None or flight[0] != version:
            flight = (version, asyncio.create_task(self._buy(name, version, form, scope)))
            flight[1].add_done_callback(_seen)
            self._flights[name] = flight
        try:
            # Shielded: who leaves does not take the token from the others.
            return await asyncio.shield(flight[1]), True
        except Refusal as refusal:
            raise _again(refusal) from None

    def held(self, owner: str, uid: str) -> Token | None:
        """The token in memory, where there is one."""
        return self._held.get((owner, uid))

    def refused(self, owner: str, uid: str, number: int) -> None:
        """A provider did not accept the token of this number: the next call buys another."""
        token = self._held.get((owner, uid))
        if token is not None and token.number == number:
            del self._held[owner, uid]

    def forget(self, owner: str, uid: str | None) -> None:
        """Drop the tokens of a key that changes, or of all of an owner's, and keep none that is under way."""
        names = [(owner, uid)] if uid is not None else [name for name in self._names() if name[0] == owner]
        for name in names:
            self._held.pop(name, None)
            self._flights.pop(name, None)
            self._refused.pop(name, None)

    def close(self) -> None:
        """Drop everything."""
        for _, flight in list(self._flights.values()):
            flight.cancel()
        self._held.clear()
        self._flights.clear()
        self._refused.clear()

    def _names(self) -> set[_Name]:
        return {*self._held, *self._flights, *self._refused}

    async def _buy(self, name: _Name, version: int, form: Form, scope: str) -> Token:
        mine = asyncio.current_task()
        try:
            given = await self._ask(name, version, form, scope)
        except Refusal as refusal:
            if self._mine(name, mine):
                del self._flights[name]
                self._refused[name] = (version, self._clock() + REFUSED_S, refusal)
                asyncio.get_running_loop().call_later(REFUSED_S, _end, self._refused, name, self._refused[name])
            raise
        except BaseException:
            if self._mine(name, mine):
                del self._flights[name]
            raise
        self._numbers += 1
        lasts = min(float(given.expires_in), LONGEST_S) - EARLY_S
        token = Token(self._numbers, Secret(given.access_token.encode()), version, self._clock() + lasts)
        if self._mine(name, mine):  # else the key changed meanwhile, and nobody asks for this token again
            del self._flights[name]
            if lasts > 0:
                self._held[name] = token
                asyncio.get_running_loop().call_later(lasts, _end, self._held, name, token)
        return token

    def _mine(self, name: _Name, task: asyncio.Task[Token] | None) -> bool:
        flight = self._flights.get(name)
        return flight is not None and flight[1] is task

    async def _ask(self, name: _Name, version: int, form: Form, scope: str) -> _Given:
        if isinstance(form, Entra):
            origin, path, whose = self._entra, f"{self._entra_path}/{form.tenant_id}/oauth2/v2.0/token", "Entra ID"
            fields = {
                "grant_type": "client_credentials",
                "client_id": form.client_id,
                "client_secret": form.client_secret,
                "scope": scope,
            }
        elif isinstance(form, ServiceAccount):
            origin, path, whose = self._google, self._google_path, "Google"
            now = int(self._now())
            assertion = await asyncio.to_thread(_assertion, form, scope, self._google_url, now)
            fields = {"grant_type": _JWT_BEARER, "assertion": assertion}
        else:
            assert isinstance(form, Aws)
            raise Fault("internal", "An access key of AWS buys no token.")
        try:
            # Connections of their own, as for every key: no reply of one key's is read as another's.
            async with await self._pool.request(
                origin, ("token", *name, version), "POST", path, _FORM, urlencode(fields).encode(), _DEADLINES
            ) as response:
                status, body = response.status, await response.read_all(REPLY_LIMIT)
        except Upstream as failure:
            raise Fault(
                "key_unavailable",
                f"The token endpoint of {whose} cannot be used ({failure.reason.removeprefix('upstream_')}).",
                advice="The operator looks at the settings `upstream.entra_authority` and `upstream.google_token_url`.",
                retry_after=REFUSED_S,
            ) from None
        if status in (400, 401, 403):
            raise Upstream(
                "upstream_unauthorized",
                f"{whose} gives no token for the key that serves this call (status {status}).",
                advice="Its secret may be wrong, expired or revoked, or this machine's clock may be; whoever owns the"
                " key puts a new one with `sekimori key rotate`.",
            )
        given = _read(body) if status == 200 else None
        if given is None:
            raise Fault(
                "key_unavailable",
                f"The token endpoint of {whose} did not answer with a token (status {status}).",
                advice="Retry.",
                retry_after=REFUSED_S,
            )
        return given


def _end(held: dict[_Name, _Item], name: _Name, item: _Item) -> None:
    if held.get(name) is item:
        del held[name]


def _read(body: bytes) -> _Given | None:
    try:
        given = _given(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    token = given.access_token.encode()
    fits = 0 < len(token) <= REPLY_LIMIT and not token.translate(None, _VISIBLE)
    return given if fits and given.token_type.lower() == "bearer" and given.expires_in > 0 else None


def _assertion(form: ServiceAccount, scope: str, audience: str, now: int) -> str:
    """A JWT (RFC 7519) that the account signed, RS256."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    header = {"alg": "RS256", "typ": "JWT"}
    if form.private_key_id is not None:
        header["kid"] = form.private_key_id
    claims = {"iss": form.client_email, "scope": scope, "aud": audience, "iat": now, "exp": now + ASSERTION_S}
    signed = b".".join(_base64url(msgspec.json.encode(part)) for part in (header, claims))
    try:
        key = private_key(form)
    except ValueError:
        raise Fault("key_unavailable", "The service account's key cannot be read.", advice="Put it again.") from None
    return (signed + b"." + _base64url(key.sign(signed, PKCS1v15(), SHA256()))).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _seen(flight: asyncio.Task[Token]) -> None:
    """Everyone who waited may have left; that is no reason to complain of what nobody heard."""
    if not flight.cancelled():
        flight.exception()


def _again(refusal: Refusal) -> Refusal:
    """The same refusal, for another call: one exception is raised once."""
    return type(refusal)(refusal.reason, refusal.text, advice=refusal.advice, retry_after=refusal.retry_after)


def _endpoint(url: str, setting: str) -> tuple[Origin, str]:
    """Origin and path of a setting's URL. Whether it may be dialled is the dialler's to say, as for every address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise Refused("wrong_use", f"The setting {setting} is not a URL.", advice="Write `https://HOST/PATH`.")
    scheme: Literal["https", "http"] = "https" if parts.scheme == "https" else "http"
    return Origin(scheme, parts.hostname, port or (443 if scheme == "https" else 80)), parts.path.rstrip("/")
