"""A text that grows: what waits for another detector is kept, and told once it has settled."""

from __future__ import annotations

from collections.abc import Sequence

from sekimori.guard.spans import Growing, Match


class At:
    """Finds a letter at once, and settles as far as it is told to."""

    def __init__(self, letter: str, behind: int) -> None:
        self._letter, self._behind = letter, behind

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        settled = len(text) if ended else max(at, len(text) - self._behind)
        places = [place for place in range(at, settled) if text[place] == self._letter]
        return [Match(place, place + 1, self._letter, "secrets") for place in places], settled


def test_a_match_that_waits_alone_for_a_slower_detector_is_not_lost() -> None:
    growing = Growing([At("x", 0), At("y", 3)])
    growing.grow("x")
    assert (growing.final, growing.settled) == ([], 0)
    growing.grow("....")
    assert [match.start for match in growing.final] == [0]
