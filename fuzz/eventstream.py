"""Amazon's event stream: the same at any chopping, and nothing released that its checksums do not cover."""

from __future__ import annotations

import base64
import json
from zlib import crc32

from sekimori.errors import Upstream
from sekimori.upstream.eventstream import Frames


def _frame(headers: bytes, payload: bytes) -> bytes:
    prelude = (16 + len(headers) + len(payload)).to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    whole = prelude + crc32(prelude).to_bytes(4, "big") + headers + payload
    return whole + crc32(whole).to_bytes(4, "big")


def _text(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + b"\x07" + len(value).to_bytes(2, "big") + value


_EVENT = _text(b":message-type", b"event") + _text(b":event-type", b"chunk")
_CHUNK = json.dumps({"bytes": base64.b64encode(b'{"type":"message_stop"}').decode()}).encode()
SEEDS = [
    b"\x05" + _frame(_EVENT, _CHUNK) + _frame(_EVENT, _CHUNK),
    b"\x11" + _frame(_text(b":message-type", b"exception") + _text(b":exception-type", b"throttlingException"), b"{}"),
    b"\x80" + _EVENT + b"\x01x\x00\x01y\x06\x00\x01z",
    b"\xc0" + _CHUNK,
    b"\x01\x00\x00\x00\x10\x00\x00\x00\x00",
]


def target(data: bytes) -> None:
    kind, rest = data[0] if data else 0, data[1:]
    # Sums that fit, so that what lies behind them is reached: around headers, or around a payload.
    if kind >= 0xC0:
        rest = _frame(_EVENT, rest)
    elif kind >= 0x80:
        rest = _frame(rest, _CHUNK)
    step = 1 + kind % 64
    whole, chopped = Frames(), Frames()
    first = _feed(whole, [rest])
    second = _feed(chopped, [rest[at : at + step] for at in range(0, len(rest), step)])
    if first is None or second is None:
        # Where the refusal falls, what came before it in the same piece is not released.
        assert (first is None) == (second is None)
        return
    assert first == second
    assert whole.clean == chopped.clean
    assert first == b"" or first.endswith(b"\n\n")
    for event in first.split(b"\n\n")[:-1]:
        name, data_line = event.split(b"\n")
        assert name.startswith(b"event: ")
        assert isinstance(json.loads(data_line.removeprefix(b"data: ")), dict)


def _feed(frames: Frames, pieces: list[bytes]) -> bytes | None:
    try:
        return b"".join([frames.feed(piece) for piece in pieces])
    except Upstream:
        return None
