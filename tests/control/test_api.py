"""The control listener's application: three paths, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sekimori.control.api import control_app
from sekimori.telemetry import Metrics


async def ask(method: str, path: str, troubles: list[str] | None = None) -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    app = control_app(Metrics(), lambda: troubles or [])
    await app({"type": "http", "method": method, "path": path, "headers": []}, receive, send)
    start, body = sent
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body["body"]


async def test_health_readiness_and_metrics() -> None:
    assert (await ask("GET", "/healthz"))[0] == 200
    assert (await ask("GET", "/readyz"))[0] == 200
    status, headers, body = await ask("GET", "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    assert b"# TYPE sekimori_hops_total counter" in body
    assert int(headers["content-length"]) == len(body)


async def test_what_troubles_it_makes_it_not_ready_and_not_dead() -> None:
    status, _, body = await ask("GET", "/readyz", ["journal"])
    assert (status, json.loads(body)["troubles"]) == (503, ["journal"])
    assert (await ask("GET", "/healthz", ["journal"]))[0] == 200


@pytest.mark.parametrize(
    "path", ["/", "/metrics/", "/METRICS", "/api/v1/keys", "//metrics", "/metrics/../x", "/owner", ""]
)
async def test_nothing_else_is_there(path: str) -> None:
    assert (await ask("GET", path))[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_nothing_can_be_changed(method: str) -> None:
    status, headers, _ = await ask(method, "/metrics")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


async def test_head_has_no_body() -> None:
    status, headers, body = await ask("HEAD", "/healthz")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0


async def test_lifespan_is_answered() -> None:
    incoming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> Any:
        return next(incoming)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await control_app(Metrics(), list)({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
