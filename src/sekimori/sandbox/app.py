"""Serving the practice provider."""

from __future__ import annotations

import asyncio
import signal

from sekimori.http.limits import Limits
from sekimori.http.server import Server
from sekimori.sandbox.provider import Provider, refuse

DRAIN_S = 1.0


async def serve_sandbox(host: str = "127.0.0.1", port: int = 0, provider: Provider | None = None) -> tuple[Server, int]:
    """Start the practice provider; returns the server (`drain` it in the end) and its port. Raises OSError.

    Its head limit is above any that a caller in the middle may have, so that it is never the one to complain.
    """
    provider = provider or Provider()
    limits = Limits(head_bytes=64 * 1024, body_idle_s=60.0)
    # Its replies are dated by the clock that judges signatures, which may be set wrong on purpose.
    server = Server(provider, refuse=refuse, limits=limits, wall=provider.clouds.now)
    return server, await server.start(host, port)


async def run(host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server, bound = await serve_sandbox(host, port)
    print(f"sandbox provider on http://{host}:{bound} (scenarios: /sandbox/scenarios)", flush=True)
    await stop.wait()
    await server.drain(DRAIN_S)
