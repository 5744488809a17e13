"""RFC 6962 Merkle trees (SHA-256): roots, proofs and their verification. Pure.

A tree is addressed by perfect subtrees: `(level, index)` is the one over the 2^level leaves from index · 2^level on.
The left-to-right perfect subtrees that make up a tree of a given size are its *peaks*, one per set bit of the size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

EMPTY: Final = hashlib.sha256(b"").digest()
"""Root of the tree without leaves."""
HASH: Final = 32

Node = Callable[[int, int], bytes]
"""(level, index) -> hash of that perfect subtree."""


class Invalid(Exception):
    """A proof that does not prove."""


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 ‖ entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def perfect(hashes: Sequence[bytes]) -> bytes:
    """Root of a perfect subtree whose 2^k leaves (or subtrees of one level) have these hashes."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[at], level[at + 1]) for at in range(0, len(level), 2)]
    return level[0]


def peaks(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The perfect subtrees, left to right, that cover leaves [start, end) of a subtree RFC 6962 would split so.

    `start` is a multiple of the largest power of two that is at most end - start.
    """
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def fold(hashes: Sequence[bytes]) -> bytes:
    """Root over peaks: they are joined from the right."""
    if not hashes:
        return EMPTY
    root = hashes[-1]
    for peak in reversed(hashes[:-1]):
        root = node_hash(peak, root)
    return root


def subtree(start: int, end: int, node: Node) -> bytes:
    """MTH(D[start:end]) of RFC 6962 §2.1, for ranges that its recursion meets."""
    return fold([node(level, index) for level, index in peaks(start, end)])


def root(size: int, node: Node) -> bytes:
    """Root of the tree of the first `size` leaves."""
    return subtree(0, size, node)


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 §2.1.1, leaf upwards. 0 <= index < size."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        split = start + _split(end - start)
        if index < split:
            path.append(subtree(split, end, node))
            end = split
        else:
            path.append(subtree(start, split, node))
            start = split
    path.reverse()
    return path


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 6962 §2.1.2. 0 < old <= new."""
    if not 0 < old <= new:
        raise ValueError(f"no consistency proof from {old} to {new}")
    path: list[bytes] = []
    start, end, whole = 0, new, True
    while old != end:
        split = start + _split(end - start)
        if old <= split:
            path.append(subtree(split, end, node))
            end = split
        else:
            path.append(subtree(start, split, node))
            start, whole = split, False
    if not whole:
        path.append(subtree(start, end, node))
    path.reverse()
    return path


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raises Invalid unless `proof` shows that the leaf hash stands at `index` of the tree (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        raise Invalid(f"no leaf {index} in a tree of {size}")
    _sizes(leaf, root, *proof)
    # The path has one hash for each level where the leaf's subtree has a sibling: `inner` of them below the point
    # where the path meets the tree's right border, then one per set bit of the index above it.
    inner = (index ^ (size - 1)).bit_length()
    border = (index >> inner).bit_count()
    if len(proof) != inner + border:
        raise Invalid(f"proof has {len(proof)} hashes; {inner + border} are needed")
    reached = leaf
    for level, sibling in enumerate(proof[:inner]):
        reached = node_hash(sibling, reached) if index >> level & 1 else node_hash(reached, sibling)
    for sibling in proof[inner:]:
        reached = node_hash(sibling, reached)
    if reached != root:
        raise Invalid("proof leads to another root")


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Raises Invalid unless `proof` shows that the tree of `new` leaves begins with that of `old` (RFC 9162 §2.1.4.2).

    From an empty tree nothing can be shown: 0 to anything larger is refused, with or without a proof.
    """
    if not 0 <= old <= new:
        raise Invalid(f"sizes {old} and {new} are out of order")
    if old == new:
        if proof or old_root != new_root or (old == 0 and old_root != EMPTY):
            raise Invalid("trees of one size have one root and need no proof")
        return
    if old == 0:
        raise Invalid("every tree begins with the empty one: nothing is shown")
    if not proof:
        raise Invalid("proof is empty")
    _sizes(old_root, new_root, *proof)
    first, last = old - 1, new - 1
    # Below this level the old tree's last subtree is perfect, so that its hash is a node of the new tree too.
    shift = (old & -old).bit_length() - 1
    first, last = first >> shift, last >> shift
    hashes = list(proof)
    seed = old_root if old & (old - 1) == 0 else hashes.pop(0)
    inner = (first ^ last).bit_length()
    border = (first >> inner).bit_count()
    if len(hashes) != inner + border:
        raise Invalid(f"proof has {len(proof)} hashes; another number is needed")
    reached_old = reached_new = seed
    for level, sibling in enumerate(hashes[:inner]):
        if first >> level & 1:
            reached_old, reached_new = node_hash(sibling, reached_old), node_hash(sibling, reached_new)
        else:
            reached_new = node_hash(reached_new, sibling)
    for sibling in hashes[inner:]:
        reached_old, reached_new = node_hash(sibling, reached_old), node_hash(sibling, reached_new)
    if reached_old != old_root:
        raise Invalid("proof leads to another old root")
    if reached_new != new_root:
        raise Invalid("proof leads to another new root")


def _split(size: int) -> int:
    """Largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _sizes(*hashes: bytes) -> None:
    if any(len(each) != HASH for each in hashes):
        raise Invalid("a hash is not 32 bytes")
