"""An independent implementation (tlog-scales) reads and checks our logs, and we its."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tlog_scales import backend, reader, signing, tiles, tlog

from sekimori.ledger import entry, merkle
from sekimori.ledger.log import fetch
from sekimori.ledger.tiles import Reader
from sekimori.ledger.verify import verify_proof
from tests.ledger.world import ACME, World, call, key_of

SIZE = 3 * 90 + 2


@pytest.fixture
async def log(tmp_path: Path) -> Path:
    ledger = await World(tmp_path).open()
    for _ in range(90):
        await call(ledger, ACME)
    await ledger.close()
    return tmp_path / "ledger" / ACME


def run(*arguments: str) -> bytes:
    command = [str(Path(sys.executable).parent / "tlog-tiles"), *arguments]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_the_whole_log_is_accepted(log: Path) -> None:
    theirs = reader.TilesReader(backend.LocalBackend(log))
    checkpoint = theirs.get_checkpoint()
    checkpoint.verify(signing.Vkey.from_string(str(key_of(ACME))))
    assert checkpoint.size == SIZE
    assert theirs.calculate_root_hash() == checkpoint.root_hash
    for index in range(SIZE):
        proof = theirs.get_inclusion_proof(index, SIZE)
        proof.check(tiles.leaf_hash(theirs.get_entry(index)), checkpoint.root_hash)


def test_their_consistency_proofs_between_our_checkpoints(log: Path) -> None:
    theirs = reader.TilesReader(backend.LocalBackend(log))
    theirs.get_checkpoint()
    ours = Reader(fetch(log), SIZE)
    for old in (1, 100, 256, 257, SIZE - 1, SIZE):
        theirs.get_consistency_proof(old, SIZE).check(merkle.root(old, ours.node), ours.root())


def test_a_flipped_bit_is_not(log: Path) -> None:
    path = log / "tile" / "0" / "000"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    theirs = reader.TilesReader(backend.LocalBackend(log))
    checkpoint = theirs.get_checkpoint()
    with pytest.raises(tlog.InclusionProofInvalid):
        theirs.get_inclusion_proof(9, SIZE).check(tiles.leaf_hash(theirs.get_entry(9)), checkpoint.root_hash)


def test_their_command_line(log: Path) -> None:
    leaf = run("get-leaf", "-c", str(log), "270")
    assert entry.parse_leaf(leaf).kind == entry.KEY_USED
    proof = run("gen-proof", str(log), "270")
    assert verify_proof(proof, leaf, key_of(ACME)).size == SIZE


async def test_our_proof_is_the_one_they_would_make(tmp_path: Path) -> None:
    world = World(tmp_path)
    ledger = await world.open()
    ids = [await call(ledger, ACME) for _ in range(100)]
    await ledger.integrate()
    proof = await ledger.proof(ACME, ids[50][1])
    index = await ledger.find(ACME, ids[50][1])
    assert run("gen-proof", str(tmp_path / "ledger" / ACME), str(index)).decode() == proof
    await ledger.close()
