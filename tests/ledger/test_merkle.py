"""RFC 6962 against its own definition, against the public vectors, and against every changed proof."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.ledger import merkle

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "merkle" / "testdata"


def mth(leaves: list[bytes]) -> bytes:
    """MTH(D[n]) word for word, recursively; slow and obviously right."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def leaves(size: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(size)]


def node_of(entries: list[bytes]) -> merkle.Node:
    return lambda level, index: mth(entries[index << level : (index + 1) << level])


@pytest.mark.parametrize("size", range(70))
def test_root_is_rfc6962(size: int) -> None:
    entries = leaves(size)
    assert merkle.root(size, node_of(entries)) == mth(entries)


@pytest.mark.parametrize("size", range(1, 34))
def test_every_inclusion_proof_verifies_and_no_other(size: int) -> None:
    entries = leaves(size)
    node, root = node_of(entries), mth(entries)
    for index in range(size):
        proof = merkle.inclusion_proof(index, size, node)
        leaf = merkle.leaf_hash(entries[index])
        merkle.verify_inclusion(index, size, leaf, proof, root)
        for wrong in (
            (index + 1, size, leaf, proof, root),
            (index, size, merkle.leaf_hash(b"another"), proof, root),
            (index, size, leaf, [*proof, root], root),
            (index, size, leaf, proof, merkle.EMPTY),
            *[(index, size, leaf, proof[:at] + proof[at + 1 :], root) for at in range(len(proof))],
            *[(index, size, leaf, [*proof[:at], root, *proof[at + 1 :]], root) for at in range(len(proof))],
        ):
            with pytest.raises(merkle.Invalid):
                merkle.verify_inclusion(*wrong)


@pytest.mark.parametrize("new", range(1, 26))
def test_every_consistency_proof_verifies_and_no_other(new: int) -> None:
    entries = leaves(new)
    node, new_root = node_of(entries), mth(entries)
    for old in range(1, new + 1):
        proof, old_root = merkle.consistency_proof(old, new, node), mth(entries[:old])
        merkle.verify_consistency(old, new, proof, old_root, new_root)
        for wrong in (
            (old, new, proof, mth([*entries[: old - 1], b"rewritten"]), new_root),
            (old, new, proof, old_root, merkle.EMPTY),
            (old, new, [*proof, new_root], old_root, new_root),
            (old + 1, new, proof, old_root, new_root),
            *[(old, new, proof[:at] + proof[at + 1 :], old_root, new_root) for at in range(len(proof))],
            *[
                (old, new, [*proof[:at], merkle.EMPTY, *proof[at + 1 :]], old_root, new_root)
                for at in range(len(proof))
            ],
        ):
            with pytest.raises(merkle.Invalid):
                merkle.verify_consistency(*wrong)


@given(st.integers(1, 300), st.data())
def test_proofs_of_larger_trees(size: int, data: st.DataObject) -> None:
    entries = leaves(size)
    node, root = node_of(entries), mth(entries)
    index = data.draw(st.integers(0, size - 1))
    merkle.verify_inclusion(
        index, size, merkle.leaf_hash(entries[index]), merkle.inclusion_proof(index, size, node), root
    )
    old = data.draw(st.integers(1, size))
    merkle.verify_consistency(old, size, merkle.consistency_proof(old, size, node), mth(entries[:old]), root)


def test_asking_for_what_is_not_there_is_wrong_use() -> None:
    node = node_of(leaves(4))
    with pytest.raises(ValueError):
        merkle.inclusion_proof(4, 4, node)
    with pytest.raises(ValueError):
        merkle.consistency_proof(0, 4, node)


def vectors() -> list[Path]:
    return sorted(VECTORS.rglob("*.json"))


def test_all_public_vectors() -> None:
    """98 inclusion and 98 consistency cases of transparency-dev/merkle."""
    if not VECTORS.is_dir():
        pytest.skip("NOT RUN: ../shared/vectors is absent")
    found = vectors()
    assert len(found) == 196
    for path in found:
        case = json.loads(path.read_text())
        proof = [base64.b64decode(each) for each in case["proof"] or []]
        try:
            if "leafIdx" in case:
                merkle.verify_inclusion(
                    case["leafIdx"],
                    case["treeSize"],
                    base64.b64decode(case["leafHash"] or ""),
                    proof,
                    base64.b64decode(case["root"] or ""),
                )
            else:
                roots = [base64.b64decode(case[name] or "") for name in ("root1", "root2")]
                merkle.verify_consistency(case["size1"], case["size2"], proof, *roots)
            accepted = True
        except merkle.Invalid:
            accepted = False
        assert accepted is not case["wantErr"], f"{path.relative_to(VECTORS)}: {case['desc']}"
