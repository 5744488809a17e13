"""The journal's core: what a frame is, what recovery takes, cuts, and refuses to cut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.ledger import journal
from sekimori.ledger.disk import SECTOR, Disk
from sekimori.ledger.journal import Damaged, Journal, frame, item, item_log, parse_frame, parse_item
from tests.ledger.world import FaultyDisk

VECTORS = json.loads((Path(__file__).parent / "vectors" / "journal.json").read_text())
SMALL = 8192


def opened(directory: Path, *, disk: Disk | None = None, size: int = SMALL) -> tuple[Journal, list[bytes]]:
    """A recovered journal and the entries it found."""
    found: list[bytes] = []
    begun: list[int] = []
    book = Journal(directory, disk=disk or Disk(), segment_bytes=size, ahead=False)

    def visit(segment: int, first: int, entries: list[bytes]) -> None:
        begun.append(first - len(found))
        assert begun[0] == begun[-1], "entries are numbered without a gap"
        found.extend(entries)

    book.open(visit)
    return book, found


def test_vectors() -> None:
    """docs/spec/journal.md, byte for byte."""
    one = VECTORS["item"]
    made = item(item_log(one["log"]), one["index"], one["leaf"].encode(), bytes.fromhex(one["ciphertext"]))
    assert made.hex() == one["bytes"]
    read = parse_item(made)
    assert (read.log, read.index, read.leaf.decode(), read.ciphertext.hex()) == (
        one["log"],
        one["index"],
        one["leaf"],
        one["ciphertext"],
    )
    for each in VECTORS["frames"]:
        data, crc = frame(each["first"], each["chain"], [bytes.fromhex(entry) for entry in each["entries"]])
        assert (data.rstrip(b"\0").hex(), len(data), crc) == (each["bytes"], each["size"], each["crc"])
    head = VECTORS["segment"]
    made = journal._segment(journal._Segment(head["number"], head["first"], head["chain"]), head["size"])
    assert made.rstrip(b"\0").hex() == head["bytes"]


@given(st.integers(0, 2**63), st.integers(0, 2**32 - 1), st.lists(st.binary(max_size=700), max_size=20))
def test_a_frame_is_read_as_written(first: int, chain: int, entries: list[bytes]) -> None:
    data, crc = frame(first, chain, entries)
    assert len(data) % SECTOR == 0
    read = parse_frame(b"x" * 512 + data, 512)
    assert read is not None
    assert (read.first, read.chain, read.crc, read.entries, read.size) == (first, chain, crc, entries, len(data))


def test_every_flipped_bit_of_a_frame() -> None:
    data, _ = frame(7, 9, [b"first entry", b"", b"third"])
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        assert parse_frame(bytes(changed)) is None, bit


@given(st.binary(max_size=900))
def test_any_bytes_are_a_frame_or_none(data: bytes) -> None:
    assert parse_frame(data) is None
    try:
        parse_item(data)
    except Damaged:
        return


def test_entries_come_back_across_segments(tmp_path: Path) -> None:
    book, found = opened(tmp_path)
    assert found == []
    written: list[bytes] = []
    for number in range(60):
        entries = [b"%d" % number * 100, b"second"]
        book.commit(entries)
        written += entries
    assert book.current > 3
    assert book.next == 120
    book.close()
    for _ in range(3):
        book, found = opened(tmp_path)
        assert found == written
        book.commit([b"more"])
        written.append(b"more")
        book.close()


def test_dropped_segments_are_gone_and_the_current_one_stays(tmp_path: Path) -> None:
    book, _ = opened(tmp_path)
    for number in range(30):
        book.commit([b"%d" % number * 500])
    assert book.current > 3
    book.drop(3)
    assert book.oldest == 3
    book.drop(1000)
    assert book.oldest == book.current
    book.close()
    book, found = opened(tmp_path)
    assert len(list(tmp_path.glob("*.segment"))) == 1
    assert book.next == 30
    assert found
    book.close()


def tail(tmp_path: Path, count: int = 5) -> tuple[Path, bytes, list[int]]:
    """A journal of `count` frames of two sectors in one segment: its file, bytes, and where each frame begins."""
    book, _ = opened(tmp_path)
    starts = []
    for number in range(count):
        book.commit([b"%d" % number * 600])
        starts.append(book._offset - 2 * SECTOR)
    book.close()
    path = tmp_path / f"{1:016d}.segment"
    return path, path.read_bytes(), starts


def test_a_torn_tail_is_cut_wherever_it_is_torn(tmp_path: Path) -> None:
    path, whole, starts = tail(tmp_path)
    last = starts[-1]
    end = last + len(whole[last:].rstrip(b"\0"))
    for at in {*range(last, end, 23), last + 1, last + 31, last + 32, end - 1}:
        torn = whole[:at] + bytes(len(whole) - at)
        path.write_bytes(torn)
        book, found = opened(tmp_path)
        assert len(found) == 4, at
        book.commit([b"new"])
        book.close()
        book, found = opened(tmp_path)
        assert found[4:] == [b"new"]
        book.close()


def test_a_tail_torn_out_of_order_is_cut_and_wiped(tmp_path: Path) -> None:
    """A disk may write the second sector of a frame and lose the first."""
    path, whole, starts = tail(tmp_path)
    last = starts[-1]
    path.write_bytes(whole[:last] + bytes(SECTOR) + whole[last + SECTOR :])
    book, found = opened(tmp_path)
    assert len(found) == 4
    book.close()
    assert path.read_bytes()[last:].strip(b"\0") == b""


def test_damage_before_a_sound_frame_is_never_cut(tmp_path: Path) -> None:
    """Only the last commit can have been torn; anything before it was acknowledged."""
    path, whole, starts = tail(tmp_path)
    for start in starts[:-1]:
        for at in (start, start + 3, start + 30, start + 100, start + 640):
            damaged = bytearray(whole)
            damaged[at] ^= 0x10
            path.write_bytes(damaged)
            with pytest.raises(Damaged, match=f"damaged at byte {start}"):
                opened(tmp_path)
            assert path.read_bytes() == damaged, "nothing is repaired that may be evidence"
    path.write_bytes(whole)
    assert len(opened(tmp_path)[1]) == 5


def test_a_stale_frame_behind_a_rewritten_one_is_not_read(tmp_path: Path) -> None:
    """Its number would fit; the checksum of its predecessor tells."""
    path, whole, starts = tail(tmp_path)
    data, _ = frame(3, int.from_bytes(whole[starts[2] + 28 : starts[2] + 32], "big"), [b"rewritten" * 66])
    assert len(data) == starts[4] - starts[3]
    path.write_bytes(whole[: starts[3]] + data + whole[starts[4] :])
    with pytest.raises(Damaged):
        # The writer wipes before it writes, so this cannot come of a crash: it is refused, not guessed at.
        opened(tmp_path)


@pytest.mark.parametrize("fault", ["broken", "torn", "persisted"])
def test_a_failed_commit_leaves_nothing_once_the_next_succeeds(tmp_path: Path, fault: str) -> None:
    disk = FaultyDisk()
    book, _ = opened(tmp_path, disk=disk)
    book.commit([b"one"])
    disk.at, disk.fault = disk.deeds, fault
    with pytest.raises(OSError):
        book.commit([b"lost" * 300, b"lost too"])
    assert book.next == 1
    book.commit([b"two"])
    book.close()
    book, found = opened(tmp_path)
    assert found == [b"one", b"two"]
    book.close()


def test_a_failed_commit_that_persisted_does_not_outlive_a_rotation(tmp_path: Path) -> None:
    """The next commit does not overwrite it, for it goes into the next segment: it must be wiped."""
    disk = FaultyDisk()
    book, _ = opened(tmp_path, disk=disk)
    book.commit([b"x" * 6000])
    disk.at, disk.fault = disk.deeds, "persisted"
    with pytest.raises(OSError):
        book.commit([b"lost"])
    book.commit([b"y" * 6000])
    assert book.current == 2
    book.close()
    assert opened(tmp_path)[1] == [b"x" * 6000, b"y" * 6000]


@pytest.mark.parametrize("fault", ["broken", "torn", "persisted"])
@pytest.mark.parametrize("deed", range(3))
def test_a_rotation_that_fails_is_done_again(tmp_path: Path, fault: str, deed: int) -> None:
    """Also by a smaller commit, which would have fitted the old segment: its successor may exist already."""
    disk = FaultyDisk()
    book, _ = opened(tmp_path, disk=disk)
    written = []
    while book._end == 0 or book._offset + 3 * SECTOR < book._end:
        written.append(b"%d" % len(written) * 100)
        book.commit(written[-1:])
    disk.at, disk.fault = disk.deeds + deed, fault
    with pytest.raises(OSError):
        book.commit([b"x" * 3000])
    written.append(b"small")
    book.commit([b"small"])
    assert book.current == 2
    book.close()
    book, found = opened(tmp_path)
    assert found == written
    book.close()


def test_missing_and_strange_segments(tmp_path: Path) -> None:
    book, _ = opened(tmp_path)
    for number in range(40):
        book.commit([b"%d" % number * 400])
    book.close()
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    names = sorted(contents)
    assert len(names) > 3

    def restore() -> None:
        for name, data in contents.items():
            (tmp_path / name).write_bytes(data)

    (tmp_path / names[1]).unlink()
    with pytest.raises(Damaged, match="missing between"):
        opened(tmp_path)
    restore()
    for bit in range(52 * 8):
        changed = bytearray(contents[names[0]])
        changed[bit // 8] ^= 1 << bit % 8
        (tmp_path / names[0]).write_bytes(changed)
        with pytest.raises(Damaged, match="no sound head"):
            opened(tmp_path)
    restore()
    # The end of an older segment is not a place to cut.
    cut = contents[names[1]].rstrip(b"\0")[:-10]
    (tmp_path / names[1]).write_bytes(cut + bytes(SMALL - len(cut)))
    with pytest.raises(Damaged, match="ends before its last entry"):
        opened(tmp_path)
    (tmp_path / names[1]).write_bytes(contents[names[2]])
    with pytest.raises(Damaged):
        opened(tmp_path)
    restore()
    (tmp_path / names[-1]).write_bytes(contents[names[-1]][: SMALL // 2])
    with pytest.raises(Damaged):
        opened(tmp_path)
    restore()
    assert len(opened(tmp_path)[1]) == 40


def test_what_was_only_in_the_page_cache_is_written_again(tmp_path: Path) -> None:
    """After a kill the last commit may be readable and not on the disk: what recovery shows must be durable."""

    class Recording(Disk):
        writes: list[tuple[int, bytes]] = []

        def write(self, descriptor: int, data: bytes, offset: int) -> None:
            self.writes.append((offset, data))
            super().write(descriptor, data, offset)

    _, whole, starts = tail(tmp_path)
    disk = Recording()
    book, _ = opened(tmp_path, disk=disk)
    book.close()
    assert (starts[-1], whole[starts[-1] : starts[-1] + 2 * SECTOR]) in disk.writes
    assert (0, whole[:SECTOR]) in disk.writes


def test_a_commit_that_fits_no_segment_is_wrong_use(tmp_path: Path) -> None:
    book, _ = opened(tmp_path)
    with pytest.raises(ValueError):
        book.commit([b"x" * SMALL])
    book.commit([b"x" * (book.largest - 4)])
    book.commit([b"small"])
    book.close()
    assert len(opened(tmp_path)[1]) == 2
    with pytest.raises(ValueError):
        Journal(tmp_path, disk=Disk(), segment_bytes=1000)


def test_the_next_segment_is_prepared_beside_the_commits(tmp_path: Path) -> None:
    book = Journal(tmp_path, disk=Disk(), segment_bytes=SMALL, ahead=True)
    book.open(lambda segment, first, entries: None)
    for number in range(100):
        book.commit([b"%d" % number * 200])
    book.close()
    assert len(opened(tmp_path)[1]) == 100


def test_the_file_of_open_pairs(tmp_path: Path) -> None:
    book, _ = opened(tmp_path)
    book.commit([b"one"])
    assert book.carried() == []
    book.carry([])
    assert not (tmp_path / "open").exists()
    book.carry([b"a", b"b"])
    book.close()
    book, _ = opened(tmp_path)
    assert book.carried() == [b"a", b"b"]
    book.carry([])
    assert book.carried() == []
    (tmp_path / "open").write_bytes(b"torn")
    with pytest.raises(Damaged):
        book.carried()
    book.close()
