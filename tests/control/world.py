"""A home for tests: made by `init_home`, opened by `open_home`, nothing in its place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from sekimori import config
from sekimori.config import Settings
from sekimori.control.arguments import File
from sekimori.control.home import Home, init_home
from sekimori.control.verbs import answer, read
from sekimori.ledger.protocols import Recorded
from sekimori.policy.documents import Documents

CANARY = "sk-canary-0123456789abcdef"

ACME = """
kind: Tenant
name: acme
mode: agency
---
kind: Agent
tenant: acme
name: analyst
models: [m-1]
---
kind: Key
path: clients/acme/own
provider: sandbox
---
kind: Route
tenant: acme
provider: sandbox
key: clients/acme/own
"""
SHARED = """
kind: Provider
name: sandbox
catalog: compatible
baseUrl: https://sandbox.example/v1
models: [m-1]
"""
GLOBEX = ACME.replace("acme", "globex")


def parsed(*texts: str) -> Documents:
    return read([File(f"{number}.yaml", text.encode()) for number, text in enumerate(texts)])


def settings_of(path: Path) -> Settings:
    return config.load(path, {})


async def made(path: Path) -> Settings:
    settings = settings_of(path)
    await init_home(settings, "gw.example", "uid:1")
    return settings


async def said(home: Home, log: str) -> list[Recorded]:
    """Every entry of a log, the ledger's own runs left out."""
    await home.ledger.integrate()
    entries = await home.ledger.entries(log, 0, home.ledger.size(log))
    return [one for one in entries if type(one.payload).__name__ not in ("RunOpened", "RunClosed")]


def kinds(entries: Sequence[Recorded]) -> list[str]:
    return [type(one.payload).__name__ for one in entries]


async def verb(home: Home, name: str, **args: object) -> object:
    """The answer of a verb as it travels, without the socket."""
    encoded = msgspec.json.encode(args)
    return msgspec.json.decode(msgspec.json.encode(await answer(home, name, encoded, 1000, lambda text: None)))
