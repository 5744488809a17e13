"""A stream on its way through: released as it came, but for what waits, what was asked for by us, and errors."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.dialects import anthropic, openai
from sekimori.dialects.stream import HELD_LIMIT, EventStream
from sekimori.errors import Upstream
from sekimori.terms import Usage
from tests.dialects.test_sse import chop, cuts

TRICKY = [
    "hello",
    '"usage":{"prompt_tokens":1,"completion_tokens":1}',
    'say "usage',
    '"usage": {"input_tokens": 99}',
    "data: [DONE]",
    "\n\ndata: [DONE]\n\n",
    "[DONE]",
    '"error":{"message":"x"}',
    "error",
    "event: error\ndata: {}\n\n",
    "event: message_stop",
    '{"type":"message_stop"}',
    "message_delta",
    "ä\u2028\U0001f600",
    "\r\n\r\n",
]
texts = st.lists(st.sampled_from(TRICKY) | st.text(st.characters(codec="utf-8"), max_size=10), max_size=6)
counts = st.integers(0, 10_000)
ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


def chunk(text: str, **rest: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return b"data: " + json.dumps({"id": "c", "choices": [choice], **rest}).encode() + b"\n\n"


def usage_chunk(prompt: int, completion: int) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return b"data: " + json.dumps({"id": "c", "choices": [], "usage": usage}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def event(kind: str, **rest: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **rest})}\n\n".encode()


STOP = event("message_stop")


def message(texts: list[str], fresh: int, cached: int, output: int) -> list[bytes]:
    usage = {"input_tokens": fresh, "cache_read_input_tokens": cached, "output_tokens": 1}
    return [
        event("message_start", message={"id": "m", "content": [], "usage": usage}),
        event("ping"),
        *(event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}) for text in texts),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": output}),
    ]


def feed(stream: EventStream, pieces: list[bytes]) -> bytes:
    return b"".join(stream.feed(piece) for piece in pieces)


@given(texts, counts, counts, st.booleans(), ends, cuts)
def test_openai_streams_pass_as_they_came(
    texts: list[str], prompt: int, completion: int, hide: bool, end: bytes, at: list[int]
) -> None:
    answer = [chunk(text, usage=None) for text in ["", *texts]]
    usage = usage_chunk(prompt, completion)
    answer, usage, done = ([x.replace(b"\n", end) for x in answer], usage.replace(b"\n", end), DONE.replace(b"\n", end))
    stream = openai.Stream(hide)
    released = feed(stream, chop(b"".join(answer) + usage + done, at))
    assert released == b"".join(answer) + (b"" if hide else usage)
    assert stream.final == done
    assert stream.complete
    assert stream.started
    assert stream.usage == Usage(prompt, completion)
    assert stream.error is None


def test_fast_mode_is_told_at_the_beginning_of_an_anthropic_stream() -> None:
    figures = {"input_tokens": 3, "output_tokens": 1, "service_tier": "standard", "speed": "fast"}
    stream = anthropic.Stream()
    stream.feed(event("message_start", message={"id": "m", "content": [], "usage": figures}))
    stream.feed(event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 6}))
    assert stream.usage == Usage(3, 6, service="fast")


@given(texts, counts, counts, counts, ends, cuts)
def test_anthropic_streams_pass_as_they_came(
    texts: list[str], fresh: int, cached: int, output: int, end: bytes, at: list[int]
) -> None:
    answer = b"".join(message(texts, fresh, cached, output)).replace(b"\n", end)
    stop = STOP.replace(b"\n", end)
    stream = anthropic.Stream()
    assert feed(stream, chop(answer + stop, at)) == answer
    assert stream.final == stop
    assert stream.complete
    assert stream.usage == Usage(fresh + cached, output, cached=cached)
    assert stream.error is None


@given(texts, cuts, st.integers(0, 10_000))
def test_a_stream_that_breaks_off_is_never_complete(texts: list[str], at: list[int], length: int) -> None:
    for stream, whole in (
        (openai.Stream(True), b"".join([*(chunk(text) for text in ["", *texts]), usage_chunk(5, 6), b"data: [DONE"])),
        (anthropic.Stream(), b"".join([*message(texts, 1, 2, 3), STOP[:-1]])),
    ):
        whole = whole[: length % (len(whole) + 1)]
        released = feed(stream, chop(whole, at))
        assert not stream.complete
        assert stream.final == b""
        assert whole.startswith(released)


pieces = st.lists(
    st.sampled_from(
        [
            b"data: ",
            b"event: ",
            b"\n",
            b"\r",
            b"\n\n",
            b'{"usage":{',
            b"}",
            b"[DONE]",
            b"error",
            b"message_stop",
            b'"',
            b"{}",
        ]
    )
    | st.binary(max_size=5),
    max_size=20,
)


@given(pieces, cuts, st.booleans())
def test_any_bytes_give_the_same_at_any_chopping(parts: list[bytes], at: list[int], hide: bool) -> None:
    for kind, begin in ((openai.Stream, chunk("a")), (anthropic.Stream, event("message_start", message={}))):
        whole = begin + b"".join(parts)
        one, other = kind(hide), kind(hide)
        first = feed(one, [whole])
        second = feed(other, chop(whole, at))
        state = lambda stream: (stream.complete, stream.usage, stream.error is None, stream.final)  # noqa: E731
        assert state(one) == state(other)
        assert first == second
        if one.error is None:
            assert hide or whole.startswith(first + one.final)


# What is held back before the first event.


def test_pings_and_comments_wait_for_the_first_event() -> None:
    stream = openai.Stream(False)
    assert stream.feed(b": PROCESSING\n\n") == b""
    assert stream.feed(b"retry: 5\n\n") == b""
    assert not stream.started
    assert stream.feed(chunk("a")) == b": PROCESSING\n\nretry: 5\n\n" + chunk("a")
    assert stream.feed(b": PROCESSING\n\n") == b": PROCESSING\n\n"
    other = anthropic.Stream()
    assert other.feed(event("ping")) == b""
    start = event("message_start", message={})
    assert other.feed(start) == event("ping") + start


def test_what_waits_is_bounded() -> None:
    stream = openai.Stream(False)
    assert feed(stream, [b": wait\n\n"] * (HELD_LIMIT // 8)) == b""
    with pytest.raises(Upstream, match="upstream_malformed"):
        stream.feed(b": wait\n\n")


@pytest.mark.parametrize("kind", [openai.Stream, anthropic.Stream])
@pytest.mark.parametrize(
    "first", [b"data: <html>\n\n", b"data: []\n\n", b"data: " + b"[" * 9999 + b"\n\n", b"data:\n\n"]
)
def test_a_stream_of_something_else_is_malformed(kind: type[EventStream], first: bytes) -> None:
    with pytest.raises(Upstream) as failed:
        kind(False).feed(first)
    assert failed.value.reason == "upstream_malformed"


def test_an_event_that_is_no_json_passes_later() -> None:
    stream = openai.Stream(False)
    stream.feed(chunk("a"))
    assert stream.feed(b'data: {"usage": oops\n\n') == b'data: {"usage": oops\n\n'
    assert stream.usage is None


# The end.


def test_the_end_needs_no_blank_line_where_it_is_sure() -> None:
    for end in (b"data: [DONE]", b"data:[DONE]\n", b"data: [DONE]\r\n"):
        stream = openai.Stream(True)
        stream.feed(chunk("a"))
        assert feed(stream, [end[:9], end[9:]]) == b""
        assert (stream.complete, stream.final) == (True, end)


def test_what_follows_the_end_waits_with_it_and_is_bounded() -> None:
    stream = openai.Stream(True)
    stream.feed(chunk("a"))
    assert stream.feed(DONE + b": bye\n\n") == b""
    assert stream.feed(chunk("late")) == b""
    assert stream.final == DONE + b": bye\n\n" + chunk("late")
    with pytest.raises(Upstream, match="upstream_malformed"):
        stream.feed(b"x" * HELD_LIMIT)


def test_a_stream_of_the_end_alone() -> None:
    stream = openai.Stream(True)
    assert stream.feed(DONE) == b""
    assert (stream.started, stream.complete, stream.usage) == (True, True, None)
    other = anthropic.Stream()
    assert other.feed(STOP) == b""
    assert (other.started, other.complete) == (True, True)


# Usage.


def test_the_usage_event_is_hidden_whatever_lies_around_it() -> None:
    stream = openai.Stream(True)
    assert stream.feed(chunk("a") + usage_chunk(1, 2) + chunk("b") + DONE) == chunk("a") + chunk("b")
    assert stream.usage == Usage(1, 2)


def test_usage_beside_an_answer_is_not_hidden() -> None:
    stream = openai.Stream(True)
    both = chunk("a", usage={"prompt_tokens": 1, "completion_tokens": 2})
    assert stream.feed(both + DONE) == both
    assert stream.usage == Usage(1, 2)


def test_events_without_choices_that_tell_no_usage_are_not_hidden() -> None:
    stream = openai.Stream(True)
    filters = b'data: {"choices":[],"prompt_filter_results":[{}]}\n\n'
    assert (
        stream.feed(filters + b'data: {"choices":[],"usage":null}\n\n')
        == filters + b'data: {"choices":[],"usage":null}\n\n'
    )


@pytest.mark.parametrize(
    "usage",
    [
        '"many"',
        "[]",
        "{}",
        '{"prompt_tokens":-1,"completion_tokens":1}',
        '{"prompt_tokens":1e3,"completion_tokens":1}',
        '{"prompt_tokens":true,"completion_tokens":1}',
        '{"prompt_tokens":9999999999999,"completion_tokens":1}',
        '{"prompt_tokens":"1","completion_tokens":1}',
    ],
)
def test_usage_that_cannot_be_believed_is_unknown_and_still_hidden(usage: str) -> None:
    stream = openai.Stream(True)
    assert stream.feed(chunk("a") + f'data: {{"choices":[],"usage":{usage}}}\n\n'.encode() + DONE) == chunk("a")
    assert stream.usage is None


def test_later_figures_replace_earlier_ones() -> None:
    stream = openai.Stream(False)
    feed(stream, [chunk("a", usage={"prompt_tokens": 5, "completion_tokens": n}) for n in (1, 2, 3)])
    assert stream.usage == Usage(5, 3)
    other = anthropic.Stream()
    feed(other, message(["a"], 7, 0, 2))
    other.feed(event("message_delta", delta={}, usage={"input_tokens": 8, "output_tokens": 4}))
    assert other.usage == Usage(8, 4)


def test_usage_of_a_stream_that_broke_off_is_unknown() -> None:
    stream = anthropic.Stream()
    feed(stream, message(["a"], 7, 0, 2)[:-1])
    assert stream.usage is None


@pytest.mark.parametrize("start", [{}, {"usage": None}, {"usage": {"input_tokens": -3}}, {"usage": "x"}])
def test_anthropic_input_that_was_never_told_leaves_usage_unknown(start: dict[str, Any]) -> None:
    stream = anthropic.Stream()
    stream.feed(event("message_start", message=start))
    stream.feed(event("message_delta", delta={}, usage={"output_tokens": 4}))
    assert stream.usage is None


# Errors.

ERRORS: list[tuple[type[EventStream], bytes, str]] = [
    (openai.Stream, b'data: {"error":{"message":"org-x","code":429}}\n\n', "rate_limited"),
    (openai.Stream, b'data: {"error":{"type":"requests","code":"rate_limit_exceeded"}}\n\n', "rate_limited"),
    (openai.Stream, b'data: {"error" : {"code":"server_overloaded"}}\n\n', "overloaded"),
    (openai.Stream, b'data: {"error":{"code":503}}\n\n', "overloaded"),
    (openai.Stream, b'data: {"error":{"message":"x"}}\n\n', "server_error"),
    (openai.Stream, b'event: error\ndata: {"error":"sorry"}\n\n', "server_error"),
    (anthropic.Stream, event("error", error={"type": "overloaded_error", "message": "x"}), "overloaded"),
    (anthropic.Stream, event("error", error={"type": "rate_limit_error"}), "rate_limited"),
    (anthropic.Stream, event("error", error={"type": "api_error"}), "server_error"),
    (anthropic.Stream, event("error"), "server_error"),
    (anthropic.Stream, b'data: {"type":"error","error":{"type":"overloaded_error"}}\n\n', "overloaded"),
    (anthropic.Stream, b'event: error\ndata: {"type":"ping"}\n\n', "server_error"),
]


@pytest.mark.parametrize(("kind", "error", "condition"), ERRORS)
def test_an_error_event_ends_the_stream_and_is_not_released(
    kind: type[EventStream], error: bytes, condition: str
) -> None:
    first = kind(False)
    assert first.feed(b": hi\n\n" + error) == b""
    later = kind(False)
    begin = chunk("a") if kind is openai.Stream else event("message_start", message={})
    assert later.feed(begin + error + begin) == begin
    assert later.feed(begin + DONE + STOP) == b""
    for stream in (first, later):
        assert stream.error is not None
        assert stream.error.condition == condition
        assert "org-x" not in str(stream.error.refusal)
        assert not stream.complete
    assert not first.started


def test_no_error_is_none() -> None:
    stream = openai.Stream(False)
    quiet = chunk("a", error=None) + b'data: {"choices":[],"error":{}}\n\n'
    assert stream.feed(quiet) == quiet
    assert stream.error is None


def test_most_events_are_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    for module in (openai, anthropic):
        original = module.event_fields
        monkeypatch.setattr(module, "event_fields", lambda data, original=original: read.append(data) or original(data))
    stream = openai.Stream(True)
    feed(stream, [chunk("word", usage=None) for _ in range(50)] + [usage_chunk(1, 2), DONE])
    assert len(read) == 3, "the first event, the usage event and the end"
    read.clear()
    other = anthropic.Stream()
    feed(other, [*message(["word"] * 50, 1, 2, 3), STOP])
    assert len(read) == 3, "message_start, message_delta, message_stop"


@pytest.mark.parametrize("filling", [b"{},", b'{"a":0},', b"[],", b"0,", b'"",'])
def test_what_a_provider_sends_is_not_multiplied_in_memory(filling: bytes) -> None:
    """A reply of small values costs no more than its bytes: what is not needed is never made an object."""
    many = b"[" + filling * ((4 << 20) // len(filling)) + b"0]"
    tracemalloc.start()
    try:
        assert openai.read_reply(b'{"choices":' + many + b',"usage":' + many + b"}").usage is None
        assert anthropic.read_reply(b'{"content":' + many + b',"usage":' + many + b"}").usage is None
        for stream in (openai.Stream(True), anthropic.Stream()):
            stream.feed(b'data: {"type":"message_delta","choices":[],"usage":' + many + b"}\n\n")
            assert stream.usage is None
        openai.read_error(400, b'{"error":' + many + b"}")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * len(many)


def test_figures_do_not_pile_up() -> None:
    stream = anthropic.Stream()
    for number in range(100):
        stream.feed(event("message_delta", usage={f"figure-{number}": 1, "output_tokens": number}))
    assert list(stream._figures) == ["output_tokens"]
