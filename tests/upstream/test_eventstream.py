"""Amazon's event stream: botocore's own frames are read, and nothing else is."""

from __future__ import annotations

import base64
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekimori.errors import Upstream
from sekimori.sandbox.clouds import frame
from sekimori.upstream.eventstream import FRAME_LIMIT, Frames

EVENT = {":message-type": "event", ":event-type": "chunk", ":content-type": "application/json"}


def chunk(event: str, padding: str = "abc") -> bytes:
    payload = json.dumps({"bytes": base64.b64encode(event.encode()).decode(), "p": padding})
    return frame(EVENT, payload.encode())


STREAM = (
    chunk('{"type":"message_start","message":{"usage":{"input_tokens":3}}}')
    + chunk('{"type":"content_block_delta","delta":{"text":"é \\n"}}', "")
    + chunk('{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":3}}')
)
EVENTS = (
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":3}}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"\xc3\xa9 \\n"}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":3}}\n\n'
)


def test_the_frames_are_what_aws_reads_and_writes() -> None:
    from botocore.eventstream import EventStreamBuffer

    buffer = EventStreamBuffer()
    buffer.add_data(STREAM)
    read = list(buffer)
    assert [message.headers[":event-type"] for message in read] == ["chunk"] * 3
    assert b"message_stop" in base64.b64decode(json.loads(read[2].payload)["bytes"])


@pytest.mark.parametrize("step", [*range(1, 40), 100, len(STREAM)])
def test_the_same_at_any_chopping(step: int) -> None:
    for first in range(step):
        frames = Frames()
        cuts = [0, *range(first, len(STREAM), step), len(STREAM)]
        made = b"".join(frames.feed(STREAM[at:end]) for at, end in itertools.pairwise(cuts))
        assert made == EVENTS
        assert frames.clean


@settings(deadline=None)
@given(st.integers(0, len(STREAM) * 8 - 1))
def test_a_flipped_bit_is_found(bit: int) -> None:
    broken = bytearray(STREAM)
    broken[bit // 8] ^= 1 << bit % 8
    frames = Frames()
    try:
        made = frames.feed(bytes(broken))
    except Upstream as failure:
        assert failure.reason in ("upstream_malformed", "upstream_too_large")
        return
    raise AssertionError(f"{made!r} was released")


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_frames_or_refused(data: bytes) -> None:
    whole, chopped = Frames(), Frames()
    try:
        first = whole.feed(data)
    except Upstream:
        with pytest.raises(Upstream):
            for at in range(len(data)):
                chopped.feed(data[at : at + 1])
        return
    assert first == b"".join(chopped.feed(data[at : at + 1]) for at in range(len(data)))


def header(name: bytes, kind: int, value: bytes) -> bytes:
    return bytes([len(name)]) + name + bytes([kind]) + value


def raw(block: bytes, payload: bytes = b"{}") -> bytes:
    from zlib import crc32

    prelude = (16 + len(block) + len(payload)).to_bytes(4, "big") + len(block).to_bytes(4, "big")
    whole = prelude + crc32(prelude).to_bytes(4, "big") + block + payload
    return whole + crc32(whole).to_bytes(4, "big")


def prelude(total: int, headers: int) -> bytes:
    from zlib import crc32

    numbers = total.to_bytes(4, "big") + headers.to_bytes(4, "big")
    return numbers + crc32(numbers).to_bytes(4, "big")


TEXT = header(b":message-type", 7, b"\x00\x05event") + header(b":event-type", 7, b"\x00\x05chunk")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (prelude(15, 0), "upstream_malformed"),
        (prelude(0, 0), "upstream_malformed"),
        (prelude(16, 1), "upstream_malformed"),
        (prelude(100, 200), "upstream_malformed"),
        (prelude(200_000, 100_000), "upstream_malformed"),
        (prelude(FRAME_LIMIT + 1, 0), "upstream_too_large"),
        (prelude(0xFFFFFFFF, 0xFFFFFFFF), "upstream_too_large"),
        (raw(b""), "upstream_malformed"),
        (raw(header(b":message-type", 7, b"\x00\x03odd")), "upstream_malformed"),
        (raw(header(b"", 0, b"") + TEXT), "upstream_malformed"),
        (raw(TEXT + header(b"x", 10, b"")), "upstream_malformed"),
        (raw(TEXT + header(b"x", 7, b"\x00\x09short")), "upstream_malformed"),
        (raw(TEXT + header(b"x", 7, b"\x00")), "upstream_malformed"),
        (raw(TEXT + header(b"x", 9, b"\x00" * 15)), "upstream_malformed"),
        (raw(TEXT + b"\xff" + b"x" * 10), "upstream_malformed"),
        (raw(TEXT + header(b"x", 7, b"\x00\x01\xff")), "upstream_malformed"),
        (raw(TEXT + header(b":event-type", 7, b"\x00\x04ping")), "upstream_malformed"),
        (raw(TEXT, b"{}"), "upstream_malformed"),
        (raw(TEXT, b"[]"), "upstream_malformed"),
        (raw(TEXT, b'{"bytes":"@@@"}'), "upstream_malformed"),
        (raw(TEXT, b'{"bytes":7}'), "upstream_malformed"),
        (raw(TEXT, b'{"bytes":"e30="}'), "upstream_malformed"),  # {}: no event has no type
        (chunk("[1]"), "upstream_malformed"),
        (chunk("oops"), "upstream_malformed"),
        (chunk('{"type":"a b"}'), "upstream_malformed"),
        (chunk('{"type":"error\\nevent: message_stop"}'), "upstream_malformed"),
        (chunk('{"type":7}'), "upstream_malformed"),
    ],
)
def test_what_is_no_frame(data: bytes, reason: str) -> None:
    with pytest.raises(Upstream, match=reason):
        Frames().feed(data)


def test_line_breaks_between_members_do_not_end_the_event() -> None:
    made = Frames().feed(chunk('{\n "type":\r\n "ping"\n}'))
    assert made == b'event: ping\ndata: {"type":"ping"}\n\n'


def test_headers_of_every_type_are_passed_over() -> None:
    others = b"".join(
        header(b"h%d" % kind, kind, b"\x00" * size)
        for kind, size in ((0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16))
    )
    payload = json.dumps({"bytes": base64.b64encode(b'{"type":"ping"}').decode()}).encode()
    assert Frames().feed(raw(others + header(b"b", 6, b"\x00\x02ab") + TEXT, payload)).startswith(b"event: ping\n")


def test_events_of_other_kinds_are_passed_over() -> None:
    assert Frames().feed(frame({":message-type": "event", ":event-type": "initial-response"}, b"{}")) == b""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("throttlingException", b"rate_limit_error"),
        ("ThrottlingException", b"rate_limit_error"),
        ("serviceUnavailableException", b"overloaded_error"),
        ("internalServerException", b"api_error"),
        ("modelStreamErrorException", b"api_error"),
        ("", b"api_error"),
    ],
)
def test_an_exception_is_the_dialects_error_without_its_words(name: str, kind: bytes) -> None:
    for told in (
        {":message-type": "exception", ":exception-type": name},
        {":message-type": "error", ":error-code": name},
    ):
        made = Frames().feed(frame(told, b'{"message":"arn:aws:iam::1:user/x"}'))
        assert made == b'event: error\ndata: {"type":"error","error":{"type":"%b","message":""}}\n\n' % kind
