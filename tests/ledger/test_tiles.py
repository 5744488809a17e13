"""Where tiles lie and what they hold, by the words and examples of C2SP tlog-tiles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tlog_scales import tiles as theirs

from sekimori.ledger import merkle, tiles
from sekimori.ledger.tiles import ENTRIES, WIDTH, Damaged, Reader


def test_paths_of_the_specification() -> None:
    assert tiles.path(0, 1234067) == "tile/0/x001/x234/067"
    assert tiles.path(ENTRIES, 0) == "tile/entries/000"
    assert tiles.path(2, 999, 17) == "tile/2/999.p/17"
    assert tiles.path(1, 1000, 1) == "tile/1/x001/000.p/1"


@given(st.integers(-1, 63), st.integers(0, 10**12), st.integers(1, WIDTH))
def test_a_path_names_one_tile(level: int, number: int, width: int) -> None:
    path = tiles.path(level, number, width)
    assert tiles.parse_path(path) == (level, number, width)
    assert path == "/".join(theirs.tile_path(level, number, width % WIDTH))


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/001",
        "tile/0/x001/x002",
        "tile/0/001/002",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000/",
        "tile/0/٠٠٠",
        "tile/0/000\n",
        "/tile/0/000",
        "tile/Entries/000",
        "checkpoint",
        "tile/0/" + "x001/" * 50 + "000",
    ],
)
def test_what_is_no_path(path: str) -> None:
    assert tiles.parse_path(path) is None


def test_the_tiles_of_70000_entries() -> None:
    """The example of the specification."""
    found = list(tiles.tiles_of(70_000))
    of = {level: [tile for tile in found if tile[0] == level] for level in range(-1, 4)}
    assert [tile[2] for tile in of[0]] == [256] * 273 + [112]
    assert [tile[2] for tile in of[1]] == [256, 17]
    assert [tile[2] for tile in of[2]] == [1]
    assert of[3] == []
    assert [tile[1:] for tile in of[ENTRIES]] == [tile[1:] for tile in of[0]]
    assert list(tiles.tiles_of(256)) == [(ENTRIES, 0, 256), (0, 0, 256), (1, 0, 1)]
    assert list(tiles.tiles_of(0)) == []


@given(st.lists(st.binary(max_size=40), max_size=WIDTH))
def test_bundles(entries: list[bytes]) -> None:
    data = tiles.bundle(entries)
    assert tiles.parse_bundle(data, len(entries)) == entries
    with pytest.raises(Damaged):
        tiles.parse_bundle(data, len(entries) + 1)
    with pytest.raises(Damaged):
        tiles.parse_bundle(data + b"\0", len(entries))
    if data:
        with pytest.raises(Damaged):
            tiles.parse_bundle(data[:-1], len(entries))


def test_a_bundle_holds_entries_of_65535_bytes() -> None:
    longest = [b"x" * 65_535, b""]
    assert tiles.bundle(longest)[:2] == b"\xff\xff"
    assert tiles.parse_bundle(tiles.bundle(longest), 2) == longest


def tree(size: int) -> tuple[dict[str, bytes], list[bytes]]:
    entries = [b"entry %d" % index for index in range(size)]
    files: dict[str, bytes] = {}
    levels = [[merkle.leaf_hash(entry) for entry in entries]]
    while len(levels[-1]) >= WIDTH:
        below = levels[-1]
        levels.append([merkle.perfect(below[at : at + WIDTH]) for at in range(0, len(below) // WIDTH * WIDTH, WIDTH)])
    for level, number, width in tiles.tiles_of(size):
        start = number * WIDTH
        if level == ENTRIES:
            files[tiles.path(level, number, width)] = tiles.bundle(entries[start : start + width])
        else:
            files[tiles.path(level, number, width)] = b"".join(levels[level][start : start + width])
    return files, entries


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 700, 66_000])
def test_a_reader_proves_every_entry(size: int) -> None:
    files, entries = tree(size)
    reader = Reader(files.get, size)
    root = reader.root()
    for index in {0, 1, size // 2, size - 2, size - 1, size & ~255} & set(range(size)):
        assert reader.entry(index) == entries[index]
        merkle.verify_inclusion(index, size, merkle.leaf_hash(entries[index]), reader.inclusion_proof(index), root)
    for old in {1, size // 3, size - 1, size} & set(range(1, size + 1)):
        proof = merkle.consistency_proof(old, size, reader.node)
        merkle.verify_consistency(old, size, proof, merkle.root(old, reader.node), root)


def test_a_reader_takes_the_full_tile_for_a_partial_one_that_is_gone() -> None:
    files, entries = tree(256)
    reader = Reader(files.get, 200)
    assert reader.entry(199) == entries[199]
    assert reader.root() == Reader(tree(200)[0].get, 200).root()
    with pytest.raises(ValueError):
        reader.hashes(0, 1)


def test_a_reader_says_what_is_damaged() -> None:
    files, _ = tree(300)
    for path, data in files.items():
        if path.startswith(("tile/0/001", "tile/1", "tile/entries/001")):
            for wrong in (None, data[:-1], data + b"x", b""):
                broken = {**files, path: wrong}
                reader = Reader(broken.get, 300)
                with pytest.raises(Damaged, match=path.replace(".", r"\.")):
                    (reader.root(), reader.entry(299))
