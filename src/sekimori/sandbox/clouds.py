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
from collections.abc import Callable
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

Cloud = Literal["azure", "google", "aws", "mistral", "plain"]
FRAMES: Final = (b"content-type", b"application/vnd.amazon.eventstream")
SKEW_S: Final = 300
GIVEN: Final = "sandbox-token-"
"""What every token begins with."""
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
        (r"/mistral/v1/chat/completions", Door("mistral", "openai")),
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
VERTEX: Final = Door("google", "gemini")
"""Of Vertex AI's paths in the Gemini dialect, which `gemini.VERTEX` reads."""
_ACCOUNT: Final = re.compile(r"/v1/projects/-/serviceAccounts/([^/:]+):generateAccessToken", re.ASCII)
CLOUD_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
IAM_SCOPE: Final = "https://www.googleapis.com/auth/iam"
_ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name
_JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
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
        self.pools: dict[str, tuple[str, Any]] = {}
        """Provider of a workload identity pool, as an exchange names it -> (issuer, its RSA public key)."""
        self.actors: dict[str, set[str]] = {}
        """Service account's mail address -> subjects of subject tokens that may act as it."""
        self.federated: dict[str, str] = {}
        """Tokens that an exchange gave -> the subject."""
        self.narrow: set[str] = set()
        """Those of them that are good for acting as an account and nothing else."""
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

    def now(self) -> float:
        """Seconds since the epoch, by the clock here."""
        return time.time() + self.ahead_s

    # Tokens.

    async def token(self, request: Request, reply: Reply) -> bool:
        """Answer a request for a token; False where it is none."""
        tenant, account = _ENTRA.fullmatch(request.path), _ACCOUNT.fullmatch(request.path)
        if tenant is None and account is None and request.path not in ("/token", "/v1/token"):
            return False
        self.bought += 1
        body = await request.body()
        if self.fault is not None:
            await reply.send(self.fault[0], [_JSON], self.fault[1])
            return True
        if account is not None:
            status, said = self._acted(unquote(account[1]), request, body)
            await reply.send(status, [_JSON], _encode(said))
            return True
        asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        holder = ""
        if tenant is not None:
            wrong = self._client(tenant[1], asked)
        elif request.path == "/token":
            wrong = self._assertion(asked)
        else:
            wrong, holder = self._exchange(asked)
        if wrong:
            error = {"error": wrong, "error_description": f"The sandbox says {wrong}: {sorted(asked)}"}
            await reply.send(401 if wrong == "invalid_client" else 400, [_JSON], _encode(error))
            return True
        token = self._give(sorted(asked))
        given = {"token_type": "Bearer", "expires_in": self.expires_in, "access_token": token}
        if holder:
            self.federated[token] = holder
            if asked["scope"] == IAM_SCOPE:
                self.narrow.add(token)
            given["issued_token_type"] = _ACCESS_TOKEN
        await reply.send(200, [_JSON], _encode(given))
        return True

    def _give(self, what: object) -> str:
        token = GIVEN + hashlib.sha256(f"{self.bought} {what}".encode()).hexdigest()
        self.tokens[token] = self.now() + self.expires_in
        return token

    def _client(self, tenant: str, asked: dict[str, str]) -> str:
        if asked.get("grant_type") != "client_credentials":
            return "unsupported_grant_type"
        if not asked.get("scope", "").endswith("/.default"):
            return "invalid_scope"
        secret = self.clients.get((tenant, asked.get("client_id", "")))
        good = secret is not None and hmac.compare_digest(secret, asked.get("client_secret", ""))
        return "" if good else "invalid_client"

    def _assertion(self, asked: dict[str, str]) -> str:
        if asked.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return "unsupported_grant_type"
        told = _claims(asked.get("assertion", ""), lambda claims: self.accounts[claims["iss"]])
        if told is None:
            return "invalid_grant"
        scope = told.get("scope") == CLOUD_SCOPE
        return "" if self._timely(told) and scope and told.get("aud") == self.audience else "invalid_grant"

    def _timely(self, told: dict[str, Any]) -> bool:
        now, begun, end = self.now(), told.get("iat"), told.get("exp")
        if not isinstance(begun, int) or not isinstance(end, int):
            return False
        return begun <= now + SKEW_S and now <= end <= begun + 3600

    def _exchange(self, asked: dict[str, str]) -> tuple[str, str]:
        """(what is wrong, else who it is): a token exchange as Google's Security Token Service has it."""
        if asked.get("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange":
            return "unsupported_grant_type", ""
        if asked.get("requested_token_type") != _ACCESS_TOKEN or asked.get("scope") not in (CLOUD_SCOPE, IAM_SCOPE):
            return "invalid_request", ""
        if asked.get("subject_token_type") not in (_JWT, _JWT.removesuffix("jwt") + "id_token"):
            return "invalid_request", ""
        pool = self.pools.get(asked.get("audience", ""))
        if pool is None:
            return "invalid_target", ""
        issuer, key = pool
        told = _claims(asked.get("subject_token", ""), lambda claims: key)
        wanted = {asked["audience"], "https:" + asked["audience"]}
        if told is None or told.get("iss") != issuer or told.get("aud") not in wanted or not self._timely(told):
            return "invalid_grant", ""
        return "", str(told.get("sub", ""))

    def _acted(self, account: str, request: Request, body: bytes) -> tuple[int, dict[str, Any]]:
        """generateAccessToken, for the holder of a token that `_exchange` gave."""
        bearer = (request.header(b"authorization") or b"").decode("latin-1").removeprefix("Bearer ")
        if self.tokens.get(bearer, 0.0) < self.now():
            return 401, {"error": {"code": 401, "message": "Invalid credentials.", "status": "UNAUTHENTICATED"}}
        if self.federated.get(bearer) not in self.actors.get(account, ()):
            text = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."
            return 403, {"error": {"code": 403, "message": text, "status": "PERMISSION_DENIED"}}
        asked = msgspec.json.decode(body)
        lifetime = int(asked.get("lifetime", "3600s").removesuffix("s"))
        if asked.get("scope") != [CLOUD_SCOPE] or not 0 < lifetime <= 43_200:
            return 400, {"error": {"code": 400, "message": "Invalid request.", "status": "INVALID_ARGUMENT"}}
        end = datetime.fromtimestamp(self.now() + min(lifetime, self.expires_in), UTC)
        return 200, {"accessToken": self._give(account), "expireTime": end.strftime("%Y-%m-%dT%H:%M:%SZ")}

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
        if key.startswith(GIVEN) or door.cloud == "google":
            if self.tokens.get(key, 0.0) < self.now():
                raise Refused("credential_unknown", f"Token {key} is expired or was never given.", status=401)
            if key in self.narrow:
                text = "Request had insufficient authentication scopes."
                raise Refused("credential_unknown", text, status=403)
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
        if door.cloud == "mistral" and "stream_options" in value:
            raise Refused(
                "bad_request", "body.stream_options.include_usage: Extra inputs are not permitted", status=422
            )
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
        if not stamp.startswith(day) or service not in ("bedrock", "bedrock-mantle"):
            raise Refused("credential_unknown", "Credential should be scoped to correct service.", status=403)
        ours = datetime.fromtimestamp(self.now(), UTC).strftime("%Y%m%dT%H%M%SZ")
        if at > self.now() + SKEW_S:
            text = f"Signature not yet current: {stamp} is still later than {ours} plus 5 min."
            raise Refused("credential_unknown", text, status=403)
        if at < self.now() - SKEW_S:
            text = f"Signature expired: {stamp} is now earlier than {ours} less 5 min."
            raise Refused("credential_unknown", text, status=403)
        return f"{access} {region} {service}"

    def refusal(self, door: Door, status: int, text: str) -> tuple[int, Headers, bytes]:
        """An error as the cloud words it."""
        if door.cloud == "aws":
            name = _NAMES.get(status, "InternalServerException")
            if "ignature" in text:
                name = "InvalidSignatureException"
            return status, [_JSON, (b"x-amzn-errortype", name.encode())], _encode({"message": text})
        if door.cloud == "mistral":
            said = {"object": "error", "message": text, "type": "invalid_request_error", "param": None, "code": None}
            return status, [_JSON], _encode(said)
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


def _claims(token: str, key_of: Callable[[dict[str, Any]], Any]) -> dict[str, Any] | None:
    """The claims of a JWT whose RS256 signature fits the key of who is said to have made it; None where it does not."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        head, claims, signature = token.split(".")
        told: dict[str, Any] = msgspec.json.decode(_unbase64url(claims), type=dict[str, Any])
        if msgspec.json.decode(_unbase64url(head))["alg"] != "RS256":
            return None
        key_of(told).verify(_unbase64url(signature), f"{head}.{claims}".encode(), PKCS1v15(), SHA256())
    except (KeyError, ValueError, TypeError, msgspec.MsgspecError, InvalidSignature):
        return None
    return told


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _unbase64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
