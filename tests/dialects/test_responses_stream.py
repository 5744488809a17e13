"""A stream of responses on its way through: released as it came, but for its last event and errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.dialects import responses
from sekimori.dialects.stream import HELD_LIMIT
from sekimori.errors import Upstream
from sekimori.terms import Usage
from tests.dialects.test_sse import chop, cuts
from tests.dialects.test_stream import TRICKY, counts, ends, feed, pieces

OWN = [
    "response.completed",
    'event: response.completed\ndata: {"type":"response.completed"}\n\n',
    '{"type":"response.failed","response":{"error":{"code":"server_error"}}}',
    '"response":{"usage":{"input_tokens":1,"output_tokens":1}}',
]
texts = st.lists(st.sampled_from([*TRICKY, *OWN]) | st.text(st.characters(codec="utf-8"), max_size=10), max_size=6)


def event(kind: str, **rest: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': 1, **rest})}\n\n".encode()


def delta(text: str) -> bytes:
    return event("response.output_text.delta", item_id="m", output_index=0, content_index=0, delta=text)


def last(input_: int = 5, output: int = 6, kind: str = "completed", **rest: Any) -> bytes:
    usage = {"input_tokens": input_, "output_tokens": output, "total_tokens": input_ + output}
    return event(f"response.{kind}", response={"id": "r", "status": kind, "output": [], "usage": usage, **rest})


CREATED = event("response.created", response={"id": "r", "status": "in_progress", "error": None, "usage": None})
DONE = b"data: [DONE]\n\n"


@given(texts, counts, counts, st.sampled_from(["completed", "incomplete"]), ends, cuts)
def test_streams_pass_as_they_came(
    said: list[str], input_: int, output: int, kind: str, end: bytes, at: list[int]
) -> None:
    answer = (CREATED + b"".join(delta(text) for text in said)).replace(b"\n", end)
    final = last(input_, output, kind).replace(b"\n", end)
    stream = responses.Stream(True)
    assert feed(stream, chop(answer + final, at)) == answer
    assert stream.final == final
    assert (stream.complete, stream.started, stream.error) == (True, True, None)
    assert stream.usage == Usage(input_, output)


@given(texts, cuts, st.integers(0, 10_000))
def test_a_stream_that_breaks_off_is_never_complete(said: list[str], at: list[int], length: int) -> None:
    whole = CREATED + b"".join(delta(text) for text in said) + last()[:-1]
    whole = whole[: length % (len(whole) + 1)]
    stream = responses.Stream()
    released = feed(stream, chop(whole, at))
    assert (stream.complete, stream.final, stream.usage) == (False, b"", None)
    assert whole.startswith(released)


ours = st.sampled_from(
    [b"response.completed", b"response.failed", b'data: {"type":"', b'"}', b'"response":{}', b"[DONE]"]
)


@given(st.lists(pieces | st.lists(ours, max_size=4), max_size=4), cuts)
def test_any_bytes_give_the_same_at_any_chopping(parts: list[list[bytes]], at: list[int]) -> None:
    whole = CREATED + b"".join(b"".join(part) for part in parts)
    one, other = responses.Stream(), responses.Stream()
    first, second = feed(one, [whole]), feed(other, chop(whole, at))
    state = lambda stream: (stream.complete, stream.usage, stream.error is None, stream.final)  # noqa: E731
    assert state(one) == state(other)
    assert first == second
    if one.error is None:
        assert whole.startswith(first + one.final)


def test_events_that_nobody_knows_and_any_order_pass() -> None:
    odd = (
        event("response.something.new", x=1) + event("something.else", x=1) + event("response.in_progress", response={})
    )
    stream = responses.Stream()
    assert feed(stream, [delta("late"), odd, CREATED, delta("x")]) == delta("late") + odd + CREATED + delta("x")
    assert stream.feed(last()) == b""
    assert stream.complete


def test_what_comes_before_the_answer_waits() -> None:
    stream = responses.Stream()
    early = b": hi\n\n" + event("keepalive")
    assert stream.feed(early) == b""
    assert not stream.started
    assert stream.feed(CREATED) == early + CREATED


@pytest.mark.parametrize(
    "first",
    [
        b"data: <html>\n\n",
        b"data: []\n\n",
        b"data: {}\n\n",
        b'data: {"id":"c","choices":[]}\n\n',
        event("message_start", message={}),
        b"data: " + b"[" * 9999 + b"\n\n",
    ],
)
def test_a_stream_of_something_else_is_malformed(first: bytes) -> None:
    with pytest.raises(Upstream) as failed:
        responses.Stream().feed(first)
    assert failed.value.reason == "upstream_malformed"


def test_a_last_event_may_be_large_and_what_follows_it_not() -> None:
    """The last event repeats the whole answer."""
    stream = responses.Stream()
    stream.feed(CREATED)
    final = last(output=6, instructions="x" * (4 * HELD_LIMIT))
    assert feed(stream, chop(final, [1000, HELD_LIMIT, 2 * HELD_LIMIT])) == b""
    assert stream.complete
    assert stream.feed(DONE) == b""
    assert stream.final == final + DONE
    with pytest.raises(Upstream, match="upstream_malformed"):
        stream.feed(b"x" * HELD_LIMIT)


def test_a_stream_that_says_done_before_its_last_event_is_cut_short() -> None:
    """SDKs stop reading at `[DONE]`: passed on, it would make half an answer look whole."""
    stream = responses.Stream()
    assert stream.feed(CREATED + delta("half") + DONE) == CREATED + delta("half")
    assert stream.error is not None
    assert (stream.error.condition, stream.error.refusal.reason) == (None, "upstream_truncated")
    assert not stream.complete


def failed(code: Any, **rest: Any) -> bytes:
    error = {"code": code, "message": "org-secret-1"}
    return event("response.failed", response={"id": "r", "status": "failed", "error": error, **rest})


ERRORS: list[tuple[bytes, str | None, str]] = [
    (failed("rate_limit_exceeded"), "rate_limited", "upstream_rate_limited"),
    (failed("server_error"), "server_error", "upstream_error"),
    (failed("server_is_overloaded"), "overloaded", "upstream_overloaded"),
    (failed("invalid_prompt"), None, "upstream_refused"),
    (failed(5), "server_error", "upstream_error"),
    (event("response.failed"), "server_error", "upstream_error"),
    (event("error", code="rate_limit_exceeded", message="x"), "rate_limited", "upstream_rate_limited"),
    (event("error", code="server_overloaded", message="x"), "overloaded", "upstream_overloaded"),
    (event("error", code=None, message="org-secret-1"), "server_error", "upstream_error"),
    (event("error", error={"code": "rate_limit_exceeded", "message": "x"}), "rate_limited", "upstream_rate_limited"),
    (event("error", error={"type": "requests"}), "rate_limited", "upstream_rate_limited"),
    (b'data: {"error":{"message":"org-secret-1","code":429}}\n\n', "rate_limited", "upstream_rate_limited"),
    (b'event: error\ndata: {"type":"response.created"}\n\n', "server_error", "upstream_error"),
    (
        event("response.in_progress", response={"status": "failed", "error": {"code": "server_error"}}),
        "server_error",
        "upstream_error",
    ),
]


@pytest.mark.parametrize(("error", "condition", "reason"), ERRORS)
def test_an_error_ends_the_stream_and_is_not_released(error: bytes, condition: str | None, reason: str) -> None:
    first, later = responses.Stream(), responses.Stream()
    assert first.feed(b": hi\n\n" + error) == b""
    if b"in_progress" in error:  # read because it is marked by its error, or first
        error = error.replace(b"in_progress", b"failed")
    assert later.feed(CREATED + delta("a") + error + delta("b")) == CREATED + delta("a")
    assert later.feed(delta("b") + last() + DONE) == b""
    for stream in (first, later):
        assert stream.error is not None
        assert (stream.error.condition, stream.error.refusal.reason) == (condition, reason)
        assert "org-secret" not in str(stream.error.refusal)
        assert not stream.complete


def test_what_a_failed_response_used_is_known() -> None:
    stream = responses.Stream()
    stream.feed(CREATED + failed("server_error", usage={"input_tokens": 5, "output_tokens": 2}))
    assert stream.usage == Usage(5, 2)


@pytest.mark.parametrize("usage", [None, "many", [], {}, {"input_tokens": -1, "output_tokens": 1}, {"input_tokens": 1}])
def test_usage_that_cannot_be_believed_is_unknown(usage: Any) -> None:
    stream = responses.Stream()
    stream.feed(CREATED + event("response.completed", response={"usage": usage}))
    assert (stream.complete, stream.usage) == (True, None)
    other = responses.Stream()
    other.feed(CREATED + b'event: response.completed\ndata: {"response":7}\n\n')
    assert (other.complete, other.usage) == (True, None)


def test_what_is_kept_is_known_as_soon_as_it_is_told() -> None:
    stream = responses.Stream()
    stream.feed(event("response.created", response={"id": "resp_1", "store": True, "output": []}))
    assert stream.minted == ("resp_1",)
    stream.feed(delta("x"))
    kept = {"id": "resp_1", "store": True, "conversation": {"id": "conv_1"}, "output": [{"id": "msg_1"}]}
    stream.feed(event("response.completed", response=kept))
    assert stream.minted == ("resp_1", "conv_1", "msg_1")
    other = responses.Stream()
    other.feed(CREATED + last(id="resp_2", store=False))
    assert other.minted == ()


def test_most_events_are_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    original = responses.event_fields
    monkeypatch.setattr(responses, "event_fields", lambda data: read.append(data) or original(data))
    stream = responses.Stream()
    feed(stream, [CREATED, *(delta("word") for _ in range(50)), last()])
    assert len(read) == 2, "the first event and the last"
