"""The practice provider in the clothes of the clouds: their paths, how they authenticate, how they word and frame.

What a cloud checks is checked for real, by code of its own: the assertion of a service account against its public key,
an AWS signature by computing it again. Who may come in is registered by whoever starts it (`clients`, `accounts`,
`access_keys`); nothing is by default. Answers are the practice provider's, wrapped by `Dressed`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import parse_qs, quote, unquote
from zlib import crc32

import msgspec
from msgspec import Struct

from sekimori.dialects.sse import Cutter, fields
from sekimori.errors import Refused
from sekimori.http.message import Reply, Request
from sekimori.terms import Dialect, Headers, Operation

Cloud = Literal["azure", "google", "aws", "plain"]
FRAMES: Final = (b"content-type", b"application/vnd.amazon.eventstream")
SKEW_S: Final = 300
_PREFIX: Final = "sandbox-token-"
_JSON: Final = (b"content-type", b"application/json")
_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    429: "RESOURCE_EXHAUSTED",
}
_EXCEPTIONS: Final = {"rate_limit_error": "throttlingException", "overloaded_error": "serviceUnavailableException"}
_NAMES: Final = {400: "ValidationException", 403: "AccessDeniedException", 429: "ThrottlingException"}
_PROJECT: Final = r"/v1/projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)"
_encode: Final = msgspec.json.Encoder().encode


class Door(Struct, frozen=True):
    """What a path means."""

    cloud: Cloud
    dialect: Dialect
    operation: Operation = "chat"
    model: str = ""
    """Where the path names it."""
    stream: bool | None = None
    """Where the path says so."""
    version: str = ""
    """What `anthropic_version` must be in the body."""
    framed: bool = False


_DOORS: Final[tuple[tuple[re.Pattern[str], Door], ...]] = tuple(
    (re.compile(pattern, re.ASCII), door)
    for pattern, door in (
        (r"/openai/deployments/(?P<model>[^/]+)/chat/completions", Door("azure", "openai")),
        (r"(?:/openai)?/v1/chat/completions", Door("plain", "openai")),
        (r"/anthropic/v1/messages", Door("plain", "anthropic")),
        (r"/anthropic/v1/messages/count_tokens", Door("plain", "anthropic", "count_tokens")),
        (r"/api/v1/chat/completions", Door("plain", "openai")),
        (r"/api/v1/messages", Door("plain", "anthropic")),
        (_PROJECT + r"/endpoints/openapi/chat/completions", Door("google", "openai")),
        (
            _PROJECT + r"/publishers/anthropic/models/count-tokens:rawPredict",
            Door("google", "anthropic", "count_tokens", version="vertex-2023-10-16"),
        ),
        (
            _PROJECT + r"/publishers/anthropic/models/(?P<model>[^/:]+):(?:rawPredict|streamRawPredict)",
            Door("google", "anthropic", version="vertex-2023-10-16"),
        ),
        (
            r"/model/(?P<model>[^/]+)/invoke",
            Door("aws", "anthropic", stream=False, version="bedrock-2023-05-31"),
        ),
        (
            r"/model/(?P<model>[^/]+)/invoke-with-response-stream",
            Door("aws", "anthropic", stream=True, version="bedrock-2023-05-31", framed=True),
        ),
    )
)
_ENTRA: Final = re.compile(r"/([^/]+)/oauth2/v2\.0/token", re.ASCII)


class Clouds:
    """Who may come in, which tokens are good, and what went wrong with them."""

    def __init__(self) -> None:
        self.clients: dict[tuple[str, str], str] = {}
        """(tenant, client id) -> client secret."""
        self.accounts: dict[str, Any] = {}
        """Service account's mail address -> its RSA public key."""
        self.access_keys: dict[str, tuple[str, str | None]] = {}
        """AWS access key id -> (secret access key, session token or None)."""
        self.audience = ""
        """What an assertion must be for: this token endpoint's URL."""
        self.expires_in = 3600
        self.ahead_s = 0
        """Seconds by which the clock here is ahead."""
        self.tokens: dict[str, float] = {}
        """Good tokens -> when they end."""
        self.bought = 0
        """Requests at the token endpoints."""
        self.fault: tuple[int, bytes] | None = None
        """What the token endpoints answer instead."""

    def _now(self) -> float:
        return time.time() + self.ahead_s

    # Tokens.

    async def token(self, request: Request, reply: Reply) -> bool:
        """Answer a request for a token; False where it is none."""
        tenant = _ENTRA.fullmatch(request.path)
        if tenant is None and request.path != "/token":
            return False
        self.bought += 1
        asked = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        if self.fault is not None:
            await reply.send(self.fault[0], [_JSON], self.fault[1])
            return True
        wrong = self._client(tenant[1], asked) if tenant is not None else self._assertion(asked)
        if wrong:
            error = {"error": wrong, "error_description": f"The sandbox says {wrong}: {sorted(asked)}"}
            await reply.send(401 if wrong == "invalid_client" else 400, [_JSON], _encode(error))
            return True
        token = _PREFIX + hashlib.sha256(f"{self.bought} {sorted(asked)}".encode()).hexdigest()
        self.tokens[token] = self._now() + self.expires_in
        given = {"token_type": "Bearer", "expires_in": self.expires_in, "access_token": token}
        await reply.send(200, [_JSON], _encode(given))
        return True

    def _client(self, tenant: str, asked: dict[str, str]) -> str:
        if asked.get("grant_type") != "client_credentials":
            return "unsupported_grant_type"
        if not asked.get("scope", "").endswith("/.default"):
            return "invalid_scope"
        secret = self.clients.get((tenant, asked.get("client_id", "")))
        good = secret is not None and hmac.compare_digest(secret, asked.get("client_secret", ""))
        return "" if good else "invalid_client"

    def _assertion(self, asked: dict[str, str]) -> str:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        if asked.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return "unsupported_grant_type"
        try:
            head, claims, signature = asked["assertion"].split(".")
            told = msgspec.json.decode(_unbase64url(claims))
            alg = msgspec.json.decode(_unbase64url(head))["alg"]
            key = self.accounts[told["iss"]]
            key.verify(_unbase64url(signature), f"{head}.{claims}".encode(), PKCS1v15(), SHA256())
        except (KeyError, ValueError, TypeError, msgspec.MsgspecError, InvalidSignature):
            return "invalid_grant"
        now = self._now()
        fits = told["iat"] <= now + SKEW_S and now <= told["exp"] <= told["iat"] + 3600 and alg == "RS256"
        scope = told["scope"] == "https://www.googleapis.com/auth/cloud-platform"
        return "" if fits and scope and told["aud"] == self.audience else "invalid_grant"

    # Calls.

    @staticmethod
    def signed(request: Request) -> bool:
        """Whether it came with an AWS signature."""
        return (request.header(b"authorization") or b"").startswith(b"AWS4-")

    @staticmethod
    def find(request: Request) -> Door | None:
        """What the request's path means; None where it is no cloud's."""
        for pattern, door in _DOORS:
            match = pattern.fullmatch(request.path)
            if match is not None:
                model = unquote(match.groupdict().get("model") or "")
                stream = door.stream
                if door.version.startswith("vertex") and door.operation == "chat":
                    stream = request.path.endswith(":streamRawPredict")
                cloud = door.cloud
                if cloud == "plain" and request.all(b"api-key"):
                    cloud = "azure"
                elif cloud == "plain" and Clouds.signed(request):
                    cloud = "aws"
                if cloud == "azure" and door.model != model and not re.search(r"api-version=20\d\d", request.target):
                    raise Refused("not_found", "Resource not found.", status=404)
                return msgspec.structs.replace(door, model=model, stream=stream, cloud=cloud)
        return None

    def admit(self, request: Request, door: Door, body: bytes) -> str:
        """The key, token or access key id that the request came with. Raises Refused, in the cloud's words."""
        given = request.header(b"authorization") or b""
        if given.startswith(b"AWS4-HMAC-SHA256 "):
            return self._signed(request, given.decode("ascii"), body)
        alone = request.header(b"api-key") or request.header(b"x-api-key")
        key = (alone or given.removeprefix(b"Bearer ")).decode("latin-1")
        if key.startswith(_PREFIX) or door.cloud == "google":
            if self.tokens.get(key, 0.0) < self._now():
                raise Refused("credential_unknown", f"Token {key} is expired or was never given.", status=401)
        elif not key:
            raise Refused("credential_missing", "Access denied due to invalid subscription key.", status=401)
        elif door.cloud == "azure" and alone is None:
            raise Refused("credential_unknown", "Access denied: no api-key and no token.", status=401)
        return key

    def value(self, door: Door, value: dict[str, Any]) -> dict[str, Any]:
        """The body with what the path says of the call. Raises Refused where the body is not as the cloud wants it."""
        if door.version:
            if value.get("anthropic_version") != door.version:
                raise Refused("bad_request", f"anthropic_version: must be {door.version}.")
            unwanted = {"model", "stream"} if door.cloud == "aws" else {"model"}
            if door.operation == "chat" and unwanted & value.keys():
                raise Refused("bad_request", "Malformed input request: extraneous key is not permitted.")
        named = {"model": door.model} if door.model else {}
        stream = {} if door.stream is None else {"stream": door.stream}
        return {**value, **named, **stream}

    def _signed(self, request: Request, given: str, body: bytes) -> str:
        """Check a signature by making it again (AWS, "Signature Version 4 signing process")."""
        told = dict(part.split("=", 1) for part in given.removeprefix("AWS4-HMAC-SHA256 ").replace(" ", "").split(","))
        access, day, region, service, end = told["Credential"].split("/")
        secret, session = self.access_keys.get(access, ("", None))
        signed = told["SignedHeaders"].split(";")
        stamp = (request.header(b"x-amz-date") or b"").decode()
        if not secret or end != "aws4_request" or not {"host", "x-amz-date"} <= set(signed):
            raise Refused("credential_unknown", "The security token included in the request is invalid.", status=403)
        if session is not None and (request.header(b"x-amz-security-token") or b"").decode() != session:
            raise Refused("credential_unknown", "The security token included in the request is invalid.", status=403)
        path, _, query = request.target.partition("?")
        lines = [f"{name}:{(request.header(name.encode()) or b'').decode('latin-1').strip()}\n" for name in signed]
        asked = "\n".join(
            [request.method, quote(path, safe="/~"), query, "".join(lines), told["SignedHeaders"], _sha256(body)]
        )
        scope = f"{day}/{region}/{service}/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, _sha256(asked.encode())])
        key = b"AWS4" + secret.encode()
        for part in (day, region, service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        if not hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), told["Signature"]):
            raise Refused("credential_unknown", "The request signature we calculated does not match.", status=403)
        at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        if abs(at - self._now()) > SKEW_S or not stamp.startswith(day) or service not in ("bedrock", "bedrock-mantle"):
            raise Refused("credential_unknown", f"Signature expired: {stamp} is now too early or too late.", status=403)
        return f"{access} {region} {service}"

    def refusal(self, door: Door, status: int, text: str) -> tuple[int, Headers, bytes]:
        """An error as the cloud words it."""
        if door.cloud == "aws":
            name = _NAMES.get(status, "InternalServerException")
            return status, [_JSON, (b"x-amzn-errortype", name.encode())], _encode({"message": text})
        if door.cloud == "google":
            error = {"code": status, "message": text, "status": _STATUSES.get(status, "INTERNAL")}
            return status, [_JSON], _encode([{"error": error}])
        return status, [_JSON], _encode({"error": {"code": str(status), "message": text}})


class Dressed:
    """A reply in a cloud's words and framing, for a handler that knows neither."""

    def __init__(self, reply: Reply, clouds: Clouds, door: Door) -> None:
        self._reply = reply
        self._clouds = clouds
        self._door = door
        self._cutter = Cutter()

    async def send(self, status: int, headers: Headers, body: bytes) -> None:
        if status < 400:
            await self._reply.send(status, headers, body)
            return
        said = msgspec.json.decode(body)["error"]["message"]
        status, worded, body = self._clouds.refusal(self._door, status, said)
        kept = [field for field in headers if field[0] != b"content-type"]
        await self._reply.send(status, [*worded, *kept], body)

    async def start(self, status: int, headers: Headers, *, length: int | None = None) -> None:
        if self._door.framed:
            headers = [FRAMES if field[0] == b"content-type" else field for field in headers]
        await self._reply.start(status, headers, length=length)

    async def write(self, data: bytes) -> None:
        await self._reply.write(self._framed(data))

    async def finish(self, data: bytes = b"") -> None:
        await self._reply.finish(self._framed(data) + (bytes(self._cutter.tail) if self._door.framed else b""))

    def abort(self) -> None:
        self._reply.abort()

    def _framed(self, data: bytes) -> bytes:
        if not self._door.framed:
            return data
        return b"".join(_frame_of(event) for event in self._cutter.cut(data))


def _frame_of(event: bytes) -> bytes:
    name, data = fields(event)
    if data is None:
        return b""
    if name == b"error":
        kind = msgspec.json.decode(data)["error"]["type"]
        told = {":message-type": "exception", ":exception-type": _EXCEPTIONS.get(kind, "internalServerException")}
        return frame(told, _encode({"message": "as asked: arn:aws:iam::1:user/sandbox-owner"}))
    payload = _encode({"bytes": base64.b64encode(data).decode(), "p": "abcdefghij"[: len(data) % 10]})
    told = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    return frame(told, payload)


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One frame of Amazon's event stream."""
    block = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()
        for name, value in headers.items()
    )
    prelude = (16 + len(block) + len(payload)).to_bytes(4, "big") + len(block).to_bytes(4, "big")
    whole = prelude + crc32(prelude).to_bytes(4, "big") + block + payload
    return whole + crc32(whole).to_bytes(4, "big")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _unbase64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
