"""The practice provider's handler: doors, scenarios, and its own count of what happened.

It is a provider's double for tests, benchmarks and for trying a policy: never a model, and it says so in every reply
(`x-sandbox: sekimori`, and in words). Its count is independent of the gateway's, so the two can be compared.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
from collections import OrderedDict
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

import msgspec
from msgspec import Struct

from sekimori.dialects.speech import SPEECH, VOICE
from sekimori.dialects.strict import read_object
from sekimori.errors import Refusal, Refused, Upstream
from sekimori.http.message import Reply, Request
from sekimori.sandbox import completions, embeddings, gemini, images, moderations, replies, rerank, responses
from sekimori.sandbox.clouds import GIVEN, VERTEX, Clouds, Door, Dressed
from sekimori.sandbox.replies import Heard, Said, fingerprint, say
from sekimori.sandbox.scenarios import PREFIX, SCENARIOS, Scenario, choose
from sekimori.terms import Dialect, Headers, Operation

KEYS_KEPT: Final = 1000
LAST_BYTES: Final = 256 * 1024
"""Bytes of a body that `/sandbox/last` can show."""
HUGE: Final = 80 * 1024 * 1024
HUGE_EVENT: Final = 9 * 1024 * 1024

MARK: Final = (b"x-sandbox", b"sekimori")
JSON: Final = (b"content-type", b"application/json")
EVENTS: Final = (b"content-type", b"text/event-stream")
# What a provider says of the key's owner, and what must not reach the caller of a gateway.
OWNERS: Final[Headers] = [
    (b"openai-organization", b"org-sandbox-owner"),
    (b"anthropic-organization-id", b"sandbox-owner"),
    (b"x-ratelimit-remaining-requests", b"59"),
    (b"anthropic-ratelimit-requests-remaining", b"59"),
    (b"set-cookie", b"__cf=sandbox"),
]
_CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie"})
_DOORS: Final[dict[str, tuple[Dialect, Operation]]] = {
    "/v1/chat/completions": ("openai", "chat"),
    "/v1/responses": ("openai", "responses"),
    "/v1/embeddings": ("openai", "embeddings"),
    "/v1/moderations": ("openai", "moderations"),
    "/v1/completions": ("openai", "completions"),
    "/v1/rerank": ("openai", "rerank"),
    "/v1/images/generations": ("openai", "images"),
    "/v1/messages": ("anthropic", "chat"),
    "/v1/messages/count_tokens": ("anthropic", "count_tokens"),
}
_MANNERS: Final[dict[Operation, ModuleType]] = {
    "responses": responses,
    "embeddings": embeddings,
    "moderations": moderations,
    "completions": completions,
    "rerank": rerank,
    "images": images,
}
"""Operations that are not said as `replies` says a chat."""
_encode: Final = msgspec.json.Encoder().encode


class Total(Struct):
    """What came with one key."""

    requests: int = 0
    answered: int = 0
    """Replies that told their usage and ended."""
    failed: int = 0
    """Refused, broken off by a scenario, or left by the caller."""
    input: int = 0
    output: int = 0
    cached: int = 0


def refuse(refusal: Refusal, target: str | None) -> tuple[int, Headers, bytes]:
    """A refusal in the dialect that the target suggests."""
    dialect: Dialect = "anthropic" if target is not None and target.startswith("/v1/messages") else "openai"
    if target is not None and (target.startswith(gemini.ROOT) or "/publishers/google/" in target):
        dialect = "gemini"
    status, headers, body = VOICE[dialect].refusal(refusal)
    return status, [*headers, MARK], body


class Provider:
    """A handler for `http.server.Server`."""

    def __init__(self) -> None:
        self.totals: OrderedDict[str, Total] = OrderedDict()
        """By the key's fingerprint."""
        self.last: OrderedDict[str, dict[str, Any]] = OrderedDict()
        """The last request with each key, credentials taken out."""
        self._kept = responses.Kept()
        self.clouds = Clouds()

    async def __call__(self, request: Request, reply: Reply) -> None:
        path = request.path
        if path.startswith("/sandbox/"):
            await self._tell(request, reply)
        elif path == "/v1/models" or path.startswith("/v1/models/"):
            await self._models(request, reply)
        elif (meant := gemini.method_of(path)) is not None:
            await self._gemini(*meant, request, reply)
        elif path.startswith(gemini.ROOT):
            await self._models(request, reply, gemini.ROOT)
        elif path.startswith("/v1/responses/"):
            await self._stored(request, reply)
        elif path in _DOORS and not self.clouds.signed(request):
            if request.method != "POST":
                raise Refused("method_not_allowed", "The sandbox takes POST here.")
            dialect, operation = _DOORS[path]
            await self._answer(dialect, operation, request, reply)
        elif (door := self.clouds.find(request)) is not None:
            await self._answer(door.dialect, door.operation, request, Dressed(reply, self.clouds, door), door)
        elif await self.clouds.token(request, reply):
            return
        else:
            raise Refused(
                "unsupported_operation", f"The sandbox has no {path[:100]}.", advice="See /sandbox/scenarios."
            )

    async def _tell(self, request: Request, reply: Reply) -> None:
        """What the sandbox knows of itself. Needs no key: fingerprints are all it shows."""
        name = request.path.removeprefix("/sandbox/")
        shown: Any
        if name == "totals":
            shown = {"keys": self.totals, "requests": sum(total.requests for total in self.totals.values())}
        elif name == "scenarios":
            shown = {"by": [f"model {PREFIX}NAME", "a key that contains NAME"], "scenarios": dict(SCENARIOS)}
        elif name.startswith("last/") and name.removeprefix("last/") in self.last:
            shown = self.last[name.removeprefix("last/")]
        else:
            raise Refused(
                "unsupported_operation", "The sandbox tells /sandbox/scenarios, /totals and /last/FINGERPRINT."
            )
        await reply.send(200, [JSON, MARK], _encode(shown))

    async def _models(self, request: Request, reply: Reply, root: str = "/v1/models") -> None:
        _key(request, (b"x-api-key", b"x-goog-api-key"))
        speech = VOICE["anthropic" if request.all(b"anthropic-version") else "openai"]
        if root == gemini.ROOT:
            speech = VOICE["gemini"]
        names = [PREFIX + name for name in SCENARIOS]
        wanted = request.path.removeprefix(root).removeprefix("/")
        if wanted and wanted not in names:
            raise Refused("model_not_found", f"The sandbox has no model {wanted[:100]}.")
        await reply.send(200, [JSON, MARK], speech.model_page(wanted) if wanted else speech.models_page(names))

    async def _stored(self, request: Request, reply: Reply) -> None:
        """A call about a response that is kept."""
        key, body = _key(request), await request.body()
        total = self._note(key, request, body)
        try:
            told = self._kept.answer(request.method, request.path.removeprefix("/v1/responses/"), request.query, key)
            await reply.send(200, [JSON, MARK, *OWNERS], _encode(told))
        except BaseException:
            total.failed += 1
            raise
        total.answered += 1

    async def _answer(
        self,
        dialect: Dialect,
        operation: Operation,
        request: Request,
        reply: Reply | Dressed,
        door: Door | None = None,
    ) -> None:
        body = await request.body()
        try:
            key = _key(request) if door is None else self.clouds.admit(request, door, body)
        except Refused as refused:
            if door is None:
                raise
            await reply.send(refused.status, [MARK], _encode({"error": {"message": refused.text}}))
            return
        total = self._note(key, request, body)
        try:
            value, _ = read_object(body)
            if door is not None:
                value = self.clouds.value(door, value)
            manner = _MANNERS.get(operation, replies)
            if operation == "responses":
                value = self._kept.before(value, key)
            heard = manner.hear(dialect, value, key)
            if door is not None and door.cloud == "mistral":
                heard = msgspec.structs.replace(heard, usage_at_finish=True)
            scenario = choose(heard.model, key)
            if scenario is None:
                known = ", ".join(PREFIX + name for name in ("echo", "rate-limited", "slow-stream"))
                raise Refused(
                    "model_not_found", f"The sandbox has no model {heard.model[:100]}.", advice=f"Try {known}."
                )
            said = manner.say(heard, body)
            if await self._fail(scenario, heard, said, key, reply):
                raise _Failed
            if operation == "count_tokens":
                await reply.send(200, [JSON, MARK], _encode({"input_tokens": heard.words}))
            else:
                if operation == "responses":
                    self._kept.keep(heard, key, said)
                await self._say(scenario, heard, said, reply)
                total.input += said.usage.input
                total.output += said.usage.output
                total.cached += said.usage.cached
            total.answered += 1
        except _Failed:
            total.failed += 1
        except Refused as refused:
            total.failed += 1
            if door is None:
                raise
            await reply.send(refused.status, [MARK], _encode({"error": {"message": refused.text}}))
        except BaseException:
            total.failed += 1
            raise

    async def _gemini(self, model: str, method: str, request: Request, reply: Reply) -> None:
        """A call in the Gemini dialect, whose path names model and method."""
        if request.method != "POST":
            raise Refused("method_not_allowed", "The sandbox takes POST here.")
        body = await request.body()
        placed = gemini.VERTEX.fullmatch(request.path) is not None
        key = self.clouds.admit(request, VERTEX, body) if placed else _key(request, (b"x-goog-api-key",))
        total = self._note(key, request, body)
        try:
            value, _ = read_object(body)
            if placed:
                gemini.check_vertex(method, value)
            heard = gemini.hear(model, method == "streamGenerateContent", value, key)
            scenario = choose(model, key)
            if scenario is None:
                raise Refused("model_not_found", f"models/{model[:100]} is not found for API version v1beta.")
            said = say(heard, body)
            if await self._fail(scenario, heard, said, key, reply):
                raise _Failed
            operation = gemini.METHODS[method]
            if operation == "count_tokens":
                await reply.send(200, [JSON, MARK], gemini.count(heard))
            elif operation == "embeddings":
                await reply.send(200, [JSON, MARK, *OWNERS], gemini.embedded(heard, value))
                total.input += heard.words
            else:
                await self._say(scenario, heard, said, reply, array=heard.stream and "alt=sse" not in request.query)
                total.input += said.usage.input
                total.output += said.usage.output
                total.cached += said.usage.cached
            total.answered += 1
        except _Failed:
            total.failed += 1
        except BaseException:
            total.failed += 1
            raise

    def _note(self, key: str, request: Request, body: bytes) -> Total:
        name = fingerprint(key)
        total = self.totals.get(name)
        if total is None:
            total = self.totals[name] = Total()
            if len(self.totals) > KEYS_KEPT:
                self.totals.popitem(last=False)
        total.requests += 1
        self.last[name] = {
            "method": request.method,
            "target": request.target,
            "headers": [
                (field.decode("latin-1"), name if field in _CREDENTIALS else value.decode("latin-1"))
                for field, value in request.headers
            ],
            "bytes": len(body),
            "body": base64.b64encode(body).decode() if len(body) <= LAST_BYTES else None,
        }
        if len(self.last) > KEYS_KEPT:
            self.last.popitem(last=False)
        return total

    async def _fail(self, scenario: Scenario, heard: Heard, said: Said, key: str, reply: Reply | Dressed) -> bool:
        """Do what a failing scenario does. False where the scenario answers in the end."""
        name = scenario.name
        if name in _REFUSALS:
            status, headers, body = _refusal(heard.dialect, name, key)
            await reply.send(status, [*headers, MARK, *OWNERS], body)
        elif name == "disconnect":
            reply.abort()
        elif name == "redirect":
            await reply.send(302, [(b"location", b"http://elsewhere.invalid/"), MARK], b"")
        elif name == "compressed":
            packed = gzip.compress(_whole(heard, said), mtime=0)
            await reply.send(200, [JSON, (b"content-encoding", b"gzip"), MARK], packed)
        elif name == "wrong-type":
            await reply.send(200, [JSON if heard.stream else EVENTS, MARK], _whole(heard, said))
        elif name in _BROKEN:
            await (_broken_stream if heard.stream else _broken_plain)(name, heard, said, reply)
        else:
            return False
        return True

    async def _say(
        self, scenario: Scenario, heard: Heard, said: Said, reply: Reply | Dressed, *, array: bool = False
    ) -> None:
        name, manner = scenario.name, _manner(heard)
        usage = _USAGES[name](heard) if name in _USAGES else manner.figures(heard.dialect, said.usage)
        if name == "slow-first-byte":
            await asyncio.sleep(scenario.pause_s)
        pause = scenario.pause_s if name == "slow-stream" else 0.0
        if not heard.stream:
            body = manner.plain(heard, said, usage)
            if not pause:
                await reply.send(200, [JSON, MARK, *OWNERS], body)
                return
            await reply.start(200, [JSON, MARK], length=len(body))
            step = max(1, len(body) // 4)
            pieces: Iterator[bytes] = (body[at : at + step] for at in range(0, len(body), step))
        else:
            await reply.start(200, [JSON if array else EVENTS, MARK, *OWNERS])
            pieces = gemini.elements(heard, said, usage) if array else manner.events(heard, said, usage)
        held = b""
        for piece in pieces:
            if held:
                await reply.write(held)
            if pause:
                await asyncio.sleep(pause)
            held = piece
        await reply.finish(held)


class _Failed(Exception):
    """A scenario failed the call as it should."""


def _manner(heard: Heard) -> ModuleType:
    """The module that says it: `figures`, `plain` and `events`."""
    return gemini if heard.dialect == "gemini" else _MANNERS.get(heard.operation, replies)


def _whole(heard: Heard, said: Said) -> bytes:
    manner = _manner(heard)
    whole: bytes = manner.plain(heard, said, manner.figures(heard.dialect, said.usage))
    return whole


def _key(request: Request, names: tuple[bytes, ...] = (b"x-api-key",)) -> str:
    """The key of a request. Raises Refused `credential_missing`."""
    given = request.header(b"authorization") or b""
    key = next((value for name in names if (value := request.header(name))), b"")
    if not key and names != (b"x-goog-api-key",):
        key = given[7:] if given[:7].lower() == b"bearer " else b""
    if not key:
        raise Refused("credential_missing", "The sandbox needs a key; any will do.")
    return key.decode("latin-1")


_REFUSALS: Final[dict[str, tuple[str, int, str]]] = {
    "rate-limited": (
        "upstream_rate_limited",
        429,
        "Rate limit reached for requests in organization org-sandbox-owner: Limit 60, Used 60.",
    ),
    "overloaded": ("upstream_overloaded", 529, "Overloaded"),
    "unauthorized": ("credential_unknown", 401, "Incorrect API key provided: {key}."),
    "forbidden": ("scope_missing", 403, "Organization org-sandbox-owner has no access to this model."),
    "bad-request": ("bad_request", 400, "This model's maximum context length is 8 tokens; your messages have 9."),
    "not-found": ("model_not_found", 404, "The model does not exist."),
    "server-error": ("internal", 500, "The server had an error, user admin@sandbox.example was told."),
}
_BROKEN: Final = frozenset(
    {
        "truncated", "cut", "malformed", "malformed-later", "huge", "error-first", "error-first-rate-limited",
        "error-later",
    }
)  # fmt: skip
_USAGES: Final[dict[str, Any]] = {
    "no-usage": lambda heard: None,
    "wrong-usage": lambda heard: "many",
    "negative-usage": lambda heard: _usage(heard, -1),
    "absurd-usage": lambda heard: _usage(heard, 10**18),
}


def _usage(heard: Heard, count: int) -> dict[str, int]:
    if heard.dialect == "openai" and heard.operation not in ("responses", "images"):
        return {"prompt_tokens": count, "completion_tokens": count, "total_tokens": 2 * count}
    if heard.dialect == "gemini":
        return gemini.counted(count)
    return {"input_tokens": count, "output_tokens": count}


def _refusal(dialect: Dialect, name: str, key: str) -> tuple[int, Headers, bytes]:
    reason, status, text = _REFUSALS[name]
    refused = Upstream(
        reason,
        text.format(key=f"{key[:8]}***{key[-4:]}"),
        status=status,
        retry_after=7 if name in ("rate-limited", "overloaded") else None,
    )
    if dialect == "gemini" and name == "unauthorized" and not key.startswith(GIVEN):
        return 400, [JSON], gemini.wrong_key(refused.text)  # as Google has it
    status, headers, body = VOICE[dialect].refusal(refused)
    return status, [field for field in headers if field[0] != b"x-should-retry"], body


async def _broken_plain(name: str, heard: Heard, said: Said, reply: Reply | Dressed) -> None:
    body = _whole(heard, said)
    half = body[: len(body) // 2]
    if name == "truncated":
        await reply.send(200, [JSON, MARK], half)
    elif name in ("malformed", "malformed-later"):
        await reply.send(200, [JSON, MARK], b"<html>sandbox</html>" if name == "malformed" else b"[" + body + b"]")
    elif name == "huge":
        await reply.start(200, [JSON, MARK], length=HUGE)
        for _ in range(HUGE // 65536 - 1):
            await reply.write(b" " * 65536)
        await reply.finish(b" " * 65536)
    elif name == "cut":
        await reply.start(200, [JSON, MARK], length=len(body))
        await reply.write(half)
        reply.abort()
    else:
        failed = heard.operation == "responses"
        body = responses.failed("server_error") if failed else _error_body(heard.dialect, "overloaded")
        await reply.send(200, [JSON, MARK], body)


async def _broken_stream(name: str, heard: Heard, said: Said, reply: Reply | Dressed) -> None:
    manner = _manner(heard)
    whole = list(manner.events(heard, said, manner.figures(heard.dialect, said.usage)))
    await reply.start(200, [EVENTS, MARK])
    if name in ("error-first", "error-first-rate-limited"):
        condition = "rate-limited" if name.endswith("limited") else "overloaded"
        await reply.finish(_error_event(heard, condition))
        return
    if name == "malformed":
        await reply.finish(b"data: <html>sandbox</html>\n\n")
        return
    for event in whole[:3]:
        await reply.write(event)
    if name == "malformed-later":
        await reply.write(b"data: {oops\n\n")
        for event in whole[3:-1]:
            await reply.write(event)
        await reply.finish(whole[-1])
    elif name == "truncated":
        await reply.finish(whole[3][: len(whole[3]) // 2])
    elif name == "cut":
        await reply.write(whole[3])
        reply.abort()
    elif name == "huge":
        await reply.write(b'data: {"choices":"')
        for _ in range(HUGE_EVENT // 65536):
            await reply.write(b"a" * 65536)
        await reply.finish(b'"}\n\n')
    elif heard.operation == "responses":
        await reply.finish(responses.failed_event(heard, said))
    else:
        speech = SPEECH[heard.dialect, heard.operation]
        failed = Upstream("upstream_error", "The sandbox failed, as asked: org-sandbox-owner.")
        await reply.finish(speech.stream_error(failed))


def _error_event(heard: Heard, name: str) -> bytes:
    if heard.operation == "responses":
        return responses.error_event("rate_limit_exceeded" if name == "rate-limited" else "server_overloaded")
    dialect = heard.dialect
    body = _error_body(dialect, name)
    return b"data: " + body + b"\n\n" if dialect in ("openai", "gemini") else b"event: error\ndata: " + body + b"\n\n"


def _error_body(dialect: Dialect, name: str) -> bytes:
    limited = name == "rate-limited"
    if dialect == "gemini":
        return gemini.error_body(name)
    if dialect == "openai":
        code = "rate_limit_exceeded" if limited else "server_overloaded"
        kind = "requests" if limited else "server_error"
        return _encode({"error": {"message": "as asked: org-sandbox-owner", "type": kind, "param": None, "code": code}})
    kind = "rate_limit_error" if limited else "overloaded_error"
    return _encode({"type": "error", "error": {"type": kind, "message": "as asked: org-sandbox-owner"}})
