r"""The source of a JSON value as it will be read: `a\u0040b.example` says `a@b.example`.

Only what stands behind a backslash changes, so this works on a part of a value, at any cut. Each position of what is
read leads back to where it stands in the source.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

_ESCAPE: Final = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL
)
_OPEN: Final = re.compile(
    r"\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?)?)?\Z"
)
"""An escape that may go on behind the end."""
_SHORT: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "/": "/"}


class Unescaped:
    """A source that comes in pieces."""

    __slots__ = ("_left", "_reads", "_source", "_sources", "_tail")

    def __init__(self) -> None:
        self._tail = ""
        self._source = 0  # of the source: characters that have been read
        self._left = 0  # of what is read: characters
        # Where the distance between a position and its source changes: positions, and their places in the source.
        self._reads: list[int] = [0]
        self._sources: list[int] = [0]

    def read(self, piece: str, ended: bool = False) -> str:
        """What the next piece adds to what is read."""
        if not self._tail and "\\" not in piece:
            self._source += len(piece)
            self._left += len(piece)
            return piece
        text = self._tail + piece
        self._tail = ""
        if not ended and (rest := _open(text)) >= 0:
            text, self._tail = text[:rest], text[rest:]
        said: list[str] = []
        at = 0
        for escape in _ESCAPE.finditer(text):
            plain = text[at : escape.start()]
            character = _character(escape)
            said += (plain, character)
            self._source += len(plain) + escape.end() - escape.start()
            self._left += len(plain) + len(character)
            self._reads.append(self._left)
            self._sources.append(self._source)
            at = escape.end()
        rest_text = text[at:]
        said.append(rest_text)
        self._source += len(rest_text)
        self._left += len(rest_text)
        return "".join(said)

    def source_of(self, position: int) -> int:
        """Where in the source the character at a position of what is read begins."""
        number = bisect_right(self._reads, position) - 1
        ahead = position - self._reads[number]
        # An escape is one character, so a position between two entries lies in plain text, or at an escape's start.
        return self._sources[number] + ahead


def _open(text: str) -> int:
    """Where an escape begins that is not over; -1 where none is. A backslash that is itself escaped opens nothing."""
    found = _OPEN.search(text, max(0, len(text) - 12))
    while found is not None:
        begin = found.start()
        before = begin
        while before and text[before - 1] == "\\":
            before -= 1
        if (begin - before) % 2 == 0:
            return begin
        found = _OPEN.search(text, begin + 1)
    return -1


def _character(escape: re.Match[str]) -> str:
    high, low, single, other = escape.groups()
    if high is not None:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00))
    if single is not None:
        code = int(single, 16)
        return "\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code)  # half a pair is no character
    return _SHORT.get(other) or "\\" + other


def unescaped(source: str) -> tuple[str, Unescaped]:
    """A whole source as it will be read, and the way back."""
    way = Unescaped()
    return way.read(source, True), way
