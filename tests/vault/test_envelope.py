"""The bytes of docs/spec/vault.md, and that nothing opens but what was sealed, where it was sealed for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from sekimori.vault import envelope
from sekimori.vault.envelope import Binding, Damaged

SPEC = Path(__file__).parent.parent.parent / "docs" / "spec" / "vault.md"
KEY = AESGCM(bytes(range(32)))
BINDING = Binding("secret", "sekimori.example", "01arz3ndektsv4rrffq69g5fav", "01bx5zzkbkactav9wevgemmvrz", "1")
SEALED = envelope.seal(KEY, "tenant-key.1", BINDING, bytes(12), b"sk-example")

text = st.text(max_size=30)
bindings = st.builds(Binding, text, text, text, text, text)


def test_the_specified_bytes() -> None:
    blocks = re.findall(r"^    ([0-9a-f ]+)$", SPEC.read_text(), re.MULTILINE)
    written = bytes.fromhex("".join(blocks))
    expected = envelope.associated_data("tenant-key.1", BINDING) + SEALED
    assert written == expected


@given(bindings, st.binary(max_size=200), st.binary(min_size=12, max_size=12))
def test_what_is_sealed_opens(binding: Binding, plaintext: bytes, nonce: bytes) -> None:
    sealed = envelope.seal(KEY, "tenant-key.1", binding, nonce, plaintext)
    assert envelope.wrapped_by(sealed) == "tenant-key.1"
    assert envelope.unseal(KEY, binding, sealed) == plaintext


@given(bindings, bindings, text, text)
def test_no_two_bindings_have_the_same_bytes(one: Binding, other: Binding, key: str, another: str) -> None:
    same = (key, astuple(one)) == (another, astuple(other))
    assert (envelope.associated_data(key, one) == envelope.associated_data(another, other)) == same


def test_shifted_fields_are_other_bindings() -> None:
    one = envelope.associated_data("k", Binding("ab", "c", "", "d", "e"))
    assert one != envelope.associated_data("k", Binding("a", "bc", "", "d", "e"))
    assert one != envelope.associated_data("k", Binding("ab", "", "c", "d", "e"))


@pytest.mark.parametrize("place", range(len(SEALED)))
def test_every_flipped_bit_shows(place: int) -> None:
    for bit in range(8):
        changed = bytearray(SEALED)
        changed[place] ^= 1 << bit
        with pytest.raises(Damaged):
            envelope.unseal(KEY, BINDING, bytes(changed))


@pytest.mark.parametrize("size", range(len(SEALED)))
def test_every_cut_shows(size: int) -> None:
    with pytest.raises(Damaged):
        envelope.unseal(KEY, BINDING, SEALED[:size])


def test_bytes_after_the_end_show() -> None:
    with pytest.raises(Damaged):
        envelope.unseal(KEY, BINDING, SEALED + b"\0")


@pytest.mark.parametrize("field", Binding.__struct_fields__)
def test_another_binding_does_not_open(field: str) -> None:
    with pytest.raises(Damaged):
        envelope.unseal(KEY, replace(BINDING, **{field: "other"}), SEALED)


def test_another_key_does_not_open() -> None:
    with pytest.raises(Damaged):
        envelope.unseal(AESGCM(bytes(32)), BINDING, SEALED)


@given(st.binary(max_size=80))
def test_junk_is_damaged(junk: bytes) -> None:
    with pytest.raises(Damaged) as caught:
        envelope.unseal(KEY, BINDING, junk)
    assert repr(junk) not in str(caught.value) or len(junk) < 3
    with pytest.raises(Damaged):
        envelope.unseal(KEY, BINDING, SEALED[:8] + junk)
