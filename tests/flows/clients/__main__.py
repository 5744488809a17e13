"""`python -m tests.flows.clients MODULE`: reads an `Ask`, lets each way of the module call, writes `Reports`."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import io
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from tests.flows.clients import CITY, PROMPT, Ask, Client, Door, Raised, Report, Reports, Ways

_HERE = ("127.0.0.1", "::1", "localhost")
strangers: list[str] = []


def stay_here(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook (PEP 578): nothing in this process looks up or reaches another machine."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else host
    if name is not None and name not in _HERE:
        strangers.append(name)
        raise OSError(f"{name} is not this machine")


def locked_in() -> None:
    """From here on; shown to hold, for what reports no stranger must have been able to."""
    sys.addaudithook(stay_here)
    with contextlib.suppress(OSError):
        socket.create_connection(("192.0.2.1", 443), timeout=0.1)
    assert set(strangers) == {"192.0.2.1"}
    strangers.clear()


def run(snippet: str) -> str:
    """What a program prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(snippet, "a snippet", "exec"), {"__name__": "__main__"})
    return out.getvalue()


async def refusal(client: Client) -> Raised:
    [found] = await asyncio.gather(client.plain(PROMPT), return_exceptions=True)
    assert isinstance(found, Exception), f"it was to be refused, and was told {found}"
    kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(found).__mro__]
    return Raised(kinds, getattr(found, "status_code", None), str(found))


async def report(client: Callable[[Door], Client], ask: Ask) -> Report:
    return Report(
        plain=await client(ask.open).plain(PROMPT),
        streamed=await client(ask.open).streamed(PROMPT),
        used=await client(ask.open).with_tool(CITY),
        raised={name: await refusal(client(door)) for name, door in ask.closed.items()},
    )


async def reports(ways: Ways, ask: Ask) -> dict[str, Report]:
    return {name: await report(client, ask) for name, client in ways.items()}


def main(module: str, ask: Ask) -> Reports:
    os.environ["AGENT_KEY"] = ask.open.key
    ways: Ways = importlib.import_module(f"tests.flows.clients.{module}").WAYS
    return Reports(asyncio.run(reports(ways, ask)), [run(snippet) for snippet in ask.snippets], strangers)


if __name__ == "__main__":
    locked_in()
    # Standard output is the report's alone.
    with contextlib.redirect_stdout(sys.stderr):
        done = main(sys.argv[1], msgspec.json.decode(sys.stdin.buffer.read(), type=Ask))
    sys.stdout.buffer.write(msgspec.json.encode(done))
