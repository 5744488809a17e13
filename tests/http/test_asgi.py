"""An ASGI application behind the edge."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sekimori.errors import Fault
from sekimori.http.asgi import handler, lifespan
from tests.http.wire import PATIENCE, Edge, happens


async def echo(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    assert message["type"] == "http.request"
    assert not message["more_body"]
    text = repr((scope["method"], scope["path"], scope["raw_path"], scope["query_string"], message["body"]))
    await send({"type": "http.response.start", "status": 201, "headers": [(b"X-App", b"1"), (b"Content-Length", b"9")]})
    await send({"type": "http.response.body", "body": text.encode()})


async def test_a_request_and_its_reply(edge: Edge) -> None:
    served = await edge.serve(handler(echo))
    status, fields, body = await served.ask(
        b"POST /a/caf%C3%A9?x=%20 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    )
    assert (status, fields[b"x-app"]) == (201, b"1")
    assert body.decode() == repr(("POST", "/a/café", b"/a/caf%C3%A9", b"x=%20", b"hello"))


async def test_an_encoded_slash_does_not_become_one(edge: Edge) -> None:
    served = await edge.serve(handler(echo))
    assert (await served.ask(b"GET /a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n"))[0] == 400


async def test_a_stream(edge: Edge) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        for piece in (b"one ", b"two "):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    served = await edge.serve(handler(app))
    status, fields, body = await served.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (status, fields[b"transfer-encoding"], body) == (200, b"chunked", b"one two ")


async def test_head_has_the_length_and_no_content(edge: Edge) -> None:
    served = await edge.serve(handler(echo))
    wire = await served.wire()
    wire.send(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await wire.rest()
    assert answer.startswith(b"HTTP/1.1 201 Created\r\n")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("fault", ["raises", "nothing", "half", "twice", "unknown", "body first"])
async def test_a_broken_application_is_a_500_or_a_cut(edge: Edge, fault: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if fault == "raises":
            raise LookupError("hunter2")
        if fault == "body first":
            await send({"type": "http.response.body", "body": b"x"})
        if fault == "unknown":
            await send({"type": "websocket.accept"})
        if fault in ("half", "twice"):
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        if fault == "twice":
            await send({"type": "http.response.start", "status": 200})

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    served = await edge.serve(handler(app))
    wire = await served.wire()
    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    if fault in ("half", "twice"):
        assert not (await wire.ended()).endswith(b"0\r\n\r\n")
    else:
        status, _, body = await wire.reply()
        assert status == 500
        assert b"hunter2" not in body


async def test_the_application_is_cancelled_when_the_caller_leaves(edge: Edge) -> None:
    cancelled = asyncio.Event()
    waiting = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting.set()
        try:
            await receive()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    served = await edge.serve(handler(app))
    wire = await served.wire()
    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        await waiting.wait()
        wire.close()
        await cancelled.wait()
    await happens(lambda: served.server.connections == 0)


async def test_lifespan() -> None:
    events: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        for phase in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{phase}"
            events.append(phase)
            await send({"type": f"lifespan.{phase}.complete"})

    async with asyncio.timeout(PATIENCE), lifespan(app):
        assert events == ["startup"]
    assert events == ["startup", "shutdown"]


async def test_a_start_that_fails_is_told() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(Fault) as refused:
        async with asyncio.timeout(PATIENCE), lifespan(app):
            raise AssertionError
    assert refused.value.advice == "no database"


async def test_an_application_without_lifespan_runs() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise NotImplementedError

    entered = False
    async with asyncio.timeout(PATIENCE), lifespan(app):
        entered = True
    assert entered
