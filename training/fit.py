"""Learns the weights. `python -m training` writes them; the same rows give the same bytes.

Rows are labelled, and windows are read: which windows of an attack are the attack is told by its harmless twin, and
then by the weights of a first round. Of harmless rows every window is harmless.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from sekimori.guard.injection import COLUMNS, Injection, Part, arrays_of, parts_of
from sekimori.guard.linear import BITS, grams_of, lengths
from sekimori.guard.rules import Reader
from training.data import Row

BUCKETS = 1 << BITS
STRENGTH = 3.0
"""Inverse of the regularisation."""
GRAM = 0.5
"""What a gram counts, beside the number of characters of its window: there are some four at every place."""
OWN = 0.6
"""How freely the head of what tools say leaves the common one."""
PUBLISHED = 0.6
"""How freely published rows differ from the others; what is theirs alone is thrown away."""
CONCEPTS = 0.2
"""How much a concept counts beside a gram: it is far rarer that one is there by chance."""
MOST_WINDOWS = 8
"""Windows of one harmless row that are learned from in the first round."""
MARGIN = 1.0
"""How much less than its heaviest window another window of an attack may weigh, and still be learned as an attack."""
FIRST, SECOND = np.triu_indices(len(COLUMNS), 1)


class Examples(NamedTuple):
    """Windows of rows."""

    grams: sparse.csr_matrix
    bits: NDArray[np.bool_]
    owner: NDArray[np.int64]
    """Of each window: the number of its row."""
    retrieved: NDArray[np.bool_]
    attack: NDArray[np.bool_]
    """Of each window: whether it may be learned as an attack."""
    weight: NDArray[np.float64]
    rows: Sequence[Row]


class Learned(NamedTuple):
    """Weights of both heads, and what stands beside them."""

    tables: NDArray[np.float64]
    pairs: NDArray[np.float64]
    biases: NDArray[np.float64]


def examples(reader: Reader, rows: Sequence[Row]) -> Examples:
    """What the detector would see of the rows."""
    twins: dict[str, list[str]] = {}
    for row in rows:
        if row.pair and not row.attack:
            twins.setdefault(row.pair, []).append(row.text)
    data, indices, ends = [], [], [0]
    bits, owner, attack = [], [], []
    for number, row in enumerate(rows):
        parts, _ = parts_of(reader, row.text)
        labels = _labels(row, parts, "\n".join(twins.get(row.pair, ())))
        for part, label in zip(parts, labels, strict=True):
            places, buckets = _placed(part.text)
            for start, end, length in zip(part.windows.starts, part.windows.ends, lengths(part.windows), strict=True):
                inside = buckets[(places >= start) & (places < end)]
                unique, counts = np.unique(inside, return_counts=True)
                indices.append(unique)
                data.append(counts / length * GRAM)
                ends.append(ends[-1] + len(unique))
            bits.append(part.bits)
            attack += label
            owner += [number] * len(label)
    owned = np.array(owner)
    grams = sparse.csr_matrix(
        (np.concatenate(data), np.concatenate(indices), ends), shape=(len(owner), BUCKETS), dtype=np.float64
    )
    retrieved = np.array([row.retrieved for row in rows])[owned]
    weight = np.array([row.weight for row in rows])[owned]
    return Examples(grams, np.concatenate(bits), owned, retrieved, np.array(attack), weight, rows)


def first(seen: Examples, count: int) -> Examples:
    """The examples of the first so many rows."""
    end = int(np.searchsorted(seen.owner, count))
    return Examples(
        seen.grams[:end],
        seen.bits[:end],
        seen.owner[:end],
        seen.retrieved[:end],
        seen.attack[:end],
        seen.weight[:end],
        seen.rows[:count],
    )


def _placed(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    places, buckets = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for grams in grams_of(text[: 16 * 1024]):
        at = np.flatnonzero(grams.valid) if grams.places is None else grams.places
        places.append(at)
        buckets.append(grams.buckets[at] if grams.places is None else grams.buckets)
    return np.concatenate(places), np.concatenate(buckets)


def _labels(row: Row, parts: Sequence[Part], twin: str) -> list[list[bool]]:
    """Of each window of each view: whether it may be the attack."""
    if not row.attack:
        return [[False] * len(part.windows.firsts) for part in parts]
    labels = []
    for part in parts:
        cuts = part.windows.cuts
        new = [part.text[at:end].strip() not in twin for at, end in pairwise(cuts)]
        labels.append([any(new[f:t]) for f, t in zip(part.windows.firsts, part.windows.lasts, strict=True)])
    if not any(map(any, labels)):
        return [[True] * len(label) for label in labels]
    return labels


def design(seen: Examples) -> sparse.csr_matrix:
    """One line a window: grams, concepts and pairs of them, and all once more for the head of what tools say."""
    bits = seen.bits.astype(np.float32)
    concepts = sparse.csr_matrix(np.hstack([bits, bits[:, FIRST] * bits[:, SECOND]]) * np.float32(CONCEPTS))
    common = sparse.hstack([seen.grams, concepts], format="csr")
    own = sparse.diags(seen.retrieved * OWN) @ common
    theirs = np.array([row.kind == "public" for row in seen.rows])[seen.owner]
    lines = [common, own, sparse.csr_matrix(seen.retrieved[:, None] * 1.0)]
    if theirs.any():
        lines += [sparse.diags(theirs * PUBLISHED) @ common, sparse.csr_matrix(theirs[:, None] * 1.0)]
    return sparse.hstack(lines, format="csr")


def learn(seen: Examples) -> Learned:
    """Two rounds; see the module."""
    matrix = design(seen)
    count = len(seen.rows)
    owner = seen.owner
    begins = np.r_[0, np.flatnonzero(np.diff(owner)) + 1]
    place = np.arange(len(owner)) - begins[owner]
    sizes = np.bincount(owner, minlength=count)
    stride = np.maximum(1, sizes[owner] // MOST_WINDOWS)
    whole = np.array([row.attack for row in seen.rows])[owner]
    use = seen.attack | (~whole & (place % stride == 0))
    weights = None
    for last in (False, True):
        shares = np.bincount(owner[use], minlength=count)
        learner = LogisticRegression(C=STRENGTH, solver="liblinear", tol=1e-3, max_iter=200, random_state=0)
        learner.fit(matrix[use], seen.attack[use], sample_weight=seen.weight[use] / np.sqrt(shares[owner[use]]))
        weights = learner.coef_[0], float(learner.intercept_[0])
        if last:
            break
        heavy = matrix @ weights[0] + weights[1]
        most = np.full(count, -np.inf)
        np.maximum.at(most, owner[seen.attack | ~whole], heavy[seen.attack | ~whole])
        near = heavy >= most[owner] - MARGIN
        use = (seen.attack & near) | (~whole & ((place % stride == 0) | (heavy >= most[owner] - 0.3)))
    assert weights is not None
    return _apart(*weights)


def _apart(weights: NDArray[np.float64], bias: float) -> Learned:
    concepts = len(COLUMNS) + len(FIRST)
    half = BUCKETS + concepts
    common, own, shift = weights[:half], weights[half : 2 * half] * OWN, float(weights[2 * half])
    tables = np.stack([common[:BUCKETS], (common + own)[:BUCKETS]])
    pairs = np.zeros((2, len(COLUMNS), len(COLUMNS)))
    for head, line in enumerate((common, common + own)):
        said = line[BUCKETS:] * CONCEPTS
        pairs[head][np.arange(len(COLUMNS)), np.arange(len(COLUMNS))] = said[: len(COLUMNS)]
        pairs[head][FIRST, SECOND] = said[len(COLUMNS) :]
    return Learned(tables, pairs, np.array([bias, bias + shift]))


def packed(learned: Learned, calibration: NDArray[np.float64], thresholds: NDArray[np.float64], name: str) -> bytes:
    """The file of weights: whole numbers and their scales. The same weights give the same bytes."""
    scales = np.abs(learned.tables).max(axis=1) / 32000
    tables = np.rint(learned.tables / scales[:, None]).astype(np.int16)
    # What hardly weighs is left out: it is half of the file and a hundredth of the score.
    tables[np.abs(tables) < 24] = 0
    pair_scales = np.abs(learned.pairs).max(axis=(1, 2)) / 32000
    pairs = np.rint(learned.pairs / pair_scales[:, None, None]).astype(np.int16)
    arrays = arrays_of(
        tables=tables, scales=scales, pairs=pairs, pair_scales=pair_scales, biases=learned.biases,
        calibration=calibration, thresholds=thresholds, name=name,
    )  # fmt: skip
    return _archive(arrays)


def _archive(arrays: dict[str, NDArray[Any]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for key, value in arrays.items():
            one = io.BytesIO()
            np.lib.format.write_array(one, value, allow_pickle=False)
            # A fixed date: the bytes depend on the weights alone.
            archive.writestr(zipfile.ZipInfo(f"{key}.npy", (1980, 1, 1, 0, 0, 0)), one.getvalue(), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def heaviest(injection: Injection, reader: Reader, rows: Sequence[Row]) -> NDArray[np.float64]:
    """What the heaviest window of each row weighs, before it is calibrated."""
    heavy = []
    for row in rows:
        parts, _ = parts_of(reader, row.text)
        heavy.append(max(float(injection.weigh(part, int(row.retrieved)).max()) for part in parts))
    return np.array(heavy)


def calibrated(
    heavy: NDArray[np.float64], abroad: NDArray[np.bool_], attack: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """Slope and shift of the logistic curve, as if attacks were half of all, and its shift for foreign texts."""
    learner = LogisticRegression(C=1e3, class_weight="balanced", solver="lbfgs", random_state=0)
    learner.fit(np.stack([heavy, abroad], axis=1), attack)
    return float(learner.coef_[0, 0]), float(learner.intercept_[0]), float(learner.coef_[0, 1])
