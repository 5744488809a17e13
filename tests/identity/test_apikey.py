"""The form of a key against docs/spec/apikey.md and its vectors."""

from __future__ import annotations

import hmac
import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.identity import apikey

SPEC = Path(__file__).parent.parent.parent / "docs" / "spec" / "apikey.md"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
random = st.binary(min_size=32, max_size=32)


def vectors() -> list[tuple[bytes, str, bytes]]:
    """Random bytes, key, and its hash under the pepper 00 01 … 1f, as the specification prints them."""
    rows = re.findall(r"^\| `([0-9a-f]{64})` \| `([^`]+)` \| `([0-9a-f]{64})` \|$", SPEC.read_text(), re.MULTILINE)
    return [(bytes.fromhex(one), key, bytes.fromhex(hashed)) for one, key, hashed in rows]


def test_the_specification_has_vectors() -> None:
    assert len(vectors()) >= 4


@pytest.mark.parametrize(("material", "key", "hashed"), vectors())
def test_vectors(material: bytes, key: str, hashed: bytes) -> None:
    assert apikey.mint(material) == key
    assert apikey.fault(key.encode()) is None
    assert apikey.Pepper(1, bytes(range(32))).hash(key.encode()) == hashed


@given(random)
def test_what_is_minted_is_well_formed(material: bytes) -> None:
    key = apikey.mint(material)
    assert len(key) == apikey.LENGTH == 43
    assert apikey.fault(key.encode()) is None
    assert re.search(apikey.SCANNER_PATTERN, f"key={key}.")
    number = 0
    for character in key[7:37]:
        number = number * 62 + ALPHABET.index(character)
    assert number == int.from_bytes(material, "big") % 62**30


@given(random, st.integers(0, 42), st.sampled_from(ALPHABET + "-_ \n"))
def test_one_wrong_character_shows(material: bytes, place: int, character: str) -> None:
    key = apikey.mint(material)
    wrong = key[:place] + character + key[place + 1 :]
    assert (apikey.fault(wrong.encode()) is None) == (wrong == key)


@given(random, st.integers(7, 41))
def test_two_characters_swapped_show(material: bytes, place: int) -> None:
    key = apikey.mint(material)
    swapped = key[:place] + key[place + 1] + key[place] + key[place + 2 :]
    assert (apikey.fault(swapped.encode()) is None) == (swapped == key)


@pytest.mark.parametrize(
    "text",
    [b"", b"sk-sek_", b"SK-SEK_" + b"0" * 36, b"sk-sek_" + b"0" * 35, b"sk-sek_" + b"0" * 37, b" sk-sek_" + b"0" * 36,
     b"sk-sek_" + b"0" * 35 + b"\n", b"sk-sek_" + b"0" * 36 + b"\n", b"sk-sek_" + "ä".encode() * 18, b"\xff" * 43],
)  # fmt: skip
def test_what_has_no_form(text: bytes) -> None:
    assert apikey.fault(text) == "form"


def test_a_wrong_checksum_is_told_from_a_wrong_form() -> None:
    assert apikey.fault(apikey.mint(bytes(32)).encode()[:-1] + b"!") == "form"
    assert apikey.fault(b"sk-sek_" + b"0" * 36) == "checksum"


@given(st.binary(max_size=200))
def test_every_text_gets_an_answer(text: bytes) -> None:
    assert apikey.fault(text) in ("form", "checksum", None)


@given(random, st.binary(max_size=300))
def test_the_hash_is_hmac(pepper: bytes, key: bytes) -> None:
    assert apikey.Pepper(1, pepper).hash(key) == hmac.digest(pepper, key, "sha256")


def test_a_pepper_shows_nothing() -> None:
    pepper = apikey.Pepper(3, b"canary--" * 4)
    assert repr(pepper) == "Pepper(version=3)"
    with pytest.raises(TypeError):
        pickle.dumps(pepper)


@pytest.mark.parametrize(("version", "size"), [(0, 32), (1, 31), (1, 33), (1, 0)])
def test_a_pepper_is_whole(version: int, size: int) -> None:
    with pytest.raises(ValueError):
        apikey.Pepper(version, bytes(size))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_needs_its_randomness(size: int) -> None:
    with pytest.raises(ValueError):
        apikey.mint(bytes(size))
