"""Events are cut at the same places however the stream is chopped, and nothing is lost or touched."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.dialects.sse import EVENT_LIMIT, Cutter, fields
from sekimori.errors import Upstream


def cut(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    """Events of a stream that came in pieces, each half of a CRLF given back to its event; and the tail."""
    cutter = Cutter()
    events: list[bytes] = []
    for piece in pieces:
        completed = cutter.cut(piece)
        if cutter.rest:
            events[-1] += b"\n"
        events += completed
        assert cutter.clean or cutter.tail or events[-1].endswith(b"\r")
    return events, bytes(cutter.tail)


def chop(stream: bytes, at: list[int]) -> list[bytes]:
    places = sorted({place % (len(stream) + 1) for place in at})
    return [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]


soup = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"data: x", b"data:y", b": c", b"event: e", b"\n\n", b"\xef\xbb\xbf", b"[DONE]"]
    ),
    max_size=30,
).map(b"".join)
cuts = st.lists(st.integers(0, 10_000), max_size=12)


@given(soup, cuts)
def test_cuts_alike_at_any_chopping(stream: bytes, at: list[int]) -> None:
    events, tail = cut(chop(stream, at))
    assert (events, tail) == cut([stream])
    assert b"".join(events) + tail == stream


@given(soup)
def test_cuts_alike_byte_by_byte(stream: bytes) -> None:
    assert cut([stream[at : at + 1] for at in range(len(stream))]) == cut([stream])


def by_the_specification(stream: bytes) -> list[tuple[bytes, bytes]]:
    """Name and data of each dispatched event: WHATWG HTML, 9.2.6, line by line."""
    found = []
    name, data = b"", None
    for line in re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf"))[:-1]:
        if not line:
            if data is not None:
                found.append((name, data))
            name, data = b"", None
            continue
        field, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if field == b"data":
            data = value if data is None else data + b"\n" + value
        elif field == b"event":
            name = value
    return found


@given(soup)
def test_reads_what_the_specification_reads(stream: bytes) -> None:
    events, _ = cut([stream])
    read = [fields(event if number == 0 else b"\n" + event) for number, event in enumerate(events)]
    assert [(name, data) for name, data in read if data is not None] == by_the_specification(stream)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b"data: x\n\n", (b"", b"x")),
        (b"data:x\n\n", (b"", b"x")),
        (b"data:  x\n\n", (b"", b" x")),
        (b"data\n\n", (b"", b"")),
        (b"event: e\ndata: x\ndata: y\n\n", (b"e", b"x\ny")),
        (b"event: e\r\ndata: x\r\n\r\n", (b"e", b"x")),
        (b": comment\n\n", (b"", None)),
        (b"retry: 5\nid: 7\n\n", (b"", None)),
        (b"\xef\xbb\xbfdata: x\n\n", (b"", b"x")),
        (b" data: x\n\n", (b"", None)),
        (b"Data: x\n\n", (b"", None)),
        (b"event: a\nevent: b\ndata: x\n\n", (b"b", b"x")),
    ],
)
def test_fields(event: bytes, expected: tuple[bytes, bytes | None]) -> None:
    assert fields(event) == expected


def test_an_event_is_bounded() -> None:
    cutter = Cutter()
    piece = b"a" * (EVENT_LIMIT // 4)
    for _ in range(4):
        assert cutter.cut(piece) == []
    with pytest.raises(Upstream) as refused:
        cutter.cut(b"a")
    assert refused.value.reason == "upstream_too_large"


def test_an_event_that_comes_at_once_has_the_same_bound() -> None:
    event = b"data: " + b"a" * (EVENT_LIMIT - 8) + b"\n\n"
    assert Cutter().cut(event) == [event]
    with pytest.raises(Upstream, match="upstream_too_large"):
        Cutter().cut(b"x" + event)


def test_a_long_event_in_small_pieces_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from sekimori.dialects import sse

    searched = 0

    class Counting:
        def search(self, data: bytearray, at: int) -> object:
            nonlocal searched
            searched += len(data) - at
            return real.search(data, at)

    real = sse._END
    monkeypatch.setattr(sse, "_END", Counting())
    cutter = Cutter()
    for _ in range(1000):
        cutter.cut(b"data: " + b"x" * 94)
    assert [len(event) for event in cutter.cut(b"\n\n")] == [100_002]
    assert searched < 110_000
