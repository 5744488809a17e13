"""What in a text is not what it looks like: characters nobody sees, and letters that pass for others.

Three texts come of one: as it was sent; `cleaned`, without what is not seen; and `read`, in which letters are what they
look like, for the checks to read. Joiners that Indic scripts, Persian and emoji need, marks of direction, flags of
regions and single variation selectors stay where they belong: taking them out would change what people wrote.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from typing import Final, NamedTuple

from sekimori.guard.examine import Scored

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\x80-\x84\x86-\x9f]+")
_JOINS: Final = (
    "\u0600-\u08ff\u0900-\u109f\u1780-\u18af\u1a00-\u1aaf\u1b00-\u1cff\ua800-\uabff\ufb50-\ufdff\ufe70-\ufeff"
    "\u2190-\u2bff\ufe0f\U0001f000-\U0001faff\U0001f3fb-\U0001f3ff"
)
"""Characters behind which a joiner has a meaning: of Arabic, of Indic scripts and those beside them, and emoji."""
_UNSEEN: Final = re.compile(
    "(?P<tags>(?<!\U0001f3f4)[\U000e0000-\U000e007f]+|(?<=\U0001f3f4)[\U000e0000-\U000e007f]+)"
    "|(?P<variation>[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,})"
    "|(?P<bidi>[\u202a-\u202e\u2066-\u2069]+)"
    "|(?P<zero_width>[\u200b\u2060-\u2064\u206a-\u206f\ufeff\u180e\u115f\u1160\u3164\uffa0\u034f\ufff9-\ufffb]+"
    f"|(?<![{_JOINS}])[\u200c\u200d]+|[\u200c\u200d]{{2,}})"
    r"|(?P<control>[\x00-\x08\x0b\x0e-\x1f\x7f\x80-\x84\x86-\x9f]+)"
)
_SUSPECT: Final = re.compile(
    "[\u200b-\u200d\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\u180e\u115f\u1160\u3164\uffa0\u034f\ufff9-\ufffb"
    r"\x00-\x08\x0b\x0e-\x1f\x7f\x80-\x84\x86-\x9f"
    "\U000e0000-\U000e01ef]"
)
"""One of the characters above, wherever it stands: where there is none, as in nearly every text, nothing is unseen."""
_FLAG: Final = re.compile("[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
"""What follows a black flag to make it that of a region."""
_RIGHT: Final = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
"""Scripts that are written from right to left; beside them isolates are common, and overrides are not."""
_OVERRIDES: Final = re.compile("[\u202d\u202e]")
_WORD: Final = re.compile("[A-Za-z\u0370-\u03ff\u0400-\u052f\u13a0-\u13ff\u0250-\u02af\u0531-\u0587]{3,}")
_LATIN: Final = re.compile("[A-Za-z]")
_OTHER: Final = re.compile("[\u0370-\u03ff\u0400-\u052f\u0531-\u0587\u13a0-\u13ff\u0251\u0261\u026a\u0280\u029f]")
_LOOKS: Final = str.maketrans(
    "аАВсСеЕНіІјЈКМоОрРѕЅТхХуУԁһҺԛԝѵѴгкптиαΑΒΕϵεΗιΙκΚΜνΝοΟρΡτΤυΥΧχΖγωσɑɡɪʀʟօսհոցԼՏᎪᎬᎻᎷᏢᎡᏚᎢ",
    "aABcCeEHiIjJKMoOpPsSTxXyYdhHqwvVrknmuaABEeeHiIkKMvNoOpPtTuYXxZywoagirlouhngLSAEHMPRST",
)
"""What letters of other scripts pass for."""
_SHY: Final = re.compile("[\u00ad\u200e\u200f\u061c\u2061-\u2064]")
_STYLED: Final = re.compile("[\U0001d400-\U0001d7ff\uff01-\uff5e\u24b6-\u24e9\U0001f130-\U0001f189\u2100-\u214f]")


class Clean(NamedTuple):
    """See the module."""

    cleaned: str
    read: str
    found: tuple[str, ...]
    """control, bidi, zero_width, tags, variation, homoglyphs."""
    hidden: str
    """What was written in characters that are not seen."""
    gaps: tuple[tuple[int, int], ...]
    """Where in `cleaned` something was taken out, and how many characters in all up to there."""

    def origin(self, position: int) -> int:
        """Where in the text as it was sent the character at a position of `cleaned` stands."""
        if not self.gaps:
            return position
        number = bisect_right(self.gaps, (position, len(self.cleaned) + 0x10FFFF)) - 1
        return position + (self.gaps[number][1] if number >= 0 else 0)


def sanitise(text: str) -> Clean:
    """What a text is without its disguise. Linear in the text."""
    if text.isascii():
        # Twice as fast as to look for what is not printed: nearly every text ends here.
        if text.replace("\n", "").isprintable() or _CONTROL.search(text) is None:
            return Clean(text, text, (), "", ())
    elif _SUSPECT.search(text) is None:
        read, mixed = _read(text)
        return Clean(text, read, ("homoglyphs",) if mixed else (), "", ())
    found: dict[str, None] = {}
    pieces: list[str] = []
    hidden: list[str] = []
    gaps: list[tuple[int, int]] = []
    at = kept = 0
    rightward = _RIGHT.search(text) is not None
    for unseen in _UNSEEN.finditer(text):
        kind = unseen.lastgroup or "control"
        start, end = unseen.span()
        said = unseen.group()
        if kind == "tags" and start and text[start - 1] == "\U0001f3f4" and (flag := _FLAG.match(text, start)):
            start = flag.end()
            if start == end:
                continue
            said = text[start:end]
        if kind == "bidi" and rightward and _OVERRIDES.search(said) is None:
            continue
        if kind == "zero_width" and start == 0 and said == "\ufeff":
            continue  # the mark at the beginning of a file
        found[kind] = None
        if kind == "tags":
            hidden.append("".join(chr(ord(one) - 0xE0000) for one in said if "\U000e0020" <= one <= "\U000e007e"))
        elif kind == "variation":
            hidden.append(bytes(map(_selected, said)).decode("utf-8", "replace"))
        pieces.append(text[at:start])
        kept += start - at
        gaps.append((kept, (gaps[-1][1] if gaps else 0) + end - start))
        at = end
    pieces.append(text[at:])
    cleaned = "".join(pieces)
    read, mixed = _read(cleaned)
    if mixed:
        found["homoglyphs"] = None
    return Clean(cleaned, read, tuple(found), " ".join(hidden), tuple(gaps))


def encoding(text: str) -> Scored:
    """The check `encoding`: what is not seen, or passes for something else."""
    clean = sanitise(text)
    if not clean.found:
        return Scored(0.0)
    cleaned = clean.cleaned if clean.cleaned != text else None
    return Scored(1.0, clean.found, 0, cleaned)


def _selected(selector: str) -> int:
    code = ord(selector)
    return code - 0xFE00 if code < 0xFE10 else code - 0xE0100 + 16


def _read(text: str) -> tuple[str, bool]:
    """The text with letters as what they look like, and whether a word mixes scripts to look like one."""
    if text.isascii():
        return text, False
    if _SHY.search(text) is not None:
        text = _SHY.sub("", text)
    if _STYLED.search(text) is not None or not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFKC", text)
    if _LATIN.search(text) is None or _OTHER.search(text) is None:
        return text, False
    mixed = False

    def skeleton(word: re.Match[str]) -> str:
        nonlocal mixed
        said = word.group()
        if said.isascii() or _LATIN.search(said) is None:
            return said
        latin = said.translate(_LOOKS)
        if not latin.isascii():
            return said
        mixed = True
        return latin

    return _WORD.sub(skeleton, text), mixed
