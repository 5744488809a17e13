"""Rules over concepts: what one sentence says, in any of the languages of `phrases`.

Every beginning stands in one re2 expression, so a text is read once, whatever their number; time is linear in the text,
whatever it holds. A rule is a name for concepts that stand together in a sentence or in two that
follow each other. What a concept weighs, alone and beside every other, was learned; a rule is what tells a person why.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import accumulate, islice, pairwise
from typing import Final, NamedTuple

import numpy as np
import re2
from numpy.typing import NDArray

from sekimori.guard.phrases import CONCEPTS, MARKS

NAMES: Final[tuple[str, ...]] = (*CONCEPTS, *MARKS)
"""Names of concepts and marks; a bit's number is its name's place."""
MEMORY: Final = 128 << 20
"""Bytes that an expression may take for its states. It takes them as texts need them, and begins anew where they are
used up."""
MOST_KNOWN: Final = 20_000
"""Matched words whose concepts are kept."""
LONGEST_KNOWN: Final = 64
"""Bytes of such a word; a longer one is looked up each time, so what is kept stays small."""
MOST_MARKS: Final = 8
"""Places at which one mark is noted in a thousand characters."""

_JOINED: Final = frozenset({"zh", "ja", "th", "ko"})
"""Languages whose words are not parted, or bear endings and beginnings of any kind."""
_ASCII: Final = frozenset(
    [
        "en",
        "de",
        "fr",
        "es",
        "pt",
        "it",
        "nl",
        "pl",
        "cs",
        "sk",
        "sl",
        "hr",
        "tr",
        "sv",
        "da",
        "nb",
        "fi",
        "et",
        "lt",
        "lv",
        "hu",
        "ro",
        "id",
        "ms",
        "tl",
        "sw",
        "vi",
        "ca",
    ]
)
_PREFIX: Final = {"ar": "(?:و|ف)?(?:ال|لل|ب|ل|ك)?", "he": "[והבלשכמ]{0,2}", "fa": "", "ur": ""}
_BEFORE: Final = r"(?:^|[^\pL\pN\pM])"
_AFTER: Final = r"(?:$|[^\pL\pN\pM])"


class Rule(NamedTuple):
    """A reason that a person can read."""

    name: str
    needs: frozenset[str]


RULES: Final[tuple[Rule, ...]] = tuple(
    Rule(name, frozenset(needs.split()))
    for name, needs in (
        ("override", "drop rules prior"),
        ("override", "drop rules you"),
        ("override", "drop secret"),
        ("override", "drop new"),
        ("extraction", "tell secret"),
        ("extraction", "tell rules verbatim"),
        ("extraction", "tell prior verbatim"),
        ("extraction", "tell credential noask"),
        ("persona", "persona free"),
        ("persona", "persona drop rules"),
        ("persona", "machine free"),
        ("authority", "authority drop"),
        ("authority", "authority tell credential"),
        ("authority", "authority secret"),
        ("authority", "authority send noask"),
        ("secrecy", "hide user"),
        ("secrecy", "hide machine"),
        ("secrecy", "hide send"),
        ("exfiltration", "send bulk"),
        ("exfiltration", "send credential"),
        ("exfiltration", "send secret"),
        ("exfiltration", "url_with_data credential"),
        ("exfiltration", "url_with_data bulk"),
        ("action", "machine send noask"),
        ("action", "machine send mail"),
        ("action", "machine send url"),
        ("action", "machine command"),
        ("action", "tool_call noask"),
        ("action", "addressed rating"),
        ("persistence", "lasting machine"),
        ("persistence", "lasting send"),
        ("persistence", "lasting drop"),
        ("template", "template"),
        ("forged_turn", "forged_turn rules"),
        ("forged_turn", "forged_turn drop"),
        ("forged_turn", "forged_turn send"),
        ("addressed", "addressed new"),
        ("addressed", "addressed hide"),
        ("addressed", "addressed send"),
        ("addressed", "addressed drop"),
        ("hidden_text", "hidden_comment"),
        ("hidden_text", "hidden_style machine"),
        ("hidden_text", "hidden_style send"),
        ("hidden_text", "hidden_style drop"),
    )
)
"""Rules by name; several may share one. Each is one kind of attack; the order is that in which reasons are told."""


@cache
def _plains() -> dict[int, str]:
    """What letters with accents are written as; Latin and Greek ones only, others would lose what they say."""
    plains: dict[int, str] = {
        **str.maketrans({"ı": "i", "ø": "o", "đ": "d", "ł": "l", "ß": "ss", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th"}),
        **str.maketrans({"ё": "е", "ς": "σ", "’": "'", "ʼ": "'"}),
    }
    for code in (*range(0x00C0, 0x0250), *range(0x1E00, 0x2000), *range(0x0370, 0x0400)):
        base = unicodedata.normalize("NFD", chr(code))
        if len(base) > 1:
            plains[code] = base[0]
    plains |= dict.fromkeys((*range(0x0300, 0x0370), *range(0x064B, 0x0653), 0x0640, 0x00AD), "")
    return plains


def plain(text: str) -> str:
    """A text in lower case, without accents on Latin and Greek letters, vowel marks of Arabic, and hyphens not seen."""
    low = text.lower()
    return low if low.isascii() else low.translate(_plains())


def _expression(concept: str, lines: str) -> str:
    """One expression of all beginnings of a concept."""
    apart: dict[str, list[str]] = {}
    for line in lines.strip().splitlines():
        language, _, beginnings = line.partition(": ")
        if language not in _ASCII:
            # re2 knows words of ASCII letters only.
            beginnings = beginnings.replace(r"\b", _AFTER)
        before = "" if language in _JOINED else _BEFORE + _PREFIX.get(language, "")
        apart.setdefault(before, []).append(plain_expression(beginnings))
    return "|".join(f"{before}(?:{'|'.join(several)})" for before, several in apart.items())


def plain_expression(expression: str) -> str:
    """An expression in the form of `plain`; its classes (`\\S`, `\\W`) stay."""
    return expression.translate(_plains())


class Reader:
    """The expressions, compiled. It is made once: that takes half a second."""

    __slots__ = ("_each", "_known", "_marks", "_present", "_words")

    def __init__(self) -> None:
        options = re2.Options()
        options.max_mem = MEMORY
        options.log_errors = False
        each = [_expression(concept, lines) for concept, lines in CONCEPTS.items()]
        self._words = re2.compile("|".join(each), options)
        self._each = [re2.compile(expression, options) for expression in each]
        self._marks = [re2.compile(plain_expression(expression), options) for expression in MARKS.values()]
        self._present = re2.Set.SearchSet(options)
        for expression in MARKS.values():
            self._present.Add(plain_expression(expression))
        self._present.Compile()
        self._known: dict[bytes, tuple[int, ...]] = {}

    def bits(self, text: str, cuts: Sequence[int]) -> NDArray[np.bool_]:
        """(sentences, concepts and marks) -> whether it is there. `cuts`: see `linear.Windows`."""
        found = np.zeros((len(cuts) - 1, len(NAMES)), np.bool_)
        if text.isascii():
            said = text.lower().encode()
            places: Sequence[int] = cuts
        else:
            pieces = [plain(text[at:end]).encode("utf-8", "replace") for at, end in pairwise(cuts)]
            said = b"".join(pieces)
            places = [0, *accumulate(map(len, pieces))]
        known = self._known
        rows: list[int] = []
        columns: list[int] = []
        last = len(places) - 1
        for match in self._words.finditer(said):
            word = match.group()
            concepts = known.get(word)
            if concepts is None:
                concepts = self._learn(word)
            # It begins with the character before its word; a cut there would give it to the sentence before.
            rows += (bisect_right(places, match.start() + 1, 0, last) - 1,) * len(concepts)
            columns += concepts
        most = MOST_MARKS + len(said) * MOST_MARKS // 1000
        for number in self._present.Match(said) or ():
            mark = self._marks[number]
            for match in islice(mark.finditer(said), most):
                rows.append(bisect_right(places, match.start() + 1, 0, last) - 1)
                columns.append(len(CONCEPTS) + number)
        found[rows, columns] = True
        return found

    def _learn(self, word: bytes) -> tuple[int, ...]:
        """Concepts of what was matched; the same beginnings come again and again, so it is looked up once."""
        concepts = tuple(number for number, one in enumerate(self._each) if one.search(word))
        if len(word) <= LONGEST_KNOWN and len(self._known) < MOST_KNOWN:
            self._known[word] = concepts
        return concepts


def rules_of(names: Iterable[str]) -> tuple[str, ...]:
    """Names of the rules whose concepts are all there."""
    there = set(names)
    return tuple(dict.fromkeys(rule.name for rule in RULES if rule.needs <= there))
