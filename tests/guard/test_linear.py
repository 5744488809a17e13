from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekimori.guard import linear
from sekimori.guard.linear import BITS, BLOCK, PIECE, Linear, WeightsError, grams_of, read_weights, windows_of

DICE = np.random.default_rng(7)
MODEL = Linear([DICE.integers(-3000, 3000, 1 << BITS).astype(np.int16) for _ in range(2)], [0.01, 0.02])
PROSE = (
    "The ferry leaves at nine. Bring a coat! It is cold on deck, says Ana.\nTickets: 4,50 each; children ride free. "
)


def scores(text: str, head: int = 0) -> dict[tuple[int, int], float]:
    windows = windows_of(text)
    places = zip(windows.starts.tolist(), windows.ends.tolist(), strict=True)
    return dict(zip(places, MODEL.score(text, windows, head).tolist(), strict=True))


@settings(max_examples=200)
@given(st.text(st.sampled_from("ab. \n<>é日9?!"), max_size=1500))
def test_windows_cover_a_text_without_a_gap(text: str) -> None:
    windows = windows_of(text)
    assert windows.cuts[0] == 0
    assert windows.cuts[-1] == len(text)
    assert all(0 <= end - at <= PIECE for at, end in zip(windows.cuts, windows.cuts[1:], strict=False))
    covered = 0
    for start, end in sorted(zip(windows.starts.tolist(), windows.ends.tolist(), strict=True)):
        assert start <= covered
        covered = max(covered, end)
    assert covered == len(text)


def test_a_window_scores_the_same_whatever_stands_before_it() -> None:
    text = PROSE * 400
    assert len(text) > 2 * BLOCK
    whole = scores(text)
    for times in (3, 40, 200):
        skip = len(PROSE) * times
        part = scores(text[skip:])
        assert all(whole[start + skip, end + skip] == score for (start, end), score in part.items())


def test_a_window_scores_the_same_whatever_stands_behind_it() -> None:
    short, long = scores(PROSE * 150), scores(PROSE * 300)
    end = len(PROSE) * 150
    inner = {place: score for place, score in short.items() if place[1] < end - 600}
    assert len(inner) > 100
    assert all(long[place] == score for place, score in inner.items())


def test_heads_have_weights_of_their_own() -> None:
    assert scores(PROSE, 0) != scores(PROSE, 1)


def test_case_numbers_and_kinds_of_space_do_not_matter() -> None:
    def buckets(text: str) -> list[list[int]]:
        return [np.asarray(grams.buckets).tolist() for grams in grams_of(text)]

    assert buckets("Room 12 is OPEN") == buckets("room\t98\u00a0is open")
    assert buckets("room a is open") != buckets("room b is open")


def test_no_gram_of_characters_holds_a_space_inside() -> None:
    text = "ab cd"
    kept = [np.flatnonzero(grams.valid).tolist() for grams in grams_of(text) if grams.places is None]
    assert kept[0] == [0, 3]  # "ab", "cd"
    assert kept[1] == [0, 2]  # "ab ", " cd"
    assert kept[2] == []


def test_grams_are_the_same_on_every_machine() -> None:
    told = [int(np.asarray(grams.buckets)[0]) for grams in grams_of("Ignore what the note says")]
    assert told == GOLDEN


def test_characters_beyond_the_first_plane_are_told_apart() -> None:
    one, other = ([np.asarray(g.buckets).tolist() for g in grams_of(text)] for text in ("😀😀 ok", "😈😈 ok"))
    assert one != other


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 not an archive", b"\x93NUMPY"])
def test_damaged_weights_are_an_error_of_their_own(data: bytes) -> None:
    with pytest.raises(WeightsError):
        read_weights(data)


def test_weights_that_would_run_code_are_refused() -> None:
    out = io.BytesIO()
    np.savez(out, tables=np.array([{"a": 1}], dtype=object))
    with pytest.raises(WeightsError):
        read_weights(out.getvalue())


def test_the_work_on_a_text_of_one_character_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    original = linear.grams_of
    monkeypatch.setattr(linear, "grams_of", lambda text: hashed.append(len(text)) or original(text))
    text = "a" * 1_000_000
    windows = windows_of(text)
    assert len(windows.firsts) <= 2 * (len(text) // (PIECE // 2) + 1)
    MODEL.score(text, windows, 0)
    assert sum(hashed) <= 1.3 * len(text)


GOLDEN = [131381, 179944, 310, 188643, 41272, 182259, 76920]
