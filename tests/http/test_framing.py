"""The pure reading: chunked bodies at any cut, heads, and agreement with two independent readers."""

from __future__ import annotations

import itertools

import h11
import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.http.framing import Chunks, Lines, Malformed, plausible_start, read_request, read_response


def decode(pieces: list[bytes]) -> tuple[bytes, bytes | None]:
    chunks = Chunks()
    out: list[bytes] = []
    rest: bytes | None = None
    for piece in pieces:
        if rest is not None:
            rest += piece
        else:
            rest = chunks.feed(piece, out)
    return b"".join(out), rest


def cuts(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=8),
    st.lists(st.integers(0, 10_000), max_size=12),
    st.sampled_from([b"", b";a=b", b";x"]),
    st.sampled_from([b"", b"X: y\r\n", b"A: b\r\nC:\r\n"]),
    st.binary(max_size=40),
)
def test_chunks_read_alike_at_any_cut(
    content: list[bytes], places: list[int], extension: bytes, trailers: bytes, after: bytes
) -> None:
    wire = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in content)
    wire += b"0\r\n" + trailers + b"\r\n"
    assert decode(cuts(wire + after, places)) == (b"".join(content), after)
    for short in (wire[:-1], wire[: len(wire) // 2]):
        assert decode(cuts(short, places))[1] is None


@given(st.binary(max_size=60), st.lists(st.integers(0, 100), max_size=6))
def test_any_bytes_read_alike_at_any_cut(data: bytes, places: list[int]) -> None:
    def outcome(pieces: list[bytes]) -> tuple[bytes, bytes | None] | None:
        try:
            return decode(pieces)
        except Malformed:
            return None

    whole = outcome([data])
    cut = outcome(cuts(data, places))
    if whole is not None:
        assert cut == whole


def test_one_byte_at_a_time() -> None:
    wire = b"5\r\nhello\r\n1;q\r\n!\r\n0\r\nX: y\r\n\r\nnext"
    assert decode([bytes((byte,)) for byte in wire]) == (b"hello!", b"next")


_values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
_names = st.text("abcXYZ-_1", min_size=1, max_size=12).filter(
    lambda name: name.lower() not in ("te", "host", "expect") and "encoding" not in name.lower()
)


@given(st.lists(st.tuples(_names, _values), max_size=10), st.sampled_from([b" ", b"", b"  ", b"\t"]))
def test_heads_read_as_h11_and_httptools_read_them(fields: list[tuple[str, str]], pad: bytes) -> None:
    rows = [b"Host: a", *(name.encode() + b":" + pad + value.encode() + pad for name, value in fields)]
    head = b"\r\n".join((b"POST /path?q=1 HTTP/1.1", *rows))
    ours = read_request(head, Lines(), headers=100, target_bytes=100)

    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head + b"\r\n\r\n")
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    assert list(event.headers) == ours.headers

    theirs: list[tuple[bytes, bytes]] = []

    class Notes:
        def on_header(self, name: bytes, value: bytes) -> None:
            theirs.append((name.lower(), value))

    httptools.HttpRequestParser(Notes()).feed_data(head + b"\r\n\r\n")
    assert [(name, value.rstrip(b" \t")) for name, value in theirs] == ours.headers


def test_remembered_lines_mean_the_same_and_no_credential_is_remembered() -> None:
    lines = Lines()
    head = (
        b"GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer hunter2\r\nx-api-key: hunter3\r\n"
        b"X-Goog-Api-Key: hunter4\r\nApi-Key: hunter5\r\nCookie: hunter6\r\nX-Other: z"
    )
    first = read_request(head, lines, headers=100, target_bytes=100)
    assert read_request(head, lines, headers=100, target_bytes=100) == first
    read_request(b"GET /v1/models?key=hunter7 HTTP/1.1\r\nHost: a", lines, headers=100, target_bytes=100)
    kept = repr((lines.fields, lines.starts))
    assert "hunter" not in kept
    assert "x-other" in kept


def test_remembered_lines_are_bounded() -> None:
    lines = Lines()
    for number in range(1000):
        read_request(
            b"GET /%d HTTP/1.1\r\nHost: a\r\nX-%d: y\r\nX-Long: %b" % (number, number, b"z" * 300),
            lines,
            headers=100,
            target_bytes=100,
        )
        assert len(lines.fields) <= 64
        assert len(lines.starts) <= 64
    assert all(len(line) <= 256 for line in lines.fields)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 000 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 +20 OK",
        b"HTTP/2 200",
        b"HTTP/1.2 200 OK",
        b"ICY 200 OK",
        b"http/1.1 200 OK",
        b"HTTP/1.1 200 O\x00K",
        b"HTTP/1.1 200 OK\r\nX : y",
        b"HTTP/1.1 200 OK\r\n X: y",
        b"HTTP/1.1 200 OK\r\nX: y\nZ: z",
        b"HTTP/1.1 200 OK\r\nX: y\rZ: z",
        b"HTTP/1.1 200 OK\r\nX",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1,1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: identity, br",
    ],
)
def test_response_heads_that_are_refused(head: bytes) -> None:
    with pytest.raises(Malformed):
        read_response(head, Lines(), headers=100)


@pytest.mark.parametrize(
    ("head", "status", "length", "chunked", "close"),
    [
        (b"HTTP/1.1 200 OK", 200, None, False, False),
        (b"HTTP/1.1 200", 200, None, False, False),
        (b"HTTP/1.1 200 ", 200, None, False, False),
        (b"HTTP/1.1 529 Site is overloaded\r\nContent-Length: 7", 529, 7, False, False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\nconnection: Close", 200, None, True, True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 7\r\nConnection: keep-alive", 200, 7, False, True),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 0", 200, 0, False, False),
        (b"HTTP/1.1 200 \xc3\xa9t\xc3\xa9\r\nX: \xe9", 200, None, False, False),
    ],
)
def test_response_heads(head: bytes, status: int, length: int | None, chunked: bool, close: bool) -> None:
    read = read_response(head, Lines(), headers=100)
    assert (read.status, read.length, read.chunked, read.close) == (status, length, chunked, close)


@pytest.mark.parametrize(
    ("data", "plausible"),
    [
        (b"G", True),
        (b"GET", True),
        (b"GET /", True),
        (b"\x16\x03\x01\x02\x00\x01", False),
        (b"SSH-2.0-OpenSSH\r\n", False),
        (b"\r\n", False),
        (b"get / ", False),
        (b"A" * 40, False),
        (b"\x80\x2e\x01", False),
    ],
)
def test_other_protocols_are_known_by_their_first_bytes(data: bytes, plausible: bool) -> None:
    assert plausible_start(data) is plausible
