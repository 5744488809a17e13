"""A whole deployment in the test's own event loop, with a provider that does what the test says; and its invariants.

    async with place(tmp_path) as here:
        here.provider.replies.append(json_reply(…))
        status, headers, body = await here.post(here.keys["acme/x"], chat("tiny"))

Leaving verifies what must hold after every scenario: every log whole, every pair closed, every reservation given back,
no key byte in any file, log line or reply, no tenant's canary in another's reply.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sekimori.config import Settings, load
from sekimori.control import client
from sekimori.control.arguments import File, Files, Issue, Logs, Put, Show
from sekimori.control.home import init_home
from sekimori.http.client import Deadlines, Pool
from sekimori.http.server import Reply, Request, Server
from sekimori.ledger import entry
from sekimori.ledger.protocols import Recorded
from sekimori.serve import Running, running
from sekimori.telemetry import Log
from sekimori.terms import Headers, Origin

Answer = Callable[[Request, Reply, dict[str, Any]], Awaitable[None]]

SECRETS = {
    "operator/house": "sk-house-0f3c9a7d21e84b6690aa51c3",
    "clients/acme/own": "sk-acmeown-7be1d04c5f2a4e8f93b7d6",
    "clients/globex/own": "sk-globexown-c41f7a93e0d24b1c8e55",
}

UNGUARDED = """
kind: Guard
tenant: TENANT
input:
  promptInjection: {mode: off}
  piiDetection: {mode: off}
  secrets: {mode: off}
  toxicContent: {mode: off}
  encoding: {mode: off}
output:
  piiDetection: {mode: off}
  secrets: {mode: off}
  toxicContent: {mode: off}
  outputInjection: {mode: off}
"""
"""What a scenario runs by that shows the walk alone: each event is released when it comes. tests/flows/test_guards.py
shows the guards."""

DOCUMENTS = """
kind: Operator
allowPrivate: [{{host: 127.0.0.1, port: {port}}}]
---
kind: Tenant
name: acme
mode: agency
---
kind: Tenant
name: globex
mode: agency
---
kind: Provider
name: house
catalog: compatible
baseUrl: http://127.0.0.1:{port}
dialects: [openai, anthropic]
models: [tiny, small, "gpt-*"]
---
kind: Provider
name: acme-llm
tenant: acme
catalog: compatible
baseUrl: http://127.0.0.1:{port}/acme
dialects: [openai, anthropic]
models: [acme-only]
---
kind: Provider
name: globex-llm
tenant: globex
catalog: compatible
baseUrl: http://127.0.0.1:{port}/globex
models: [globex-only]
---
kind: Key
path: operator/house
provider: house
---
kind: Key
path: clients/acme/own
provider: house
---
kind: Key
path: clients/globex/own
provider: globex-llm
---
kind: Key
path: clients/acme/llm
provider: acme-llm
---
kind: Agent
tenant: acme
name: x
models: [tiny, small, acme-only]
---
kind: Agent
tenant: acme
name: y
models: [tiny]
---
kind: Agent
tenant: globex
name: z
models: [globex-only, tiny]
---
kind: Route
tenant: acme
provider: house
key: clients/acme/own
fallback: {{key: operator/house, when: [rate_limited, overloaded]}}
---
kind: Route
tenant: acme
agent: y
provider: house
key: clients/acme/own
---
kind: Route
tenant: acme
provider: acme-llm
key: clients/acme/llm
---
kind: Route
tenant: globex
provider: globex-llm
key: clients/globex/own
---
kind: Route
tenant: globex
provider: house
key: operator/house
"""


def chat(model: str = "tiny", text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def completion(text: str = "hi there", **usage: int) -> bytes:
    figures = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, **usage}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return json.dumps({"id": "c-1", "object": "chat.completion", "choices": [choice], "usage": figures}).encode()


def chunk(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}}
    return b"data: " + json.dumps({"id": "c-1", "choices": [choice]}).encode() + b"\n\n"


USAGE_EVENT = b'data: {"id":"c-1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}\n\n'
DONE = b"data: [DONE]\n\n"
JSON: tuple[bytes, bytes] = (b"content-type", b"application/json")
EVENTS: tuple[bytes, bytes] = (b"content-type", b"text/event-stream")


async def answer_well(request: Request, reply: Reply, body: dict[str, Any]) -> None:
    """A plain reply, or a stream of three words, with usage."""
    if body.get("stream"):
        await reply.start(200, [EVENTS])
        for word in ("one ", "two ", "three"):
            await reply.write(chunk(word))
        await reply.write(USAGE_EVENT)
        await reply.finish(DONE)
    else:
        await reply.send(200, [JSON], completion())


def status(code: int, message: str = "no", *headers: tuple[bytes, bytes]) -> Answer:
    """A provider's error."""

    async def answer(request: Request, reply: Reply, body: dict[str, Any]) -> None:
        error = {"error": {"message": message, "type": "some_error", "code": None}}
        await reply.send(code, [JSON, *headers], json.dumps(error).encode())

    return answer


class Provider:
    """The provider: answers each call by the next of `script`, else well. Remembers what arrived."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.seen: list[tuple[str, Headers, dict[str, Any]]] = []
        self.raw: list[bytes] = []
        """The bodies as they came."""
        self.left = asyncio.Event()
        """A caller left in mid-reply."""
        self.server = Server(self, refuse=lambda refusal, target: (refusal.status, [], str(refusal).encode()))

    async def __call__(self, request: Request, reply: Reply) -> None:
        self.raw.append(await request.body())
        body = json.loads(self.raw[-1]) if self.raw[-1] else {}
        self.seen.append((request.path, request.headers, body))
        answer = self.script.pop(0) if self.script else answer_well
        try:
            await answer(request, reply, body)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    def keys(self) -> list[str]:
        """The key each call came with."""
        found = []
        for _, headers, _ in self.seen:
            values = {
                value.removeprefix(b"Bearer ") for name, value in headers if name in (b"authorization", b"x-api-key")
            }
            assert len(values) == 1
            found.append(values.pop().decode())
        return found


class Place:
    """See the module."""

    def __init__(self, settings: Settings, provider: Provider, port: int) -> None:
        self.settings = settings
        self.provider = provider
        self.provider_port = port
        self.running: Running
        self.keys: dict[str, str] = {}
        self.key_ids: dict[str, str] = {}
        self.replies: list[tuple[str, bytes]] = []
        """(agent or "", every byte that a caller was given)."""
        self.log = io.BytesIO()
        self._pool = Pool(_connect)

    @property
    def home(self) -> Path:
        return self.settings.home

    async def verb(self, name: str, arguments: Any) -> Any:
        return await client.call(self.settings, name, arguments)

    async def apply(self, documents: str, *, prune: bool = False) -> Any:
        return await self.verb("apply", Files(files=[File("d.yaml", documents.encode())], prune=prune))

    async def issue(self, tenant: str, agent: str, **more: Any) -> str:
        issued = await self.verb("apikey issue", Issue(tenant=tenant, agent=agent, **more))
        self.keys[f"{tenant}/{agent}"] = issued["key"]
        self.key_ids[f"{tenant}/{agent}"] = issued["id"]
        return str(issued["key"])

    async def send(
        self, method: str, path: str, headers: Headers, body: bytes, *, agent: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        """One request to the gateway; the whole reply, kept for the sweep."""
        origin = Origin("http", "127.0.0.1", self.running.gateway_port)
        response = await self._pool.request(origin, "test", method, path, headers, body, Deadlines())
        whole = await response.read_all(100_000_000)
        fields = {name.decode(): value.decode() for name, value in response.headers}
        self.replies.append((agent, json.dumps(fields).encode() + whole))
        return response.status, fields, whole

    async def post(
        self, agent: str, body: dict[str, Any] | bytes, path: str = "/v1/chat/completions", *more: tuple[bytes, bytes]
    ) -> tuple[int, dict[str, str], bytes]:
        """A call of an agent (`acme/x`)."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers: Headers = [(b"authorization", b"Bearer " + self.keys[agent].encode()), JSON, *more]
        return await self.send("POST", path, headers, data, agent=agent)

    async def entries(self, log: str) -> list[Recorded]:
        """All entries of a log, by tenant slug or `operator`."""
        ledger = self.running.home.ledger
        await ledger.integrate()
        uid = log if log == "operator" else self.running.home.snapshot.uid(f"tenant/{log}")
        assert uid is not None
        return await ledger.entries(uid, 0, ledger.size(uid))

    async def of_kind(self, log: str, kind: int) -> list[Any]:
        return [recorded.payload for recorded in await self.entries(log) if recorded.leaf.kind == kind]

    async def shown(self, record: str) -> Any:
        return await self.verb("ledger show", Show(record=record))

    async def check_invariants(self, *, canaries: dict[str, str] | None = None) -> None:
        """What must hold once every call has ended."""
        await self.settled()
        assert not list(self.running.budget.running()), "a reservation was not given back"
        for view in await self.verb("ledger verify", Logs()):
            assert view["ok"], view
        for log in ("acme", "globex"):
            entries = await self.entries(log)
            decided = {(one.leaf.call, one.leaf.hop) for one in entries if one.leaf.kind == entry.DECIDED}
            settled = [(one.leaf.call, one.leaf.hop) for one in entries if one.leaf.kind == entry.SETTLED]
            assert len(settled) == len(set(settled)), "a hop settled twice"
            assert decided == set(settled), "a hop without its other half"
        sweep(self, [*SECRETS.values(), *self.keys.values()])
        for tenant, canary in (canaries or {}).items():
            for agent, reply in self.replies:
                if not agent.startswith(tenant):
                    assert canary.encode() not in reply, f"{agent} was given what belongs to {tenant}"

    async def settled(self) -> None:
        """Wait until no call is under way."""
        async with asyncio.timeout(15):
            while not self.running.idle:
                await asyncio.sleep(0.01)


def spellings(secret: str) -> list[bytes]:
    """The ways in which bytes of a secret may stand somewhere."""
    raw = secret.encode()
    encoded = [base64.b64encode(b"x" * shift + raw)[4:-4] for shift in range(3)]
    return [raw, raw[8:], raw.hex().encode(), *encoded, raw[::-1]]


def sweep(place: Place, secrets: list[str]) -> None:
    """No key byte in any file of the home, log line or reply to an agent."""
    needles = [needle for secret in secrets for needle in spellings(secret)]
    for path in place.home.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for needle in needles:
                assert needle not in data, f"key bytes in {path.relative_to(place.home)}"
    for needle in needles:
        assert needle not in place.log.getvalue(), "key bytes in the log"
        for agent, reply in place.replies:
            assert needle not in reply, f"key bytes in a reply to {agent}"


async def _connect(
    origin: Origin, factory: Callable[[], asyncio.Protocol]
) -> tuple[asyncio.Transport, asyncio.Protocol]:
    return await asyncio.get_running_loop().create_connection(factory, origin.host, origin.port)


@asynccontextmanager
async def place(
    folder: Path, *, documents: str = "", settings: str = "", check: bool = True, guarded: bool = False
) -> AsyncIterator[Place]:
    """A deployment with two clients, three agents and their keys; `documents` are applied on top of DOCUMENTS.
    `guarded`: by the guards that hold without a document, and not by UNGUARDED.
    """
    provider = Provider()
    port = await provider.server.start("127.0.0.1", 0)
    home = folder / "home"
    await init_home(load(home, {}), "test.example", "test")
    file = home / "settings.toml"
    file.write_text(f"[gateway]\nport = 0\ndrain_seconds = 5.0\n[control]\nport = 0\n{settings}", encoding="utf-8")
    here = Place(load(home, {}), provider, port)
    try:
        async with serving(here):
            unguarded = [UNGUARDED.replace("TENANT", tenant) for tenant in ("acme", "globex") if not guarded]
            await here.apply("---".join([DOCUMENTS.format(port=port), *unguarded]))
            for path, secret in {**SECRETS, "clients/acme/llm": SECRETS["clients/acme/own"]}.items():
                await here.verb("key put", Put(path=path, secret=secret.encode()))
            for name in ("acme/x", "acme/y", "globex/z"):
                await here.issue(*name.split("/"))
            if documents:
                await here.apply(documents)
            yield here
            if check:
                await here.check_invariants()
    finally:
        await provider.server.drain(0.0)


@asynccontextmanager
async def serving(here: Place) -> AsyncIterator[Running]:
    """Serve the place's home (again)."""
    log = Log(out=here.log)
    async with running(here.settings, log=log) as deployment:
        here.running = deployment
        try:
            yield deployment
        finally:
            await here._pool.aclose()
            here._pool = Pool(_connect)
