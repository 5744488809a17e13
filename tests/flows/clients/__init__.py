"""Agent frameworks that call through the gateway as their users do: a base URL and a key, nothing else changed.

One module for each distribution, one `Client` for each way in which it speaks to a provider. A framework runs in a
process of its own (`python -m tests.flows.clients MODULE`), because importing it takes seconds and changes the
process: what it patched or started there ends there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct

CITY = "The weather in Kyoto?"
PROMPT = "Say hello, please."


class Door(Struct, frozen=True):
    """Where to call, with which of Sekimori's keys, for which model."""

    url: str
    """The gateway's origin, without a path."""
    key: str
    model: str


class Told(Struct, frozen=True):
    """An answer as the framework's user sees it."""

    text: str
    input: int
    """Tokens, by the framework's own account."""
    output: int
    pieces: int = 1
    """In which it came."""


class Used(Struct, frozen=True):
    """A tool's way there and back."""

    arguments: dict[str, Any]
    """What the tool was called with."""
    answer: str
    """The words after its result was told."""


class Client(Protocol):
    """One way of a framework."""

    async def plain(self, prompt: str) -> Told: ...

    async def streamed(self, prompt: str) -> Told: ...

    async def with_tool(self, prompt: str) -> Used:
        """Offer one tool, `weather(city)`, run it and tell what it said."""


Ways = dict[str, Callable[[Door], Client]]
"""The name of a way -> a client for a door. What a module offers as `WAYS`."""


class Ask(Struct, frozen=True):
    """What a process is to do."""

    open: Door
    closed: dict[str, Door]
    """Doors that refuse, each by the name of its refusal."""
    snippets: list[str]
    """Programs as the documentation has them, with the address of the open door in them; its key is `AGENT_KEY`."""


class Raised(Struct, frozen=True):
    """An exception."""

    kinds: list[str]
    """Its classes from the most special on, with their modules."""
    status: int | None
    text: str


class Report(Struct, frozen=True):
    """What one way showed."""

    plain: Told
    streamed: Told
    used: Used
    raised: dict[str, Raised]


class Reports(Struct, frozen=True):
    """What one process showed."""

    ways: dict[str, Report]
    printed: list[str]
    """By each snippet."""
    strangers: list[str]
    """Addresses other than this machine's that something in the process wanted to reach; it could not."""
