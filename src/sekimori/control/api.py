"""The control listener's application: `/healthz`, `/readyz`, `/metrics`, and nothing else.

Verbs go over the owner's socket until people can log in. An ASGI 3 application, carried by http/asgi.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from sekimori.telemetry import Metrics

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = "application/json"


def control_app(metrics: Metrics, troubles: Callable[[], list[str]]) -> Application:
    """`troubles` says what keeps the process from serving well, in words safe to show; empty when all is well."""

    def answer(method: str, path: str) -> tuple[int, str, bytes]:
        if path not in ("/healthz", "/readyz", "/metrics"):
            return 404, JSON, b'{"error":"not_found"}'
        if method not in ("GET", "HEAD"):
            return 405, JSON, b'{"error":"method_not_allowed"}'
        if path == "/healthz":
            return 200, JSON, b'{"status":"ok"}'  # the process answers: restart it only where it does not
        if path == "/metrics":
            kind, body = metrics.render()
            return 200, kind, body
        found = troubles()
        state = {"status": "not ready", "troubles": found} if found else {"status": "ready"}
        return (503 if found else 200), JSON, msgspec.json.encode(state)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        if scope["type"] != "http":
            return
        status, kind, body = answer(scope["method"], scope["path"])
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return serve
