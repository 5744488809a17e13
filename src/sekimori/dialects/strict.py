"""JSON as we read it: one meaning only, or refused.

A gateway and a provider that read the same bytes differently are a hole: the gateway decides on one `model`, the
provider serves the other. So what we accept is what every parser reads alike (RFC 8259 with the advice of RFC 7493,
I-JSON): UTF-8 without a byte-order mark, one object and nothing after it, no name twice in any object, no NaN or
Infinity, no lone surrogates, no number beyond a double, nested at most DEPTH deep, at most VALUES values.

How duplicates are found without a second, slow parse: what was understood is encoded again. If that gives the very
bytes that came in, nothing was lost on the way in, so nothing stood twice; that is how SDKs write, and costs a
microsecond a kilobyte. Otherwise (white space, escapes, other spellings of numbers) the names are counted in both:
a colon outside a string is one name, and the body has more of them than what was understood exactly when a name
stood twice.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec
from msgspec import Raw

from sekimori.dialects.found import Path, spell
from sekimori.errors import Refused

DEPTH: Final = 64
"""Levels of arrays and objects, the outermost included."""
VALUES: Final = 200_000
"""Values in one body: bounds the memory that decoding may take (some 60 bytes a value), whatever the body's size."""

_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_CURLY: Final = bytes.maketrans(b"[]", b"{}")
_LONE: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")
_decode: Final = msgspec.json.Decoder().decode
_decode_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_encode: Final = msgspec.json.Encoder().encode


def read_object(body: bytes) -> tuple[dict[str, Any], dict[str, Raw]]:
    """The body as Python values, and its top-level members as the caller's own bytes.

    Raises Refused `malformed_json` naming the place (a byte offset, or the path of a name that stands twice).
    """
    _bound(body)
    try:
        value = _decode(body)
    except UnicodeDecodeError as error:
        raise Refused("malformed_json", f"The body is not valid UTF-8 ({_place_of_bad_utf8(body)}).") from error
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise Refused("malformed_json", _explain(body, error), advice="Send one JSON object (RFC 8259).") from error
    if type(value) is not dict:
        raise Refused("malformed_json", "The body is not a JSON object.", advice="Send one JSON object.")
    again = _encode(value)
    if again != body and _names(again) != _names(body):
        raise Refused(
            "malformed_json",
            f"{_duplicate(body)}.",
            advice="Name each member once: parsers disagree on which of the two counts.",
        )
    return value, _decode_members(body)


def _bound(body: bytes) -> None:
    """Refuse what would be costly to decode, before decoding it.

    The cheap counts take brackets and commas inside strings for real ones, so they err towards the exact count only.
    """
    opened = body.count(b"[") + body.count(b"{")
    if opened <= DEPTH and body.count(b",") <= VALUES - DEPTH:
        return
    # The quote that opens a string follows no backslash, so this is at least the number of strings, and at most
    # twice that: more than 4 * VALUES means more than VALUES values. It also bounds the work of what follows.
    too_many = body.count(b'"') - body.count(b'\\"') > 4 * VALUES
    skeleton = b"" if too_many else _outside(body)
    brackets = skeleton.translate(_CURLY, _NO_BRACKETS)
    if too_many or skeleton.count(b",") + brackets.count(b"{") > VALUES:
        raise Refused("malformed_json", f"The body has more than {VALUES} values.", advice="Send less in one call.")
    # Every round removes the innermost pairs: as many rounds as levels, each at the speed of a copy. Whether an
    # opening bracket is closed by its own kind is for the decoder to say.
    for _ in range(DEPTH):
        if not brackets:
            return
        brackets = brackets.replace(b"{}", b"")
    if brackets:
        raise Refused(
            "malformed_json",
            f"The body is nested deeper than {DEPTH} levels, or its brackets do not match.",
            advice="Flatten it, or close what is open.",
        )


def _names(data: bytes) -> int:
    """Members of all objects in valid JSON: one colon each outside strings."""
    return _outside(data).count(b":")


def _outside(data: bytes) -> bytes:
    """JSON without its strings. Linear whatever the bytes are; a string that does not end takes all that follows."""
    if b"\\" in data:
        # Of a run of backslashes, pairs stand for themselves; one that is left over escapes what follows it.
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(data.split(b'"')[::2])


def _explain(body: bytes, error: Exception) -> str:
    if not body.strip():
        return "The body is empty."
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return "The body begins with a byte-order mark (byte 0); JSON is UTF-8 without one."
    if isinstance(error, RecursionError):
        return f"The body is nested deeper than {DEPTH} levels."
    text = str(error)
    if (after := re.search(r"trailing characters \(byte (\d+)\)", text)) is not None:
        return f"Something follows the JSON in the body (byte {int(after[1]) - 1})."
    if text.startswith("JSON is malformed: "):
        return f"The body is not valid JSON: {text.removeprefix('JSON is malformed: ')}."
    if "out of range" in text:
        return "The body has a number that is out of range."
    if "truncated" in text:
        if (lone := _LONE.search(body)) is not None:
            return f"The body has half of a surrogate pair (byte {lone.start()})."
        return f"The body is not valid JSON: it ends too early (byte {len(body)})."
    return "The body is not valid JSON."


def _place_of_bad_utf8(body: bytes) -> str:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"byte {error.start}"
    return "in a string"


class _Seen(dict[str, Any]):
    """An object of the slow reader, with the first name that stands twice in it."""

    twice: str | None = None


def _duplicate(body: bytes) -> str:
    """Which name stands twice, and where. Slow, only for the refusal's text."""

    def hook(pairs: list[tuple[str, Any]]) -> _Seen:
        seen = _Seen()
        for name, value in pairs:
            if name in seen and seen.twice is None:
                seen.twice = name
            # The earlier value is kept under another name, so that a duplicate inside it is found as well.
            seen[name if name not in seen else f"{name} (again)"] = value
        return seen

    if len(body) <= 1 << 20:
        whole = json.loads(body, object_pairs_hook=hook, parse_int=str, parse_float=str)
        stack: list[tuple[Path, Any]] = [((), whole)]
        while stack:
            path, value = stack.pop()
            if isinstance(value, _Seen):
                if value.twice is not None:
                    where = f"`{spell(path)}`" if path else "the body's object"
                    return f'The name "{spell((value.twice,))}" stands twice in {where}'
                stack.extend(((*path, name), inner) for name, inner in value.items())
            elif isinstance(value, list):
                stack.extend(((*path, index), inner) for index, inner in enumerate(value))
    return "A name stands twice in an object of the body"
