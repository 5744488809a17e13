"""Notes, checkpoints, verifier keys, proofs: only the canonical form, and only what the key signed."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sekimori.ledger import merkle, note
from sekimori.ledger.verify import verify_proof


class _Signer:
    name = "gw.example/acme"
    _key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = _key.public_key().public_bytes_raw()

    def sign(self, message: bytes, /) -> bytes:
        return self._key.sign(message)


_KEY = note.Key(_Signer.name, _Signer.public)
_LEAF = b"the only entry"
_SIGNED = note.sign(note.Checkpoint(_KEY.name, 1, merkle.leaf_hash(_LEAF)).body(), [_Signer()])
_PROOF = b"c2sp.org/tlog-proof@v1\nindex 0\n\n" + _SIGNED

SEEDS: list[bytes] = [
    _SIGNED,
    _PROOF,
    _PROOF.replace(b"\nindex", b"\nextra AA==\nindex"),
    str(_KEY).encode(),
    _SIGNED + _SIGNED.split(b"\n\n")[1],
    _SIGNED.replace(b"\n", b"\r\n"),
    b"a\n\nb\n\n" + "— x AAAAAAA=\n".encode(),
]


def target(data: bytes) -> None:
    try:
        read = note.parse_note(data)
    except note.Invalid:
        pass
    else:
        lines = [f"— {line.name} {base64.b64encode(line.id + line.signature).decode()}\n" for line in read.signatures]
        assert (read.text + "\n" + "".join(lines)).encode() == data, "two byte strings are one note"
    try:
        checkpoint = note.open_checkpoint(data, _KEY)
    except note.Invalid:
        pass
    else:
        assert checkpoint.body().encode() == _SIGNED.partition(b"\n\n")[0] + b"\n", "a checkpoint nobody signed"
    try:
        key = note.Key.parse(data.decode("utf-8", "replace"))
    except note.Invalid:
        pass
    else:
        assert str(key).encode() == data, "two texts are one key"
    try:
        verify_proof(data, _LEAF, _KEY)
    except (note.Invalid, merkle.Invalid):
        return
    assert data.endswith(_SIGNED.partition(b"\n\n")[2]), "a proof under no checkpoint"
