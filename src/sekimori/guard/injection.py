"""Prompt injection: does a text give orders that its writer is not entitled to give?

A text is freed of its disguise, decoded into views, and read in windows of a few sentences. Each window is weighed by
the grams it is made of (see `linear`) and by the concepts that stand in it, alone and two by two (see `rules`). The
heaviest window of the heaviest view is the text's score: a harmless text around an attack does not thin it out. The
score is calibrated on texts that the weights were not made from: 0.5 means that among texts scored so, one in two was
an attack, where half of all are.

Nothing is remembered of a text, unless the caller keeps a `Memo`.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, Final, NamedTuple

import numpy as np
import re2
from numpy.typing import NDArray

from sekimori.dialects.texts import Source
from sekimori.guard.examine import Scored
from sekimori.guard.linear import BITS, Linear, WeightsError, Windows, read_weights, windows_of
from sekimori.guard.rules import NAMES, Reader, rules_of
from sekimori.guard.sanitise import sanitise
from sekimori.guard.views import views_of

LONGEST: Final = 512 * 1024
"""Characters of a text that are read; what is beyond is told as unread."""
FEWEST: Final = 8
"""Characters below which a text says nothing."""
FORM: Final = ("encoded", "hidden", "foreign", "disguised")
"""What is known of a view, or of the whole text, beside the concepts in it."""
COLUMNS: Final = (*NAMES, *FORM)
VERSION: Final = 1
_RETRIEVED: Final = frozenset({"tool_result", "document"})
_HIDDEN: Final = frozenset({"html", "unseen"})


_DATA: Final = re2.compile(
    r"(?:(?:0x|\\x)?[0-9a-fA-F]{2}[\s:,;-]{0,2}){12,}\b|(?:\\u[0-9a-fA-F]{4}){3,}|(?:%[0-9A-Fa-f]{2}){4,}"
    r"|(?:&#[xX]?[0-9a-fA-F]{2,6};){3,}|(?:[01]{8}[\s,]{0,2}){4,}"
)
"""What is encoded, in ways in which nobody could write a word to be read as it stands."""


class Part(NamedTuple):
    """One view of a text, in windows."""

    name: str
    """Of the view; empty for the text itself."""
    text: str
    windows: Windows
    bits: NDArray[np.bool_]
    """(windows, COLUMNS) -> whether it is there."""


def head_of(source: Source) -> int:
    """Which head reads a text: 0 what people say, 1 what tools and documents say."""
    return 1 if source in _RETRIEVED else 0


def foreign(text: str) -> bool:
    """Whether a text is written in a language that needs other letters than English. Fewer rows were learned from in
    each of these, so the same text weighs less: the curve of a score makes up for that.
    """
    return not text.isascii() and len(text.encode("utf-8", "replace")) - len(text) > max(4, len(text) // 25)


def parts_of(reader: Reader, text: str) -> tuple[list[Part], int]:
    """A text and its views, in windows; and the number of characters beyond what is read."""
    unread = max(0, len(text) - LONGEST)
    text = text[:LONGEST]
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()  # half a pair is no character, and cannot be searched for
    clean = sanitise(text)
    views = views_of(clean.read)
    unread += views.unread
    parts = [_part(reader, "", without_data(clean.read), bool(clean.found))]
    parts += [_part(reader, name, without_data(said), bool(clean.found)) for name, said in views.views]
    if len(clean.hidden) >= FEWEST:
        parts.append(_part(reader, "unseen", clean.hidden, True))
    return parts, unread


def without_data(text: str) -> str:
    """A text without what is encoded in it: that is read decoded, and digits at random say nothing."""
    return _DATA.sub(" ", text) if _DATA.search(text) else text


def _part(reader: Reader, name: str, text: str, disguised: bool) -> Part:
    windows = windows_of(text)
    bits = reader.bits(text, windows.cuts)
    sums = np.zeros((bits.shape[0] + 1, bits.shape[1]), np.int32)
    np.cumsum(bits, axis=0, out=sums[1:])
    columns = np.zeros((len(windows.firsts), len(COLUMNS)), np.bool_)
    columns[:, : len(NAMES)] = sums[windows.lasts] > sums[windows.firsts]
    kind = name.rpartition("/")[2]
    form = (bool(name) and kind not in _HIDDEN, kind in _HIDDEN, not text.isascii(), disguised)
    for number, there in enumerate(form):
        if there:
            columns[:, len(NAMES) + number] = True
    return Part(name, text, windows, columns)


class Injection:
    """The detector. `injection_from`, `retrieved_from` and `unsure_from` are the thresholds its weights came with."""

    __slots__ = (
        "_curves",
        "_heads",
        "_linear",
        "_pairs",
        "_reader",
        "injection_from",
        "model",
        "retrieved_from",
        "unsure_from",
    )

    def __init__(self, data: bytes, reader: Reader | None = None) -> None:
        """`data`: the npz file of weights. Raises WeightsError."""
        arrays = read_weights(data)
        try:
            version, columns = int(arrays["version"]), arrays["columns"].tolist()
            if version != VERSION or columns != list(COLUMNS):
                raise WeightsError("the weights were made for another version of the detector")
            tables: NDArray[np.int16] = arrays["tables"]
            if tables.shape != (2, 1 << BITS) or tables.dtype != np.int16:
                raise WeightsError("the weights have another shape")
            self._linear = Linear((tables[0], tables[1]), arrays["scales"].tolist())
            # Whole numbers, kept as floats: products and sums of them are exact, in whatever order they are taken.
            self._pairs = arrays["pairs"].astype(np.float64)
            if self._pairs.shape != (2, len(COLUMNS), len(COLUMNS)):
                raise WeightsError("the weights have another shape")
            self._heads: list[tuple[float, float]] = [
                (float(scale), float(bias)) for scale, bias in zip(arrays["pair_scales"], arrays["biases"], strict=True)
            ]
            self._curves = [tuple(map(float, curve)) for curve in arrays["calibration"].reshape(2, 3)]
            self.injection_from, self.retrieved_from, self.unsure_from = map(float, arrays["thresholds"])
            self.model = str(arrays["name"])
        except (KeyError, ValueError, TypeError) as error:
            raise WeightsError(f"the weights lack something: {error}") from error
        self._reader = reader or Reader()

    def score(self, text: str, source: Source) -> Scored:
        """How much a text looks like an injection, 0..1, and what spoke for it."""
        if len(text) < FEWEST:
            return Scored(0.0)
        parts, unread = parts_of(self._reader, text)
        head = head_of(source)
        best, reasons = -math.inf, tuple[str, ...]()
        for part in parts:
            weights = self.weigh(part, head)
            number = int(weights.argmax())
            if weights[number] > best:
                best = float(weights[number])
                names = [COLUMNS[column] for column in np.flatnonzero(part.bits[number])]
                reasons = (rules_of(names) or ("classifier",)) + ((f"view:{part.name}",) if part.name else ())
        slope, shift, abroad = self._curves[head]
        height = slope * best + shift + (abroad if foreign(text) else 0.0)
        return Scored(1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, height)))), reasons, unread)

    def weigh(self, part: Part, head: int) -> NDArray[np.float64]:
        """What each window of a view weighs, before it is calibrated."""
        scale, bias = self._heads[head]
        bits = part.bits.astype(np.float64)
        pairs = ((bits @ self._pairs[head]) * bits).sum(axis=1)
        weights: NDArray[np.float64] = self._linear.score(part.text, part.windows, head) + pairs * scale + bias
        return weights


class Memo:
    """Scores of texts that were read before: an agent sends all it has said with every turn. Kept by the caller."""

    __slots__ = ("_injection", "_known", "_most")

    def __init__(self, injection: Injection, most: int = 4096) -> None:
        self._injection = injection
        self._most = most
        self._known: dict[tuple[int, bytes], Scored] = {}

    def score(self, text: str, source: Source) -> Scored:
        """As `Injection.score`."""
        known = self._known
        key = (head_of(source), hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest())
        told = known.pop(key, None)
        if told is None:
            told = self._injection.score(text, source)
            if len(known) >= self._most:
                del known[next(iter(known))]  # the one that was asked for longest ago
        known[key] = told
        return told


def arrays_of(**arrays: Any) -> dict[str, NDArray[Any]]:
    """Arrays of a file of weights, with what this version adds to them."""
    return {"version": np.array(VERSION), "columns": np.array(COLUMNS), **{k: np.asarray(v) for k, v in arrays.items()}}
