"""The agents' side: the SDKs of OpenAI, Anthropic and Google, told another base URL and another key, and nothing else.

Everything that the gateway answers is kept on a tape, heads included, so that it can be searched for keys afterwards.
Retries are off: where a refusal is the point, the SDK shall not try again on its own.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from typing import Any, Final

import httpx2  # what two of the SDKs are built on, and the third takes
from anthropic import Anthropic
from google import genai
from google.genai.types import HttpOptions
from msgspec import Struct
from openai import AzureOpenAI, OpenAI

TIMEOUT: Final = 60.0
"""Seconds for a call of the demo; the real model answers in two or three."""
API_VERSION: Final = "2024-06-01"
"""The dated surface that an Azure caller names; which one its provider is asked at is the contract's matter."""

_PER_CALL: Final = frozenset(
    {
        "date",
        "x-request-id",
        "request-id",
        "x-sekimori-record",
    }
)
"""Header fields that name the one call: different on every reply, whatever was asked."""


_NOBODY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts no certificate: the demo speaks to loopback in the clear. Reading the usual ones takes 40 ms a client."""


class Tape:
    """Every byte that the gateway answered."""

    def __init__(self) -> None:
        self.heard = bytearray()

    def client(self) -> httpx2.Client:
        """An HTTP client whose replies are kept; it takes no proxy from the environment."""
        return httpx2.Client(transport=_Taped(self), timeout=TIMEOUT)

    def openai(self, gateway: str, key: str) -> OpenAI:
        """OpenAI's SDK as an agent would use it."""
        return OpenAI(base_url=f"{gateway}/v1", api_key=key, max_retries=0, http_client=self.client())

    def anthropic(self, gateway: str, key: str) -> Anthropic:
        """Anthropic's SDK as an agent would use it."""
        return Anthropic(base_url=gateway, api_key=key, max_retries=0, http_client=self.client())

    def azure(self, gateway: str, key: str) -> AzureOpenAI:
        """The Azure client of OpenAI's SDK: it writes Azure's paths, and sends the key as `api-key`."""
        return AzureOpenAI(
            azure_endpoint=gateway, api_key=key, api_version=API_VERSION, max_retries=0, http_client=self.client()
        )

    def gemini(self, gateway: str, key: str) -> genai.Client:
        """Google's SDK. Hold what is returned while it calls: one that nobody holds closes its connection."""
        options = HttpOptions(base_url=gateway, httpx_client=self.client())
        # Said, for the environment could make it ask for Vertex AI; its retries are off unless asked for.
        return genai.Client(api_key=key, vertexai=False, http_options=options)

    def post(self, url: str, key: str, body: dict[str, Any]) -> Seen:
        """A reply exactly as it came, for comparison."""
        with self.client() as client:
            reply = client.post(url, json=body, headers={"authorization": f"Bearer {key}"})
            return Seen(reply.status_code, list(reply.headers.multi_items()), reply.content)

    def get(self, url: str, key: str = "") -> Seen:
        """The same for GET; without a key where none is wanted."""
        with self.client() as client:
            reply = client.get(url, headers={"authorization": f"Bearer {key}"} if key else {})
            return Seen(reply.status_code, list(reply.headers.multi_items()), reply.content)


class Seen(Struct, frozen=True):
    """A whole reply."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def without(self, name: str) -> tuple[int, list[tuple[str, str]], bytes]:
        """What can be told apart of two replies: all but the ids of the call and the `name` that was asked for."""
        headers = [(field, value) for field, value in self.headers if field not in _PER_CALL]
        body = self.body
        for field, value in self.headers:
            if field in _PER_CALL:
                body = body.replace(value.encode(), b"ID")
        return self.status, headers, body.replace(name.encode(), b"NAME")


class _Taped(httpx2.BaseTransport):
    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._inner = httpx2.HTTPTransport(trust_env=False, verify=_NOBODY)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = self._inner.handle_request(request)
        for name, value in response.headers.raw:
            self._tape.heard += name + b": " + value + b"\r\n"
        assert isinstance(response.stream, httpx2.SyncByteStream)
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_TapedStream(response.stream, self._tape),
            extensions=response.extensions,
        )

    def close(self) -> None:
        self._inner.close()


class _TapedStream(httpx2.SyncByteStream):
    def __init__(self, inner: httpx2.SyncByteStream, tape: Tape) -> None:
        self._inner = inner
        self._tape = tape

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._inner:
            self._tape.heard += piece
            yield piece

    def close(self) -> None:
        self._inner.close()
