"""Amazon's event-stream framing (`application/vnd.amazon.eventstream`) to server-sent events. Pure.

A frame is total length, length of headers, CRC-32 of these eight bytes; headers; payload; CRC-32 of all before it;
numbers big-endian. A header is a name (length in one byte), a type and a value. Reference: AWS, "Event stream
encoding"; InvokeModelWithResponseStream. Everything is checked, for the reader decides what is shown: both sums, every
length against the frame, each name once. What does not fit is `upstream_malformed`, never a guess.

`Frames` gives each `chunk` event's bytes back as one event of the Anthropic dialect, in the provider's own JSON, and
an exception as the dialect's error event; the stream reader of the dialect does the rest.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from typing import Final

import msgspec
from msgspec import Raw, Struct

from sekimori.dialects.glance import ABSENT, FAILURES, glance, small
from sekimori.errors import Upstream

MEDIA_TYPE: Final = b"application/vnd.amazon.eventstream"
FRAME_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of one frame; the format allows 24 MiB, an event of this dialect is far smaller (sse.EVENT_LIMIT)."""
HEADERS_LIMIT: Final = 64 * 1024
"""Bytes of a frame's headers."""
_PRELUDE: Final = 12
_OVERHEAD: Final = 16
_FIXED: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type; types 6 (bytes) and 7 (text) say their length."""
_TEXT: Final = 7
_EVENT: Final = re.compile(r"[a-z_]{1,64}", re.ASCII)

# What an exception means in the dialect's own words; the names are those of InvokeModelWithResponseStream's output.
_ERRORS: Final = {
    "throttlingException": "rate_limit_error",
    "serviceUnavailableException": "overloaded_error",
    "modelNotReadyException": "overloaded_error",
}

_encode: Final = msgspec.json.Encoder().encode


class _Chunk(Struct):
    bytes: Raw = ABSENT


class _Event(Struct):
    type: Raw = ABSENT


_CHUNK: Final = msgspec.json.Decoder(_Chunk)
_EVENT_OF: Final = msgspec.json.Decoder(_Event)
_text: Final = msgspec.json.Decoder(str).decode


class Frames:
    """Holds the tail of a stream in which a frame has begun and not ended."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = bytearray()

    @property
    def clean(self) -> bool:
        """Whether no frame is under way."""
        return not self._tail

    def feed(self, data: bytes) -> bytes:
        """Server-sent events of the frames that `data` completes.

        Raises Upstream `upstream_malformed`, or `upstream_too_large` where a frame exceeds FRAME_LIMIT.
        """
        tail = self._tail
        tail += data
        events: list[bytes] = []
        begin = 0
        while len(tail) - begin >= _PRELUDE:
            total, headers = _prelude(bytes(tail[begin : begin + _PRELUDE]))
            if len(tail) - begin < total:
                break
            events.append(_event(bytes(tail[begin : begin + total]), headers))
            begin += total
        del tail[:begin]
        return b"".join(events)


def _prelude(prelude: bytes) -> tuple[int, int]:
    """Length of the frame and of its headers. Its own sum is checked before either length is believed."""
    if zlib.crc32(prelude[:8]) != int.from_bytes(prelude[8:], "big"):
        raise _malformed("a prelude does not match its checksum")
    total, headers = int.from_bytes(prelude[:4], "big"), int.from_bytes(prelude[4:8], "big")
    if total > FRAME_LIMIT:
        raise Upstream("upstream_too_large", f"The provider sent a frame of more than {FRAME_LIMIT >> 20} MiB.")
    if headers > HEADERS_LIMIT or total < _OVERHEAD + headers:
        raise _malformed("a frame's lengths do not fit together")
    return total, headers


def _event(frame: bytes, headers_length: int) -> bytes:
    if zlib.crc32(frame[:-4]) != int.from_bytes(frame[-4:], "big"):
        raise _malformed("a frame does not match its checksum")
    end = _PRELUDE + headers_length
    headers, payload = _headers(frame[_PRELUDE:end]), frame[end:-4]
    kind = headers.get(":message-type")
    if kind == "event":
        return _chunk(payload) if headers.get(":event-type") == "chunk" else b""
    if kind == "exception":
        return _exception(headers.get(":exception-type", ""))
    if kind == "error":
        return _exception(headers.get(":error-code", ""))
    raise _malformed("a frame has no message type that is known")


def _headers(block: bytes) -> dict[str, str]:
    """The headers whose values are text; the others are checked for form and passed over."""
    found: dict[str, str] = {}
    seen: set[bytes] = set()
    at, size = 0, len(block)
    while at < size:
        length = block[at]
        name = block[at + 1 : at + 1 + length]
        at += 1 + length
        if not length or at >= size or name in seen:
            raise _malformed("a header has no name, no value or is there twice")
        seen.add(name)
        sort = block[at]
        at += 1
        if sort in (6, _TEXT):
            if at + 2 > size:
                raise _malformed("a header is cut short")
            length = int.from_bytes(block[at : at + 2], "big")
            at += 2
        elif sort in _FIXED:
            length = _FIXED[sort]
        else:
            raise _malformed("a header is of no known type")
        value = block[at : at + length]
        at += length
        if at > size:
            raise _malformed("a header is cut short")
        if sort == _TEXT:
            try:
                found[name.decode("utf-8")] = value.decode("utf-8")
            except UnicodeDecodeError:
                raise _malformed("a header is not text") from None
    return found


def _chunk(payload: bytes) -> bytes:
    """A payload `{"bytes": BASE64, "p": PADDING}` as the event whose JSON the bytes are."""
    chunk = glance(_CHUNK, payload)
    if chunk is None:
        raise _malformed("a chunk is not JSON")
    try:
        data = base64.b64decode(_text(chunk.bytes), validate=True)
    except (*FAILURES, binascii.Error):
        raise _malformed("a chunk's bytes are not base64") from None
    event = glance(_EVENT_OF, data)
    name = None if event is None else small(event.type)
    if type(name) is not str or not _EVENT.fullmatch(name):
        raise _malformed("a chunk is no event of the dialect")
    if b"\n" in data or b"\r" in data:
        data = msgspec.json.format(data, indent=-1)  # a line break would end the event's data
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


def _exception(name: str) -> bytes:
    """An exception as the dialect's error event. Its words stay here: they are written for the key's owner."""
    kind = _ERRORS.get(name[:1].lower() + name[1:], "api_error")
    return b"event: error\ndata: " + _encode({"type": "error", "error": {"type": kind, "message": ""}}) + b"\n\n"


def _malformed(what: str) -> Upstream:
    return Upstream("upstream_malformed", f"The provider's event stream is not one: {what}.")
