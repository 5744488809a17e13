"""A linear model over hashed grams of characters and words, scored with numpy: no learner is needed to use it.

A text is read in windows of a few sentences, so a long harmless text around a short attack does not thin it out. What
a gram weighs stands at the place where it begins, and a running sum over places gives every window at once. Weights
are whole numbers, so a sum is exact, and a window scores the same whatever is read before or behind it.

Work is linear in the text, about 60 ns a character. Numbers of digits are all one, and so is every kind of space.
"""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

BITS: Final = 18
"""Of a gram's hash; a table has 2**BITS weights."""
GRAMS: Final = (2, 3, 4, 5)
"""Characters of a gram. Spaces stand at its ends only, so it lies within a word."""
WORDS: Final = 3
"""Most words of a gram of words."""
CALM: Final = 40.0
"""Grams that say nothing and are counted with every window, so that a few words alone do not score high."""
BLOCK: Final = 16 * 1024
"""Characters that are hashed at once."""
PIECE: Final = 240
"""Most characters of a sentence; a longer one is cut."""
SHORT: Final = 24
"""Fewest characters of a sentence; a shorter one goes with the next."""
SPANS: Final = (60, 240)
"""Characters that a window has at least, where the text does not end; there is one window of each from each sentence."""

_FACTOR: Final = 0x9E3779B97F4A7C15 | 1
_MIXERS: Final = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F)
_END: Final = re.compile(r"[.!?;。！？؟।…؛]+[\s\"'”’)\]»」』]*|[\r\n]+\s*|<[^<>]{1,80}>\s*|(?<=[\"'])\s*[,:]\s*(?=[\"'\[{])")
"""Where a sentence ends: at its mark, a line's end, a tag, or between two strings of a JSON value."""


class WeightsError(Exception):
    """Weights are missing, damaged, or made for another version of this module."""


class Windows(NamedTuple):
    """Where windows lie in a text. Offsets are code points."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    cuts: list[int]
    """Where sentences begin, and the text's end."""
    firsts: list[int]
    """Of each window: the number of its first sentence."""
    lasts: list[int]
    """Of each window: the number of the sentence behind its last."""


class Grams(NamedTuple):
    """Hashed grams of one kind: each begins at a place and belongs to a bucket."""

    places: NDArray[Any] | None
    """None: gram number i begins at place i."""
    buckets: NDArray[np.int64]
    valid: NDArray[np.bool_] | None


def windows_of(text: str) -> Windows:
    """Runs of sentences. The end of a text makes no window of its own beside the one that it ends."""
    cuts = [0]
    size = len(text)
    for end in _END.finditer(text):
        at = end.end()
        if at - cuts[-1] >= SHORT and at < size:
            _cut_long(text, cuts, at)
            cuts.append(at)
    _cut_long(text, cuts, size)
    cuts.append(size)
    firsts: list[int] = []
    lasts: list[int] = []
    count = len(cuts) - 1
    for span in SPANS:
        last = 0
        for first in range(count):
            before = last
            last = max(last, first + 1)
            while last < count and cuts[last] - cuts[first] < span:
                last += 1
            if last == before and first:
                continue  # it ends where the window before it ended
            if span == SPANS[0] or last - first > 1:
                firsts.append(first)
                lasts.append(last)
    starts = np.array([cuts[first] for first in firsts], np.int64)
    ends = np.array([cuts[last] for last in lasts], np.int64)
    return Windows(starts, ends, cuts, firsts, lasts)


def _cut_long(text: str, cuts: list[int], end: int) -> None:
    """Cut what is longer than PIECE, at a space where there is one."""
    while end - cuts[-1] > PIECE:
        at = text.rfind(" ", cuts[-1] + PIECE // 2, cuts[-1] + PIECE)
        cuts.append(at + 1 if at > 0 else cuts[-1] + PIECE)


@cache
def _tables() -> tuple[NDArray[np.uint64], NDArray[np.bool_], NDArray[np.uint64], NDArray[np.uint64]]:
    """Of each code point below 65,536: what it counts as, and whether it belongs to a word; then powers of the factor,
    and of its inverse.
    """
    folds = np.arange(65536, dtype=np.uint64)
    word = np.zeros(65536, np.bool_)
    for code in range(65536):
        character = chr(code)
        category = unicodedata.category(character)
        if category[0] in "LMN" or code in (0x200C, 0x200D):
            word[code] = True
            lower = character.lower()
            folds[code] = ord("0") if category == "Nd" else ord(lower) if len(lower) == 1 else code
        elif category[0] in "ZC" and category != "Cs":
            folds[code] = 32
    size = BLOCK + 4096
    power, inverse = 1, 1
    turned = pow(_FACTOR, -1, 2**64)
    powers = np.empty(size, np.uint64)
    inverses = np.empty(size, np.uint64)
    for place in range(size):
        powers[place], inverses[place] = power, inverse
        power = power * _FACTOR % 2**64
        inverse = inverse * turned % 2**64
    return folds, word, powers, inverses


def grams_of(text: str) -> Iterator[Grams]:
    """The hashed grams of a text of at most BLOCK + 4096 characters. Place i is the i-th character's."""
    folds, word_table, powers, inverses = _tables()
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    if codes.size == 0:
        return
    low = np.minimum(codes, np.uint32(65535))
    folded = folds[low]
    words = word_table[low]
    if not text.isascii() and (codes > 65535).any():
        high = codes > 65535
        folded = np.where(high, codes.astype(np.uint64), folded)
        words = words | high
    size = codes.size
    # The hash of any run of characters is a difference of two sums, brought to the same place.
    sums = np.empty(size + 1, np.uint64)
    sums[0] = 0
    np.cumsum((folded + np.uint64(0x51ED)) * powers[:size], out=sums[1:])
    blank = folded == 32
    blanks = np.empty(size + 1, np.int32)
    blanks[0] = 0
    np.cumsum(blank, out=blanks[1:])
    for number, length in enumerate(GRAMS):
        count = size - length + 1
        if count <= 0:
            break
        hashes = (sums[length:] - sums[:count]) * inverses[:count]
        inside = blanks[length - 1 : size] - blanks[1 : count + 1] if length > 2 else None
        valid = inside == 0 if inside is not None else ~(blank[:count] | blank[1:])
        yield Grams(None, _bucket(hashes, number), valid)
    edges = np.flatnonzero(np.diff(words.astype(np.int8), prepend=0, append=0))
    begins, ends = edges[0::2], edges[1::2]
    if begins.size == 0:
        return
    one = (sums[ends] - sums[begins]) * inverses[begins]
    yield Grams(begins, _bucket(one, 0, 1), None)
    joined = one
    for number in range(1, WORDS):
        if begins.size <= number:
            break
        joined = joined[:-1] * np.uint64(_MIXERS[number]) + one[number:]
        yield Grams(begins[:-number], _bucket(joined, number, 1), None)


def _bucket(hashes: NDArray[np.uint64], number: int, kind: int = 0) -> NDArray[np.int64]:
    mixed = (hashes ^ (hashes >> np.uint64(29))) * np.uint64(_MIXERS[number] + 2 * kind)
    return (mixed >> np.uint64(64 - BITS)).astype(np.int64)


class Linear:
    """Weights, one table for each head: which head reads a text depends on who wrote it."""

    __slots__ = ("scales", "tables")

    def __init__(self, tables: Sequence[NDArray[np.int16]], scales: Sequence[float]) -> None:
        self.tables = tuple(tables)
        self.scales = tuple(scales)

    def score(self, text: str, windows: Windows, head: int) -> NDArray[np.float64]:
        """What the grams of each window weigh together."""
        size = len(text)
        total = np.empty(windows.starts.size)
        at = 0
        while True:
            # Windows that begin in this block; the longest of them reaches some 500 characters behind it.
            here = np.flatnonzero((windows.starts >= at) & (windows.starts < at + BLOCK)) if size > BLOCK else None
            block = text[at : at + BLOCK + 4096] if size > BLOCK else text
            weights, counts = self._sums(block, head)
            starts = windows.starts if here is None else windows.starts[here] - at
            ends = windows.ends if here is None else windows.ends[here] - at
            heavy = (weights[ends] - weights[starts]) * self.scales[head]
            scores = heavy / np.sqrt(counts[ends] - counts[starts] + CALM)
            if here is None:
                return scores
            total[here] = scores
            at += BLOCK
            if at >= size:
                return total

    def _sums(self, block: str, head: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Running sums over places: of weights, and of grams."""
        table = self.tables[head]
        size = len(block)
        weights = np.zeros(size + 1, np.int64)
        counts = np.zeros(size + 1, np.int64)
        for grams in grams_of(block):
            weight = table[grams.buckets]
            if grams.places is not None:
                weights[grams.places + 1] += weight
                counts[grams.places + 1] += 1
            else:
                assert grams.valid is not None
                count = grams.valid.size
                weights[1 : count + 1] += weight * grams.valid
                counts[1 : count + 1] += grams.valid
        return np.cumsum(weights), np.cumsum(counts)


def read_weights(data: bytes) -> dict[str, NDArray[Any]]:
    """Arrays of an npz file; nothing in it is run. Raises WeightsError."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(f"the weights cannot be read: {error}") from error
