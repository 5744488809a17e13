"""A text as it reads once it is decoded: what a model would understand of it, and a check of the text would not.

One pass over the text tells which decodings are worth trying, so ordinary text costs one pass. Decodings nest. The work
is bounded whatever the text is: at most MOST views of a text, at most BUDGET characters of them in all, at most DEEP
decodings of decodings; how much was left unread is told.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import re2

MOST: Final = 24
"""Views of one text."""
BUDGET: Final = 64 * 1024
"""Characters of all views of one text."""
DEEP: Final = 3
"""Decodings of a decoding."""
LONGEST: Final = 256 * 1024
"""Characters of a text that are looked at for what is encoded."""
FEWEST: Final = 8
"""Characters below which a decoded piece says nothing."""


class View(NamedTuple):
    """A text as it reads, and what made it so: `base64`, `html/hex`…"""

    name: str
    text: str


class Views(NamedTuple):
    """See `views_of`."""

    views: list[View]
    unread: int
    """Characters that would have been decoded, had the bounds been wider."""


_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}(?:\s{1,2}[A-Za-z0-9+/_-]{4,})*={0,2}")
_HEX: Final = re.compile(r"(?:(?:0x|\\x)?[0-9a-fA-F]{2}[\s:,;-]{0,2}){8,}")
_BASE32: Final = re.compile(r"[A-Z2-7]{24,}={0,6}")
_BINARY: Final = re.compile(r"(?:[01]{8}[\s,]{0,2}){6,}")
_MORSE: Final = re.compile(r"(?:[.\-·–−]{1,5}(?:[ \n]+|\s*[/|]\s*)){8,}[.\-·–−]{1,5}")
_ESCAPE: Final = re.compile(r"\\u\{?([0-9a-fA-F]{4,6})\}?|\\x([0-9a-fA-F]{2})|\\([0-7]{3})|\\([nrt\"/])")
_CONCEALED: Final = re.compile(
    r"<(?:(\w{1,20})[^<>]{0,400}(?:display:\s*none|visibility:\s*hidden|font-size:\s*0|opacity:\s*0(?![.\d])|color:\s*"
    r"(?:white|transparent|#fff(?:fff)?)\b|\bhidden\b)[^<>]{0,400}|(template|noscript)\b[^<>]{0,200})>([^<]{4,2000})",
    re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTE: Final = re.compile(
    r"\b(?:alt|title|aria-label|content|placeholder|data-[a-z-]+)\s*=\s*(?:\"([^\"]{8,1000})\"|'([^']{8,1000})')",
    re.IGNORECASE,
)
_TAG: Final = re.compile(r"<[^<>]{1,2000}>")
_SPACED: Final = re.compile(r"(?<!\w)(?:[^\W_](?:[ \t]{1,3}|[._*|·•~/+-]{1,2}|[ ][-._*|/][ ])){5,}[^\W_](?!\w)")
_LEET: Final = str.maketrans("0134578@$!|€", "oieastbasiie")
_ROT13: Final = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "nopqrstuvwxyzabcdefghijklmNOPQRSTUVWXYZABCDEFGHIJKLM"
)
_COMMON: Final = [
    "the",
    "and",
    "you",
    "your",
    "all",
    "this",
    "that",
    "with",
    "for",
    "not",
    "are",
    "from",
    "have",
    "will",
    "send",
    "every",
    "system",
    "prompt",
    "instructions",
    "ignore",
    "previous",
    "rules",
    "password",
    "show",
    "print",
    "reveal",
    "tell",
    "everything",
    "message",
    "user",
    "assistant",
    "now",
]
"""Words of which some stand in nearly every English sentence that orders something."""
_LETTERS: Final = dict(
    zip(
        [
            ".-",
            "-...",
            "-.-.",
            "-..",
            ".",
            "..-.",
            "--.",
            "....",
            "..",
            ".---",
            "-.-",
            ".-..",
            "--",
            "-.",
            "---",
            ".--.",
            "--.-",
            ".-.",
            "...",
            "-",
            "..-",
            "...-",
            ".--",
            "-..-",
            "-.--",
            "--..",
            "-----",
            ".----",
            "..---",
            "...--",
            "....-",
            ".....",
            "-....",
            "--...",
            "---..",
            "----.",
        ],
        "abcdefghijklmnopqrstuvwxyz0123456789",
        strict=True,
    )
)
_READABLE: Final = re.compile(r"[^\W\d_]{2,}")

GATES: Final[dict[str, str]] = {
    "base64": r"[A-Za-z0-9+/_-]{16}",
    "hex": r"(?:(?:0x|\\x)?[0-9a-fA-F]{2}[\s:,;-]{0,2}){8}",
    "base32": r"[A-Z2-7]{24}",
    "binary": r"(?:[01]{8}[\s,]{0,2}){6}",
    "morse": r"(?:[.\-·–−]{1,5}(?:[ \n]+|\s*[/|]\s*)){8}",
    "url": r"%[0-9A-Fa-f]{2}",
    "entities": r"&(?:#[xX]?[0-9a-fA-F]{2,6}|[a-zA-Z]{2,8});",
    "escapes": r"\\(?:u\{?[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[0-7]{3})",
    "html": r"<(?:!--|[a-zA-Z])|/\*",
    "spaced": r"(?:^|[^\pL\pN_])(?:[\pL\pN](?:[ \t]{1,3}|[._*|·•~/+-]{1,2}|[ ][-._*|/][ ])){5}",
    "leet": r"(?i)[a-z][0134578@$!|€]+[a-z]|\b[0134578@$][a-z]{2}",
    "rot13": r"(?i)\b(?:" + "|".join(word.translate(_ROT13) for word in _COMMON) + r")\b",
    "reversed": r"(?i)\b(?:" + "|".join(word[::-1] for word in _COMMON) + r")\b",
}
"""What a text must hold for a decoding to be tried."""


@cache
def _gates() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 64 << 20
    gates = re2.Set.SearchSet(options)
    for expression in GATES.values():
        gates.Add(expression)
    gates.Compile()
    return gates


def views_of(text: str) -> Views:
    """What a text reads as, decoded. Beside it the text itself is read; it is no view."""
    views: list[View] = []
    left = BUDGET
    unread = max(0, len(text) - LONGEST)
    text = text[:LONGEST]
    seen = {text}
    todo: list[tuple[str, str, int]] = [("", text, 0)]
    while todo:
        name, said, deep = todo.pop(0)
        for kind, piece in _decoded(said):
            if piece in seen or len(piece.strip()) < FEWEST:
                continue
            if len(views) >= MOST or left <= 0:
                unread += len(piece)
                continue
            seen.add(piece)
            if len(piece) > left:
                unread += len(piece) - left
                piece = piece[:left]
            left -= len(piece)
            view = View(f"{name}/{kind}" if name else kind, piece)
            views.append(view)
            if deep + 1 < DEEP:
                todo.append((view.name, piece, deep + 1))
            else:
                # What it holds that is encoded once more is not opened.
                unread += sum(len(inner) for _, inner in islice(_decoded(piece), MOST) if inner not in seen)
    return Views(views, unread)


def _decoded(text: str) -> Iterator[tuple[str, str]]:
    names = list(GATES)
    for number in sorted(_gates().Match(text.encode("utf-8", "replace")) or ()):
        kind = names[number]
        for piece in _DECODERS[kind](text):
            yield kind, piece


def _plausible(text: str) -> str | None:
    """The text, where it may be something that somebody wrote: words make up most of it."""
    size = len(text)
    if size < FEWEST:
        return None
    sample = text[:400]
    letters = sum(map(len, _READABLE.findall(sample)))
    spaces = sample.count(" ") + sample.count("\n")
    if letters < 0.6 * (len(sample) - spaces) or "\x00" in sample or "\ufffd" in sample:
        return None
    if sum(not character.isprintable() and character not in "\n\r\t" for character in sample) > 2:
        return None
    return text


def _text(data: bytes) -> str | None:
    try:
        return _plausible(data.decode())
    except UnicodeDecodeError:
        pass
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or data[1:8:2] == b"\0\0\0\0":
        return _plausible(data.decode("utf-16", "replace"))
    return None


def _base64(text: str) -> Iterator[str]:
    for found in _BASE64.finditer(text):
        run = found.group()
        # A run that is one kind of letter, or a word, is no base64; nor is what decodes to no text.
        tried = [run] if not any(map(str.isspace, run)) else [run, *run.split()]
        for one in tried:
            packed = re.sub(r"[\s=]", "", one).replace("-", "+").replace("_", "/")
            if len(packed) < 12:
                continue
            packed = packed[: len(packed) - (len(packed) % 4 == 1)]
            try:
                said = _text(base64.b64decode(packed + "=" * (-len(packed) % 4)))
            except (binascii.Error, ValueError):
                continue
            if said is not None:
                yield said
                break


def _hex(text: str) -> Iterator[str]:
    for found in _HEX.finditer(text):
        digits = re.sub(r"0x|\\x|[^0-9a-fA-F]", "", found.group())
        said = _text(bytes.fromhex(digits[: len(digits) // 2 * 2]))
        if said is not None:
            yield said


def _base32(text: str) -> Iterator[str]:
    for found in _BASE32.finditer(text):
        packed = found.group().rstrip("=")
        try:
            said = _text(base64.b32decode(packed + "=" * (-len(packed) % 8)))
        except (binascii.Error, ValueError):
            continue
        if said is not None:
            yield said


def _binary(text: str) -> Iterator[str]:
    for found in _BINARY.finditer(text):
        digits = re.sub(r"[^01]", "", found.group())
        said = _text(bytes(int(digits[at : at + 8], 2) for at in range(0, len(digits) // 8 * 8, 8)))
        if said is not None:
            yield said


def _morse(text: str) -> Iterator[str]:
    for found in _MORSE.finditer(text):
        words = re.split(r"\s*[/|]\s*|\n+| {3,}", re.sub("[·]", ".", re.sub("[–−]", "-", found.group())))
        said = " ".join("".join(_LETTERS.get(letter, "") for letter in word.split()) for word in words)
        if _plausible(said) is not None:
            yield said


def _url(text: str) -> Iterator[str]:
    if text.count("%") >= 3:
        said = unquote(text).replace("+", " ")
        if said != text:
            yield said


def _entities(text: str) -> Iterator[str]:
    if len(re.findall(r"&#", text)) >= 3 or "&lt;" in text:
        yield html.unescape(text)


def _escapes(text: str) -> Iterator[str]:
    if len(_ESCAPE.findall(text)) >= 3:

        def character(escape: re.Match[str]) -> str:
            wide, byte, octal, short = escape.groups()
            if short is not None:
                return {"n": "\n", "r": "\n", "t": " "}.get(short, short)
            code = int(octal, 8) if octal is not None else int(wide or byte, 16)
            return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else " "

        yield _ESCAPE.sub(character, text)


def _html(text: str) -> Iterator[str]:
    hidden = [*_between(text, "<!--", "-->"), *_between(text, "/*", "*/")]
    hidden += [_TAG.sub(" ", said) for _, _, said in _CONCEALED.findall(text)]
    hidden += [one or other for one, other in _ATTRIBUTE.findall(text)]
    kept = [said.strip() for said in hidden if _plausible(said.strip()) is not None]
    if kept:
        yield "\n".join(kept)
    if text.count("<") > 2:
        bare = _TAG.sub("", text)
        if bare != text:
            yield bare


def _between(text: str, begin: str, end: str) -> Iterator[str]:
    at = text.find(begin)
    while at >= 0:
        close = text.find(end, at + len(begin))
        if close < 0:
            yield text[at + len(begin) :]  # a comment that is not closed runs to the end
            return
        yield text[at + len(begin) : close]
        at = text.find(begin, close)


def _spaced(text: str) -> Iterator[str]:
    def close(run: re.Match[str]) -> str:
        words = re.split(r"[ \t]{2,}|[ ][-._*|/][ ]", run.group())
        if all(len(word) == 1 for word in words):
            words = ["".join(words)]  # it is letters that are parted so, and not words
        return " ".join(re.sub(r"[\W_]", "", word) for word in words)

    said = _SPACED.sub(close, text)
    if said != text:
        yield said


def _leet(text: str) -> Iterator[str]:
    if len(re.findall(r"(?i)[a-z][0134578@$!|€]+[a-z]|\b[0134578@$][a-z]{2}", text)) >= 3:
        said = text.translate(_LEET)
        if _common(said) >= 2:
            yield said


def _rot13(text: str) -> Iterator[str]:
    said = text.translate(_ROT13)
    if _common(said) >= 2:
        yield said


def _reversed(text: str) -> Iterator[str]:
    said = text[::-1]
    if _common(said) >= 2:
        yield said
    words = " ".join(word[::-1] for word in text.split())
    if _common(words) >= 2:
        yield words


_COMMONS: Final = re.compile(r"\b(?:" + "|".join(_COMMON) + r")\b")


def _common(text: str) -> int:
    return len(set(_COMMONS.findall(text.lower())))


_DECODERS: Final[dict[str, Callable[[str], Iterator[str]]]] = {
    "base64": _base64, "hex": _hex, "base32": _base32, "binary": _binary, "morse": _morse, "url": _url,
    "entities": _entities, "escapes": _escapes, "html": _html, "spaced": _spaced, "leet": _leet, "rot13": _rot13,
    "reversed": _reversed,
}  # fmt: skip
