"""Server-sent events and the dialects' streams: the same at any chopping, every byte in its place."""

from __future__ import annotations

from sekimori.dialects import anthropic, openai
from sekimori.dialects.sse import Cutter, fields
from sekimori.dialects.stream import EventStream
from sekimori.errors import Upstream

SEEDS = [
    b'\x07data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"choices":[],"usage":{"prompt_tokens":1,'
    b'"completion_tokens":2}}\n\ndata: [DONE]\n\n',
    b'\x21event: message_start\r\ndata: {"type":"message_start","message":{"usage":{"input_tokens":3}}}\r\n\r\n'
    b'event: message_delta\r\ndata: {"type":"message_delta","usage":{"output_tokens":4}}\r\n\r\n'
    b'event: message_stop\r\ndata: {"type":"message_stop"}\r\n\r\n',
    b'\x03: comment\n\ndata: {"choices":[{}]}\r\rdata: {"error":{"code":429}}\r\r',
    b'\x01\xef\xbb\xbfdata: {}\n\ndata:x\ndata: "usage": {\n\nevent: error\ndata: {}\n\n[DONE]',
    b'\xfedata: {"choices":[{}],"usage":null}\n\ndata: [DO',
]


def target(data: bytes) -> None:
    step, stream = 1 + (data[0] if data else 0), data[1:]
    pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
    _cutter(stream, pieces)
    for kind in (openai.Stream, anthropic.Stream):
        for hide in (False, True):
            whole, chopped = kind(hide), kind(hide)
            first, second = _feed(whole, [stream]), _feed(chopped, pieces)
            if first is None or second is None:
                # Where the refusal falls, what came before it in the same piece is not released.
                assert (first is None) == (second is None)
                continue
            assert first == second
            assert (whole.complete, whole.usage, whole.error is None) == (
                chopped.complete,
                chopped.usage,
                chopped.error is None,
            )
            assert whole.final == chopped.final
            if whole.error is None and not hide:
                assert stream.startswith(first + whole.final)
            if kind is anthropic.Stream and whole.complete:
                assert stream == first + whole.final


def _cutter(stream: bytes, pieces: list[bytes]) -> None:
    cutter = Cutter()
    events: list[bytes] = []
    for piece in pieces:
        completed = cutter.cut(piece)
        if cutter.rest:
            events[-1] += b"\n"
        events += completed
    assert b"".join(events) + bytes(cutter.tail) == stream
    other = Cutter()
    assert other.cut(stream) == events
    for event in events:
        fields(event)


def _feed(stream: EventStream, pieces: list[bytes]) -> bytes | None:
    try:
        return b"".join([stream.feed(piece) for piece in pieces])
    except Upstream:
        return None
