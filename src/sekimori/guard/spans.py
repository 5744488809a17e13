"""Finding values in a text that may still be growing: the invariant that streams are screened under.

A detector reads a text from left to right and says two things: the matches it is sure of, and how far it has settled,
that is, up to where nothing that may still follow could change its word. Text is released only where every detector
has settled and no match goes on. So whatever the pieces in which a text comes, what is released is what screening the
whole text at once would have released, and no character of a match is.

What a detector promises (tests hold each one to it, with random texts at random cuts):

- asked again from where it had settled, with more text behind, it goes on as if it had seen all at once;
- what matters to it before that position is at most CONTEXT characters;
- it settles all but at most REACH characters, whatever the text is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

CONTEXT: Final = 64
"""Characters before a position that may matter to whether a match begins at it."""
REACH: Final = 16 * 1024
"""Characters that a detector may leave unsettled. A match is never longer: what goes on is another one."""


class Match(NamedTuple):
    """A value in a text. Offsets are code points."""

    start: int
    end: int
    type: str
    """What it is: EMAIL, CREDIT_CARD, AWS_KEY…"""
    check: str
    """The check that looked for it: `pii_detection`, `secrets`, `output_injection`…"""
    confidence: float = 1.0
    instead: str | None = None
    """What is put in its place; None for a mask."""


class Detector(Protocol):
    """See the module."""

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        """Matches that begin from `at` on, in order and without overlap, and the position up to which that is final:
        every match that begins before it is told, and ends at or before it. `ended`: nothing follows.
        """
        ...


def find_all(detectors: Sequence[Detector], text: str) -> list[Match]:
    """What each detector finds in a text that is whole; see `joined`."""
    matches: list[Match] = []
    for detector in detectors:
        matches += detector.find(text, 0, True)[0]
    return matches


def joined(matches: list[Match]) -> list[Match]:
    """Matches of several detectors: where some overlap they are one, which reaches over all of them and is called what
    the one that begins first is called, of these the longest, of these the one that was told first.
    """
    if len(matches) < 2:
        return matches
    matches = sorted(matches, key=lambda match: (match.start, -match.end))
    whole = [matches[0]]
    for match in matches[1:]:
        last = whole[-1]
        if match.start >= last.end:
            whole.append(match)
        elif match.end > last.end:
            whole[-1] = last._replace(end=match.end, instead=None)
    return whole


def replaced(text: str, matches: Sequence[Match], masks: Sequence[str]) -> str:
    """The text with each match replaced by its mask."""
    pieces: list[str] = []
    at = 0
    for match, mask in zip(matches, masks, strict=True):
        pieces += (text[at : match.start], mask)
        at = match.end
    pieces.append(text[at:])
    return "".join(pieces)


class Growing:
    """A text that comes in pieces, and what is found in it so far. Positions count from its beginning."""

    __slots__ = ("_at", "_base", "_detectors", "_pending", "_text", "final", "length", "settled")

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._detectors = detectors
        self._at = [0] * len(detectors)
        self._text = ""
        self._base = 0
        self._pending: list[Match] = []
        self.length = 0
        """Characters that have come."""
        self.settled = 0
        """Up to where what was found is final, and no match goes on."""
        self.final: list[Match] = []
        """Joined matches between the last `settled` and this one."""

    def grow(self, piece: str, ended: bool = False) -> list[Match]:
        """Take the next piece. Returns what the detectors tell of it, each for itself."""
        told: list[Match] = []
        text = self._text = self._text + piece if self._text else piece
        base = self._base
        self.length += len(piece)
        settled = self.length
        for number, detector in enumerate(self._detectors):
            at = self._at[number]
            if at < self.length:
                matches, reached = detector.find(text, at - base, ended)
                for match in matches:
                    told.append(match._replace(start=match.start + base, end=match.end + base))
                at = self._at[number] = reached + base
            settled = min(settled, at)
        final: list[Match] = []
        if told or self._pending:
            self._pending += told
            final = list(joined(self._pending))  # of one match it is the list itself, which is needed below
            while final and final[-1].end > settled:
                # It may yet grow together with a match of a detector that has not settled so far.
                settled = min(settled, final.pop().start)
            self._pending = [match for match in self._pending if match.start >= settled]
        self.settled, self.final = settled, final
        cut = min(self._at, default=self.length) - CONTEXT - base
        if cut > 0:
            self._text = text[cut:]
            self._base += cut
        return told
