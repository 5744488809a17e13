"""Journal segments, frames and items; bundles and tile paths: what a disk gives back is read or refused."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sekimori.ledger import tiles
from sekimori.ledger.disk import SECTOR, Disk
from sekimori.ledger.journal import Damaged, Journal, frame, item, item_log, parse_frame, parse_item

_SIZE = 16 * SECTOR


def _segment() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        journal = Journal(Path(directory), disk=Disk(), segment_bytes=_SIZE, ahead=False)
        journal.open(lambda segment, first, entries: None)
        journal.commit([b"one", b"two" * 300])
        journal.commit([b"three"])
        journal.close()
        return (Path(directory) / f"{1:016d}.segment").read_bytes()


_ITEM = item(item_log("operator"), 3, b'{"v":1}', bytes(60))

SEEDS: list[bytes] = [
    _segment().rstrip(b"\0"),
    frame(0, 0, [b"one"])[0].rstrip(b"\0"),
    frame(7, 9, [_ITEM, b""])[0],
    _ITEM,
    tiles.bundle([b"entry", b""]),
    b"tile/0/x001/x234/067",
    b"tile/entries/001.p/44",
    b"",
]


def target(data: bytes) -> None:
    for at in (0, 3):
        read = parse_frame(data, at)
        if read is not None:
            again, crc = frame(read.first, read.chain, read.entries)
            assert data[at : at + read.size] == again
            assert crc == read.crc
    try:
        one = parse_item(data)
    except Damaged:
        pass
    else:
        assert item(item_log(one.log), one.index, one.leaf, one.ciphertext) == data
    for width in (1, 2, 3):
        try:
            assert tiles.bundle(tiles.parse_bundle(data, width)) == data
        except tiles.Damaged:
            continue
    place = tiles.parse_path(data.decode("utf-8", "replace"))
    if place is not None:
        assert tiles.path(*place).encode() == data
    _recover(data)


def _recover(data: bytes) -> None:
    """A segment of these bytes: recovery reads what counts, twice the same, and writes on behind it; or refuses."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        path = Path(directory) / f"{1:016d}.segment"
        path.write_bytes(data[:_SIZE] + bytes(_SIZE - len(data[:_SIZE])))
        first = _read(Path(directory), [])
        if first is None:
            return
        extra = [b"written on"]
        found = _read(Path(directory), extra)
        assert found == first
        assert _read(Path(directory), []) == first + extra


def _read(directory: Path, then: list[bytes]) -> list[bytes] | None:
    found: list[bytes] = []
    journal = Journal(directory, disk=Disk(), segment_bytes=_SIZE, ahead=False)
    try:
        journal.open(lambda segment, first, entries: found.extend(entries))
        if then:
            journal.commit(then)
    except Damaged:
        return None
    finally:
        journal.close()
    return found
