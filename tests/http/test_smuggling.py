"""No form of request smuggling: what cannot be framed in one way only is refused, and nothing after it is read.

Each attack carries a second request. If the server framed the first one as the attacker hopes a front did not, the
handler would see `/smuggled`.
"""

from __future__ import annotations

import asyncio

import pytest

from sekimori.http.server import Reply, Request
from tests.http.fed import Fed
from tests.http.wire import Edge, Seen

HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED_END = b"0\r\n\r\n"


def post(*fields: bytes, body: bytes = b"", host: bytes = b"Host: a") -> bytes:
    return b"\r\n".join((b"POST /first HTTP/1.1", host, *fields)) + b"\r\n\r\n" + body


def get(line: bytes) -> bytes:
    return line + b"\r\nHost: a\r\n\r\n"


ATTACKS: dict[str, bytes] = {
    # Two lengths.
    "CL.TE": post(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=CHUNKED_END + b"X"),
    "TE.CL": post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"5c\r\n" + CHUNKED_END),
    "CL.0 with TE identity": post(b"Content-Length: 5", b"Transfer-Encoding: identity", body=b"hello"),
    "two CL that differ": post(b"Content-Length: 0", b"Content-Length: 5", body=b"hello"),
    "two CL that agree": post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
    "CL list": post(b"Content-Length: 5, 5", body=b"hello"),
    "CL with plus": post(b"Content-Length: +5", body=b"hello"),
    "CL negative": post(b"Content-Length: -5", body=b"hello"),
    "CL hexadecimal": post(b"Content-Length: 0x5", body=b"hello"),
    "CL underscore": post(b"Content-Length: 1_0", body=b"hellohello"),
    "CL leading zero": post(b"Content-Length: 05", body=b"hello"),
    "CL empty": post(b"Content-Length:", body=b"hello"),
    "CL inner space": post(b"Content-Length: 1 0", body=b"hellohello"),
    "CL decimal point": post(b"Content-Length: 5.0", body=b"hello"),
    "CL full width digits": post("Content-Length: ５".encode(), body=b"hello"),
    "CL beyond 64 bits": post(b"Content-Length: 18446744073709551621", body=b"hello"),
    # Codings that some readers take for chunked and others do not.
    "TE twice": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=CHUNKED_END),
    "TE chunked and identity": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=CHUNKED_END),
    "TE list": post(b"Transfer-Encoding: gzip, chunked", body=CHUNKED_END),
    "TE chunked twice in a list": post(b"Transfer-Encoding: chunked, chunked", body=CHUNKED_END),
    "TE chunked not last": post(b"Transfer-Encoding: chunked, identity", body=CHUNKED_END),
    "TE xchunked": post(b"Transfer-Encoding: xchunked", body=CHUNKED_END),
    "TE quoted": post(b'Transfer-Encoding: "chunked"', body=CHUNKED_END),
    "TE parameter": post(b"Transfer-Encoding: chunked;q=1", body=CHUNKED_END),
    "TE empty": post(b"Transfer-Encoding:", body=CHUNKED_END),
    "TE comma": post(b"Transfer-Encoding: ,chunked", body=CHUNKED_END),
    "TE vertical tab": post(b"Transfer-Encoding: \x0bchunked", body=CHUNKED_END),
    "TE form feed": post(b"Transfer-Encoding: chunked\x0c", body=CHUNKED_END),
    "TE NUL": post(b"Transfer-Encoding: chunked\x00", body=CHUNKED_END),
    "TE non-breaking space": post(b"Transfer-Encoding:\xa0chunked", body=CHUNKED_END),
    "TE long s": post("Transfer-Encoding: chunked".replace("d", "ſ").encode(), body=CHUNKED_END),
    "TE from HTTP/1.0": b"POST /first HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED_END,
    # Field lines that readers split or name differently.
    "space before colon": post(b"Content-Length : 5", body=b"hello"),
    "tab before colon": post(b"Transfer-Encoding\t: chunked", body=CHUNKED_END),
    "leading space (obs-fold)": post(b"X: y", b" Content-Length: 5", body=b"hello"),
    "leading tab (obs-fold)": post(b"Transfer-Encoding:", b"\tchunked", body=CHUNKED_END),
    "obs-fold on the first field": b"POST /first HTTP/1.1\r\n Host: a\r\nContent-Length: 0\r\n\r\n",
    "no colon": post(b"Content-Length 5", body=b"hello"),
    "empty name": post(b": 5", body=b"hello"),
    "bare LF between fields": post(b"X: y\nTransfer-Encoding: chunked", body=CHUNKED_END),
    "bare CR between fields": post(b"X: y\rTransfer-Encoding: chunked", body=CHUNKED_END),
    "CR CR LF": post(b"X: y\r", b"Content-Length: 5", body=b"hello"),
    "bare LF at the end of the head": b"POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 5\n\nhello\r\n\r\n",
    "LF only": b"POST /first HTTP/1.1\nHost: a\nContent-Length: 0\n\n\r\n\r\n",
    "LF CR LF": b"POST /first HTTP/1.1\r\nHost: a\r\nX: y\n\r\nhello\r\n\r\n",
    "NUL in a value": post(b"X: a\x00b"),
    "NUL in a name": post(b"X\x00: a"),
    "DEL in a value": post(b"X: a\x7fb"),
    "non-ASCII name": post(b"X\xe9: a"),
    "name in brackets": post(b"(X): a"),
    "request line as a field": post(b"GET /smuggled HTTP/1.1"),
    # Chunks.
    "chunk size empty": post(b"Transfer-Encoding: chunked", body=b"\r\n\r\n" + CHUNKED_END),
    "chunk size hexadecimal prefix": post(b"Transfer-Encoding: chunked", body=b"0x5\r\nhello\r\n" + CHUNKED_END),
    "chunk size plus": post(b"Transfer-Encoding: chunked", body=b"+5\r\nhello\r\n" + CHUNKED_END),
    "chunk size negative": post(b"Transfer-Encoding: chunked", body=b"-5\r\nhello\r\n" + CHUNKED_END),
    "chunk size underscore": post(b"Transfer-Encoding: chunked", body=b"0_5\r\nhello\r\n" + CHUNKED_END),
    "chunk size beyond 32 bits": post(b"Transfer-Encoding: chunked", body=b"100000005\r\nhello\r\n" + CHUNKED_END),
    "chunk size beyond 64 bits": post(b"Transfer-Encoding: chunked", body=b"f" * 17 + b"\r\nhello\r\n" + CHUNKED_END),
    "chunk size leading space": post(b"Transfer-Encoding: chunked", body=b" 5\r\nhello\r\n" + CHUNKED_END),
    "chunk size trailing space": post(b"Transfer-Encoding: chunked", body=b"5 \r\nhello\r\n" + CHUNKED_END),
    "chunk line ends in LF": post(b"Transfer-Encoding: chunked", body=b"5\nhello\r\n" + CHUNKED_END),
    "chunk line ends in CR": post(b"Transfer-Encoding: chunked", body=b"5\rXhello\r\n" + CHUNKED_END),
    "chunk line ends in CR CR LF": post(b"Transfer-Encoding: chunked", body=b"5\r\r\nhello\r\n" + CHUNKED_END),
    "LF in a chunk extension (TERM.EXT)": post(b"Transfer-Encoding: chunked", body=b"2;\nxx\r\nXX\r\n" + CHUNKED_END),
    "CR in a chunk extension": post(b"Transfer-Encoding: chunked", body=b"2;a\rb\r\nXX\r\n" + CHUNKED_END),
    "NUL in a chunk extension": post(b"Transfer-Encoding: chunked", body=b"2;\x00\r\nXX\r\n" + CHUNKED_END),
    "chunk extension too long": post(
        b"Transfer-Encoding: chunked", body=b"2;" + b"x" * 200 + b"\r\nXX\r\n" + CHUNKED_END
    ),
    "chunk longer than its size": post(b"Transfer-Encoding: chunked", body=b"4\r\nhello\r\n" + CHUNKED_END),
    "chunk shorter than its size": post(b"Transfer-Encoding: chunked", body=b"6\r\nhello\r\n" + CHUNKED_END),
    "chunk data ends in LF (TERM.SPILL)": post(b"Transfer-Encoding: chunked", body=b"5\r\nhello\n" + CHUNKED_END),
    "chunk data ends in anything": post(b"Transfer-Encoding: chunked", body=b"5\r\nhelloXX" + CHUNKED_END),
    "last chunk ends in LF": post(b"Transfer-Encoding: chunked", body=b"0\n\n"),
    "trailer ends in LF": post(b"Transfer-Encoding: chunked", body=b"0\r\nX: y\n\r\n\r\n"),
    "trailer with obs-fold": post(b"Transfer-Encoding: chunked", body=b"0\r\nX: y\r\n z\r\n\r\n"),
    "trailer without colon": post(b"Transfer-Encoding: chunked", body=b"0\r\nGET /smuggled HTTP/1.1\r\n\r\n"),
    "trailer with NUL": post(b"Transfer-Encoding: chunked", body=b"0\r\nX: \x00\r\n\r\n"),
    "trailers without end": post(b"Transfer-Encoding: chunked", body=b"0\r\n" + b"X: y\r\n" * 2000 + b"\r\n"),
    # Request lines.
    "empty line first": b"\r\n" + get(b"GET /first HTTP/1.1"),
    "two spaces": get(b"GET  /first HTTP/1.1"),
    "tab as a space": get(b"GET\t/first\tHTTP/1.1"),
    "leading space": get(b" GET /first HTTP/1.1"),
    "trailing space": get(b"GET /first HTTP/1.1 "),
    "space in the target": get(b"GET /first x HTTP/1.1"),
    "no version (HTTP/0.9)": b"GET /first\r\n\r\n",
    "version 1.2": get(b"GET /first HTTP/1.2"),
    "version 2.0": get(b"PRI * HTTP/2.0"),
    "version lower case": get(b"GET /first http/1.1"),
    "version with three digits": get(b"GET /first HTTP/1.10"),
    "version with leading zero": get(b"GET /first HTTP/01.1"),
    "other protocol": get(b"GET /first HTTPS/1.1"),
    "method lower case": get(b"get /first HTTP/1.1"),
    "method with NUL": get(b"G\x00T /first HTTP/1.1"),
    "CR in the target": get(b"GET /fi\rrst HTTP/1.1"),
    "LF in the target": get(b"GET /first HTTP/1.1\nX: y"),
    # Host.
    "no Host": b"GET /first HTTP/1.1\r\nX: y\r\n\r\n",
    "two Hosts": b"GET /first HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "two equal Hosts": b"GET /first HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
    "empty Host": b"GET /first HTTP/1.1\r\nHost:\r\n\r\n",
    "Host list": b"GET /first HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "Host with user": b"GET /first HTTP/1.1\r\nHost: user@a\r\n\r\n",
    "Host with path": b"GET /first HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "Host with space": b"GET /first HTTP/1.1\r\nHost: a b\r\n\r\n",
    "Host with bad port": b"GET /first HTTP/1.1\r\nHost: a:80a\r\n\r\n",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
async def test_refused_and_nothing_after_it_is_read(edge: Edge, attack: bytes) -> None:
    seen = Seen()
    served = await edge.serve(seen)
    wire = await served.wire()
    wire.send(attack + HIDDEN)
    wire.writer.write_eof()
    answer = await wire.ended()
    assert seen.requests == []
    if answer:  # a body that is refused after the caller has ended is not answered any more
        assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 50"))
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"\r\nconnection: close\r\n" in answer


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
async def test_each_is_answered_once_while_the_caller_stays(edge: Edge, attack: bytes) -> None:
    seen = Seen()
    served = await edge.serve(seen)
    wire = await served.wire()
    wire.send(attack + HIDDEN)
    status, fields, _ = await wire.reply()
    assert status in (400, 414, 415, 417, 431, 501, 505)
    assert fields[b"connection"] == b"close"
    assert seen.requests == []
    wire.writer.write_eof()
    assert await wire.rest() == b""


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
async def test_alike_when_every_byte_comes_alone(edge: Edge, attack: bytes) -> None:
    """The reading must not depend on how the network cuts it."""
    seen = Seen()
    served = await edge.serve(seen)
    connection = Fed(served.server)
    for byte in attack + HIDDEN:
        connection.feed(bytes((byte,)))
    await connection.settle()
    assert seen.requests == []
    assert connection.written.count(b"HTTP/1.1 ") == 1
    await connection.end()


async def test_what_follows_a_whole_request_is_the_next_one(edge: Edge) -> None:
    """The other side of the coin: the honest forms are framed as two."""
    seen = Seen()
    served = await edge.serve(seen)
    for first, body in (
        (post(b"Content-Length: 5", body=b"hello"), b"hello"),
        (post(b"content-length:5\t", body=b"hello"), b"hello"),
        (post(b"Transfer-Encoding: Chunked", body=b"5\r\nhello\r\n" + CHUNKED_END), b"hello"),
        (post(b"Transfer-Encoding: chunked", body=b"05;x=y\r\nhello\r\n00\r\nX: y\r\n\r\n"), b"hello"),
        (post(), b""),
        (post(b"Content-Length: 0"), b""),
    ):
        seen.requests.clear()
        wire = await served.wire()
        wire.send(first + b"GET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answers = await wire.rest()
        assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2
        assert seen.requests == [("POST", "/first", body), ("GET", "/second", b"")]


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("coding", [b"Content-Length: %d" % len(HIDDEN), b"Transfer-Encoding: chunked"])
async def test_a_body_that_the_handler_does_not_read_is_no_request(edge: Edge, coding: bytes, pieces: int) -> None:
    asked: list[str] = []

    async def handler(request: Request, reply: Reply) -> None:
        asked.append(request.target)
        await reply.send(200, [], b"")

    body = HIDDEN if coding.startswith(b"C") else b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
    served = await edge.serve(handler)
    wire = await served.wire()
    head = post(coding)
    wire.send(head if pieces > 1 else head + body)
    await wire.until(b"\r\n\r\n")
    if pieces > 1:
        wire.send(body[:20])
        await asyncio.sleep(0.01)
        wire.send(body[20:])
    wire.writer.write_eof()
    await wire.ended()
    assert asked == ["/first"]


async def test_an_upgrade_is_never_taken(edge: Edge) -> None:
    """A front that believes in a tunnel would pass what follows unread; here it is the next request, decided anew."""
    seen = Seen()
    served = await edge.serve(seen)
    wire = await served.wire()
    wire.send(
        b"GET /first HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c, websocket\r\n"
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nSec-WebSocket-Key: x\r\n\r\n"
    )
    status, _, _ = await wire.reply()
    assert status == 200
    wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    status, _, _ = await wire.reply()
    assert status == 505
    assert seen.requests == [("GET", "/first", b"")]


async def test_connect_and_trace_make_no_tunnel(edge: Edge) -> None:
    seen = Seen()
    served = await edge.serve(seen)
    status, _, _ = await served.ask(b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status == 400
    assert seen.requests == []
