"""The verifier finds every single flipped bit, every rewritten history with a good signature, every lost payload."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from sekimori.ledger import entry, merkle, note, tiles
from sekimori.ledger.disk import Disk
from sekimori.ledger.entry import Leaf
from sekimori.ledger.log import Log, fetch, files
from sekimori.ledger.note import Checkpoint
from sekimori.ledger.tiles import Reader
from sekimori.ledger.verify import Report, verify_log, verify_proof
from tests.ledger.world import ACME, DEPLOYMENT, Signer, World, call, decided, key_of


async def check(directory: Path, **options: object) -> Report:
    return await verify_log(fetch(directory), key_of(ACME), files=files(directory), **options)  # type: ignore[arg-type]


@pytest.fixture
async def world(tmp_path: Path) -> World:
    """A log of three checkpoints, so that it has a full bundle, full and partial tiles and older partial ones."""
    world = World(tmp_path / "home")
    ledger = await world.open()
    for _ in range(86):
        await call(ledger, ACME)
    await ledger.integrate()
    await call(ledger, ACME)
    await ledger.integrate()
    await call(ledger, ACME)
    await ledger.close()
    return world


async def test_a_sound_log(world: World) -> None:
    directory = world.home / "ledger" / ACME
    report = await check(directory, rows=world.rows, keys=world.keys)
    assert report.problems == []
    assert (report.size, report.runs, report.running, report.open_pairs) == (266, 1, False, 0)
    assert report.payloads == {"present": 266}
    sealed = await check(directory)
    assert sealed.payloads == {"sealed": 266}
    assert sealed.root == report.root != merkle.EMPTY


async def test_every_flipped_bit_of_a_small_log(tmp_path: Path) -> None:
    """Tiles, entries and checkpoint, bit by bit."""
    world = World(tmp_path / "home")
    ledger = await world.open()
    await call(ledger, ACME)
    await ledger.integrate()
    await call(ledger, ACME)
    await ledger.close()
    directory = world.home / "ledger" / ACME
    contents = {path: (directory / path).read_bytes() for path in files(directory)}
    assert {path.split("/")[1] for path in contents if "/" in path} == {"0", "entries"}
    assert (await verify_log(contents.get, key_of(ACME), files=contents)).problems == []
    flips = 0
    for path, whole in contents.items():
        for bit in range(len(whole) * 8):
            changed = bytearray(whole)
            changed[bit // 8] ^= 1 << bit % 8
            altered = {**contents, path: bytes(changed)}
            report = await verify_log(altered.get, key_of(ACME), files=altered)
            assert report.problems, f"bit {bit} of {path}"
            flips += 1
    assert flips > 20_000


async def test_flipped_bits_of_a_larger_log(world: World) -> None:
    """Every file of it, some bits of each; what is found names the file or what depends on it."""
    directory = world.home / "ledger" / ACME
    contents = {path: (directory / path).read_bytes() for path in files(directory)}
    assert "tile/0/000" in contents
    assert "tile/1/000.p/1" in contents
    assert sum(path.startswith("tile/entries/001.p/") for path in contents) == 3
    for path, whole in contents.items():
        for bit in {*range(0, len(whole) * 8, 997 * 8 + 3), len(whole) * 8 - 1}:
            changed = bytearray(whole)
            changed[bit // 8] ^= 1 << bit % 8
            altered = {**contents, path: bytes(changed)}
            assert (await verify_log(altered.get, key_of(ACME), files=altered)).problems, f"bit {bit} of {path}"


async def test_missing_and_surplus_files(world: World) -> None:
    directory = world.home / "ledger" / ACME
    contents = {path: (directory / path).read_bytes() for path in files(directory)}
    newest = {
        "checkpoint",
        "tile/0/000",
        "tile/entries/000",
        "tile/1/000.p/1",
        "tile/0/001.p/10",
        "tile/entries/001.p/10",
    }
    for path in newest:
        fewer = {name: data for name, data in contents.items() if name != path}
        report = await verify_log(fewer.get, key_of(ACME), files=fewer)
        assert any(path in problem for problem in report.problems), path
    for surplus in ("tile/0/002", "tile/2/000.p/1", "tile/0/001.p/11", "tile/entries/surplus", "notes.txt"):
        more = {**contents, surplus: contents["tile/0/000"]}
        assert (await verify_log(more.get, key_of(ACME), files=more)).problems, surplus


async def test_the_checkpoint_is_this_logs_own(world: World) -> None:
    directory = world.home / "ledger" / ACME
    contents = {path: (directory / path).read_bytes() for path in files(directory)}
    size, root = 266, Reader(contents.get, 266).root()
    other = Signer(f"{DEPLOYMENT}/other")
    for forged in (
        note.sign(Checkpoint(other.name, size, root).body(), [other]),
        note.sign(Checkpoint(key_of(ACME).name, size, root).body(), [other]),
        note.sign(Checkpoint(other.name, size, root).body(), [Signer(key_of(ACME).name)]),
    ):
        assert (await verify_log({**contents, "checkpoint": forged}.get, key_of(ACME))).problems


# -- histories that were rewritten by whoever holds the signing key ---------------------------------------------------

Rewrite = Callable[[list[Leaf]], list[Leaf]]


def renumbered(leaves: list[Leaf]) -> list[Leaf]:
    return [structs.replace(leaf, n=n) for n, leaf in enumerate(leaves)]


REWRITES: dict[str, tuple[Rewrite, str]] = {
    "an entry left out": (lambda leaves: leaves[:3] + leaves[4:], "comes next"),
    "an end left out and renumbered": (
        lambda leaves: renumbered(leaves[:2] + leaves[3:]),
        "closes a run with 1 open",
    ),
    "two entries swapped": (lambda leaves: [*leaves[:3], leaves[4], leaves[3], *leaves[5:]], "comes next"),
    "the end cut off": (lambda leaves: leaves[:-1], "is not closed"),
    "the end cut off before a pair is closed": (lambda leaves: leaves[:2], "is not closed"),
    "the beginning cut off": (lambda leaves: leaves[1:], "which is not open"),
    "no beginning": (lambda leaves: renumbered(leaves[1:]), "which is not open"),
    "an entry twice": (lambda leaves: renumbered([*leaves[:4], leaves[3], *leaves[4:]]), "its id was used before"),
    "the run again": (lambda leaves: leaves + leaves, "opens twice"),
    "a run in a run": (
        lambda leaves: [*leaves[:-1], structs.replace(leaves[0], id=leaves[0].run, run=leaves[1].id)],
        "opens before",
    ),
    "another tenant's entry": (
        lambda leaves: [*leaves[:3], structs.replace(leaves[3], tenant="globex"), *leaves[4:]],
        "is of globex",
    ),
    "a hop decided twice": (
        lambda leaves: renumbered([*leaves[:2], structs.replace(leaves[1], id=leaves[0].run), *leaves[2:]]),
        "decides a hop twice",
    ),
    "settled twice": (
        lambda leaves: renumbered([*leaves[:3], structs.replace(leaves[2], id=leaves[0].run), *leaves[3:]]),
        "settles what is not open",
    ),
    "a key used for nothing": (
        lambda leaves: [*leaves[:3], structs.replace(leaves[3], hop=7), *leaves[4:]],
        "hop that was not decided",
    ),
    "half a pair without a call": (
        lambda leaves: [*leaves[:1], structs.replace(leaves[1], call=None), *leaves[2:]],
        "names no call",
    ),
}


@pytest.mark.parametrize("name", REWRITES)
async def test_rewritten_histories(tmp_path: Path, name: str) -> None:
    world = World(tmp_path / "home")
    ledger = await world.open()
    await call(ledger, ACME)
    await call(ledger, ACME)
    await ledger.close()
    directory = world.home / "ledger" / ACME
    reader = Reader(fetch(directory), 8)
    leaves = [entry.parse_leaf(reader.entry(index)) for index in range(8)]
    rewrite, expected = REWRITES[name]
    forged = tmp_path / "forged"
    log = Log(forged, key_of(ACME), disk=Disk())
    log.append([entry.leaf_bytes(leaf) for leaf in rewrite(leaves)])
    log.sign(Signer(key_of(ACME).name))
    report = await check(forged)
    assert any(expected in problem for problem in report.problems), report.problems


async def test_an_open_run_is_well_only_while_it_runs(tmp_path: Path) -> None:
    world = World(tmp_path)
    ledger = await world.open()
    await call(ledger, ACME)
    await ledger.write(decided(ACME, ledger.new_id()))
    await ledger.integrate()
    live = await ledger.verify(ACME)
    assert (live.problems, live.running, live.open_pairs) == ([], True, 1)
    assert (await check(tmp_path / "ledger" / ACME)).problems
    await ledger.close()
    assert (await check(tmp_path / "ledger" / ACME)).problems == []


async def test_verify_beside_writers(tmp_path: Path) -> None:
    """A served home is verified while bundles fill and partial tiles go."""
    world = World(tmp_path)
    ledger = await world.open(checkpoint_seconds=0.001, integrate_entries=256)

    async def write() -> None:
        for _ in range(400):
            await call(ledger, ACME)

    writers = asyncio.gather(write(), write())
    reports = 0
    while not writers.done():
        if ledger.size(ACME):
            report = await ledger.verify(ACME)
            assert report.problems == []
            reports += 1
        await asyncio.sleep(0)
    await writers
    assert reports > 2
    assert ledger.troubles == {}
    await ledger.close()


# -- payloads --------------------------------------------------------------------------------------------------------


async def test_every_flipped_bit_of_a_payload(world: World) -> None:
    directory = world.home / "ledger" / ACME
    row = world.rows.logs[ACME][1]
    assert row.ciphertext is not None
    leaf = entry.parse_leaf(Reader(fetch(directory), 266).entry(1))
    aead = await world.keys.open_day_key(ACME, leaf.daykey)
    assert entry.disclose(key_of(ACME).name, leaf, row.ciphertext, aead)[0] == "present"
    for bit in range(len(row.ciphertext) * 8):
        changed = bytearray(row.ciphertext)
        changed[bit // 8] ^= 1 << bit % 8
        assert entry.disclose(key_of(ACME).name, leaf, bytes(changed), aead)[0] == "altered"
    world.rows.logs[ACME][1] = structs.replace(row, ciphertext=bytes(changed))
    report = await check(directory, rows=world.rows, keys=world.keys)
    assert report.problems == ["entry 1: its payload is not what the leaf committed to"]
    assert report.payloads == {"present": 265, "altered": 1}


async def test_payloads_swapped_lost_purged(world: World) -> None:
    directory = world.home / "ledger" / ACME
    rows = world.rows.logs[ACME]
    one, two, three = rows[1], rows[4], rows[7]
    rows[1] = structs.replace(one, ciphertext=two.ciphertext)
    rows[4] = structs.replace(two, ciphertext=None)
    del rows[7]
    report = await check(directory, rows=world.rows, keys=world.keys)
    assert [problem.split(":")[0] for problem in report.problems] == ["entry 1", "entry 4", "entry 7"]
    assert report.payloads == {"present": 263, "altered": 1, "missing": 2}
    rows[1], rows[4], rows[7] = one, two, structs.replace(three, kind=1)
    report = await check(directory, rows=world.rows, keys=world.keys)
    assert report.problems == ["entry 7: its row says something else than its leaf"]
    rows[7] = three
    calls = one.daykey
    world.keys.destroyed.add(calls)
    purged = await check(directory, rows=world.rows, keys=world.keys)
    assert purged.problems == []
    assert purged.payloads["purged"] == sum(row.daykey == calls for row in rows.values()) > 100


async def test_a_payload_under_another_leafs_salt(tmp_path: Path) -> None:
    """Whoever holds the day key can encrypt anything; the commitment still tells."""
    world = World(tmp_path)
    ledger = await world.open()
    await call(ledger, ACME)
    await ledger.close()
    row = world.rows.logs[ACME][1]
    aead = await world.keys.open_day_key(ACME, row.daykey)
    assert aead is not None
    associated = entry.associated(key_of(ACME).name, row.id)
    salt, plain = entry.unseal(aead, row.ciphertext or b"", associated)
    forged = entry.seal(aead, bytes(12), salt, plain.replace(b"gpt-5", b"gpt-6"), associated)
    world.rows.logs[ACME][1] = structs.replace(row, ciphertext=forged)
    report = await check(tmp_path / "ledger" / ACME, rows=world.rows, keys=world.keys)
    assert report.problems == ["entry 1: its payload is not what the leaf committed to"]


# -- proofs ----------------------------------------------------------------------------------------------------------


async def test_proofs_stand_alone(world: World) -> None:
    ledger = await world.open()
    try:
        reader = Reader(fetch(world.home / "ledger" / ACME), 266)
        for index in (0, 1, 255, 256, 265):
            leaf = reader.entry(index)
            text = await ledger.proof(ACME, entry.parse_leaf(leaf).id)
            assert text is not None
            proof = text.encode()
            assert verify_proof(proof, leaf, key_of(ACME)).size == 266
            assert verify_proof(proof.replace(b"\n", b"\nextra AAAA\n", 1), leaf, key_of(ACME)).size == 266
            for bit in range(0, len(proof) * 8, 7):
                changed = bytearray(proof)
                changed[bit // 8] ^= 1 << bit % 8
                with pytest.raises((note.Invalid, merkle.Invalid)):
                    verify_proof(bytes(changed), leaf, key_of(ACME))
            with pytest.raises(merkle.Invalid):
                verify_proof(proof, leaf + b" ", key_of(ACME))
        assert await ledger.proof(ACME, ledger.new_id()) is None
        assert await ledger.proof("nobody", ledger.new_id()) is None
    finally:
        await ledger.close()


async def test_an_exported_copy_verifies_with_nothing_but_the_key(world: World, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(world.home / "ledger" / ACME, copy)
    shutil.rmtree(world.home)
    assert (await check(copy)).problems == []


async def test_hostile_files_never_raise(world: World) -> None:
    contents = {
        path: (world.home / "ledger" / ACME / path).read_bytes() for path in files(world.home / "ledger" / ACME)
    }
    size, key = 266, key_of(ACME)
    for hostile in (b"", b"\xff" * 9000, bytes(9000), contents["checkpoint"] * 50):
        for path in contents:
            assert (await verify_log({**contents, path: hostile}.get, key)).problems or path.count(".p/") == 1
    signer = Signer(key.name)
    for claim in (0, 1, 255, 267, 70_000):
        forged = note.sign(Checkpoint(key.name, claim, merkle.EMPTY).body(), [signer])
        report = await verify_log({**contents, "checkpoint": forged}.get, key)
        assert bool(report.problems) == bool(claim)
    assert tiles.parse_path("tile/0/000") == (0, 0, 256)
    assert size == 266
