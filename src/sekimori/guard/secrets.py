"""Secrets in a text: keys that providers issue, private keys, passwords of connections, values assigned to such names.

Keys are known by their openings, and judged by the characters that follow: forms for documentation, hashes, UUIDs and
words with hyphens are none. A key goes on as long as its characters do; what goes on past the most that one match may
hold is a further match, so that no byte of it is released. Pure; the work on one place is bounded.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from sekimori.guard.scan import Scan, listed
from sekimori.guard.spans import CONTEXT, Detector, Match
from sekimori.identity import apikey

CHECK: Final = "secrets"
LONGEST: Final = 15 * 1024
"""Characters of one match: less than REACH by what may stand before it."""
_OPENING: Final = 48
"""Characters of the longest opening: so many at the end of a text may yet become one."""

_UNREAL: Final = re.compile(
    r"example|placeholder|redacted|dummy|sample|changeme|your[-_]?|insert|replace|xxxxx|\*\*\*|abcdefghij|"
    r"0123456789|1234567890|(.)\1{6}",
    re.IGNORECASE,
)


def unreal(value: str) -> bool:
    """Whether a value is one that documentation has: a word for it, one character over and over, a row of them."""
    return len(set(value)) < min(8, len(value) // 2) or _UNREAL.search(value) is not None


def entropy(value: str) -> float:
    """Bits for each character, by how often each occurs (Shannon)."""
    size = len(value)
    return -sum(count / size * math.log2(count / size) for count in Counter(value).values())


# Keys with an opening of their own. The opening is RE2's; the form is what must follow, from the same place on.

_B: Final = "[A-Za-z0-9_-]"
_A: Final = "[A-Za-z0-9]"
_KINDS: Final = (
    ("SEKIMORI_KEY", "sk-sek_", rf"sk-sek_{_A}{{36}}"),
    ("ANTHROPIC_KEY", "sk-ant-", rf"sk-ant-{_B}{{20,80}}"),
    ("OPENROUTER_KEY", "sk-or-v1-", rf"sk-or-v1-{_B}{{20,80}}"),
    ("OPENAI_KEY", "sk-(?:proj|svcacct|admin|None)-|sk-[A-Za-z0-9]",
     rf"sk-(?:proj|svcacct|admin|None)-{_B}{{20,80}}|sk-{_B}{{20,80}}"),
    ("GOOGLE_KEY", "AIza|GOCSPX-|ya29\\.", rf"AIza{_B}{{35}}|GOCSPX-{_B}{{20,40}}|ya29\.{_B}{{20,80}}"),
    ("AWS_KEY", "(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("GITHUB_TOKEN", "gh[opusr]_|github_pat_", rf"gh[opusr]_{_A}{{36,80}}|github_pat_[A-Za-z0-9_]{{22,82}}"),
    ("GITLAB_TOKEN", "gl[a-z]{2,6}-", rf"gl(?:pat|dt|rt|cbt|ptt|ft|soat|imt|agent|oas|ffct)-{_B}{{20,80}}"),
    ("SLACK_TOKEN", "xox[a-z]|xapp-|xwfp-|hooks\\.slack\\.com/",
     r"xox[abeoprs](?:\.xox[a-z])?-[A-Za-z0-9-]{10,80}|xapp-\d-[A-Za-z0-9-]{10,80}|xwfp-[A-Za-z0-9-]{10,80}"
     r"|hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{20,80}"),
    ("STRIPE_KEY", "[sr]k_(?:live|test)_|whsec_", rf"[sr]k_(?:live|test)_{_A}{{16,80}}|whsec_[A-Za-z0-9+/]{{24,80}}"),
    ("TWILIO_KEY", "SK[0-9a-f]{8}", r"SK[0-9a-f]{32}(?![A-Za-z0-9])"),
    ("SENDGRID_KEY", "SG\\.", rf"SG\.{_B}{{16,32}}\.{_B}{{30,64}}"),
    ("NPM_TOKEN", "npm_", rf"npm_{_A}{{36}}"),
    ("PYPI_TOKEN", "pypi-", rf"pypi-AgE{_B}{{40,80}}"),
    ("HUGGINGFACE_TOKEN", "hf_|api_org_", r"(?:hf|api_org)_[A-Za-z0-9]{30,80}"),
    ("TELEGRAM_TOKEN", "\\d{8,10}:AA", rf"\d{{8,10}}:AA{_B}{{32,35}}"),
    ("DISCORD_TOKEN", "[MNO][A-Za-z0-9_\\-]{23,27}\\.[A-Za-z0-9_\\-]{6}\\.",
    rf"[MNO]{_B}{{23,27}}\.{_B}{{6}}\.{_B}{{27,40}}"),
    ("JWT", "eyJ", rf"eyJ{_B}{{8,400}}\.(?:eyJ{_B}{{2,80}}|{_B}{{16,80}})"),
    ("PROVIDER_KEY",
     "gsk_|xai-|pplx-|r8_|nvapi-|dapi[0-9a-f]|shp(?:at|ca|pa|ss)_|do[opr]_v1_|lin_api_|ntn_|gls[ac]_|glc_"
     "|hv[sb]\\.|nfp_|figd_|PMAK-|NRAK-"
     "|sntry[su]_|ATATT3|ATCTT3|sq0[a-z]{3}-|pscale_|sbp_|AGE-SECRET-KEY-1|key-[0-9a-f]{8}|dp\\.[a-z]{2}\\."
     "|tskey-|CFPAT-|rnd_|lsv2_|sk-lf-|dckr_pat_",
     rf"(?:gsk_|xai-|pplx-|r8_|nvapi-|lin_api_|ntn_|glsa_|glc_|hv[sb]\.|nfp_|figd_|PMAK-|NRAK-|sntry[su]_"
     rf"|ATATT3|ATCTT3|sq0[a-z]{{3}}-|pscale_(?:tkn|pw|oauth)_"
     rf"|sbp_|AGE-SECRET-KEY-1|dp\.(?:pt|st|ct|sa|scim|audit)\.|tskey-[a-z]+-|CFPAT-|lsv2_(?:pt|sk)_"
     rf"|dckr_pat_){_B}{{20,80}}"
     r"|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|do[opr]_v1_[0-9a-f]{64}|dapi[0-9a-f]{32}|key-[0-9a-f]{32}"),
)  # fmt: skip
"""(type, how it opens, the form)."""

_OPENINGS: Final = Scan("|".join(opening for _, opening, _ in _KINDS))
_FORMS: Final = re.compile("|".join(f"(?P<{type}>{form})" for type, _, form in _KINDS))
_HEAD: Final = 512
"""Characters from its opening on that decide whether a key is one."""
_GOES_ON: Final = re.compile(r"[A-Za-z0-9_-]*")
_GOES_ON_IN_PARTS: Final = re.compile(r"[A-Za-z0-9_.-]*")
_RUN: Final = re.compile(r"[A-Za-z0-9_.:/+-]*")
_BARE: Final = listed(
    "AWS_KEY TWILIO_KEY GOOGLE_KEY NPM_TOKEN HUGGINGFACE_TOKEN JWT SENDGRID_KEY DISCORD_TOKEN TELEGRAM_TOKEN"
    " PROVIDER_KEY STRIPE_KEY"
)
"""Kinds whose openings are parts of words, too: nothing of a word may stand before them."""


class Keys:
    """Finds keys of providers. Leaves a key unsettled while it goes on."""

    __slots__ = ()

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        length = len(text)
        open_from = length if ended else length - _tail(text, at, _RUN, _OPENING)
        matches: list[Match] = []
        done = at
        places = _OPENINGS.places(text, at)
        while True:
            going = _continued(text, done)
            if going:
                end = _end(text, done, _GOES_ON_IN_PARTS)
                if end is None or (end == length and not ended):
                    open_from = done
                    break
                matches.append(Match(done, end, "KEY", CHECK, 0.9))
                done = end
                continue
            match = None
            place = places.next(done)
            while place >= 0:
                form = _FORMS.match(text, place, place + _HEAD)
                if not ended and length - place < _HEAD:
                    stops = _RUN.match(text, place)
                    assert stops is not None
                    if stops.end() == length:
                        open_from = min(open_from, place)
                if place >= open_from:
                    break
                if form is not None and _issued(text, form):
                    match = form
                    break
                place = places.next(place + 1)
            if match is None:
                break
            type = match.lastgroup or "KEY"
            in_parts = type in ("JWT", "DISCORD_TOKEN", "SENDGRID_KEY", "GOOGLE_KEY")
            end = _end(text, match.start(), _GOES_ON_IN_PARTS if in_parts else _GOES_ON, match.end())
            if end is None or (end == length and not ended):
                open_from = min(open_from, match.start())
                break
            matches.append(Match(match.start(), end, type, CHECK, _sure(type, match.group())))
            done = end
        if open_from <= done:
            return matches, done
        return matches, open_from if ended else _unmistaken(text, open_from, done)


def _tail(text: str, at: int, characters: re.Pattern[str], most: int) -> int:
    """How many characters at the end, of these and no more than `most`, may belong to what follows."""
    run = characters.match(text[max(at, len(text) - most) :][::-1])
    assert run is not None
    return run.end()


def _end(text: str, start: int, characters: re.Pattern[str], reached: int | None = None) -> int | None:
    """Where what begins at `start` ends, if it may be `LONGEST` at most; None while that cannot be known.

    One that goes on ends where `_continued` knows from what stands before that it does.
    """
    run = characters.match(text, start if reached is None else reached, start + LONGEST)
    assert run is not None
    end = run.end()
    if end < start + LONGEST:
        while end > start and text[end - 1] == ".":
            end -= 1
        return max(end, reached or 0) if end > start else end
    for place in range(end, end - 2048, -1):
        if _marked(text, place):
            return place
    return end


def _marked(text: str, at: int) -> bool:
    before = text[at - CONTEXT : at] if at >= CONTEXT else ""
    return (
        len(before) == CONTEXT
        and before[-1].isalpha()
        and any(map(str.isdigit, before))
        and _GOES_ON_IN_PARTS.fullmatch(before) is not None
    )


def _continued(text: str, at: int) -> bool:
    """Whether what ended here goes on. No state is kept between pieces of a text, so where a match ends in the midst of
    a run it ends behind a letter that has a digit within CONTEXT before it; any other place to settle at in such a
    run is chosen so that this is not so (`_unmistaken`).
    """
    return _GOES_ON.fullmatch(text[at : at + 1] or ".") is not None and _marked(text, at)


def _unmistaken(text: str, at: int, done: int) -> int:
    while at > done and _marked(text, at):
        at -= 1
    return at


def _issued(text: str, form: re.Match[str]) -> bool:
    """Whether what has the form of a key is one that somebody may have issued."""
    type, value, start = form.lastgroup or "", form.group(), form.start()
    left = text[start - 1] if start else ""
    bare = (type in _BARE or value.startswith("sk-")) and not value.startswith(_LONG_OPENINGS)
    if bare and left and (left.isalnum() or left == "_") and left < "\u0250":
        return False
    if unreal(value):
        return False
    if type == "JWT":
        return _is_jose(value.partition(".")[0])
    if type == "OPENAI_KEY":
        digits = sum(map(str.isdigit, value))
        return digits >= 2 and len(set(value)) >= 12 and max(map(len, re.split("[-_]", value))) >= 12
    if type in ("PROVIDER_KEY", "SLACK_TOKEN", "GITLAB_TOKEN", "HUGGINGFACE_TOKEN", "GITHUB_TOKEN"):
        return any(map(str.isdigit, value[5:])) and len(set(value)) >= 10
    return True


_LONG_OPENINGS: Final = ("sk-ant-", "sk-proj-", "sk-sek_", "sk-or-v1-", "sk-svcacct-", "sk_live_", "rk_live_", "whsec_")
"""Openings that no word has: they are a key's even where something stands right before them."""


def _is_jose(head: str) -> bool:
    """Whether a JWT's first part (RFC 7515) is a JSON object that names an algorithm."""
    try:
        read = msgspec.json.decode(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (msgspec.DecodeError, ValueError, binascii.Error):
        return False
    return isinstance(read, dict) and ("alg" in read or "enc" in read or "typ" in read)


def _sure(type: str, value: str) -> float:
    """0.99 where a checksum that the key carries is right."""
    if type == "SEKIMORI_KEY":
        return 0.99 if apikey.fault(value.encode()) is None else 0.8
    if type == "GITHUB_TOKEN" and value[:2] == "gh":
        return 0.99 if apikey.checksum(value[4:34]) == value[34:40] else 0.8
    return 0.9


# Private keys.

_ARMOUR: Final = Scan("-----BEGIN ")
_BEGINS: Final = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_ENDS: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}-----")
_WITHIN: Final = re.compile(r"[A-Za-z0-9+/=\s\\:,\-\"'>|#]*")
_SOME: Final = re.compile(
    r"(?:[\s\\\"'>|#]|\\[nr]|(?:Proc-Type|DEK-Info|Version|Comment)[^\n\\]{0,80})*[A-Za-z0-9+/=]{16}"
)
_BEGIN_LONGEST: Final = 80
_SOME_LONGEST: Final = 400


class PrivateKeys:
    """Finds private keys in their armour (RFC 7468), from the line that opens to the one that ends, or as far as their
    characters go. Leaves one unsettled until then.
    """

    __slots__ = ()

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        length = len(text)
        open_from = length if ended else length - _tail(text, at, _DASHED, _BEGIN_LONGEST)
        matches: list[Match] = []
        places = _ARMOUR.places(text, at)
        place = places.next(at)
        done = at
        while 0 <= place < open_from:
            begins = _BEGINS.match(text, place)
            if begins is None:
                if not ended and length - place < _BEGIN_LONGEST:
                    open_from = place
                    break
                place = places.next(place + 1)
                continue
            within = _WITHIN.match(text, begins.end(), place + LONGEST)
            assert within is not None
            ends = _ENDS.search(text, begins.end(), within.end())
            if ends is None and within.end() == length and length < place + LONGEST and not ended:
                open_from = place
                break
            end = ends.end() if ends is not None else within.end()
            if _SOME.match(text, begins.end(), min(end, begins.end() + _SOME_LONGEST)) is None:
                place = places.next(begins.end())
                continue
            matches.append(Match(place, end, "PRIVATE_KEY", CHECK, 0.99))
            done = end
            place = places.next(end)
        return matches, max(open_from, done)


_DASHED: Final = re.compile(r"[A-Z0-9 -]*")


# Values that stand where a secret does.

_NAMES: Final = (
    r"(?:api|access|secret|private|account|shared|sharedaccess|auth|encryption|master|signing|service"
    r"|subscription|storage|webhook|deploy)"
    r"[ _-]?keys?|api[ _-]?secret|secret|token|passw(?:or)?d|passwd|pwd|passphrase|credentials?|bearer"
    r"|contraseña|senha|passwort|kennwort"
    r"|mot de passe|пароль|密码|密碼|パスワード|비밀번호|accountkey|sig"
)
_ASSIGNED: Final = Scan(
    rf"(?i)(?:{_NAMES})[\"'`]?(?:\s{{0,3}}(?:=>|:=|[=:：])|\s(?:is|ist|es|est|é|è|wird|was)\s|\s)".replace("_-", r"_\-")
)
_VALUE: Final = re.compile(
    rf"(?P<name>{_NAMES})(?:(?P<quote>[\"'`])?(?:(?:\s{{0,3}}(?P<sign>=>|:=|[=:：])|\s(?:is|ist|es|est|é|è|wird"
    rf"|was)(?=\s)|(?=\s))"
    r"\s{0,3}(?P<open>[\"'`])?(?P<value>[A-Za-z0-9+/=_.~!@#$%^&*\-]{0,512})?)?)?",
    re.IGNORECASE,
)
_NAME_LONGEST: Final = 24
_LETTERS: Final = re.compile(r"[^\W_]|[ _-]")
_WORDS: Final = re.compile(r"[\w -]*")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PASSWORDS: Final = re.compile(r"pass|pwd|contrase|senha|kennwort|mot|пароль|密|パス|비밀", re.IGNORECASE)
_PLACES: Final = re.compile(r"[a-z_]+(?:\.[a-z_]+)+|\$\{?|%\w+%|\{\{|https?:|/[a-z]", re.IGNORECASE)


class Assigned:
    """Finds what is assigned to a name that secrets have, where its characters are as mixed as a secret's."""

    __slots__ = ()

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        length = len(text)
        open_from = length if ended else length - _tail(text, at, _WORDS, _NAME_LONGEST)
        matches: list[Match] = []
        done = at
        places = _ASSIGNED.places(text, at)
        place = places.next(at)
        while place >= 0:
            said = _VALUE.match(text, place)
            if said is None:
                place = places.next(place + 1)
                continue
            if said.end() >= length - 1 and not ended:
                open_from = min(open_from, place)
            if place >= open_from:
                break
            value = said.group("value")
            if not value or not _is_secret(text, said):
                place = places.next(place + 1)
                continue
            matches.append(Match(said.start("value"), said.end("value"), "SECRET", CHECK, 0.7))
            done = said.end()
            place = places.next(done)
        return matches, max(open_from, done)


def _is_secret(text: str, said: re.Match[str]) -> bool:
    value = said.group("value").rstrip(".")
    follows = text[said.end() : said.end() + 1]
    if follows in ("(", "[", "{", "<") and follows:
        return False
    if _UUID.fullmatch(value) or unreal(value) or _PLACES.match(value):
        return False
    digits = sum(map(str.isdigit, value))
    letters = sum(map(str.isalpha, value))
    signs = len(value) - digits - letters
    name, sign = said.group("name").lower(), said.group("sign")
    if _PASSWORDS.match(name) and sign:
        mixed = (digits > 0) + any(map(str.isupper, value)) + any(map(str.islower, value)) + (signs > 0)
        return len(value) >= 8 and mixed >= 3
    if not sign and name != "bearer":
        return False
    if name == "sig" and "%" not in value:
        return False
    return len(value) >= 16 and digits >= 2 and letters >= 4 and entropy(value) >= 3.2


# Passwords in addresses.

_USERS: Final = Scan(r"://[^\s:/@]{0,64}:")
_USER: Final = re.compile(r"://([^\s:/@]{0,64}):")
_SHARED: Final = re.compile(r"[^\s/@\"'<>]{1,256}")
_FORMAL: Final = listed("password pass passwd pwd secret user username token ****** ... pw")


class Addressed:
    """Finds the password in `scheme://user:password@host`."""

    __slots__ = ()

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        length = len(text)
        open_from = length if ended else length - _tail(text, at, _SPACELESS, 68)
        matches: list[Match] = []
        done = at
        places = _USERS.places(text, at)
        place = places.next(at)
        while place >= 0:
            user = _USER.match(text, place)
            if user is None:
                place = places.next(place + 1)
                continue
            shared = _SHARED.match(text, user.end())
            end = user.end() if shared is None else shared.end()
            if end == length and not ended:
                open_from = min(open_from, place)
            if place >= open_from:
                break
            if shared is not None and text[end : end + 1] == "@" and _is_password(shared.group()):
                matches.append(Match(user.end(), end, "PASSWORD", CHECK, 0.9))
                done = end
            place = places.next(max(done, place + 1))
        return matches, max(open_from, done)


_SPACELESS: Final = re.compile(r"[^\s/@]*/{0,2}:?")


def _is_password(value: str) -> bool:
    bare = value.strip("<>{}[]$%*").lower()
    return bare not in _FORMAL and value[0] not in "<{$[%*" and not (len(value) > 5 and unreal(value))


SECRETS: Final[tuple[Detector, ...]] = (Keys(), PrivateKeys(), Assigned(), Addressed())
"""All of them. The check is `secrets`."""
