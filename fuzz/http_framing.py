"""Client against server: what ours writes, ours reads alike, both ways; and so does h11.

The input is a script: how a request is put together from the bytes, and how its reply is sent.
"""

from __future__ import annotations

import asyncio

from fuzz._http import ORIGIN, Seen, called, cut, h11_requests, h11_response, run, same, served
from sekimori.http.client import Pool
from sekimori.http.server import Reply, Request
from sekimori.terms import Headers

SEEDS = [
    b"\x00\x02/v1/x\n" + b"x-a: b\n" + b"\nhello world",
    b"\x01\x05/v1/x?y=z\n" + b"authorization: Bearer k\nx: \n" + b"\n" + b"data: 1\n\ndata: 2\n\n",
    b"\x02\x01/\n\n",
    b"\x03\x03/a/../b\nx: a\r\n y\n\n\x00\r\n0\r\n\r\n",
    b"\x04\x09/%2e\nhost: b\ncontent-length: 3\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x05\x07/x y\ntransfer-encoding: chunked\n\n5\r\nhello\r\n0\r\n\r\n",
]


def target(data: bytes) -> None:
    """Raises AssertionError where a message that we wrote is read as another one, or as more than one."""
    mode, seed = (data + b"\0\0")[:2]
    script, _, body = data[2:].partition(b"\n\n")
    rows = script.split(b"\n")
    aim = rows[0].decode("latin-1")
    headers: Headers = []
    for row in rows[1:]:
        name, _, value = row.partition(b":")
        headers.append((name, value.strip(b" \t")))
    method = ("POST", "GET", "PUT", "DELETE")[mode & 3]

    async def refuses(*_: object) -> tuple[asyncio.Transport, asyncio.Protocol]:
        raise AssertionError

    try:
        wire = Pool(refuses)._head(ORIGIN, method, aim, headers, len(body)) + body
    except (ValueError, UnicodeError):
        wire = b""
    if wire:
        seen, _ = run(served(cut(wire, seed)))
        check_request(seen, Seen(method.encode(), aim.encode(), headers, body))
        for theirs in h11_requests(wire)[:1]:
            assert (theirs.method, theirs.target, theirs.body) == (method.encode(), aim.encode(), body)

    pieces = [body[i : i + 1 + seed] for i in range(0, len(body), 1 + seed)]
    kind = mode >> 2 & 3

    async def handler(request: Request, reply: Reply) -> None:
        await request.body()
        if kind == 0:
            await reply.send(200, headers, body)
            return
        await reply.start(200, headers, length=len(body) if kind == 1 else None)
        for piece in pieces[:-1]:
            await reply.write(piece)
        if kind == 2:
            await reply.write(pieces[-1] if pieces else b"")
            await reply.finish()
        else:
            await reply.finish(pieces[-1] if pieces else b"")

    ask = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    quiet = asyncio.BaseEventLoop.call_exception_handler
    try:
        asyncio.BaseEventLoop.call_exception_handler = lambda *_: None  # type: ignore[method-assign]
        _, written = run(served([ask], handler))
    finally:
        asyncio.BaseEventLoop.call_exception_handler = quiet  # type: ignore[method-assign]
    if not written.startswith(b"HTTP/1.1 200 "):
        return  # the server would not send such a header
    got, kept, failed = run(called(cut(written, seed), "GET"))
    if failed is not None:
        assert failed.reason == "upstream_malformed", failed  # a field the client does not take
        return
    assert got is not None
    assert got.content == body, (got, body)
    assert kept
    theirs = h11_response(written, "GET")
    assert theirs is None or theirs == got._replace(headers=same(got.headers))


def check_request(seen: list[Seen], meant: Seen) -> None:
    """Nothing (refused), or exactly what was meant."""
    if not seen:
        return
    assert len(seen) == 1, seen
    read = seen[0]
    assert (read.method, read.target, read.body) == (meant.method, meant.target, meant.body), (read, meant)
    ours = (b"host", b"accept-encoding", b"content-length")
    fields = [field for field in read.headers if field[0] not in ours]
    assert fields == [(name.lower(), value) for name, value in meant.headers if name.lower() not in ours]
