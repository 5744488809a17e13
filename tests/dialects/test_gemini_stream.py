"""Streams of the Gemini dialect: the newest chunk waits, the body's end ends it, an array has the same chunks."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.dialects import gemini
from sekimori.dialects.gemini import Stream
from sekimori.dialects.gemini_stream import Elements
from sekimori.dialects.stream import HELD_LIMIT
from sekimori.errors import Upstream
from sekimori.terms import Usage
from tests.dialects.test_sse import chop, cuts
from tests.dialects.test_stream import TRICKY, counts, ends, pieces

texts = st.lists(
    st.sampled_from([*TRICKY, '"finishReason":"STOP"', '"usageMetadata":{}', "}]", '{"error":{}}'])
    | st.text(st.characters(codec="utf-8"), max_size=10),
    min_size=1,
    max_size=6,
)


def said(text: str, prompt: int = 1, output: int = 1, **more: Any) -> bytes:
    candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0, **more}
    usage = {"promptTokenCount": prompt, "candidatesTokenCount": output, "totalTokenCount": prompt + output}
    return json.dumps({"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m"}).encode()


def event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


class AsArray(Stream):
    """A stream whose caller takes its events as the elements of one array."""

    __slots__ = ("_elements",)

    def __init__(self) -> None:
        super().__init__()
        self._elements = Elements()

    def feed(self, data: bytes) -> bytes:
        return self._elements.feed(super().feed(data))

    def end(self, delimited: bool) -> None:
        super().end(delimited)
        if self.complete:
            self.final = self._elements.end(self.final)


def stream(array: bool = False) -> Stream:
    return AsArray() if array else Stream()


def feed(one: Stream, given: list[bytes]) -> bytes:
    return b"".join(one.feed(piece) for piece in given)


@given(texts, counts, counts, ends, cuts, st.booleans())
def test_streams_pass_as_they_came(
    words: list[str], prompt: int, output: int, end: bytes, at: list[int], last: bool
) -> None:
    chunks = [said(word, prompt, min(number, output)) for number, word in enumerate(words[:-1])]
    chunks.append(said(words[-1], prompt, output, finishReason="STOP"))
    events = [event(one).replace(b"\n\n", end * 2) for one in chunks]
    if not last:
        events[-1] = events[-1][: -2 * len(end)]  # the last blank line may be missing
    one = stream()
    released = feed(one, chop(b"".join(events), at))
    assert not one.complete
    assert released == b"".join(events[: -1 if last else -2]), "the newest is held, and nothing else"
    one.end(delimited=True)
    assert one.complete
    assert released + one.final == b"".join(events)
    assert one.usage == Usage(prompt, output)

    array = stream(array=True)
    begun = feed(array, chop(b"".join(events), at))
    assert begun.startswith(b"[") == (len(chunks) - (not last) > 1)
    array.end(delimited=True)
    whole = begun + array.final
    assert whole == b"[" + b"\n,\n".join(chunks) + b"\n]", "each chunk by its own bytes"
    assert json.loads(whole) == [json.loads(one) for one in chunks]


@given(texts, cuts, st.integers(0, 10_000), st.booleans())
def test_a_stream_that_is_cut_anywhere_is_never_complete(
    words: list[str], at: list[int], length: int, array: bool
) -> None:
    whole = b"".join(event(said(word)) for word in words) + event(said("end", finishReason="STOP"))
    # Without the last blank line the last event is whole for who reads it; one byte less and it is not.
    cut = whole[: length % (len(whole) - 2)]
    one = stream(array)
    feed(one, chop(cut, at))
    with pytest.raises(Upstream) as broken:
        one.end(delimited=True)
    assert broken.value.reason == "upstream_truncated"
    assert (one.complete, one.final) == (False, b"")


@given(pieces, cuts, st.booleans())
def test_any_bytes_give_the_same_at_any_chopping(parts: list[bytes], at: list[int], array: bool) -> None:
    whole = event(said("a", finishReason="STOP")) + b"".join(parts)
    results = []
    for came in ([whole], chop(whole, at)):
        one = stream(array)
        try:
            released = feed(one, came)
            one.end(delimited=True)
        except Upstream as failed:
            results.append((failed.reason, None))
            continue
        results.append((one.complete, one.usage, one.error is None, released if one.error is None else None, one.final))
        if one.error is None and not array:
            assert whole.startswith(released + one.final)
    assert results[0] == results[1]


# The end.


def test_the_end_must_be_told_by_the_body_and_by_the_answer() -> None:
    for finish, delimited, complete in ((True, True, True), (True, False, False), (False, True, False)):
        one = stream()
        one.feed(event(said("a", **({"finishReason": "STOP"} if finish else {}))))
        if complete:
            one.end(delimited)
        else:
            with pytest.raises(Upstream, match="upstream_truncated"):
                one.end(delimited)
        assert one.complete == complete
    empty = stream()
    with pytest.raises(Upstream, match="upstream_truncated"):
        empty.end(delimited=True)


def test_a_prompt_that_is_not_answered_is_an_answer() -> None:
    one = stream()
    blocked = event(
        b'{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":3,"totalTokenCount":3}}'
    )
    assert one.feed(blocked) == b""
    one.end(delimited=True)
    assert (one.final, one.usage) == (blocked, Usage(3, 0))


def test_a_chunk_of_figures_alone_may_follow_the_reason_to_finish() -> None:
    one = stream()
    first, last = (
        event(said("a", finishReason="STOP")),
        event(b'{"usageMetadata":{"promptTokenCount":9,"totalTokenCount":11}}'),
    )
    assert one.feed(first + last) == first
    one.end(delimited=True)
    assert (one.final, one.usage) == (last, Usage(9, 2))


def test_an_image_with_the_reason_to_finish_is_whole() -> None:
    part = {"inlineData": {"mimeType": "image/png", "data": "A" * 300_000}}
    image = {
        "candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 5},
    }
    one = stream()
    one.feed(event(json.dumps(image).encode()))
    one.end(delimited=True)
    assert one.complete


def test_a_reason_to_finish_that_a_text_quotes_is_none() -> None:
    for text in ('"finishReason":"STOP"', "finishReason"):
        one = stream()
        call = {"functionCall": {"name": "f", "args": {"finishReason": "STOP"}}}
        one.feed(event(json.dumps({"candidates": [{"content": {"parts": [{"text": text}, call]}}]}).encode()))
        with pytest.raises(Upstream, match="upstream_truncated"):
            one.end(delimited=True)


# Comments.


def test_comments_go_with_the_chunk_before_them() -> None:
    one = stream()
    assert one.feed(b": wait\n\n") == b""
    assert not one.started
    first = event(said("a"))
    assert one.feed(first) == b""
    assert one.started
    assert one.feed(b": still\n\n") == b""
    second = event(said("b", finishReason="STOP"))
    assert one.feed(second) == b": wait\n\n" + first + b": still\n\n"
    one.feed(b": bye\n\n")
    one.end(delimited=True)
    assert one.final == second + b": bye\n\n"


@pytest.mark.parametrize("array", [False, True])
def test_what_waits_is_bounded(array: bool) -> None:
    for begin in (b"", event(said("a"))):
        one = stream(array)
        one.feed(begin)
        one.feed(b": wait\n\n" * (HELD_LIMIT // 8))
        with pytest.raises(Upstream, match="upstream_malformed"):
            one.feed(b": wait\n\n")
        fresh = stream(array)
        for _ in range(4):  # only what comes without an answer is counted
            fresh.feed(event(said("a")) + b": wait\n\n" * (HELD_LIMIT // 16))


# Errors.


@pytest.mark.parametrize(
    ("error", "condition"),
    [
        (b'{"error":{"code":429,"message":"org-x","status":"RESOURCE_EXHAUSTED"}}', "rate_limited"),
        (b'{"error":{"status":"RESOURCE_EXHAUSTED"}}', "rate_limited"),
        (b'{"error":{"code":503,"status":"UNAVAILABLE"}}', "overloaded"),
        (b'{"error":{"status":"UNAVAILABLE"}}', "overloaded"),
        (b'{"error":{"code":500,"status":"INTERNAL"}}', "server_error"),
        (b'{"error":"org-x"}', "server_error"),
    ],
)
@pytest.mark.parametrize("form", ["event", "bare", "bare without end"])
def test_an_error_ends_the_stream_and_is_not_released(error: bytes, condition: str, form: str) -> None:
    came = event(error) if form == "event" else error if form.endswith("end") else error + b"\n\n"
    for begin in (b"", event(said("a"))):
        for array in (False, True):
            one = stream(array)
            released = one.feed(begin + came)
            if form.endswith("end"):
                one.end(delimited=True)
            assert one.error is not None
            assert one.error.condition == condition
            assert "org-x" not in str(one.error.refusal)
            assert released == b""
            assert (one.complete, one.final) == (False, b"")
            assert one.feed(event(said("late"))) == b""


def test_no_error_is_none() -> None:
    one = stream()
    one.feed(event(b'{"candidates":[],"error":null}'))
    assert one.error is None


def test_an_array_that_breaks_off_is_whole_json() -> None:
    failed = Upstream("upstream_truncated", "The provider ended the stream.")
    for count in (1, 2, 3):
        one = stream(array=True)
        given = feed(one, [event(said("a"))] * count)
        whole = json.loads(given + gemini.last_element(failed, bool(given)))
        assert len(whole) == count, "the chunk that was held is lost, the error is the last element"
        assert whole[-1]["error"]["code"] == 502


@pytest.mark.parametrize(
    "first", [b"data: <html>\n\n", b"data: []\n\n", b"data: " + b"[" * 9999 + b"\n\n", b"data:\n\n"]
)
def test_a_stream_of_something_else_is_malformed(first: bytes) -> None:
    for array in (False, True):
        with pytest.raises(Upstream, match="upstream_malformed"):
            stream(array).feed(first)
        later = stream(array)
        later.feed(event(said("a")))
        assert later.feed(first).endswith(said("a") + (b"" if array else b"\n\n"))
        if array and first != b"data:\n\n":  # it would break the array
            with pytest.raises(Upstream, match="upstream_malformed"):
                later.feed(event(said("b")))


@pytest.mark.parametrize("usage", ['"many"', "[]", "{}", "null", '{"promptTokenCount":-1,"totalTokenCount":1}'])
def test_usage_that_cannot_be_believed_is_unknown(usage: str) -> None:
    one = stream()
    one.feed(event(f'{{"candidates":[{{"finishReason":"STOP"}}],"usageMetadata":{usage}}}'.encode()))
    one.end(delimited=True)
    assert one.usage is None


@pytest.mark.parametrize("filling", [b"{},", b'{"a":0},', b"[],", b"0,"])
def test_what_a_provider_sends_is_not_multiplied_in_memory(filling: bytes) -> None:
    many = b"[" + filling * ((4 << 20) // len(filling)) + b'{"finishReason":"STOP"}]'
    tracemalloc.start()
    try:
        for name in (b"candidates", b"usageMetadata", b"promptFeedback", b"error"):
            body = b'{"candidates":[],"' + name + b'":' + many + b"}"
            try:
                gemini.read_reply(body)
                stream().feed(event(body))
            except Upstream:
                continue
        gemini.read_error(400, b'{"error":' + many + b"}")
        gemini.read_error(400, many)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * len(many)
