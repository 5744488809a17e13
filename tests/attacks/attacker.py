"""What an attacker of these tests has: raw sockets, a hostile provider, the disk, and a clock that he moves."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from sekimori.control import home as home_module
from sekimori.http.server import Server
from sekimori.terms import Headers
from tests.flows.place import Place
from tests.http.wire import PATIENCE, Wire

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
VERSION = (b"anthropic-version", b"2023-06-01")


def bearer(key: str) -> tuple[bytes, bytes]:
    return (b"authorization", b"Bearer " + key.encode())


def question(model: str = "tiny", text: str = "hello", **more: Any) -> dict[str, Any]:
    """An ask of the Anthropic dialect."""
    return {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": text}], **more}


def code_of(body: bytes) -> str:
    """The registered reason that an OpenAI-dialect error names."""
    return str(json.loads(body)["error"]["code"])


def call_bytes(
    key: str,
    text: str = "hello",
    *fields: bytes,
    line: bytes = b"POST /v1/chat/completions HTTP/1.1",
    host: bytes = b"Host: gateway",
    length: bool = True,
) -> bytes:
    """A call as it goes over the wire, with further field lines."""
    body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": text}]}).encode()
    lines = [line, host, b"Authorization: Bearer " + key.encode(), b"Content-Type: application/json", *fields]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(line for line in lines if line) + b"\r\n\r\n" + body


@asynccontextmanager
async def wire(port: int) -> AsyncIterator[Wire]:
    """A raw connection."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    made = Wire(reader, writer)
    try:
        yield made
    finally:
        made.reset()


Script = Callable[[Wire], Awaitable[None]]


@asynccontextmanager
async def hostile(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A provider that plays `script` on each accepted connection; gives its port."""
    playing: set[asyncio.Task[None]] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        playing.add(task)
        try:
            await script(Wire(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the gateway left in the middle of the play, or the test is over
        finally:
            playing.discard(task)
            writer.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(playing):
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)


async def received(end: Wire) -> bytes:
    """One request as a provider gets it: head and body, framed by its content-length."""
    head = await end.until(b"\r\n\r\n")
    for row in head.lower().split(b"\r\n"):
        if row.startswith(b"content-length:"):
            return head + await end.exactly(int(row.split(b":")[1]))
    return head


def house_at(port: int, *more_ports: int, scheme: str = "http", models: str = 'tiny, small, "gpt-*"') -> str:
    """Documents that lead the provider `house` to another port of this machine."""
    allowed = ", ".join(f"{{host: 127.0.0.1, port: {one}}}" for one in (port, *more_ports))
    return (
        f"kind: Operator\nallowPrivate: [{allowed}]\n---\n"
        f"kind: Provider\nname: house\ncatalog: compatible\nbaseUrl: {scheme}://127.0.0.1:{port}\n"
        f"dialects: [openai, anthropic]\nmodels: [{models}]\n"
    )


async def lead_house_to(here: Place, port: int, **more: Any) -> None:
    await here.apply(house_at(port, here.provider_port, **more))


class Clock:
    """The machine's wall clock, moved at will: what records, expiries and windows go by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead_s = 0.0
        monkeypatch.setattr(home_module, "time", SimpleNamespace(time_ns=self._now_ns))

    def _now_ns(self) -> int:
        return time.time_ns() + round(self.ahead_s * 1e9)


async def get(here: Place, path: str, *fields: tuple[bytes, bytes], agent: str = "") -> tuple[int, bytes]:
    headers: Headers = [*([bearer(here.keys[agent])] if agent else []), *fields]
    status, _, body = await here.send("GET", path, headers, b"", agent=agent)
    return status, body


async def control(here: Place, path: str, *fields: bytes) -> tuple[int, bytes]:
    """What the control listener answers."""
    assert here.running.control_port is not None
    async with wire(here.running.control_port) as end:
        end.send(b"\r\n".join((b"GET " + path.encode() + b" HTTP/1.1", b"Host: x", *fields)) + b"\r\n\r\n")
        status, _, body = await end.reply()
    return status, body


@asynccontextmanager
async def back_up(here: Place) -> AsyncIterator[None]:
    """The provider of a place that was left listens again, so that the home can be served anew."""
    server = Server(here.provider, refuse=lambda refusal, target: (refusal.status, [], str(refusal).encode()))
    await server.start("127.0.0.1", here.provider_port)
    try:
        yield
    finally:
        await server.drain(0.0)
