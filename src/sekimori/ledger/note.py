"""Signed notes and checkpoints (C2SP signed-note v1.0.0, tlog-checkpoint v1.0.0). Pure; canonical form only.

<origin>
<size>
<base64 root>

— <key name> <base64 of 4-byte key id ‖ signature>
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

MAX_NOTE: Final = 64 * 1024
MAX_SIGNATURES: Final = 32
"""The specification asks verifiers to accept at least 16."""
MAX_SIZE: Final = 2**53 - 1
ED25519: Final = 0x01
_DASH: Final = "\N{EM DASH} "


class Invalid(Exception):
    """Not a note of the canonical form, or not signed by the key that was asked for."""


class Signer(Protocol):
    """Holds the private key of one log. `name` is the log's origin."""

    name: str
    public: bytes
    """The 32 bytes of its Ed25519 public key."""

    def sign(self, message: bytes, /) -> bytes:
        """Ed25519 signature, 64 bytes."""
        ...


class Key(Struct, frozen=True):
    """A public key under its name; `str()` is the C2SP verifier key (vkey)."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """First four bytes of SHA-256(name ‖ 0x0A ‖ type ‖ key)."""
        return hashlib.sha256(self.name.encode() + bytes((0x0A, ED25519)) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes((ED25519,)) + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> Key:
        """Raises Invalid. The id in the text must be the key's own."""
        name, _, rest = text.partition("+")
        _, _, encoded = rest.partition("+")
        blob = base64_of(encoded)
        if not _named(name) or len(blob) != 33 or blob[0] != ED25519:
            raise Invalid("not an Ed25519 verifier key")
        key = cls(name, blob[1:])
        if str(key) != text:
            raise Invalid("verifier key is not in canonical form, or its id is not its own")
        return key


class Signature(Struct, frozen=True):
    """One signature line."""

    name: str
    id: bytes
    signature: bytes


class Note(Struct, frozen=True):
    """A text and the signatures under it, none verified yet."""

    text: str
    """Ends in a newline."""
    signatures: tuple[Signature, ...]


class Checkpoint(Struct, frozen=True):
    """What a log says of itself: so many entries, under this root."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_note(data: bytes) -> Note:
    """Raises Invalid. Says nothing of who signed: see `verify`."""
    if len(data) > MAX_NOTE:
        raise Invalid(f"note of {len(data)} bytes; at most {MAX_NOTE}")
    try:
        whole = data.decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise Invalid("note is not UTF-8") from None
    if any(character < " " and character != "\n" for character in whole):
        raise Invalid("note has a control character")
    head, separator, tail = whole.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise Invalid("note has no signatures")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise Invalid(f"note has {len(lines)} signatures; at most {MAX_SIGNATURES}")
    return Note(head + "\n", tuple(_signature(line) for line in lines))


def verify(note: Note, key: Key) -> None:
    """Raises Invalid unless `key` signed the note once, and rightly. Signatures of other keys say nothing to us."""
    ours = [line for line in note.signatures if line.name == key.name and line.id == key.id]
    if len(ours) != 1:
        raise Invalid(f"note carries {len(ours)} signatures of {key.name}")
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(ours[0].signature, note.text.encode())
    except InvalidSignature:
        raise Invalid(f"signature of {key.name} is wrong") from None


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint of a verified note's text. Raises Invalid; extension lines are refused, for our logs have none."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise Invalid("checkpoint is not three lines")
    origin, size, root = lines[0], lines[1], base64_of(lines[2])
    if not _named(origin) or len(root) != 32:
        raise Invalid("checkpoint has no origin, or a root of another size")
    if not (size.isascii() and size.isdecimal()) or len(size) > 16 or int(size) > MAX_SIZE:
        raise Invalid("checkpoint's size is not a number")
    checkpoint = Checkpoint(origin, int(size), root)
    if checkpoint.body() != text:
        raise Invalid("checkpoint is not in canonical form")
    return checkpoint


def open_checkpoint(data: bytes, key: Key) -> Checkpoint:
    """Parse and verify a checkpoint of the log that `key` is of. Raises Invalid."""
    note = parse_note(data)
    verify(note, key)
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != key.name:
        raise Invalid(f"checkpoint is of {checkpoint.origin}, not of {key.name}")
    return checkpoint


def sign(text: str, signers: Sequence[Signer]) -> bytes:
    """The note of `text` (which ends in a newline) signed by each."""
    lines = []
    for signer in signers:
        blob = Key(signer.name, signer.public).id + signer.sign(text.encode())
        lines.append(f"{_DASH}{signer.name} {base64.b64encode(blob).decode()}\n")
    return (text + "\n" + "".join(lines)).encode()


def _signature(line: str) -> Signature:
    if not line.startswith(_DASH):
        raise Invalid("signature line does not begin with a dash")
    name, _, encoded = line[len(_DASH) :].partition(" ")
    blob = base64_of(encoded)
    if not _named(name) or len(blob) <= 4:
        raise Invalid("signature line has no key name, or no signature")
    return Signature(name, blob[:4], blob[4:])


def _named(name: str) -> bool:
    return bool(name) and "+" not in name and not any(character.isspace() for character in name)


def base64_of(text: str) -> bytes:
    """Standard base64 with padding and without stray bits. Raises Invalid."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("not base64") from None
    if base64.b64encode(data).decode() != text:
        raise Invalid("base64 is not in canonical form")
    return data
