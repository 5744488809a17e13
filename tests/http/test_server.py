"""What a handler and an honest caller can rely on."""

from __future__ import annotations

import asyncio

import pytest

from sekimori.errors import Refused
from sekimori.http.limits import Limits
from sekimori.http.server import Reply, Request
from tests.http.wire import Edge, Errors, Seen, happens

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
BIG = Limits(body_bytes=1 << 20, early_body_bytes=1024)


def post(body: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join((b"POST /x HTTP/1.1", b"Host: a", b"Content-Length: %d" % len(body), *fields, b"", body))


async def test_keeps_the_connection_and_the_order(edge: Edge) -> None:
    async def handler(request: Request, reply: Reply) -> None:
        await asyncio.sleep(0.02 if request.target == "/0" else 0)
        await reply.send(200, [], request.target.encode())

    served = await edge.serve(handler)
    wire = await served.wire()
    wire.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(20)))
    assert [(await wire.reply())[2] for _ in range(20)] == [b"/%d" % number for number in range(20)]
    assert served.server.connections == 1


async def test_many_pipelined_requests_are_answered_in_order_beyond_the_bound(edge: Edge) -> None:
    async def handler(request: Request, reply: Reply) -> None:
        await asyncio.sleep(0)
        await reply.send(200, [], await request.body())

    served = await edge.serve(handler, limits=Limits(pipelined_bytes=500))
    wire = await served.wire()
    bodies = [b"%d" % number * (number % 70 + 1) for number in range(300)]
    wire.send(b"".join(post(body) for body in bodies))
    assert [(await wire.reply())[2] for _ in bodies] == bodies


@pytest.mark.parametrize("size", [0, 1, 1000, 100_000, 1 << 20])
async def test_bodies_with_length_and_chunked(edge: Edge, size: int) -> None:
    seen = Seen()
    served = await edge.serve(seen, limits=BIG)
    body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    assert (await served.ask(post(body)))[2] == b"/x " + body
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(body[i : i + 999]), body[i : i + 999]) for i in range(0, size, 999))
    wire = await served.wire()
    wire.send(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n" + GET)
    assert (await wire.reply())[2] == b"/x " + body
    assert (await wire.reply())[2] == b"/x "


async def test_the_body_is_taken_in_only_when_the_handler_asks(edge: Edge) -> None:
    """A stranger that is refused on its head must not fill our memory."""
    go = asyncio.Event()
    taken: list[int] = []

    async def handler(request: Request, reply: Reply) -> None:
        await go.wait()
        taken.append(served.server.held_bytes)
        await reply.send(200, [], b"%d" % len(await request.body()))

    served = await edge.serve(handler, limits=BIG)
    wire = await served.wire()
    wire.send(post(b"x" * (1 << 20)))
    await asyncio.sleep(0.05)
    go.set()
    assert (await wire.reply())[2] == b"%d" % (1 << 20)
    assert taken[0] < 1024 + 256 * 1024  # one read of the transport beyond the bound


async def test_an_early_refusal_reaches_a_caller_that_is_still_sending(edge: Edge) -> None:
    async def handler(request: Request, reply: Reply) -> None:
        raise Refused("credential_missing", "Who are you?")

    served = await edge.serve(handler, limits=BIG)
    wire = await served.wire()
    wire.send(post(b"x" * 200_000)[:-1000])
    status, fields, body = await wire.reply()
    assert (status, body) == (401, b"credential_missing: Who are you?")
    assert fields[b"connection"] == b"close"
    wire.send(b"x" * 500)
    wire.writer.write_eof()
    assert await wire.rest() == b""


async def test_expect_continue_is_answered_when_the_body_is_wanted(edge: Edge) -> None:
    seen = Seen()
    served = await edge.serve(seen)
    wire = await served.wire()
    wire.send(b"POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n")
    assert await wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.send(b"hello")
    assert (await wire.reply())[2] == b"/x hello"


async def test_expect_continue_is_not_answered_to_who_is_refused(edge: Edge) -> None:
    async def handler(request: Request, reply: Reply) -> None:
        raise Refused("credential_missing", "Who are you?")

    served = await edge.serve(handler)
    wire = await served.wire()
    wire.send(b"POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    status, fields, _ = await wire.reply()
    assert (status, fields[b"connection"]) == (401, b"close")


async def test_expect_continue_whose_body_is_there_already_gets_no_interim_reply(edge: Edge) -> None:
    served = await edge.serve(Seen())
    assert (await served.ask(post(b"hello", b"Expect: 100-continue")))[0] == 200


async def test_other_expectations_are_refused(edge: Edge) -> None:
    served = await edge.serve(Seen())
    assert (await served.ask(post(b"hello", b"Expect: tea")))[0] == 417


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"zstd", b"identity, gzip", b"x"])
async def test_content_encoding_is_refused(edge: Edge, coding: bytes) -> None:
    seen = Seen()
    served = await edge.serve(seen)
    status, fields, _ = await served.ask(post(b"hello", b"Content-Encoding: " + coding))
    assert (status, fields[b"x-reason"]) == (415, b"unsupported_encoding")
    assert seen.requests == []
    assert (await served.ask(post(b"hello", b"Content-Encoding: identity")))[0] == 200


async def test_a_stream_is_chunked_and_its_end_is_one_write(edge: Edge) -> None:
    async def handler(request: Request, reply: Reply) -> None:
        assert not reply.started
        await reply.start(200, [(b"content-type", b"text/event-stream")])
        assert reply.started
        await reply.write(b"data: 1\n\n")
        await reply.write(b"data: 2\n\n" * 5000)
        await reply.finish(b"data: [DONE]\n\n")

    served = await edge.serve(handler)
    wire = await served.wire()
    wire.send(GET)
    status, fields, body = await wire.reply()
    assert (status, fields[b"transfer-encoding"]) == (200, b"chunked")
    assert body == b"data: 1\n\n" + b"data: 2\n\n" * 5000 + b"data: [DONE]\n\n"
    assert b"connection" not in fields
    wire.send(GET)
    assert (await wire.reply())[0] == 200


async def test_the_head_can_be_sent_alone(edge: Edge) -> None:
    go = asyncio.Event()

    async def handler(request: Request, reply: Reply) -> None:
        await reply.start(200, [])
        await reply.write(b"")
        await go.wait()
        await reply.finish()

    served = await edge.serve(handler)
    wire = await served.wire()
    wire.send(GET)
    assert (await wire.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
    go.set()
    assert await wire.until(b"0\r\n\r\n") == b"0\r\n\r\n"


async def test_a_stated_length_is_kept_or_the_connection_is_cut(edge: Edge) -> None:
    async def handler(request: Request, reply: Reply) -> None:
        await reply.start(200, [], length=10)
        await reply.write(b"12345")
        if request.target == "/long":
            await reply.write(b"678901")
        await reply.finish(b"67890" if request.target == "/whole" else b"")

    served = await edge.serve(handler)
    with Errors() as errors:
        wire = await served.wire()
        wire.send(b"GET /whole HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await wire.reply())[2] == b"1234567890"
        for target in (b"/long", b"/short"):
            wire = await served.wire()
            wire.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
            assert (await wire.ended()).endswith(b"\r\n\r\n12345")
    assert len(errors) == 2


async def test_head_and_bodyless_statuses_have_no_content(edge: Edge) -> None:
    async def handler(request: Request, reply: Reply) -> None:
        if request.target == "/stream":
            await reply.start(200, [])
            await reply.write(b"data")
            await reply.finish(b"more")
        elif request.target == "/204":
            await reply.send(204, [], b"")
        else:
            await reply.send(200, [], b"12345")

    served = await edge.serve(handler)
    wire = await served.wire()
    wire.send(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"content-length: 5\r\n" in await wire.until(b"\r\n\r\n")
    wire.send(b"HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"transfer-encoding: chunked\r\n" in await wire.until(b"\r\n\r\n")
    wire.send(b"GET /204 HTTP/1.1\r\nHost: a\r\n\r\n")
    head = await wire.until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"content-length" not in head
    wire.send(GET)
    assert (await wire.reply())[2] == b"12345"


async def test_a_1_0_caller_gets_its_stream_to_the_end_of_the_connection(edge: Edge) -> None:
    async def handler(request: Request, reply: Reply) -> None:
        await reply.start(200, [])
        await reply.write(b"data: 1\n\n")
        if request.target == "/cut":
            reply.abort()
            return
        await reply.finish(b"data: 2\n\n")

    served = await edge.serve(handler)
    wire = await served.wire()
    wire.send(b"GET /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
    head, _, body = (await wire.rest()).partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert b"\r\nconnection: close\r\n" in head
    assert body == b"data: 1\n\ndata: 2\n\n"
    # Cut, it must not look like the end: the connection is reset.
    wire = await served.wire()
    wire.send(b"GET /cut HTTP/1.0\r\nHost: a\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        await wire.rest()


async def test_connection_close_is_honoured(edge: Edge) -> None:
    seen = Seen()
    served = await edge.serve(seen)
    wire = await served.wire()
    wire.send(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n" + GET)
    answer = await wire.ended()
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"\r\nconnection: close\r\n" in answer
    assert len(seen.requests) == 1


async def test_fields_are_looked_up_and_a_repeated_one_is_refused(edge: Edge) -> None:
    async def handler(request: Request, reply: Reply) -> None:
        assert request.header(b"x-once") == b"1"
        assert request.header(b"x-never") is None
        assert request.all(b"x-twice") == [b"1", b"2"]
        assert request.peer.address == "127.0.0.1"
        assert request.peer.certificate is None
        assert not request.secure
        request.header(b"x-twice")

    served = await edge.serve(handler)
    status, fields, body = await served.ask(post(b"", b"X-Once:1", b"X-Twice: 1", b"x-twice: 2"))
    assert (status, fields[b"x-reason"]) == (400, b"bad_request")
    assert b"x-twice" in body


async def test_a_failing_handler_is_a_500_without_its_words(edge: Edge) -> None:
    async def handler(request: Request, reply: Reply) -> None:
        raise LookupError("hunter2")

    served = await edge.serve(handler)
    with Errors() as errors:
        wire = await served.wire()
        for _ in range(2):
            wire.send(GET)
            status, _, body = await wire.reply()
            assert status == 500
            assert b"hunter2" not in body
    assert [type(error) for error in errors] == [LookupError, LookupError]


async def test_a_failure_after_the_start_cuts_the_reply(edge: Edge) -> None:
    async def handler(request: Request, reply: Reply) -> None:
        await reply.start(200, [])
        await reply.write(b"data: 1\n\n")
        if request.target == "/left":
            return
        raise LookupError

    served = await edge.serve(handler)
    for target in (b"/raised", b"/left"):
        with Errors() as errors:
            wire = await served.wire()
            wire.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
            assert not (await wire.ended()).endswith(b"0\r\n\r\n")
        assert len(errors) == 1


async def test_a_handler_that_never_replies_is_a_500(edge: Edge) -> None:
    async def handler(request: Request, reply: Reply) -> None:
        pass

    served = await edge.serve(handler)
    with Errors() as errors:
        assert (await served.ask(GET))[0] == 500
    assert len(errors) == 1


@pytest.mark.parametrize(
    "field",
    [
        (b"x", b"a\r\nset-cookie: b"),
        (b"x", b"a\nb"),
        (b"x", b"a\rb"),
        (b"x", b"a\0b"),
        (b"x\r\ny", b"a"),
        (b"content-length", b"5"),
        (b"transfer-encoding", b"chunked"),
        (b"connection", b"keep-alive"),
    ],
)
async def test_reply_headers_cannot_frame_or_split(edge: Edge, field: tuple[bytes, bytes]) -> None:
    async def handler(request: Request, reply: Reply) -> None:
        await reply.send(200, [field], b"")

    served = await edge.serve(handler)
    with Errors() as errors:
        assert (await served.ask(GET))[0] == 500
    assert isinstance(errors[0], ValueError)


async def test_a_reply_cannot_be_given_twice(edge: Edge) -> None:
    async def handler(request: Request, reply: Reply) -> None:
        await reply.send(200, [], b"first")
        for again in (reply.send(200, [], b"second"), reply.start(200, []), reply.write(b"x"), reply.finish()):
            with pytest.raises(RuntimeError):
                await again

    served = await edge.serve(handler)
    wire = await served.wire()
    wire.send(GET + GET)
    assert (await wire.reply())[2] == b"first"
    assert (await wire.reply())[2] == b"first"


async def test_the_body_can_be_read_again_but_not_by_two_at_once(edge: Edge) -> None:
    async def handler(request: Request, reply: Reply) -> None:
        first = asyncio.create_task(request.body())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await request.body()
        assert await first == await request.body() == b"hello"
        await reply.send(200, [], b"")

    served = await edge.serve(handler)
    wire = await served.wire()
    wire.send(post(b"hello")[:-1])
    await happens(lambda: served.server.requests_in_flight == 1)
    await asyncio.sleep(0.01)
    wire.send(b"o")
    assert (await wire.reply())[0] == 200


async def test_a_refusal_without_words_is_still_one(edge: Edge) -> None:
    served = await edge.serve(Seen())

    def speechless(*_: object) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        raise LookupError("hunter2")

    served.server.refuse = speechless
    with Errors() as errors:
        assert (await served.ask(b"GET //x HTTP/1.1\r\nHost: a\r\n\r\n"))[::2] == (400, b"")
    assert [type(error) for error in errors] == [LookupError]


async def test_writing_waits_for_a_caller_that_does_not_read(edge: Edge) -> None:
    written = 0

    async def handler(request: Request, reply: Reply) -> None:
        nonlocal written
        await reply.start(200, [])
        for _ in range(2000):
            await reply.write(b"x" * 16_000)
            written += 16_000
        await reply.finish()

    served = await edge.serve(handler)
    wire = await served.wire()
    wire.send(GET)
    await wire.until(b"\r\n\r\n")
    before = -1
    while before != written:  # until it stands still
        before = written
        await asyncio.sleep(0.05)
    assert written < 2000 * 16_000
    while not (await wire.reader.read(1 << 20)).endswith(b"\r\n0\r\n\r\n"):
        pass
    assert written == 2000 * 16_000
