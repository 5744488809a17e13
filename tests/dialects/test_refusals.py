"""Refusals in the caller's dialect: the real SDKs raise their own exceptions; a provider's secrets stay behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anthropic as anthropic_sdk
import httpx2
import openai as openai_sdk
import pytest

from sekimori.dialects import anthropic, openai
from sekimori.dialects.words import safe
from sekimori.errors import REASONS, Fault, Refusal, Refused, Upstream
from sekimori.terms import Headers

LIMIT = 20.0


@asynccontextmanager
async def answering(status: int, headers: Headers, body: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A raw server that gives one answer to whatever is asked; yields its origin and the request lines it saw."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        await reader.readexactly(length)
        seen.append(head.split(b"\r\n")[0])
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        writer.write(b"HTTP/1.1 %d X\r\n" % status + lines + b"content-length: %d\r\n" % len(body))
        writer.write(b"connection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen


async def with_openai(origin: str, **options: Any) -> Any:
    async with httpx2.AsyncClient(trust_env=False) as http:
        client = openai_sdk.AsyncOpenAI(api_key="k", base_url=origin, timeout=LIMIT, http_client=http, max_retries=1)
        reply = await client.chat.completions.create(model="m", messages=[], **options)
        return [chunk async for chunk in reply] if options.get("stream") else reply


async def with_anthropic(origin: str, **options: Any) -> Any:
    async with httpx2.AsyncClient(trust_env=False) as http:
        client = anthropic_sdk.AsyncAnthropic(
            api_key="k", base_url=origin, timeout=LIMIT, http_client=http, max_retries=1
        )
        reply = await client.messages.create(model="m", max_tokens=1, messages=[], **options)
        return [event async for event in reply] if options.get("stream") else reply


Call = Callable[..., Any]
SPEAKERS: list[tuple[Any, Call, Any]] = [
    (openai, with_openai, openai_sdk),
    (anthropic, with_anthropic, anthropic_sdk),
]
BOTH = pytest.mark.parametrize(("speech", "call", "sdk"), SPEAKERS, ids=["openai", "anthropic"])


def made(reason: str, retry_after: float | None = None) -> Refusal:
    kind = Upstream if reason.startswith("upstream") else Fault if REASONS[reason][1] in (500, 503) else Refused
    return kind(reason, "What is wrong.", advice="What to do.", retry_after=retry_after)


EXPECTED = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    500: "InternalServerError",
    502: "InternalServerError",
    503: "InternalServerError",
    504: "InternalServerError",
    529: "InternalServerError",
}
FINER = {
    413: "ContentTooLargeError",
    503: "ServiceUnavailableError",
    504: "GatewayTimeoutError",
    529: "OverloadedError",
}
"""What Anthropic's SDK raises more exactly."""


@BOTH
@pytest.mark.parametrize("reason", REASONS)
async def test_every_reason_raises_the_sdks_own_exception(speech: Any, call: Call, sdk: Any, reason: str) -> None:
    refusal = made(reason)
    async with answering(*speech.refusal(refusal, "01890000-0000-7000-8000-000000000000")) as (origin, seen):
        with pytest.raises(sdk.APIStatusError) as raised:
            await call(origin)
    error = raised.value
    assert isinstance(error, getattr(sdk, EXPECTED.get(refusal.status, "APIStatusError")))
    if sdk is anthropic_sdk and refusal.status in FINER:
        assert type(error).__name__ == FINER[refusal.status]
    assert len(seen) == 1, "a retry is pointless, and the SDK was told so"
    assert "What is wrong. What to do." in str(error)
    assert error.request_id == "01890000-0000-7000-8000-000000000000"
    if sdk is openai_sdk:
        assert error.code == reason
        assert error.status_code == (503 if refusal.status == 529 else refusal.status)
    else:
        assert error.status_code == refusal.status
        assert json.loads(error.response.content)["request_id"] == error.request_id


@BOTH
@pytest.mark.parametrize("reason", ["rate_limited", "upstream_overloaded", "upstream_rate_limited", "draining"])
async def test_the_sdk_retries_where_it_is_worth_while(speech: Any, call: Call, sdk: Any, reason: str) -> None:
    status, headers, body = speech.refusal(made(reason, retry_after=0.3))
    assert (b"retry-after", b"1") in headers
    assert not [name for name, _ in headers if name == b"x-should-retry"]
    # The shortest wait a server can name is a second; the SDK's own unit makes the test quick.
    async with answering(status, [*headers, (b"retry-after-ms", b"1")], body) as (origin, seen):
        with pytest.raises(sdk.APIStatusError):
            await call(origin)
    assert len(seen) == 2


@BOTH
async def test_an_error_in_mid_stream_raises(speech: Any, call: Call, sdk: Any) -> None:
    begin = b'data: {"id":"c","object":"chat.completion.chunk","created":0,"model":"m","choices":[]}\n\n'
    if speech is anthropic:
        begin = b'event: ping\ndata: {"type":"ping"}\n\n'
    body = begin + speech.stream_error(made("upstream_truncated"))
    async with answering(200, [(b"content-type", b"text/event-stream")], body) as (origin, _):
        with pytest.raises(sdk.APIError, match=r"What is wrong\. What to do\."):
            await call(origin, stream=True)


@BOTH
def test_headers_of_a_refusal(speech: Any, call: Call, sdk: Any) -> None:
    refused = Refused("rate_limited", "Slow down.", retry_after=2.1, headers=(("X-Limit", "5"),))
    _, headers, _ = speech.refusal(refused, "r-1")
    fields = dict(headers)
    assert fields[b"content-type"] == b"application/json"
    assert fields[b"retry-after"] == b"3"
    assert fields[b"x-limit"] == b"5"
    assert fields[b"x-request-id"] == b"r-1"
    assert dict(speech.refusal(made("credential_missing"))[1])[b"www-authenticate"] == b"Bearer"
    assert all(name == name.lower() for name, _ in headers)


# Providers' errors.

SECRETS = [
    "sk-demo-***abcd",
    "sk-proj-abcdef1234567890",
    "sk-ant-api03-AbCdEf_123-456",
    "gsk_AbCdEf1234567890",
    "AIzaSyD-1234567890abcdef",
    "Bearer abc.def",
    "org-AbCd1234EfGh",
    "proj_AbCd1234EfGh",
    "eyJhbGciOiJIUzI1NiJ9.e30.x",
    "0123456789abcdef0123456789abcdef",
    "123e4567-e89b-12d3-a456-426614174000",
    "admin@corp.example",
    "https://platform.example/account/1?key=abc",
    "********************abcd",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_secret_is_taken_out(secret: str) -> None:
    assert safe(f"The key {secret} is wrong") == "The key [removed] is wrong"
    for speech in (openai, anthropic):
        body = json.dumps({"error": {"message": f"This: {secret}."}}).encode()
        for status in (400, 401, 403, 404, 413, 422, 429, 500, 503, 529):
            refused = speech.read_error(status, body)
            assert secret not in str(refused)


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        "The model `gpt-4o-mini-audio-preview-2024-12-17` does not exist.",
        "messages.0.content.1.image.source.base64.media_type: Input should be 'image/jpeg'",
        "claude-3-5-sonnet-20241022: max_tokens: 300000 > 8192",
    ],
)
def test_what_helps_is_kept(text: str) -> None:
    assert safe(text) == text


def test_words_are_bounded_and_printable() -> None:
    assert "sk-proj" not in safe("x " * 1994 + "sk-proj-abcdef1234567890")
    assert safe("sk-abcdef123456 " * 300 + "sk-abcdef1234").count("[removed]") <= 250
    assert len(safe("x y " * 10_000)) == 1001
    assert safe("a\x1b[2Jb\nc\u202ed") == "a [2Jb c d"


@pytest.mark.parametrize(
    ("status", "reason", "own", "retries"),
    [
        (400, "upstream_refused", 400, False),
        (404, "upstream_refused", 404, False),
        (409, "upstream_refused", 409, False),
        (413, "upstream_refused", 413, False),
        (418, "upstream_refused", 400, False),
        (422, "upstream_refused", 422, False),
        (401, "upstream_unauthorized", 502, False),
        (402, "upstream_unauthorized", 502, False),
        (403, "upstream_unauthorized", 502, False),
        (407, "upstream_unauthorized", 502, False),
        (408, "upstream_timeout", 504, True),
        (429, "upstream_rate_limited", 429, True),
        (500, "upstream_error", 502, True),
        (503, "upstream_overloaded", 529, True),
        (504, "upstream_timeout", 504, True),
        (529, "upstream_overloaded", 529, True),
        (302, "upstream_error", 502, True),
        (101, "upstream_error", 502, True),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[" * 9999, b'{"error":"x"}', b'{"error":{"message":5}}', b'{"error":{"message":"Why."}}']
)
def test_a_providers_status_becomes_a_refusal(status: int, reason: str, own: int, retries: bool, body: bytes) -> None:
    for speech in (openai, anthropic):
        refused = speech.read_error(status, body)
        assert (refused.reason, refused.status) == (reason, own)
        assert (refused.retry_after is not None) == retries
        assert ("Why." in refused.text) == (reason == "upstream_refused" and b"Why." in body)
