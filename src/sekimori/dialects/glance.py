"""Looking at what a provider sends without paying for its size.

A tenant's provider may be anybody. Decoding all of a reply would let 60 MiB of `{},{},…` become gigabytes of objects.
So only the few members that matter are taken, as raw bytes (the rest is checked for form and skipped), and of these
only what is small is decoded.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

SMALL: Final = 64 * 1024
"""Bytes of a member that are decoded; no usage and no error is longer."""
ABSENT: Final = Raw(b"null")
FAILURES: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding any bytes can raise: UnicodeDecodeError is a ValueError."""

_decode: Final = msgspec.json.Decoder().decode
Shape = TypeVar("Shape")


def glance(decoder: msgspec.json.Decoder[Shape], body: bytes) -> Shape | None:
    """What the decoder's struct (or array of them) names, as raw bytes; None where the body is of another shape."""
    try:
        return decoder.decode(body)
    except FAILURES:
        return None


def small(raw: Raw | bytes) -> Any:
    """The value of a small piece of JSON; None where it is large or malformed."""
    if memoryview(raw).nbytes > SMALL:
        return None
    try:
        return _decode(raw)
    except FAILURES:
        return None


def empty(raw: Raw) -> bool:
    """Whether a member is absent or says nothing: null, false, 0, or empty. Large ones are not."""
    return memoryview(raw).nbytes <= 64 and not small(raw)


def first(raw: Raw) -> bytes:
    """The byte that tells what a value is: `[` an array, `{` an object."""
    return bytes(memoryview(raw)[:1])
