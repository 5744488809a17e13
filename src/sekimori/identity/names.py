"""Names: slugs that people choose, uids that nobody chooses.

A slug names a tenant, agent, provider or key in documents and paths. A uid is random, immutable and never reused:
it is what the ledger, the database and the associated data of every ciphertext hold, so that a slug that is freed
and taken again never inherits what belonged to its predecessor. Pure: randomness is an argument.
"""

from __future__ import annotations

import re
from typing import Final

UID_LENGTH: Final = 26
UID_RANDOM_BYTES: Final = 16
SLUG_LENGTH: Final = 39

RESERVED: Final = frozenset(
    {
        # Words that stand where a tenant's slug could: owner and path prefixes, log origins.
        "operator",
        "clients",
        "sekimori",
        "system",
        # Words that would read as "no name" or "every name" in a policy, report or log line.
        "admin",
        "all",
        "any",
        "none",
        "null",
        "root",
        "self",
        "unknown",
    }
)
"""Slugs that nobody may take. Append-only: a word that is taken cannot be reserved later."""

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_SLUG: Final = re.compile(r"[a-z]([a-z0-9-]{0,37}[a-z0-9])?")
# 26 characters carry 130 bits; the two surplus bits lead and are zero, so the first character is 0 to 7.
_UID: Final = re.compile(f"[0-7][{_ALPHABET}]{{{UID_LENGTH - 1}}}")


def uid(random: bytes) -> str:
    """The uid of 16 random bytes: 26 characters of lower-case Crockford base32, most significant first.

    Raises ValueError for any other number of bytes.
    """
    if len(random) != UID_RANDOM_BYTES:
        raise ValueError(f"a uid is made of {UID_RANDOM_BYTES} random bytes")
    number = int.from_bytes(random, "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(5 * (UID_LENGTH - 1), -1, -5))


def is_uid(text: str) -> bool:
    """Whether this is the canonical form of some uid. Upper case and Crockford's aliases (i, l, o) are not."""
    return _UID.fullmatch(text) is not None


def is_slug(text: str) -> bool:
    """Whether this is a slug that may be taken."""
    return slug_fault(text) is None


def slug_fault(text: str) -> str | None:
    """What is wrong with a slug and how to correct it, as one sentence; None where nothing is."""
    if _SLUG.fullmatch(text) is None:
        return (
            f"A name has 1 to {SLUG_LENGTH} characters, lower-case letters, digits and hyphens, "
            "begins with a letter and does not end with a hyphen."
        )
    if text in RESERVED:
        return f"`{text}` is a reserved word; choose another name."
    return None
