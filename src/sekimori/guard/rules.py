"""Rules over concepts: what one sentence says, in any of the languages of `phrases`.

Every beginning and every mark stands in one re2 Set, so a sentence is read once, whatever their number; its time does
not depend on what the text holds. A rule is a name for concepts that stand together in a sentence or in two that
follow each other. What a concept weighs, alone and beside every other, was learned; a rule is what tells a person why.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import re2

from sekimori.guard.phrases import CONCEPTS, MARKS

NAMES: Final[tuple[str, ...]] = (*CONCEPTS, *MARKS)
"""Names of concepts and marks; a bit's number is its name's place."""
MEMORY: Final = 256 << 20
"""Bytes that the Set may take for its states. It takes them as texts need them; with too few it would find nothing."""

_JOINED: Final = frozenset({"zh", "ja", "th", "ko"})
"""Languages whose words are not parted, or bear endings and beginnings of any kind."""
_ASCII: Final = frozenset("en de fr es pt it nl pl cs sk sl hr tr sv da nb fi et lt lv hu ro id ms tl sw vi ca".split())
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
    plains = {ord("ı"): "i", ord("ø"): "o", ord("đ"): "d", ord("ł"): "l", ord("ß"): "ss", ord("æ"): "ae", ord("œ"): "oe",
              ord("ð"): "d", ord("þ"): "th", ord("ё"): "е", ord("ς"): "σ", ord("’"): "'", ord("ʼ"): "'"}  # fmt: skip
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
    """The Set, compiled. It is made once: that takes some tens of milliseconds."""

    __slots__ = ("_set",)

    def __init__(self) -> None:
        options = re2.Options()
        options.max_mem = MEMORY
        options.log_errors = False
        made = re2.Set.SearchSet(options)
        for concept, lines in CONCEPTS.items():
            made.Add(_expression(concept, lines))
        for expression in MARKS.values():
            made.Add(plain_expression(expression))
        made.Compile()
        self._set = made

    def bits(self, sentence: str) -> list[int]:
        """Numbers of the concepts and marks in a sentence that is `plain`."""
        return self._set.Match(sentence) or []


def rules_of(names: Iterable[str]) -> tuple[str, ...]:
    """Names of the rules whose concepts are all there."""
    there = set(names)
    return tuple(dict.fromkeys(rule.name for rule in RULES if rule.needs <= there))
