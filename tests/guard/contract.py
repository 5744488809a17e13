"""What every detector promises (see sekimori.guard.spans), held with random texts at random cuts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import strategies as st

from sekimori.guard.spans import REACH, Detector, Growing, find_all, joined

cuts_of = st.lists(st.integers(0, 400), max_size=24)


def texts_of(values: Sequence[str], alphabet: str) -> st.SearchStrategy[str]:
    """Texts that mix whole values, halves of them, and characters of the alphabet."""
    value = st.sampled_from(values)
    half = st.tuples(value, st.integers(0, 40)).map(lambda pair: pair[0][: pair[1]])
    noise = st.text(alphabet, max_size=8)
    filler = st.sampled_from([" ", ", ", "\n", "", " and then ", "x" * 70, " " * 70])
    return st.lists(st.one_of(value, value, half, noise, filler), max_size=14).map("".join)


def hold(detectors: Sequence[Detector], text: str, cuts: Sequence[int]) -> None:
    """Each detector tells of a text that grows what it tells of the whole, in order, with little held back."""
    edges = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    for detector in detectors:
        whole = find_all([detector], text)
        for before, after in itertools.pairwise(whole):
            assert before.end <= after.start
        for match in whole:
            assert 0 <= match.start < match.end <= len(text)
            assert match.end - match.start <= REACH
        growing = Growing([detector])
        told = []
        for start, end in itertools.pairwise(edges):
            told += growing.grow(text[start:end])
            assert end - growing.settled <= REACH
        told += growing.grow("", True)
        assert told == whole
    growing = Growing(detectors)
    final = []
    for start, end in itertools.pairwise(edges):
        growing.grow(text[start:end])
        final += growing.final
    growing.grow("", True)
    assert final + growing.final == joined(find_all(detectors, text))
