"""The bytes of HTTP/1.1 (RFC 9112) read strictly: pure functions and one decoder, shared by server and client.

Invariants, and why they hold:
- A line ends with CRLF and nothing else. Heads are split at CRLF and no field may hold CR, LF, NUL or another control
  character, so no second reader can find a line end that we did not (bare LF, obs-fold, CR in a value).
- A message has at most one length. Content-Length twice (even equal), Content-Length beside Transfer-Encoding, and any
  coding but a single `chunked` raise, so front and back never disagree where a message ends.
- A target is origin-form and its path in normal form (RFC 3986 6.2.2), so that a path that was authorised cannot be a
  second spelling of another one: no `//`, dot segments, backslash, fragment, needless or lower-case percent-encoding,
  or encoded control characters, dots, backslashes and percent signs. What is reserved (`%2F`, `%3A`) stays as it came
  and never equals the bare character, because nothing here decodes.

Field lines repeat on a kept connection, so what a line means is remembered per connection (`Lines`), credentials never.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from sekimori.terms import Headers

CRLF: Final = b"\r\n"
TRAILER_BYTES: Final = 4096
CHUNK_LINE_BYTES: Final = 160
"""Chunk size (1–8 hex digits), extensions (at most 128 bytes) and CRLF, with room."""
_REMEMBERED: Final = 64
_SECRET: Final = frozenset(
    (b"authorization", b"proxy-authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie", b"set-cookie")
)

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_FIELD: Final = re.compile(rb"(" + _TOKEN + rb"+):([^\x00-\x08\x0a-\x1f\x7f]*)")
_REQUEST_LINE: Final = re.compile(rb"([A-Z][A-Z\-_]{0,23}) ([\x21-\x7e]+) HTTP/(?:1\.([01])|[0-9]\.[0-9])")
_REQUEST_START: Final = re.compile(rb"[A-Z][A-Z\-_]{0,23}(?: |$)")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t\x20-\x7e]{0,127})?\r\n")
_LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,14}")
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._\-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_SEGMENT: Final = (
    rb"(?!\.{1,2}(?:/|$))"  # no dot segments
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=:@\-]"
    # Percent-encoding only of what needs it: not of controls, unreserved characters, `%`, `\`; upper-case digits;
    # no byte that UTF-8 never has.
    rb"|%(?:2[0-46-9A-CF]|3[A-F]|40|5[BDE]|60|7[BCD]|[89AB][0-9A-F]|C[2-9A-F]|[DE][0-9A-F]|F[0-4]))"
)
_PATH: Final = re.compile(rb"/(?:" + _SEGMENT + rb"+/)*(?:" + _SEGMENT + rb"+)?")
_QUERY: Final = re.compile(rb"[\x21\x22\x24-\x5b\x5d-\x7e]*")


class Malformed(Exception):
    """A message that is refused. `text` is safe to show; `status` is what a server answers."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


# What a field means for framing; 0 where nothing.
_HOST_KIND, _LENGTH_KIND, _CODING_KIND, _CONNECTION_KIND, _EXPECT_KIND, _ENCODING_KIND = range(1, 7)
_KINDS: Final[dict[bytes, int]] = {
    b"host": _HOST_KIND,
    b"content-length": _LENGTH_KIND,
    b"transfer-encoding": _CODING_KIND,
    b"connection": _CONNECTION_KIND,
    b"expect": _EXPECT_KIND,
    b"content-encoding": _ENCODING_KIND,
}
_Field = tuple[tuple[bytes, bytes], int]


class RequestLine(Struct, frozen=True, gc=False):
    """One checked request line. `path` and `query` are the target's two halves, nothing decoded."""

    method: str
    target: str
    path: str
    query: str
    minor: int


class RequestHead(Struct, gc=False):
    """One checked head. `length` is 0 with `chunked` and where none was stated."""

    line: RequestLine
    headers: Headers
    length: int
    chunked: bool
    close: bool
    expect: bool


class ResponseHead(Struct, gc=False):
    """One checked head. `length` is None where none was stated."""

    status: int
    headers: Headers
    length: int | None
    chunked: bool
    close: bool


class Lines:
    """What lines of one connection meant when they were last checked. Bounded; never holds a credential."""

    __slots__ = ("fields", "starts")

    def __init__(self) -> None:
        self.fields: dict[bytes, _Field] = {}
        self.starts: dict[bytes, RequestLine] = {}

    def field(self, line: bytes) -> _Field:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise Malformed("a header field is malformed")
        name = match[1].lower()
        value = match[2].strip(b" \t")
        field = ((name, value), _KINDS.get(name, 0))
        if name not in _SECRET:
            if len(self.fields) >= _REMEMBERED:
                self.fields.clear()
            if len(line) <= 256:
                self.fields[line] = field
        return field

    def start(self, line: bytes, target_bytes: int) -> RequestLine:
        match = _REQUEST_LINE.fullmatch(line)
        if match is None:
            raise Malformed("the request line is malformed")
        method, raw, minor = match.groups()
        if minor is None:
            raise Malformed("this version of the protocol is not spoken here", 505)
        if len(raw) > target_bytes:
            raise Malformed("the request target is too long", 414)
        path, mark, query = raw.partition(b"?")
        if _PATH.fullmatch(path) is None:
            raise Malformed("the request target is not a canonical path")
        if _QUERY.fullmatch(query) is None:
            raise Malformed("the query holds a character that must be percent-encoded")
        start = RequestLine(method.decode(), raw.decode(), path.decode(), query.decode(), int(minor))
        if not mark:  # a query can hold a credential
            if len(self.starts) >= _REMEMBERED:
                self.starts.clear()
            if len(line) <= 256:
                self.starts[line] = start
        return start


def plausible_start(data: bytes) -> bool:
    """Whether an unfinished head may still become a request; lets a listener drop other protocols at once."""
    return _REQUEST_START.match(data[:32]) is not None


def read_request(head: bytes, lines: Lines, *, headers: int, target_bytes: int) -> RequestHead:
    """Read a request head: everything before the empty line, without it and without the last CRLF.

    Raises Malformed with the status to answer.
    """
    rows = head.split(CRLF)
    start = rows[0]
    line = lines.starts.get(start) or lines.start(start, target_bytes)
    if len(rows) > headers + 1:
        raise Malformed("there are too many header fields", 431)
    known = lines.fields
    found: Headers = []
    host = length = coding = expect = encoding = None
    close = line.minor == 0
    for row in rows[1:]:
        pair, kind = known.get(row) or lines.field(row)
        found.append(pair)
        if kind:
            value = pair[1]
            if kind == _CONNECTION_KIND:
                close = close or b"close" in connection_options(value)
            elif kind == _LENGTH_KIND:
                if length is not None:
                    raise Malformed("content-length is given twice")
                length = value
            elif kind == _HOST_KIND:
                if host is not None:
                    raise Malformed("host is given twice")
                host = value
            elif kind == _CODING_KIND:
                if coding is not None:
                    raise Malformed("transfer-encoding is given twice")
                coding = value
            elif kind == _EXPECT_KIND:
                if expect is not None:
                    raise Malformed("expect is given twice", 417)
                expect = value
            else:
                if encoding is not None or value.lower() != b"identity":
                    raise Malformed("content-encoding is not accepted; send the body as it is", 415)
                encoding = value
    if host is None:
        raise Malformed("host is missing")
    if _HOST.fullmatch(host) is None:
        raise Malformed("host is malformed")
    if expect is not None and expect.lower() != b"100-continue":
        raise Malformed("this expectation cannot be met", 417)
    size = 0
    if coding is not None:
        # RFC 9112 6.1: both lengths, or a coding from a 1.0 peer, are how requests are smuggled.
        if length is not None:
            raise Malformed("content-length and transfer-encoding exclude each other")
        if line.minor == 0:
            raise Malformed("transfer-encoding does not exist in HTTP/1.0")
        if coding.lower() != b"chunked":
            raise Malformed("the only transfer-encoding is chunked", 501)
    elif length is not None:
        if _LENGTH.fullmatch(length) is None:
            raise Malformed("content-length is malformed")
        size = int(length)
    return RequestHead(line, found, size, coding is not None, close, expect is not None and line.minor == 1)


def read_response(head: bytes, lines: Lines, *, headers: int) -> ResponseHead:
    """Read a response head: everything before the empty line, without it and without the last CRLF.

    Raises Malformed. What the framing means for a given method and status is the client's to apply.
    """
    rows = head.split(CRLF)
    match = _STATUS_LINE.fullmatch(rows[0])
    if match is None:
        raise Malformed("the status line is malformed")
    if len(rows) > headers + 1:
        raise Malformed("there are too many header fields")
    known = lines.fields
    found: Headers = []
    length = coding = None
    close = match[1] == b"0"
    for row in rows[1:]:
        pair, kind = known.get(row) or lines.field(row)
        found.append(pair)
        if kind:
            value = pair[1]
            if kind == _LENGTH_KIND:
                if length is not None:
                    raise Malformed("content-length is given twice")
                length = value
            elif kind == _CODING_KIND:
                if coding is not None:
                    raise Malformed("transfer-encoding is given twice")
                coding = value
            elif kind == _CONNECTION_KIND:
                close = close or b"close" in connection_options(value)
            elif kind == _ENCODING_KIND and value.lower() != b"identity":
                raise Malformed("the content is compressed though identity was asked for")
    size = None
    if coding is not None:
        if length is not None:
            raise Malformed("content-length and transfer-encoding exclude each other")
        if match[1] == b"0":
            raise Malformed("transfer-encoding does not exist in HTTP/1.0")
        if coding.lower() != b"chunked":
            raise Malformed("the only transfer-encoding is chunked")
    elif length is not None:
        if _LENGTH.fullmatch(length) is None:
            raise Malformed("content-length is malformed")
        size = int(length)
    return ResponseHead(int(match[2]), found, size, coding is not None, close)


def connection_options(value: bytes) -> list[bytes]:
    """The options of a Connection field in lower case."""
    return [option.strip(b" \t") for option in value.lower().split(b",")]


class Chunks:
    """Decoder of one chunked body (RFC 9112 7.1). Feed it what arrives; it keeps at most one unfinished line.

    `feed` appends content to `out` and returns None while the body goes on, else the bytes that follow it.
    `count` is the number of chunks begun. Raises Malformed. Trailers are checked, bounded and dropped.
    """

    __slots__ = ("_left", "_tail", "count")

    def __init__(self) -> None:
        self._left = -1  # ≥ 0: content bytes of the chunk still to come, its CRLF after them; -1: a size; -2: trailers
        self._tail = b""
        self.count = 0

    def feed(self, data: bytes, out: list[bytes]) -> bytes | None:
        if self._tail:
            data = self._tail + data
            self._tail = b""
        position = 0
        size = len(data)
        left = self._left
        while position < size:
            if left == -1:
                match = _CHUNK_LINE.match(data, position)
                if match is None:
                    if size - position > CHUNK_LINE_BYTES or data.find(b"\n", position) >= 0:
                        raise Malformed("a chunk size is malformed")
                    break
                left = int(match[1], 16)
                position = match.end()
                self.count += 1
                if left == 0:
                    left = -2
            elif left >= 0:
                end = position + left
                if end + 2 <= size:
                    if data[end : end + 2] != CRLF:
                        raise Malformed("a chunk is longer than its size")
                    if left:
                        out.append(data[position:end])
                    position = end + 2
                    left = -1
                elif end > size:
                    out.append(data[position:] if position else data)
                    left = end - size
                    position = size
                else:
                    if left:
                        out.append(data[position:end])
                    position = end
                    left = 0
                    break
            else:
                if data.startswith(CRLF, position):
                    return data[position + 2 :]
                end = data.find(b"\r\n\r\n", position)
                if max(end, size if end < 0 else 0) - position > TRAILER_BYTES:
                    raise Malformed("the trailer section is too long")
                if end < 0:
                    break
                for row in data[position:end].split(CRLF):
                    if _FIELD.fullmatch(row) is None:
                        raise Malformed("a trailer field is malformed")
                return data[end + 4 :]
        self._left = left
        if position < size:
            self._tail = data[position:]
        return None
