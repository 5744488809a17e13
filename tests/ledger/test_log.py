"""A log on disk: it grows to the right tree, loads what it wrote, signs nothing that contradicts what it signed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sekimori.ledger import merkle, note, tiles
from sekimori.ledger.disk import Disk
from sekimori.ledger.log import Log, fetch, files
from sekimori.ledger.tiles import Damaged, Reader
from tests.ledger.world import FaultyDisk, Signer

SIGNER = Signer("gw.example/acme")
KEY = note.Key(SIGNER.name, SIGNER.public)


def entries(start: int, end: int) -> list[bytes]:
    return [b"entry %d" % index for index in range(start, end)]


def grow(log: Log, end: int) -> None:
    while log.size < end:
        log.append(entries(log.size, min(end, log.size + log.room)))


def root(size: int) -> bytes:
    leaves = [merkle.leaf_hash(entry) for entry in entries(0, size)]
    return merkle.root(size, lambda level, index: merkle.perfect(leaves[index << level : (index + 1) << level]))


@pytest.mark.parametrize("steps", [[1], [1, 2, 255, 256, 257], [256, 512], [300, 700], [255, 511, 767], [66_000]])
def test_tiles_checkpoints_and_loading(tmp_path: Path, steps: list[int]) -> None:
    """Every checkpoint's tiles stay until the full one is there (C2SP), and a loaded log goes on where it ended."""
    for size in steps:
        log = Log(tmp_path, KEY, disk=Disk())
        grow(log, size)
        assert log.root() == root(size)
        log.sign(SIGNER)
        assert note.open_checkpoint((tmp_path / "checkpoint").read_bytes(), KEY) == note.Checkpoint(
            SIGNER.name, size, root(size)
        )
        assert log.last == entries(size - 1, size)[0]
    for size in steps:
        reader = Reader(fetch(tmp_path), size)
        assert reader.root() == root(size)
    final = {tiles.path(*tile) for tile in tiles.tiles_of(steps[-1])} | {"checkpoint"}
    older = {tiles.path(*tile) for size in steps[:-1] for tile in tiles.tiles_of(size)}
    assert final <= set(files(tmp_path)) <= final | older
    for path in set(files(tmp_path)) - final:
        level, number, _ = tiles.parse_path(path) or (0, 0, 0)
        assert tiles.path(level, number) not in final, "a partial tile goes when the full one is there"


def test_loading_and_going_on_is_the_same_as_never_having_stopped(tmp_path: Path) -> None:
    whole = Log(tmp_path / "whole", KEY, disk=Disk())
    grow(whole, 600)
    whole.sign(SIGNER)
    for size in (3, 256, 400, 512, 600):
        log = Log(tmp_path / "parts", KEY, disk=Disk())
        grow(log, size)
        log.sign(SIGNER)
    assert whole.note == log.note


def test_nothing_new_is_not_signed(tmp_path: Path) -> None:
    log = Log(tmp_path, KEY, disk=Disk())
    log.sign(SIGNER)
    assert not (tmp_path / "checkpoint").exists()
    grow(log, 5)
    log.sign(SIGNER)
    signatures = len(SIGNER.signed)
    log.sign(SIGNER)
    assert len(SIGNER.signed) == signatures


def test_appending_goes_to_the_end_of_the_bundle_and_no_further(tmp_path: Path) -> None:
    log = Log(tmp_path, KEY, disk=Disk())
    for wrong in ([], entries(0, 257)):
        with pytest.raises(ValueError):
            log.append(wrong)
    grow(log, 250)
    assert log.room == 6
    with pytest.raises(ValueError):
        log.append(entries(250, 257))


def test_a_changed_checkpoint_stops_the_log(tmp_path: Path) -> None:
    """Whoever put it there, another process or a restored backup: signing on would be a fork."""
    log = Log(tmp_path, KEY, disk=Disk())
    grow(log, 5)
    log.sign(SIGNER)
    older = log.note
    grow(log, 7)
    log.sign(SIGNER)
    assert older is not None
    grow(log, 9)
    for content in (older, b"", None):
        if content is None:
            (tmp_path / "checkpoint").unlink()
        else:
            (tmp_path / "checkpoint").write_bytes(content)
        signatures = len(SIGNER.signed)
        with pytest.raises(Damaged):
            log.sign(SIGNER)
        assert len(SIGNER.signed) == signatures


@pytest.mark.parametrize("size", [1, 200, 256, 300, 512])
def test_every_file_that_a_log_goes_on_from_is_checked(tmp_path: Path, size: int) -> None:
    log = Log(tmp_path, KEY, disk=Disk())
    grow(log, size)
    log.sign(SIGNER)
    edge = [tiles.path(*tile) for tile in tiles.tiles_of(size) if tile[2] < 256] + ["checkpoint"]
    for path in edge:
        whole = (tmp_path / path).read_bytes()
        for at in {0, len(whole) // 2, len(whole) - 1}:
            changed = bytearray(whole)
            changed[at] ^= 1
            (tmp_path / path).write_bytes(changed)
            with pytest.raises(Damaged):
                Log(tmp_path, KEY, disk=Disk())
        (tmp_path / path).unlink()
        if path != "checkpoint":
            with pytest.raises(Damaged):
                Log(tmp_path, KEY, disk=Disk())
        (tmp_path / path).write_bytes(whole)
    assert Log(tmp_path, KEY, disk=Disk()).size == size


def test_a_deed_that_fails_is_done_again(tmp_path: Path) -> None:
    """At every deed and in every way; also twice in a row, with a checkpoint that was published and not told."""
    count = FaultyDisk()
    log = Log(tmp_path / "count", KEY, disk=count)
    grow(log, 250)
    log.sign(SIGNER)
    before = count.deeds
    grow(log, 260)
    log.sign(SIGNER)
    for fault in ("broken", "torn", "persisted"):
        for at in range(before, count.deeds):
            disk = FaultyDisk(at, fault, lasting=2)
            home = tmp_path / f"{fault}{at}"
            log = Log(home, KEY, disk=disk)
            grow(log, 250)
            log.sign(SIGNER)
            failures = 0
            for size in (260, 261, 262, 263):
                try:
                    grow(log, size)
                    log.sign(SIGNER)
                except OSError:
                    failures += 1
            assert 0 < failures <= 2
            assert log.signed == 263
            assert Log(home, KEY, disk=Disk()).root() == root(263)


def test_what_a_crash_left_beyond_the_checkpoint_is_overwritten(tmp_path: Path) -> None:
    log = Log(tmp_path, KEY, disk=Disk())
    grow(log, 250)
    log.sign(SIGNER)
    stale = {"tile/0/000": b"stale" * 100, "tile/entries/000": b"stale", "tile/0/001.p/4": b"stale"}
    for path, data in stale.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    log = Log(tmp_path, KEY, disk=Disk())
    assert log.size == 250
    grow(log, 260)
    log.sign(SIGNER)
    assert Reader(fetch(tmp_path), 260).root() == root(260)
    assert hashlib.sha256((tmp_path / "tile/0/000").read_bytes()) != hashlib.sha256(b"stale" * 100)
