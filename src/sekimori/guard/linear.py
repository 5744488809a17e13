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
CALM: Final = 10.0
"""Characters that say nothing and are counted with every window, so that a few words alone do not score high."""
BLOCK: Final = 16 * 1024
"""Characters that are hashed at once."""
BEHIND: Final = 4096
"""Characters behind a block that are hashed with it, for the windows that reach out of it."""
PIECE: Final = 240
"""Most characters of a sentence; a longer one is cut."""
SHORT: Final = 24
"""Fewest characters of a sentence; a shorter one goes with the next."""
SPANS: Final = (60, 160)
"""Characters that a window has at least, where the text does not end; one window of each begins at each sentence."""

_FACTOR: Final = 0x9E3779B1
_MIXERS: Final = (0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F, 0x165667B1)
_END: Final = re.compile(
    r"[.!?;。！？؟।…؛\r\n<\"'](?:"
    r"(?<=[.!?;。！？؟।…؛])[.!?;。！？؟।…؛]*[\s\"'”’)\]»」』]*|(?<=[\r\n])\s*|(?<=<)[^<>]{1,80}>\s*"
    r"|(?<=[\"'])\s*[,:]\s*(?=[\"'\[{]))"
)
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

    places: NDArray[np.int64] | None
    """None: gram number i begins at place i."""
    buckets: NDArray[np.int64]
    valid: NDArray[np.bool_] | None
    """Where places are None: whether there is a gram; else there is."""


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
def _tables() -> tuple[NDArray[np.uint32], NDArray[np.bool_], NDArray[np.uint32], NDArray[np.uint32]]:
    """Of each code point below 65,536: what it counts as, and whether it belongs to a word; then powers of the factor,
    and of its inverse, modulo 2**32.
    """
    folds = np.arange(65536, dtype=np.uint32)
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
    size = BLOCK + BEHIND
    power, inverse = 1, 1
    turned = pow(_FACTOR, -1, 2**32)
    powers = np.empty(size, np.uint32)
    inverses = np.empty(size, np.uint32)
    for place in range(size):
        powers[place], inverses[place] = power, inverse
        power = power * _FACTOR % 2**32
        inverse = inverse * turned % 2**32
    return folds, word, powers, inverses


def grams_of(text: str) -> Iterator[Grams]:
    """The hashed grams of a text of at most BLOCK + BEHIND characters. Place i is the i-th character's."""
    folds, word_table, powers, inverses = _tables()
    if text.isascii():
        codes: NDArray[Any] = np.frombuffer(text.encode(), np.uint8)
    else:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    size = codes.size
    if size == 0:
        return
    high = codes > 65535 if codes.dtype == np.uint32 else None
    if high is not None and high.any():
        low = np.minimum(codes, np.uint32(65535))
        folded, words = np.where(high, codes, folds[low]), word_table[low] | high
    else:
        folded, words = folds[codes], word_table[codes]
    # The hash of any run of characters is a difference of two sums, brought to the same place.
    sums = np.zeros(size + 1, np.uint32)
    np.cumsum((folded + np.uint32(0x51ED)) * powers[:size], out=sums[1:])
    blank = folded == 32
    apart = ~blank
    inner = apart
    for number, length in enumerate(GRAMS):
        count = size - length + 1
        if count <= 0:
            break
        hashes = (sums[length:] - sums[:count]) * inverses[:count]
        # Two characters: neither is a space. More: none but the first and the last is.
        if length == 2:
            valid = apart[:-1] & apart[1:]
        else:
            inner = apart[1:-1] if length == 3 else inner[:-1] & apart[length - 2 : size - 1]
            valid = inner
        yield Grams(None, _bucket(hashes, number), valid)
    edges = np.flatnonzero(words[1:] != words[:-1]) + 1
    bounds = np.concatenate(([0] if words[0] else [], edges, [size] if words[-1] else [])).astype(np.int64)
    begins, ends = bounds[0::2], bounds[1::2]
    if begins.size == 0:
        return
    one = (sums[ends] - sums[begins]) * inverses[begins]
    yield Grams(begins, _bucket(one, 0, 1), None)
    joined = one
    for number in range(1, WORDS):
        if begins.size <= number:
            break
        joined = joined[:-1] * np.uint32(_MIXERS[number]) + one[number:]
        yield Grams(begins[:-number], _bucket(joined, number, 1), None)


def _bucket(hashes: NDArray[np.uint32], number: int, kind: int = 0) -> NDArray[np.int64]:
    mixed = (hashes ^ (hashes >> np.uint32(15))) * np.uint32(_MIXERS[number] + 2 * kind)
    return (mixed >> np.uint32(32 - BITS)).astype(np.int64)


def lengths(windows: Windows) -> NDArray[np.float64]:
    """What the sum over each window is divided by."""
    roots: NDArray[np.float64] = np.sqrt(windows.ends - windows.starts + CALM)
    return roots


class Linear:
    """Weights, one table for each head: which head reads a text depends on who wrote it."""

    __slots__ = ("scales", "tables")

    def __init__(self, tables: Sequence[NDArray[np.int16]], scales: Sequence[float]) -> None:
        self.tables = tuple(tables)
        self.scales = tuple(scales)

    def score(self, text: str, windows: Windows, head: int) -> NDArray[np.float64]:
        """What the grams of each window weigh together."""
        size = len(text)
        scale = self.scales[head]
        if size <= BLOCK:
            sums = self._sums(text, head)
            return (sums[windows.ends] - sums[windows.starts]) * scale / lengths(windows)
        total = np.empty(windows.starts.size)
        for at in range(0, size, BLOCK):
            # Windows that begin in this block; the longest of them reaches some 500 characters behind it.
            here = np.flatnonzero((windows.starts >= at) & (windows.starts < at + BLOCK))
            sums = self._sums(text[at : at + BLOCK + BEHIND], head)
            total[here] = sums[windows.ends[here] - at] - sums[windows.starts[here] - at]
        return total * scale / lengths(windows)

    def _sums(self, block: str, head: int) -> NDArray[np.int64]:
        """Running sums over places of what begins there."""
        table = self.tables[head]
        weights = np.zeros(len(block) + 1, np.int32)
        for grams in grams_of(block):
            weight = table.take(grams.buckets)
            if grams.places is None:
                assert grams.valid is not None
                weight *= grams.valid
                weights[1 : weight.size + 1] += weight
            else:
                weights[grams.places + 1] += weight
        return np.cumsum(weights, dtype=np.int64)


def read_weights(data: bytes) -> dict[str, NDArray[Any]]:
    """Arrays of an npz file; nothing in it is run. Raises WeightsError."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(f"the weights cannot be read: {error}") from error
