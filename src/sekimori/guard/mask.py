"""Masks that stand for a value: the same value has the same mask, and nobody else can make one.

A mask is a MAC over the value, under a key of the tenant and its agent, so that a provider's prompt cache still holds
and masks of one tenant say nothing about another's. What a mask stands for is known to the call that made it, and to
no other: one that a caller writes himself, or that another call made, stands for nothing and stays as it is.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final

from sekimori.guard.spans import Match

_DIGITS: Final = "abcdefghijkmnpqrstuvwxyz23456789"
_LENGTH: Final = 13
"""Digits of five bits: a chance of 2**-65 that two values share one."""
_MASK: Final = re.compile(r"\[[A-Z][A-Z_]{1,30}_[a-km-np-z2-9]{13}\]")
_LONGEST: Final = 48


class Masks:
    """The masks of one call. Pure: `key` is the agent's, 32 bytes."""

    __slots__ = ("_key", "_masks", "values")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._masks: dict[tuple[str, str], str] = {}
        self.values: dict[str, str] = {}
        """Mask -> what it stands for."""

    def mask(self, type: str, value: str) -> str:
        """What stands for a value from now on."""
        made = self._masks.get((type, value))
        if made is None:
            told = hmac.digest(self._key, f"{type}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256)
            number = int.from_bytes(told[:9], "big")
            digits = "".join(_DIGITS[number >> 5 * place & 31] for place in range(_LENGTH))
            made = self._masks[type, value] = f"[{type}_{digits}]"
            self.values[made] = value
        return made


class Restored:
    """A detector that finds the masks of one call, and puts back what they stand for."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        matches = []
        begin = text.find("[", at)
        while begin >= 0:
            mask = _MASK.match(text, begin)
            if mask is not None and (value := self._values.get(mask.group())) is not None:
                matches.append(Match(begin, mask.end(), "MASK", "restore", instead=value))
                begin = text.find("[", mask.end())
                continue
            if not ended and mask is None and len(text) - begin < _LONGEST and "]" not in text[begin:]:
                return matches, begin
            begin = text.find("[", begin + 1)
        return matches, len(text)
