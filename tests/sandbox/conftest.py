"""A practice provider on a loopback port, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from sekimori.sandbox.app import serve_sandbox
from sekimori.sandbox.provider import Provider

KEY = "sk-test-1234567890"
LIMIT = 20.0
"""Seconds that any wait for the provider may take."""


class Sandbox:
    """Where the provider listens, and how to talk to it."""

    def __init__(self, origin: str, provider: Provider) -> None:
        self.origin = origin
        self.provider = provider
        self.raw = httpx2.AsyncClient(base_url=origin, timeout=LIMIT, trust_env=False)

    def openai(self, key: str = KEY, **options: Any) -> openai.AsyncOpenAI:
        client = httpx2.AsyncClient(trust_env=False)
        return openai.AsyncOpenAI(
            api_key=key, base_url=f"{self.origin}/v1", max_retries=0, timeout=LIMIT, http_client=client, **options
        )

    def anthropic(self, key: str = KEY, **options: Any) -> anthropic.AsyncAnthropic:
        client = httpx2.AsyncClient(trust_env=False)
        return anthropic.AsyncAnthropic(
            api_key=key, base_url=self.origin, max_retries=0, timeout=LIMIT, http_client=client, **options
        )

    async def get(self, path: str) -> Any:
        reply = await self.raw.get(path)
        assert reply.status_code == 200, reply.text
        return reply.json()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    provider = Provider()
    server, port = await serve_sandbox(provider=provider)
    at = Sandbox(f"http://127.0.0.1:{port}", provider)
    yield at
    await at.raw.aclose()
    await server.drain(0.2)
