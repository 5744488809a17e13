"""Short-lived tokens, bought with a lent secret at the token endpoint of its cloud.

A token is held until a minute before it ends, and goes at once when its key is rotated, frozen or destroyed. Of many
calls that need one at once, one asks. Where to ask is the deployment's setting and nothing that a document or a secret
says: a secret that is shown to another endpoint is a stolen one. Sources: RFC 6749 section 4.4 and Microsoft's
"client credentials flow"; RFC 7523 and Google's "OAuth 2.0 for server to server applications"; RFC 8693 and Google's
"Workload identity federation" (vault/federated).
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct

from sekimori.errors import Fault, Refusal, Upstream
from sekimori.http.client import Deadlines, Pool
from sekimori.terms import Headers, Origin
from sekimori.vault import clock as clocks
from sekimori.vault.credentials import Entra, Form, ServiceAccount, private_key
from sekimori.vault.federated import IAM_SCOPE, STS_URL, ExternalAccount, exchange, impersonation
from sekimori.vault.secret import Secret
from sekimori.vault.subjects import Subjects, endpoint

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
_JSON: Final[Headers] = [(b"content-type", b"application/json"), (b"accept", b"application/json")]
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


class _Acted(Struct):
    """What generateAccessToken says."""

    accessToken: str  # noqa: N815 - the API's own name
    expireTime: Annotated[datetime, Meta(tz=True)]  # noqa: N815


_given: Final = msgspec.json.Decoder(_Given).decode
_acted: Final = msgspec.json.Decoder(_Acted).decode
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
        google_sts_url: str = STS_URL,
        google_iam_url: str = "https://iamcredentials.googleapis.com",
        subjects: Subjects | None = None,
        off: Callable[[int], None] = lambda ahead: None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """The URLs are settings of the deployment. `subjects` reads subject tokens, where there are any; `off` is told
        by how many seconds our clock is ahead where that spoils an assertion. Raises Refused `wrong_use` where a
        setting is no URL."""
        self._pool = pool
        self._entra = _place(entra_authority, "upstream.entra_authority")
        self._google = _place(google_token_url, "upstream.google_token_url")
        self._sts = _place(google_sts_url, "upstream.google_sts_url")
        self._iam = _place(google_iam_url, "upstream.google_iam_url")
        self._google_url = google_token_url
        self._subjects = subjects or Subjects(pool)
        self._off = off
        self._clock = clock
        self._now = now
        self._numbers = 0
        self._held: dict[_Name, Token] = {}
        self._flights: dict[_Name, tuple[int, asyncio.Task[Token]]] = {}
        self._refused: dict[_Name, tuple[int, float, Refusal]] = {}

    async def token(
        self, owner: str, uid: str, version: int, form: Form, scope: str, path: str = ""
    ) -> tuple[Token, bool]:
        """(a token for this version of the key, whether it was bought just now). `path` is the key's; a subject token
        is read for no key whose path is not known.

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
            flight = (version, asyncio.create_task(self._buy(name, version, form, scope, path)))
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

    async def _buy(self, name: _Name, version: int, form: Form, scope: str, path: str) -> Token:
        mine = asyncio.current_task()
        try:
            given = await self._ask(name, version, form, scope, path)
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

    async def _ask(self, name: _Name, version: int, form: Form, scope: str, path: str) -> _Given:
        # Connections of their own, as for every key: no reply of one key's is read as another's.
        connection = ("token", *name, version)
        if isinstance(form, Entra):
            origin, root = self._entra
            fields = {
                "grant_type": "client_credentials",
                "client_id": form.client_id,
                "client_secret": form.client_secret,
                "scope": scope,
            }
            where = (origin, f"{root}/{form.tenant_id}/oauth2/v2.0/token")
            return await self._bought("Entra ID", where, connection, fields)
        if isinstance(form, ServiceAccount):
            now = int(self._now())
            assertion = await asyncio.to_thread(_assertion, form, scope, self._google_url, now)
            fields = {"grant_type": _JWT_BEARER, "assertion": assertion}
            return await self._bought("Google", self._google, connection, fields, "an assertion")
        if isinstance(form, ExternalAccount):
            subject = await self._subjects.token(form, path, connection)
            # Where an account acts, the token in between is good for that alone.
            wanted = scope if form.account is None else IAM_SCOPE
            fields = exchange(form, subject, wanted)
            given = await self._bought("Google", self._sts, connection, fields, "a subject token")
            return given if form.account is None else await self._acted(form, form.account, given, scope, connection)
        raise Fault("internal", "An access key of AWS buys no token.")

    async def _bought(
        self,
        whose: str,
        where: tuple[Origin, str],
        connection: tuple[str | int, ...],
        fields: dict[str, str],
        timed: str = "",
    ) -> _Given:
        """The token that an OAuth endpoint gives for a form; `timed` is what in it holds the time of day."""
        body = await self._post(whose, where, connection, _FORM, urlencode(fields).encode(), timed)
        given = _read(body)
        if given is None:
            raise _no_token(whose, 200)
        return given

    async def _acted(
        self, form: ExternalAccount, account: str, given: _Given, scope: str, connection: tuple[str | int, ...]
    ) -> _Given:
        """The token of the service account that the holder of `given` may act as."""
        origin, root = self._iam
        bearer = (b"authorization", b"Bearer " + given.access_token.encode())
        asked = msgspec.json.encode({"scope": [scope], "lifetime": f"{form.lifetime}s"})
        where = (origin, root + impersonation(account))
        body = await self._post("Google", where, connection, [*_JSON, bearer], asked)
        try:
            acted = _acted(body)
            # Its end is a time of day: with a clock that is behind it would seem to last longer than was asked for.
            lasts = min(form.lifetime, int(acted.expireTime.timestamp() - self._now()))
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
            raise _no_token("Google", 200) from None
        if not _fits(acted.accessToken):
            raise _no_token("Google", 200)
        return _Given(acted.accessToken, lasts, "Bearer")

    async def _post(
        self,
        whose: str,
        where: tuple[Origin, str],
        connection: tuple[str | int, ...],
        headers: Headers,
        body: bytes,
        timed: str = "",
    ) -> bytes:
        """The body of a 200. Raises Upstream `upstream_unauthorized`, Fault `key_unavailable`."""
        origin, target = where
        try:
            async with await self._pool.request(
                origin, connection, "POST", target, headers, body, _DEADLINES
            ) as response:
                status, said, got = response.status, await response.read_all(REPLY_LIMIT), response.headers
        except Upstream as failure:
            raise Fault(
                "key_unavailable",
                f"The token endpoint of {whose} cannot be used ({failure.reason.removeprefix('upstream_')}).",
                advice="The operator looks at the settings `upstream.entra_authority`, `upstream.google_token_url`,"
                " `upstream.google_sts_url` and `upstream.google_iam_url`.",
                retry_after=REFUSED_S,
            ) from None
        if status in (400, 401, 403):
            # Where nothing that was sent holds the time, a wrong clock is not what is wrong.
            ahead = clocks.skew(got, round(self._now() * 1000), clocks.ASSERTION_S) if timed else 0
            if ahead:
                self._off(ahead)
            raise Upstream(
                "upstream_unauthorized",
                f"{whose} gives no token for the key that serves this call (status {status}).",
                advice=clocks.words(ahead, timed)
                if ahead
                else "Its secret may be wrong, expired or revoked; whoever owns the key puts a new one with"
                " `sekimori key rotate`.",
            )
        if status != 200:
            raise _no_token(whose, status)
        return said


def _end(held: dict[_Name, _Item], name: _Name, item: _Item) -> None:
    if held.get(name) is item:
        del held[name]


def _read(body: bytes) -> _Given | None:
    try:
        given = _given(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    bearer = given.token_type.lower() == "bearer" and given.expires_in > 0
    return given if bearer and _fits(given.access_token) else None


def _fits(token: str) -> bool:
    """Whether a token can stand in a header field."""
    data = token.encode()
    return 0 < len(data) <= REPLY_LIMIT and not data.translate(None, _VISIBLE)


def _no_token(whose: str, status: int) -> Fault:
    return Fault(
        "key_unavailable",
        f"The token endpoint of {whose} did not answer with a token (status {status}).",
        advice="Retry.",
        retry_after=REFUSED_S,
    )


def _place(url: str, setting: str) -> tuple[Origin, str]:
    origin, path = endpoint(url, setting, query=False)
    return origin, path.rstrip("/")


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
