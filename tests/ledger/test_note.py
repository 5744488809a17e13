"""Signed notes and checkpoints: the form that C2SP states, and no other."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tlog_scales import signing, tlog

from sekimori.ledger import note
from sekimori.ledger.note import Checkpoint, Invalid, Key
from tests.ledger.world import Signer

ORIGIN = "gw.example/acme"
SIGNER = Signer(ORIGIN)
KEY = Key(ORIGIN, SIGNER.public)
CHECKPOINT = Checkpoint(ORIGIN, 70_000, bytes(range(32)))
SIGNED = note.sign(CHECKPOINT.body(), [SIGNER])


def test_the_bytes_of_a_checkpoint() -> None:
    """Frozen: what witnesses and mirrors keep."""
    assert (
        "gw.example/acme\n70000\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n"
        "— gw.example/acme "
        "HwK6kqXO04DV9R50SuFZdBRXfa5G4hB3qKyvYmvdYPK6zZjYALhnpdj+6sc3kEzcyArA83hMxdKrucV1nzLuIWlI0AA=\n"
    ).encode() == SIGNED
    assert str(KEY) == "gw.example/acme+1f02ba92+AXwhCCGbpNuUxlaYSJb79+xlMkJut0uIG0VBvGjeoBtf"


def test_another_implementation_agrees() -> None:
    theirs = signing.Vkey.from_string(str(KEY))
    assert theirs.serialize() == str(KEY)
    checkpoint = tlog.Checkpoint.from_text(SIGNED.decode())
    checkpoint.verify(theirs)
    assert checkpoint.serialize().encode() == SIGNED
    signer = signing.PlainEd25519Signer(ORIGIN, bytes(32))
    signed = tlog.Checkpoint.make_signed(ORIGIN, 5, bytes(32), [signer]).serialize().encode()
    assert note.open_checkpoint(signed, Key.parse(signer.vkey.serialize())) == Checkpoint(ORIGIN, 5, bytes(32))


def test_every_flipped_bit() -> None:
    assert note.open_checkpoint(SIGNED, KEY) == CHECKPOINT
    for bit in range(len(SIGNED) * 8):
        changed = bytearray(SIGNED)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Invalid):
            note.open_checkpoint(bytes(changed), KEY)


def test_cosignatures_of_others_say_nothing_to_us() -> None:
    witness = Signer("witness.example")
    both = note.sign(CHECKPOINT.body(), [SIGNER, witness])
    assert note.open_checkpoint(both, KEY) == CHECKPOINT
    with pytest.raises(Invalid, match="carries 0 signatures"):
        note.open_checkpoint(note.sign(CHECKPOINT.body(), [witness]), KEY)
    with pytest.raises(Invalid, match="carries 2 signatures"):
        note.open_checkpoint(note.sign(CHECKPOINT.body(), [SIGNER, SIGNER]), KEY)


def test_a_key_of_the_same_id_and_another_name_is_another_key() -> None:
    with pytest.raises(Invalid):
        note.open_checkpoint(SIGNED, Key("gw.example/other", SIGNER.public))
    with pytest.raises(Invalid):
        note.open_checkpoint(SIGNED, Key(ORIGIN, Signer("x").public))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        SIGNED[:-1],
        SIGNED + b"\n",
        SIGNED.replace(b"\n\n", b"\n"),
        SIGNED.replace(b"\n", b"\r\n"),
        SIGNED.replace("— ".encode(), b"- "),
        SIGNED.replace("— ".encode(), "—".encode()),
        SIGNED.replace(b"nzLu", b"nzL u"),
        SIGNED.replace(b"0AA=\n", b"0AB=\n"),
        SIGNED.replace(b"0AA=\n", b"0AA\n"),
        SIGNED + b"\xff",
        SIGNED.replace(b"acme", b"ac\tme"),
        SIGNED[: SIGNED.index(b"\n\n") + 2] + "— name AAAAAA==\n".encode(),
        SIGNED + "— a+b AAAAAAAAAAA=\n".encode() * 2,
        SIGNED + "— witness AAAAAAAAAAA=\n".encode() * 40,
        b"a" * 70_000 + SIGNED,
    ],
)
def test_what_is_no_note_of_ours(text: bytes) -> None:
    with pytest.raises(Invalid):
        note.open_checkpoint(text, KEY)


@pytest.mark.parametrize(
    "body",
    [
        "gw.example/acme\n70000\n",
        "gw.example/acme\n070000\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "gw.example/acme\n+7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "gw.example/acme\n-7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "gw.example/acme\n٧\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "gw.example/acme\n9007199254740992\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "gw.example/acme\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=\n",
        "gw.example/acme\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n",
        "gw.example/acme\n7\nAAECAwQ=\n",
        "gw.example/acme\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\nextension\n",
        "\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
    ],
)
def test_what_is_no_checkpoint_though_signed(body: str) -> None:
    with pytest.raises(Invalid):
        note.open_checkpoint(note.sign(body, [SIGNER]), KEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        str(KEY)[:-1],
        str(KEY).replace("+1f", "+1F"),
        str(KEY).replace("+1f02ba92", "+2f02ba92"),
        str(KEY) + "\n",
        "+" + str(KEY).partition("+")[2],
        str(KEY).replace("+AX", "+An"),
        "a b" + str(KEY),
    ],
)
def test_what_is_no_verifier_key(text: str) -> None:
    assert Key.parse(str(KEY)) == KEY
    with pytest.raises(Invalid):
        Key.parse(text)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_note_or_invalid(data: bytes) -> None:
    for whole in (data, b"x\n\n" + data, SIGNED[: SIGNED.index(b"\n\n") + 2] + data):
        try:
            read = note.parse_note(whole)
        except Invalid:
            continue
        lines = [f"— {each.name} {base64.b64encode(each.id + each.signature).decode()}\n" for each in read.signatures]
        assert (read.text + "\n" + "".join(lines)).encode() == whole
