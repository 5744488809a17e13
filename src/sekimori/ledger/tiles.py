"""C2SP tlog-tiles v0.1.0: where tiles and entry bundles lie, their bytes, and what a tree reads from them. Pure.

A tile of level L holds up to 256 hashes, each over 256^L entries; an entry bundle holds up to 256 entries. A full
tile never changes; a partial one (`.p/<W>`) stays until the full one is there.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from sekimori.ledger import merkle
from sekimori.ledger.merkle import HASH

WIDTH: Final = 256
CHECKPOINT: Final = "checkpoint"
ENTRIES: Final = -1
"""Level under which `path` names entry bundles."""

_PATH = re.compile(
    r"tile/(entries|[0-9]|[1-5][0-9]|6[0-3])"
    r"/((?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/([1-9][0-9]{0,2}))?\Z"
).match

Fetch = Callable[[str], bytes | None]
"""Path below the log's prefix -> its bytes, None where there is no such file. May raise OSError."""


class Damaged(Exception):
    """A log's files do not fit each other; `str()` says which file and how."""


def path(level: int, number: int, width: int = WIDTH) -> str:
    """`tile/<L>/<N>[.p/<W>]`, or `tile/entries/…` for level ENTRIES. Width 1 to 256."""
    groups = [f"{number % 1000:03d}"]
    while number >= 1000:
        number //= 1000
        groups.append(f"x{number % 1000:03d}")
    name = "/".join(reversed(groups))
    return f"tile/{'entries' if level == ENTRIES else level}/{name}" + ("" if width == WIDTH else f".p/{width}")


def parse_path(text: str) -> tuple[int, int, int] | None:
    """(level, number, width) of a path; None where it is not the path of any tile."""
    match = _PATH(text)
    if match is None:
        return None
    level = ENTRIES if match[1] == "entries" else int(match[1])
    number = int(match[2].replace("/", "").replace("x", ""))
    width = int(match[3] or WIDTH)
    return (level, number, width) if path(level, number, width) == text else None


def tiles_of(size: int) -> Iterator[tuple[int, int, int]]:
    """(level, number, width) of every tile and bundle of a log of this size, bundles first."""
    for level in (ENTRIES, *range(64)):
        hashes = size if level == ENTRIES else size >> 8 * level
        if not hashes:
            return
        for number in range(hashes // WIDTH):
            yield level, number, WIDTH
        if hashes % WIDTH:
            yield level, hashes // WIDTH, hashes % WIDTH


def bundle(entries: Sequence[bytes]) -> bytes:
    """Entries, each after its length in two bytes, big-endian."""
    pieces: list[bytes] = []
    for entry in entries:
        pieces += (struct.pack(">H", len(entry)), entry)
    return b"".join(pieces)


def parse_bundle(data: bytes, width: int) -> list[bytes]:
    """The `width` entries of a bundle. Raises Damaged."""
    entries: list[bytes] = []
    at = 0
    while at + 2 <= len(data):
        end = at + 2 + (data[at] << 8 | data[at + 1])
        if end > len(data):
            break
        entries.append(data[at + 2 : end])
        at = end
    if at != len(data) or len(entries) != width:
        raise Damaged(f"a bundle of {width} entries holds {len(entries)} and {len(data) - at} bytes more")
    return entries


def parse_tile(data: bytes, width: int) -> list[bytes]:
    """The `width` hashes of a tile. Raises Damaged."""
    if len(data) != width * HASH:
        raise Damaged(f"a tile of {width} hashes is {len(data)} bytes")
    return [data[at : at + HASH] for at in range(0, len(data), HASH)]


class Reader:
    """Reads a log of `size` entries from its tiles. Keeps what it read: make one per deed, not one for ever.

    Its hashes are as good as the files: compare `root()` with a signed checkpoint before believing any.
    Methods raise Damaged, and OSError as `fetch` does."""

    def __init__(self, fetch: Fetch, size: int) -> None:
        self._fetch = fetch
        self.size = size
        self._tiles: dict[tuple[int, int], list[bytes]] = {}

    def hashes(self, level: int, number: int) -> list[bytes]:
        """Hashes (or entries, for level ENTRIES) of a tile, as many as this size has there."""
        known = self._tiles.get((level, number))
        if known is None:
            have = self.size if level == ENTRIES else self.size >> 8 * level
            width = min(have - number * WIDTH, WIDTH)
            if width <= 0:
                raise ValueError(f"no tile {number} of level {level} in a log of {self.size}")
            known = self._tiles[level, number] = self._read(level, number, width)
        return known

    def entry(self, index: int) -> bytes:
        return self.hashes(ENTRIES, index // WIDTH)[index % WIDTH]

    def node(self, level: int, index: int) -> bytes:
        """A merkle.Node."""
        tile, height = divmod(level, 8)
        first = index << height
        hashes = self.hashes(tile, first // WIDTH)
        return merkle.perfect(hashes[first % WIDTH : first % WIDTH + (1 << height)])

    def root(self) -> bytes:
        return merkle.root(self.size, self.node)

    def inclusion_proof(self, index: int) -> list[bytes]:
        return merkle.inclusion_proof(index, self.size, self.node)

    def _read(self, level: int, number: int, width: int) -> list[bytes]:
        # The partial tile may be gone once the full one is there, which begins with it (tlog-tiles, Partial Tiles).
        for wide in dict.fromkeys((width, WIDTH)):
            name = path(level, number, wide)
            data = self._fetch(name)
            if data is None:
                continue
            try:
                whole = parse_bundle(data, wide) if level == ENTRIES else parse_tile(data, wide)
            except Damaged as error:
                raise Damaged(f"{name}: {error}") from None
            return whole[:width]
        raise Damaged(f"{path(level, number, width)} is missing")
