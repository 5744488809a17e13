"""Personal data that has a form: e-mail addresses, telephone and card numbers, IBANs, SSNs, IP addresses.

Each is looked for where a character stands that it cannot do without (an `@`, a `:`, a digit with more of them behind
it), so text without them costs one scan for that character. What is found there is judged by the rules of its kind: a
checksum, a plan, a range, the word before it. The work on one place is bounded, so that on a text it is linear. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from sekimori.guard import phone
from sekimori.guard.scan import Scan, listed
from sekimori.guard.spans import Detector, Match

CHECK: Final = "pii_detection"
TYPES: Final = ("EMAIL", "PHONE", "CREDIT_CARD", "IBAN", "SSN", "IP")

_BEFORE: Final = 48
"""Characters before a number in which a word may say what it is. Less than CONTEXT by what may precede a digit."""


def detectors(types: Collection[str]) -> tuple[Detector, ...]:
    """What finds the structured types among `types`; others are not this module's (see `names`)."""
    found: list[Detector] = []
    if "EMAIL" in types:
        found.append(Emails())
    wanted = frozenset(types) & {"PHONE", "CREDIT_CARD", "IBAN", "SSN", "IP"}
    if wanted:
        found.append(Numbers(wanted))
    if "IP" in types:
        found.append(LongAddresses())
    return tuple(found)


# E-mail addresses (RFC 5321 sizes; the forms that are in use, not the quoted ones).

_LOCAL: Final = 64
_DOMAIN: Final = 255
_LOCAL_BACK: Final = re.compile(r"[^\W_]?[\w.%+'-]*")
_LOCAL_RUN: Final = re.compile(r"[\w.%+'-]*")
_DOMAIN_RUN: Final = re.compile(r"[\w.-]*")
_HOST: Final = re.compile(
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,24})", re.IGNORECASE
)
_NO_DOMAINS: Final = listed(
    "png jpg jpeg gif svg webp js jsx ts tsx json html css txt yaml yml toml lock cfg ini exe dll jar"
)
"""What looks like a top-level domain behind a file's or package's name, and is none."""


class Emails:
    """Finds e-mail addresses. Leaves a run of their characters unsettled while it may go on: 64 + 1 + 255 of them."""

    __slots__ = ()

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        open_from = len(text) if ended else _open_email(text, at)
        matches: list[Match] = []
        sign, done = text.find("@", at, open_from), at
        while sign >= 0:
            match = _email(text, sign, done)
            if match is not None:
                matches.append(match)
                done = match.end
            sign = text.find("@", max(sign + 1, done), open_from)
        return matches, max(open_from, done)


def _open_email(text: str, at: int) -> int:
    """Where the run of characters at the end begins that may yet be one address."""
    back = text[max(at, len(text) - _LOCAL - _DOMAIN - 2) :][::-1]
    run = _DOMAIN_RUN.match(back)
    assert run is not None
    length = run.end()
    if length <= _DOMAIN and back[length : length + 1] == "@":
        local = _LOCAL_RUN.match(back, length + 1, length + 1 + _LOCAL)
        assert local is not None
        return len(text) - local.end()
    local = _LOCAL_RUN.match(back, 0, _LOCAL)
    assert local is not None
    return len(text) - local.end()


def _email(text: str, sign: int, done: int) -> Match | None:
    back = text[max(done, sign - _LOCAL) : sign][::-1]
    local = _LOCAL_RUN.match(back)
    assert local is not None
    said = _spaced(back[: local.end()][::-1]).lstrip(".%+'-")
    if not said or said.endswith("."):
        return None
    run = _DOMAIN_RUN.match(text, sign + 1, sign + 1 + _DOMAIN)
    assert run is not None
    host = _HOST.match(text, sign + 1, run.end())
    if host is None:
        return None
    end = host.end()
    name = text[sign + 1 : end]
    if not name.isascii():
        name = _spaced_end(name)
        end = sign + 1 + len(name)
        if _HOST.fullmatch(name) is None:
            return None
    follows = text[end : end + 1]
    start = sign - len(said)
    top = name[name.rfind(".") + 1 :].lower()
    if follows in ("@", "(", "_", "[") and follows:
        return None
    if follows.isascii() and follows.isalnum():
        return None
    if top in _NO_DOMAINS or (said == "git" and follows == ":"):
        return None
    if _in_address(text[max(0, start - 32) : start]):
        return None
    return Match(start, end, "EMAIL", CHECK, 0.95)


def _spaced(said: str) -> str:
    """What belongs to a word that ends here, where the script before it leaves no spaces."""
    if not said.isascii():
        for place in range(len(said) - 1, -1, -1):
            if said[place] >= "\u0e00":
                return said[place + 1 :]
    return said


def _spaced_end(said: str) -> str:
    for place, character in enumerate(said):
        if character >= "\u0e00":
            return said[:place].rstrip(".-")
    return said


def _in_address(before: str) -> bool:
    """Whether this is the password of a URL's user: it belongs to a secret, and what follows is no mail host."""
    place = before.rfind("://")
    return place >= 0 and ":" in before[place + 3 :] and not any(map(str.isspace, before[place:]))


# Numbers.

_SEPARATORS: Final = r" \u00a0\u202f\u2009\-\u2010-\u2014./()"
_CANDIDATES: Final = Scan(
    r"\p{Nd}(?:[ \x{a0}\x{202f}\x{2009}\-\x{2010}-\x{2014}./()]{0,3}\p{Nd}){6}"
    r"|[A-Za-z]{2}\d\d[ \-]?[A-Za-z0-9]|\d{1,3}\.\d{1,3}\.\d{1,3}\.\d"
)
"""What is looked at: seven digits or more, the beginning of an IBAN, four numbers with points."""
_DIGITS: Final = re.compile(r"\d+")
_REACH: Final = 64
"""Characters from its first digit on that decide about a number."""
_AHEAD: Final = 4
"""Characters behind a number that decide whether it is one."""
_PREFIX: Final = 3
_OPEN: Final = _REACH + _AHEAD + _PREFIX
_TAIL: Final = re.compile(
    rf"[0-9A-Za-z+:\d]*(?:[{_SEPARATORS}]{{1,3}}(?:[A-Za-z+:]*\d[0-9A-Za-z+:\d]*|[A-Z]{{1,4}}(?![^\W\d_])"
    rf"|[+]))*[{_SEPARATORS}]{{0,3}}[+(]*"
)
"""Read backwards: the run at the end of a text that may yet become a number."""


class Numbers:
    """Finds telephone and card numbers, IBANs, SSNs and IPv4 addresses; each place is one of them at most, whatever
    types are asked for. Leaves at most 71 characters unsettled.
    """

    __slots__ = ("_types",)

    def __init__(self, types: frozenset[str]) -> None:
        self._types = types

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        length = len(text)
        open_from = length if ended else _open_number(text, at)
        matches: list[Match] = []
        done = at
        places = _CANDIDATES.places(text, at)
        place = places.next(at)
        while place >= 0:
            digit = place if text[place].isdigit() else place + 2
            if not ended and digit + _REACH + _AHEAD > length and not _closed(text, digit):
                open_from = min(open_from, max(done, digit - _PREFIX))
            if digit >= open_from:
                break
            match = _number(text, digit, done)
            if match is None:
                rest = _DIGITS.match(text, digit)
                assert rest is not None
                place = places.next(rest.end())
                continue
            if match.start >= open_from:
                break
            if match.type in self._types:
                matches.append(match)
            done = match.end
            place = places.next(done)
        return matches, max(open_from, done)


def _open_number(text: str, at: int) -> int:
    back = text[max(at, len(text) - _OPEN) :][::-1]
    tail = _TAIL.match(back)
    assert tail is not None
    return len(text) - tail.end()


_WHOLE: Final = re.compile(rf"[0-9A-Za-z{_SEPARATORS}\d]*")


def _closed(text: str, digit: int) -> bool:
    """Whether what decides about a number that begins here has come, though the text may go on."""
    run = _WHOLE.match(text, digit, digit + _REACH)
    assert run is not None
    return run.end() + _AHEAD <= len(text)


def _number(text: str, digit: int, done: int) -> Match | None:
    """What begins with the digit at this position; its prefix may lie before it."""
    if text[digit] > "9":
        return _foreign(text, digit, done)
    before = text[digit - 1] if digit > done else ""
    if before.isascii() and before.isalpha():
        return _iban(text, digit, done)
    if before != "+":
        found = _card(text, digit) or _ssn(text, digit) or _ip(text, digit)
        if found is not None:
            return found
    return _phone(text, digit, done)


def _foreign(text: str, digit: int, done: int) -> Match | None:
    """The same in digits of another script."""
    part = text[digit : digit + _REACH + _AHEAD]
    turned = "".join(str(unicodedata.digit(each)) if each.isdigit() else each for each in part)
    head = text[max(0, digit - _REACH) : digit]
    found = _phone(head + turned, len(head), len(head) - min(len(head), digit - done))
    return (
        None
        if found is None
        else found._replace(start=found.start + digit - len(head), end=found.end + digit - len(head))
    )


def _glued(character: str) -> bool:
    """Whether a character beside digits makes them part of a word. Scripts without spaces stand beside a number."""
    return character < "\u0250" and (character.isalnum() or character == "_")


def _free(text: str, start: int) -> bool:
    """Whether a number may begin here, as far as what stands before it goes."""
    if start == 0:
        return True
    left = text[start - 1]
    if _glued(left) or left in "-/#$€£¥₽@%~^*\\+&\u2010\u2011\u2012\u2013":
        return False
    if left == ".":
        return start > 1 and not text[start - 2].isdigit()
    return not (left in ":" and start > 1 and text[start - 2].isdigit())


def _over(text: str, end: int) -> bool:
    """Whether a number may end here, as far as what stands behind it goes."""
    right = text[end : end + 1]
    if not right:
        return True
    if _glued(right) or right in "%@€$£°₽^*=":
        return False
    after = text[end + 1 : end + 2]
    if right in "-\u2010\u2011\u2013+":
        return not (after.isascii() and after.isalnum())
    return not (right in ".:/" and after.isdigit())


_CARD: Final = re.compile(
    r"(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{4,5}|\d{12,19}"
    r"|\d{8}[ ]\d{8})(?![0-9]|[ -][0-9])"
)
_BRANDS: Final = re.compile(
    r"(?:4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:2(?:2[1-9]|[3-9]\d)|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11,16}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12,15}|35(?:2[89]|[3-8]\d)\d{12,15}|62\d{14,17}|(?:5018|5020|5038|5[0678]\d\d"
    r"|6304|6759|676[1-37])\d{8,15}"
    r"|220[0-4]\d{12,15}|(?:60|65|81|82|508)\d{10,14}|9792\d{12}|94\d{14})"
)
"""Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay, Maestro, Mir, RuPay, Troy, BC."""


def _card(text: str, digit: int) -> Match | None:
    """Payment cards (ISO/IEC 7812): the issuer's first digits and length, and the check digit."""
    found = _CARD.match(text, digit)
    if found is None or not _free(text, digit) or not _over(text, found.end()):
        return None
    digits = "".join(filter(str.isdigit, found.group()))
    if _BRANDS.fullmatch(digits) is None or not luhn(digits) or not digits[6:-1].strip("0"):
        return None
    return Match(digit, found.end(), "CREDIT_CARD", CHECK, 0.95)


_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812-1."""
    return (sum(map(int, digits[-1::-2])) + sum(_DOUBLED[int(each)] for each in digits[-2::-2])) % 10 == 0


_IBANS: Final = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18
FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20
LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24
SC31 SD18 SE24 SI19 SK24 SM27 SN28 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30
"""
IBANS: Final = {code[:2]: int(code[2:]) for code in _IBANS.split()}
"""Country -> characters of an IBAN (the registry of ISO 13616)."""


def _iban(text: str, digit: int, done: int) -> Match | None:
    """ISO 13616: a country, the length it has there, and the remainder 1 of 97."""
    start = digit - 2
    if start < done or (start and _glued(text[start - 1])):
        return None
    size = IBANS.get(text[start:digit].upper())
    if size is None or not text[start:digit].isascii():
        return None
    said: list[str] = []
    place = start
    limit = min(len(text), start + size + 12)
    while place < limit and len(said) < size:
        each = text[place]
        if each.isascii() and each.isalnum():
            said.append(each)
        elif each not in " -\u00a0" or text[place - 1] in " -\u00a0":
            break
        place += 1
    if len(said) < size or _glued(text[place : place + 1] or " "):
        return None
    letters = "".join(said).upper()
    if not letters[2:4].isdigit() or int("".join(str(int(each, 36)) for each in letters[4:] + letters[:4])) % 97 != 1:
        return None
    return Match(start, place, "IBAN", CHECK, 0.99)


_SSN: Final = re.compile(r"(\d{3})([- ]?)(\d{2})\2(\d{4})(?!\d|[- ]\d)")
_SSN_SAID: Final = re.compile(r"(?<![a-z])(?:ssns?|social|security|itin|tin)(?![a-z])", re.IGNORECASE)


def _ssn(text: str, digit: int) -> Match | None:
    """Social security numbers of the USA, in the ranges that are given out."""
    found = _SSN.match(text, digit)
    if found is None or not _free(text, digit) or not _over(text, found.end()):
        return None
    area, between, group, serial = found.groups()
    if area in ("000", "666") or group == "00" or serial == "0000":
        return None
    before = text[max(0, digit - _BEFORE) : digit]
    said = _SSN_SAID.search(before) is not None
    if area[0] == "9" and not (said and 50 <= int(group) <= 99):
        return None
    if not said and (between != "-" or phone.cue(before, 2) < 0):
        return None
    return Match(digit, found.end(), "SSN", CHECK, 0.95 if said else 0.7)


_IP: Final = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?!\d|\.\d)")
_NET: Final = listed(
    "ip ips ipv ipv4 addr address addresses adresse adresses dirección indirizzo endereço adres адрес адреса host"
    " hosts server"
    " servers client clients gateway dns router resolver nameserver ping ssh subnet peer remote login vpn proxy wan lan"
    " firewall http https ftp curl traceroute route ban banned blocked nat egress ingress"
)
_NUMBERED: Final = listed(
    "ver version versions versión versione version wersja версия release releases build builds firmware upgrade"
    " upgraded"
    " update updated chrome firefox safari edge driver section heading chapter article paragraph oid ec dewey shelf"
    " assembly"
    " kernel bios revision rev sdk api patch tag hotfix package level rule clause"
)
_LETTERS: Final = re.compile(r"[a-z\u00e0-\u024f\u0430-\u045f]+")


def _ip(text: str, digit: int) -> Match | None:
    """IPv4 addresses (dotted, RFC 6943 3.1.1: no leading zeros) that may be a person's: not loopback, not a mask."""
    found = _IP.match(text, digit)
    if found is None or not (_free(text, digit) or text[digit - 1] in "/@"):
        return None
    parts = found.groups()
    if any((len(part) > 1 and part[0] == "0") or int(part) > 255 for part in parts) or parts[0] in ("0", "127", "255"):
        return None
    end = found.end()
    right = text[end : end + 1]
    if right and (_glued(right) or (right in "-+" and text[end + 1 : end + 2].isalnum())):
        return None
    short = all(len(part) < 3 for part in parts)
    told = 0
    words = _LETTERS.findall(text[max(0, digit - _BEFORE) : digit].lower())[-4:]
    for place, word in enumerate(reversed(words)):
        if word in _NET or (word in _NUMBERED and (short or place < 2)):
            told = 1 if word in _NET else -1
            break
    if told < 0 or (short and not told and not (right in (":", "/") and text[end + 1 : end + 2].isdigit())):
        return None
    return Match(digit, end, "IP", CHECK, 0.9 if told or not short else 0.7)


_SPACES: Final = " \u00a0\u202f\u2009"
_STRETCH: Final = re.compile(rf"\d{{1,15}}(?:[{_SEPARATORS}]{{1,3}}\+?\d{{1,13}}){{0,7}}")
_EXTENSION: Final = re.compile(r"x\d{1,6}(?!\w)")
_BRACKET: Final = re.compile(r"\([^()]*\)")
_TRUNK: Final = "(0)"


def _phone(text: str, digit: int, done: int) -> Match | None:
    start = digit
    left = text[digit - 1] if digit > done else ""
    plus = left == "+"
    if plus or left == "(":
        start -= 1
        if plus and start > done and text[start - 1] == "(":
            start -= 1
    if not (_free(text, start) or (plus and start and text[start - 1] in "/-")):
        return None
    if phone.is_date(text, digit):
        return None
    stretch = _STRETCH.match(text, digit, digit + 36)
    if stretch is None:
        return None
    groups = [(each.start(), each.end()) for each in _DIGITS.finditer(text, digit, stretch.end())]
    told: int | None = None
    best: Match | None = None
    for last in range(len(groups), 0, -1):
        end = groups[last - 1][1]
        within = text[start:end]
        begin = start
        if within[0] == "(" and _BRACKET.match(within) is None:
            begin, within = start + 1, within[1:]  # it stands around all of it
        digits = "".join(filter(str.isdigit, within))
        if len(digits) < 7:
            break
        follows = text[end : groups[last][0]] if last < len(groups) else ""
        if follows:
            if not any(each in _SPACES for each in follows) or follows.strip(_SPACES) == "-":
                continue
            if groups[last][1] - groups[last][0] == 2 and all(stop - first == 2 for first, stop in groups[:last]):
                continue  # a row of numbers of two digits, which goes on
        elif not _over(text, end):
            extension = _EXTENSION.match(text, end)
            if extension is None:
                continue
            end = extension.end()
        if within.count("(") != within.count(")") or len(digits) > 16:
            continue
        if plus:
            whole = _without_trunk(within, digits)
            if phone.international(whole):
                return Match(begin, end, "PHONE", CHECK, 0.95)
            continue
        if told is None:
            told = phone.cue(text[max(0, start - _BEFORE) : start])
        sizes = [stop - first for first, stop in groups[:last]]
        if digits.startswith("00") and (len(sizes) > 2 or told > 0) and told >= 0:
            if phone.international(_without_trunk(within, digits)[2:]):
                return Match(begin, end, "PHONE", CHECK, 0.9)
            continue
        between = "".join(each for each in within if not each.isdigit())
        sure = phone.national(digits, sizes, between, "(" in within, told)
        if sure and (best is None or sure > best.confidence):
            best = Match(begin, end, "PHONE", CHECK, sure)
    return best


def _without_trunk(within: str, digits: str) -> str:
    """The digits of an international number, without the trunk zero that some write in brackets."""
    place = within.find(_TRUNK)
    if place < 0:
        return digits
    before = sum(map(str.isdigit, within[:place]))
    return digits[:before] + digits[before + 1 :]


# IPv6.

_COLONS: Final = re.compile(r":[0-9A-Fa-f]{0,4}:")
_LONG: Final = 46
_HEX_RUN: Final = re.compile(r"[0-9A-Fa-f:.]*")


class LongAddresses:
    """Finds IPv6 addresses (RFC 4291 2.2). Leaves a run of their characters unsettled: 48 of them."""

    __slots__ = ()

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        open_from = len(text)
        if not ended:
            run = _HEX_RUN.match(text[max(at, len(text) - _LONG - 2) :][::-1])
            assert run is not None
            open_from -= run.end()
        matches: list[Match] = []
        done = at
        colons = _COLONS.search(text, at, open_from)
        while colons is not None:
            back = _HEX_RUN.match(text[max(done, colons.start() - 5) : colons.start()][::-1])
            assert back is not None
            start = colons.start() - back.end()
            run = _HEX_RUN.match(text, start, start + _LONG)
            assert run is not None
            match = _long_address(text, start, run.end())
            if match is not None:
                matches.append(match)
            done = run.end()
            colons = _COLONS.search(text, done, open_from)
        return matches, max(open_from, done)


def _long_address(text: str, start: int, end: int) -> Match | None:
    while end > start and text[end - 1] in ":." and text[end - 2 : end] != "::":
        end -= 1
    said = text[start:end]
    if said.count(":") < 2 or not any(map(str.isdigit, said)) or said in ("::1", "0:0:0:0:0:0:0:1"):
        return None
    left, right = text[start - 1 : start] if start else "", text[end : end + 1]
    if (left and (_glued(left) or left in ":.")) or (right and (_glued(right) or right == ":")):
        return None
    if "::" not in said and said.count(":") != 7 and "." not in said:
        return None
    if said.count(":") < 3 and not said.startswith(("fe80", "2", "3", "fd", "fc")):
        return None
    try:
        IPv6Address(said)
    except AddressValueError:
        return None
    return Match(start, end, "IP", CHECK, 0.95)
