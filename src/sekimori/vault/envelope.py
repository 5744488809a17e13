"""The bytes of an encrypted file of the vault, and what it is bound to. Pure; docs/spec/vault.md byte for byte.

AES-256-GCM with a random 96-bit nonce. The associated data names what the plaintext is for and whose it is, so a file
that is moved to another owner, key, version or deployment does not open. Fields are length-prefixed: no two
different bindings have the same bytes.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

MAGIC: Final = b"SEKVAULT"
FORMAT: Final = 1
NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32
_TAG_BYTES: Final = 16
_DOMAIN: Final = "sekimori/vault/1"


class Damaged(ValueError):
    """Not an envelope, or not the one that belongs here. The message never holds content."""


class Binding(Struct, frozen=True):
    """What a plaintext is for and whose it is."""

    purpose: str
    deployment: str
    owner_uid: str
    key_uid: str
    version: str


def associated_data(wrapped_by: str, binding: Binding) -> bytes:
    """Seven fields, each as a big-endian 16-bit length and its UTF-8 bytes."""
    fields = (
        _DOMAIN,
        wrapped_by,
        binding.purpose,
        binding.deployment,
        binding.owner_uid,
        binding.key_uid,
        binding.version,
    )
    encoded = [field.encode() for field in fields]
    return b"".join(len(field).to_bytes(2, "big") + field for field in encoded)


def seal(key: AESGCM, wrapped_by: str, binding: Binding, nonce: bytes, plaintext: bytes) -> bytes:
    """The envelope of a plaintext. `wrapped_by` is the public id of `key`; a nonce must never come twice."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
    name = wrapped_by.encode("ascii")
    head = MAGIC + bytes((FORMAT, len(name))) + name
    return head + nonce + key.encrypt(nonce, plaintext, associated_data(wrapped_by, binding))


def wrapped_by(envelope: bytes) -> str:
    """The id of the key that opens an envelope; not authenticated until it is opened. Raises Damaged."""
    if envelope[:8] != MAGIC or len(envelope) < 10:
        raise Damaged("it is not an encrypted file of a vault")
    if envelope[8] != FORMAT:
        raise Damaged(f"its format {envelope[8]} is not known to this version")
    end = 10 + envelope[9]
    if len(envelope) < end + NONCE_BYTES + _TAG_BYTES:
        raise Damaged("it is cut short")
    try:
        return envelope[10:end].decode("ascii")
    except UnicodeDecodeError:
        raise Damaged("its head is damaged") from None


def unseal(key: AESGCM, binding: Binding, envelope: bytes) -> bytes:
    """The plaintext. Raises Damaged where any byte differs, or where it was sealed for another binding or key."""
    name = wrapped_by(envelope)
    start = 10 + envelope[9]
    nonce, sealed = envelope[start : start + NONCE_BYTES], envelope[start + NONCE_BYTES :]
    try:
        return key.decrypt(nonce, sealed, associated_data(name, binding))
    except InvalidTag:
        raise Damaged("it was changed, or belongs to another key, version, owner or deployment") from None
