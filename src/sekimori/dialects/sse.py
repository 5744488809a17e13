"""Server-sent events (WHATWG HTML, section 9.2), cut out of a stream without touching a byte of them.

`Cutter` gives back whole events as they came, with every byte in one of them, so that what was received is the
concatenation of what was cut. `fields` reads one. Line ends are CR, LF or CRLF, mixed at will; a byte-order mark may
begin the stream; comments belong to the event that they precede.
"""

from __future__ import annotations

import re
from typing import Final

from sekimori.errors import Upstream

EVENT_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of one event: the most that is held while its end has not come."""

# The blank line that ends an event. The groups are atomic: CRLF must never be taken for CR and a blank line.
_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_LINES: Final = re.compile(rb"\r\n|\n|\r")
_CR, _LF = b"\r\n"


class Cutter:
    """Holds the tail of a stream in which an event has begun and not ended."""

    __slots__ = ("_half", "_seen", "clean", "rest", "tail")

    def __init__(self) -> None:
        self.tail = bytearray()
        self.clean = True
        """Nothing is held, so that what comes next begins an event."""
        self.rest = False
        """The last `cut` took off a line feed that belongs to the event before: the second half of its CRLF."""
        self._half = False  # the last event ended with a CR, to which a line feed may still belong
        self._seen = 0  # of the tail: bytes in which no end begins

    def cut(self, data: bytes) -> list[bytes]:
        """Whole events that `data` completes, in order; a blank line where no event has begun is one of its own.

        Raises Upstream `upstream_too_large` where an event exceeds EVENT_LIMIT.
        """
        self.rest = False
        if self._half and data:
            self._half = False
            if data[0] == _LF:
                self.rest = True
                data = data[1:]
        tail = self.tail
        tail += data
        events: list[bytes] = []
        begin, size = 0, len(tail)
        # Not from the start each time: a long event that comes in small pieces would cost the square of its length.
        search = max(0, self._seen - 3)
        while begin < size:
            if tail[begin] == _LF:
                end = begin + 1
            elif tail[begin] == _CR:
                end = begin + (2 if tail[begin + 1 : begin + 2] == b"\n" else 1)
            elif (found := _END.search(tail, search)) is not None:
                end = found.end()
            else:
                break
            _bound(end - begin)
            events.append(bytes(tail[begin:end]))
            begin = search = end
        if begin:
            self._half = begin == size and tail[-1] == _CR
            del tail[:begin]
        self._seen = len(tail)
        self.clean = not (tail or self._half)
        _bound(len(tail))
        return events


def _bound(size: int) -> None:
    if size > EVENT_LIMIT:
        raise Upstream("upstream_too_large", f"The provider sent an event of more than {EVENT_LIMIT >> 20} MiB.")


def fields(event: bytes) -> tuple[bytes, bytes | None]:
    """Name and data of one event: `event` (empty where unnamed) and the `data` lines joined by line feeds.

    Data is None where there is none: a comment, a lone `retry`.
    """
    name = b""
    data: bytes | None = None
    for line in _LINES.split(event.removeprefix(b"\xef\xbb\xbf")):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data = value if data is None else data + b"\n" + value
        elif field == b"event":
            name = value
    return name, data


def with_data(event: bytes, data: bytes) -> bytes:
    """The event with its data replaced by one line; its other lines, and its line ends, stay."""
    written: list[bytes] = []
    done = False
    for line in event.splitlines(keepends=True):
        bare = line.rstrip(b"\r\n")
        if bare.removeprefix(b"\xef\xbb\xbf").partition(b":")[0] != b"data":
            written.append(line)
        elif not done:
            done = True
            written += (b"data: ", data, line[len(bare) :])
    return b"".join(written)


def beside_data(event: bytes) -> bytes:
    """What an event says beside its data: comments and other fields."""
    return b"\n".join(
        line
        for line in _LINES.split(event)
        if line and line.removeprefix(b"\xef\xbb\xbf").partition(b":")[0] != b"data"
    )


def only_data(event: bytes) -> bytes:
    """The event without what it says beside its data."""
    return b"".join(
        line
        for line in event.splitlines(keepends=True)
        if line.strip(b"\r\n") == b"" or line.partition(b":")[0] == b"data"
    )
