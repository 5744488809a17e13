"""The journal: where an entry is durable before anything leaves. One per home, append-only, in prewritten segments.

A **frame** is one commit: all its entries or none. A frame begins on a sector of its own, so that writing it cannot
harm the one before; it names the number of its first entry and the checksum of its predecessor, so that stale bytes
can never be read as its successor. Only one frame is in flight at a time: hence what is torn at recovery was never
acknowledged, unless a sound frame follows it, and then the disk lost something and `Damaged` says so instead of
cutting it off. docs/spec/journal.md states the bytes and the argument.

This file is the blocking core; ledger/commit.py shares one write among all who wait.
"""

from __future__ import annotations

import os
import re
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from google_crc32c import extend, value
from msgspec import Struct

from sekimori.ledger.disk import SECTOR, Disk

SEGMENT: Final = 16 << 20
"""Bytes of a segment unless said."""
_SEGMENT_MAGIC: Final = b"sekimori/journal"
_SEGMENT_HEAD: Final = struct.Struct(">16sIIQQQ")
"""Magic, version, checksum of the frame before, number, number of the first entry, size; then CRC-32C."""
_FRAME_MAGIC: Final = b"SKJ1"
_CRC: Final = struct.Struct(">I")
_FRAME: Final = struct.Struct(">4sIQIII")
"""Magic, bytes of the body, number of the first entry, entries, checksum of the frame before, zero; then CRC-32C."""
FRAME_HEAD: Final = _FRAME.size + _CRC.size
_LENGTH: Final = struct.Struct(">I")
_ITEM: Final = struct.Struct(">QH")
_NAME: Final = re.compile(r"([0-9]{16})\.segment\Z")
_PREPARED: Final = "prepared"
_CARRIED: Final = "open"


class Damaged(Exception):
    """The journal lost something it had acknowledged; `str()` says where."""


class Item(Struct, frozen=True, gc=False):
    """What a frame carries for one entry."""

    log: str
    index: int
    """Place in that log, fixed when it was journalled."""
    leaf: bytes
    ciphertext: bytes


def item(log: bytes, index: int, leaf: bytes, ciphertext: bytes) -> bytes:
    """One entry of a frame. `log` is `item_log(name)`."""
    return b"".join((log, _ITEM.pack(index, len(leaf)), leaf, ciphertext))


def item_log(name: str) -> bytes:
    """The log's name after its length in one byte; the same for every item of the log."""
    text = name.encode()
    return bytes((len(text),)) + text


def parse_item(data: bytes) -> Item:
    """Raises Damaged. The leaf and the ciphertext are not looked into."""
    try:
        start = 1 + data[0]
        name = data[1:start].decode("ascii")
        index, length = _ITEM.unpack_from(data, start)
    except (IndexError, UnicodeDecodeError, struct.error):
        raise Damaged("an entry of the journal is not one") from None
    start += _ITEM.size
    if not name or start + length > len(data):
        raise Damaged("an entry of the journal is not one")
    return Item(name, index, data[start : start + length], data[start + length :])


def frame(first: int, chain: int, entries: Sequence[bytes]) -> tuple[bytes, int]:
    """(bytes of a frame, padded to whole sectors; its checksum)."""
    pieces: list[bytes] = []
    for entry in entries:
        pieces += (_LENGTH.pack(len(entry)), entry)
    body = b"".join(pieces)
    head = _FRAME.pack(_FRAME_MAGIC, len(body), first, len(entries), chain, 0)
    crc = extend(value(head), body)
    return b"".join((head, _CRC.pack(crc), body, bytes(-(FRAME_HEAD + len(body)) % SECTOR))), crc


class Frame(NamedTuple):
    """A frame as read."""

    first: int
    chain: int
    crc: int
    entries: list[bytes]
    size: int
    """Bytes it takes, padding included."""


def parse_frame(data: bytes, at: int = 0) -> Frame | None:
    """The frame that begins at `at`, or None where none does. Any bytes may be given."""
    if at + FRAME_HEAD > len(data):
        return None
    magic, length, first, count, chain, zero = _FRAME.unpack_from(data, at)
    end = at + FRAME_HEAD + length
    if magic != _FRAME_MAGIC or zero or end > len(data):
        return None
    (crc,) = _CRC.unpack_from(data, at + _FRAME.size)
    body = data[at + FRAME_HEAD : end]
    if extend(value(data[at : at + _FRAME.size]), body) != crc:
        return None
    padded = end + -(end - at) % SECTOR
    entries: list[bytes] = []
    start = 0
    while start + 4 <= len(body):
        (size,) = _LENGTH.unpack_from(body, start)
        entries.append(body[start + 4 : start + 4 + size])
        start += 4 + size
    if start != len(body) or len(entries) != count or padded > len(data) or any(data[end:padded]):
        return None
    return Frame(first, chain, crc, entries, padded - at)


class _Segment(NamedTuple):
    number: int
    first: int
    chain: int


class Journal:
    """One process, one thread at a time. Raises OSError when the disk does; then nothing of that commit counts,
    although the disk may have it: the next commit wipes it first, and recovery may find it where none follows."""

    def __init__(self, directory: Path, *, disk: Disk, segment_bytes: int = SEGMENT, ahead: bool = True) -> None:
        if segment_bytes % SECTOR or segment_bytes < 16 * SECTOR:
            raise ValueError("a segment is at least 16 whole sectors")
        self._directory = directory
        self._disk = disk
        self._size = segment_bytes
        self._ahead = ahead
        self._descriptor = -1
        self._offset = 0
        self._end = 0
        """Size of the current segment's file (an older one may have another)."""
        self._unsure = 0
        """Bytes from the offset on that a failed commit may have left behind."""
        self._full = True
        """The current segment takes no more frames: there is none yet, or its successor may exist already."""
        self._chain = 0
        self._preparing: threading.Thread | None = None
        self._prepared = False
        """The file for the next segment is whole (one that is merely there may have been cut short)."""
        self._carries = False
        self.next = 0
        """Number of the next entry."""
        self.oldest = 0
        self.current = 0
        """Numbers of the oldest and of the newest segment; 0 before the first."""

    @property
    def largest(self) -> int:
        """Bytes that the entries of one commit may take, four for each entry included."""
        return self._size - 2 * SECTOR

    def open(self, visit: Callable[[int, int, list[bytes]], None]) -> None:
        """Recover. `visit(segment, number of the first entry, entries)` sees every frame that counts, in order.

        Raises Damaged, OSError, and what `visit` raises. When it returns, all that was visited is durable (after a
        kill it may have been in the page cache only), and what a torn commit left is wiped."""
        self._disk.make(self._directory)
        self._disk.remove(self._directory / _PREPARED)
        numbers = sorted(int(found[1]) for path in self._directory.iterdir() if (found := _NAME.match(path.name)))
        if not numbers:
            return
        if numbers != list(range(numbers[0], numbers[-1] + 1)):
            raise Damaged(f"journal segments are missing between {numbers[0]} and {numbers[-1]}")
        self._disk.settle(self._directory)
        expected: int | None = None
        for number in numbers:
            data = self._path(number).read_bytes()
            head = _parse_segment(data)
            if head is None or head.number != number:
                raise Damaged(f"journal segment {number} has no sound head")
            if expected is not None and (head.first, head.chain) != (expected, self._chain):
                raise Damaged(f"journal segment {number - 1} ends before its last entry")
            self._chain, expected = head.chain, head.first
            offset, last = SECTOR, SECTOR
            for read in _frames(data, head):
                visit(number, read.first, read.entries)
                self._chain, expected = read.crc, read.first + len(read.entries)
                offset, last = offset + read.size, offset
        self.next = expected or 0
        self.oldest, self.current = numbers[0], number
        self._settle_tail(data, offset, last)

    def commit(self, entries: Sequence[bytes]) -> int:
        """Make these durable in one frame; returns the number of the segment that holds it."""
        if self._unsure:
            # Wipe what a failed commit may have left, also to learn whether the disk takes writes again.
            self._disk.write(self._descriptor, bytes(self._unsure), self._offset)
            self._unsure = 0
        whole, crc = frame(self.next, self._chain, entries)
        if len(whole) > self._size - SECTOR:
            raise ValueError(f"a commit of {len(whole)} bytes does not fit a segment")
        if self._full or self._offset + len(whole) > self._end:
            self._rotate()
        try:
            self._disk.write(self._descriptor, whole, self._offset)
        except BaseException:
            self._unsure = len(whole)
            raise
        self._offset += len(whole)
        self._chain = crc
        self.next += len(entries)
        if self._ahead and self._preparing is None and self._offset > self._end // 2:
            self._preparing = threading.Thread(target=self._prepare, name="sekimori-journal-prepare", daemon=True)
            self._preparing.start()
        return self.current

    def drop(self, before: int) -> None:
        """Remove the segments below this number; never the current one. May run beside `commit`."""
        while self.oldest < min(before, self.current):
            self._disk.remove(self._path(self.oldest))
            self.oldest += 1

    def carry(self, items: Sequence[bytes]) -> None:
        """Replace the file of items that outlive their segments. Call before `drop`."""
        if items or self._carries:
            whole, _ = frame(0, 0, items)
            self._disk.publish(self._directory / _CARRIED, whole)
            self._carries = True

    def carried(self) -> list[bytes]:
        """The items of that file. Raises Damaged, OSError."""
        path = self._directory / _CARRIED
        if not path.exists():
            return []
        self._carries = True
        read = parse_frame(path.read_bytes())
        if read is None:
            raise Damaged("the journal's file of open pairs is damaged")
        return read.entries

    def close(self) -> None:
        """Does not write: all that was acknowledged is durable."""
        if self._preparing is not None:
            self._preparing.join()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:016d}.segment"

    def _settle_tail(self, data: bytes, offset: int, last: int) -> None:
        tail = data[offset:].rstrip(b"\0")
        for at in range(0, len(tail), SECTOR):
            later = parse_frame(data, offset + at)
            if later is not None:
                raise Damaged(f"journal segment {self.current} is damaged at byte {offset}, before entry {later.first}")
        self._descriptor = os.open(self._path(self.current), os.O_WRONLY | os.O_CLOEXEC)
        self._end, self._offset, self._full = len(data), offset, False
        # The last commit may have been lost half-way: written again, it is durable whatever became of the first time.
        for start, end in ((0, SECTOR), (last, offset)):
            self._disk.write(self._descriptor, data[start:end], start)
        if tail:
            self._disk.write(self._descriptor, bytes(len(tail)), offset)

    def _prepare(self) -> None:
        try:
            self._disk.prewrite(self._directory / _PREPARED, self._size)
            self._prepared = True
        except OSError:
            # Not lost: the commit that needs the segment makes it itself, and tells its callers what the disk said.
            self._prepared = False

    def _rotate(self) -> None:
        """Begin the next segment. On failure the next commit tries again, and the same head replaces whatever this
        attempt left: a frame in the current segment would contradict a successor that came to be all the same."""
        self._full = True
        if self._preparing is not None:
            self._preparing.join()
            self._preparing = None
        prepared = self._directory / _PREPARED
        if not self._prepared:
            self._disk.prewrite(prepared, self._size)
            self._prepared = True
        descriptor = os.open(prepared, os.O_WRONLY | os.O_CLOEXEC)
        try:
            self._disk.write(descriptor, _segment(_Segment(self.current + 1, self.next, self._chain), self._size), 0)
            self._prepared = False
            self._disk.rename(prepared, self._path(self.current + 1))
        except BaseException:
            os.close(descriptor)
            raise
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._offset, self._end, self._full = descriptor, SECTOR, self._size, False
        self.current += 1
        self.oldest = self.oldest or self.current


def _segment(head: _Segment, size: int) -> bytes:
    packed = _SEGMENT_HEAD.pack(_SEGMENT_MAGIC, 1, head.chain, head.number, head.first, size)
    packed += _CRC.pack(value(packed))
    return packed + bytes(SECTOR - len(packed))


def _parse_segment(data: bytes) -> _Segment | None:
    if len(data) < 2 * SECTOR:
        return None
    magic, version, chain, number, first, size = _SEGMENT_HEAD.unpack_from(data)
    head = _Segment(number, first, chain)
    sound = magic == _SEGMENT_MAGIC and version == 1 and size == len(data) and data[:SECTOR] == _segment(head, size)
    return head if sound else None


def _frames(data: bytes, head: _Segment) -> Iterator[Frame]:
    """The frames of a segment, up to the first place where the next one is not."""
    offset, first, chain = SECTOR, head.first, head.chain
    while (read := parse_frame(data, offset)) is not None and (read.first, read.chain) == (first, chain):
        yield read
        offset, first, chain = offset + read.size, read.first + len(read.entries), read.crc
