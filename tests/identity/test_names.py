"""Uids carry all their bits in one form; slugs are what may stand in a path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.identity.names import RESERVED, is_slug, is_uid, slug_fault, uid

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@pytest.mark.parametrize(
    ("random", "text"),
    [
        (bytes(16), "0" * 26),
        (b"\xff" * 16, "7" + "z" * 25),
        (bytes(15) + b"\x01", "0" * 25 + "1"),
        (b"\x80" + bytes(15), "4" + "0" * 25),
    ],
)
def test_known_uids(random: bytes, text: str) -> None:
    assert uid(random) == text


@given(st.binary(min_size=16, max_size=16))
def test_a_uid_carries_all_its_bits(random: bytes) -> None:
    text = uid(random)
    assert is_uid(text)
    number = 0
    for character in text:
        number = number * 32 + ALPHABET.index(character)
    assert number.to_bytes(16, "big") == random


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_uid_needs_sixteen_bytes(size: int) -> None:
    with pytest.raises(ValueError):
        uid(bytes(size))


@pytest.mark.parametrize(
    "text",
    ["", "0" * 25, "0" * 27, "8" + "0" * 25, "z" * 26, "0" * 25 + "I", "0" * 25 + "i", "0" * 25 + "l", "0" * 25 + "o",
     "0" * 25 + "u", "0" * 25 + "A", "0" * 25 + "-", "0" * 26 + "\n", "../" + "0" * 23, "０" * 26],
)  # fmt: skip
def test_what_is_no_uid(text: str) -> None:
    assert not is_uid(text)


@pytest.mark.parametrize("text", ["a", "acme", "a1", "a-b", "a--b", "a" * 39, "operator1", "my-operator"])
def test_slugs(text: str) -> None:
    assert is_slug(text)
    assert slug_fault(text) is None


@pytest.mark.parametrize(
    "text",
    ["", "1a", "-a", "a-", "A", "Acme", "a_b", "a.b", "a/b", "a b", "a\n", "\na", "a" * 40, "é", "ａ", "..", "a\x00"],
)
def test_what_is_no_slug(text: str) -> None:
    assert not is_slug(text)
    assert "lower-case" in (slug_fault(text) or "")


def test_reserved_words_have_the_form_of_slugs_and_are_refused() -> None:
    assert {"operator", "clients"} <= RESERVED
    for word in RESERVED:
        assert slug_fault(word) == f"`{word}` is a reserved word; choose another name."
