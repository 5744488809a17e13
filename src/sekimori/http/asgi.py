"""Carries an ASGI 3 application (the control plane's) on this edge: http and lifespan, no websockets.

The edge has refused by now what is ambiguous; an encoded slash is refused here too, since the ASGI scope decodes the
path and two spellings would become one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

from sekimori.errors import Fault, Refused
from sekimori.http.message import Handler, Reply, Request

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]
_EDGE = frozenset((b"content-length", b"transfer-encoding", b"connection", b"date"))
"""What the edge says itself; the application's own figure would be a second truth."""
_VERSION = {"version": "3.0", "spec_version": "2.4"}


def handler(app: Application) -> Handler:
    """A handler that asks the application."""

    async def handle(request: Request, reply: Reply) -> None:
        if "%2F" in request.path:
            raise Refused("bad_request", "An encoded slash is not accepted in a path.")
        scope: Message = {
            "type": "http",
            "asgi": _VERSION,
            "http_version": "1.1",
            "method": request.method,
            "scheme": "https" if request.secure else "http",
            "path": unquote(request.path),
            "raw_path": request.path.encode("ascii"),
            "query_string": request.query.encode("ascii"),
            "root_path": "",
            "headers": request.headers,
            "client": (request.peer.address, 0),
            "server": None,
            "extensions": {"tls": {"client_cert_chain": [request.peer.certificate]}}
            if request.peer.certificate is not None
            else {},
        }
        carrier = _Carrier(request, reply)
        await app(scope, carrier.receive, carrier.send)
        if not reply.done:
            raise RuntimeError("the application ended without a whole response")

    return handle


class _Carrier:
    """One exchange between the application and the edge."""

    def __init__(self, request: Request, reply: Reply) -> None:
        self._request = request
        self._reply = reply
        self._asked = False
        self._start: Message | None = None

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": await self._request.body(), "more_body": False}
        if not self._reply.done:
            # The edge cancels the handler when the caller leaves; until then there is nothing to hear.
            await asyncio.get_running_loop().create_future()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            if self._start is not None:
                raise RuntimeError("the application started its response twice")
            self._start = message
        elif kind == "http.response.body":
            if self._start is None:
                raise RuntimeError("the application sent a body before its start")
            body = bytes(message.get("body", b""))
            more = bool(message.get("more_body", False))
            reply = self._reply
            if not reply.started:
                status = int(self._start["status"])
                headers = [(bytes(name).lower(), bytes(value)) for name, value in self._start.get("headers", ())]
                headers = [field for field in headers if field[0] not in _EDGE]
                if not more:
                    await reply.send(status, headers, body)
                    return
                await reply.start(status, headers)
            if more:
                await reply.write(body)
            else:
                await reply.finish(body)
        else:
            raise RuntimeError(f"the edge does not carry {kind}")


@asynccontextmanager
async def lifespan(app: Application) -> AsyncIterator[None]:
    """Start the application, and shut it down on leaving. Raises Fault('internal') when it refuses to start.

    An application that knows no lifespan (raises before it answers) just runs without.
    """
    to_app: asyncio.Queue[Message] = asyncio.Queue()
    started: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
    stopped: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    async def send(message: Message) -> None:
        phase, _, outcome = message["type"].removeprefix("lifespan.").partition(".")
        future = started if phase == "startup" else stopped
        if not future.done():
            future.set_result(str(message.get("message", "")) if outcome == "failed" else None)

    async def run() -> None:
        try:
            await app({"type": "lifespan", "asgi": _VERSION, "state": {}}, to_app.get, send)
        finally:
            for future in (started, stopped):
                if not future.done():
                    future.set_result(None)

    task = asyncio.create_task(run())
    await to_app.put({"type": "lifespan.startup"})
    refusal = await started
    if refusal is not None:
        await asyncio.gather(task, return_exceptions=True)
        raise Fault("internal", "The control application did not start.", advice=refusal)
    try:
        yield
    finally:
        if not task.done():
            await to_app.put({"type": "lifespan.shutdown"})
            await stopped
        await asyncio.gather(task, return_exceptions=True)
