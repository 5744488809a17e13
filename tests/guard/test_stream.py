"""What is released of a stream is what screening the whole text would release, at any cut, in every dialect."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekimori.dialects.sse import Cutter
from sekimori.dialects.sse import fields as event_fields
from sekimori.guard.spans import Match, find_all, joined, replaced
from sekimori.guard.stream import Blocked, Spans, StreamScreen
from sekimori.terms import Dialect, Operation


class Word:
    """Finds a token of a pattern without spaces: settles all but the last run of characters that are none."""

    def __init__(self, pattern: str, type: str, check: str = "secrets") -> None:
        self._pattern = re.compile(pattern)
        self._type, self._check = type, check

    def find(self, text: str, at: int, ended: bool) -> tuple[Sequence[Match], int]:
        settled = len(text)
        if not ended:
            while settled > at and not text[settled - 1].isspace():
                settled -= 1
        found = [
            Match(one.start(), one.end(), self._type, self._check) for one in self._pattern.finditer(text, at, settled)
        ]
        return found, settled


SECRET = Word(r"sk-[a-z0-9]{8,}", "KEY")
MAIL = Word(r"[a-z0-9.-]{1,40}@[a-z0-9.-]{1,40}", "EMAIL", "pii_detection")
DETECTORS = (SECRET, MAIL)


def whole(text: str) -> str:
    matches = joined(find_all(DETECTORS, text))
    return replaced(text, matches, ["[REDACTED]"] * len(matches))


values = st.sampled_from(
    ["sk-abcdef0123456789", "me@example.org", "a.b@sk-abcdef012345", "sk-short", "sk-abcdefgh@x.y"]
)
words = st.one_of(values, st.text('abks-@. \n\t"\\é漢😀', max_size=12))
texts = st.lists(words, max_size=8).map(" ".join)
cuts_of = st.lists(st.integers(0, 60), max_size=20)
places_of = st.lists(st.integers(0, 10_000), max_size=8)


def cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({min(place, len(text)) for place in places} | {0, len(text)})
    return [text[start:end] for start, end in itertools.pairwise(edges)] or [""]


def sse(events: list[tuple[str, Any]], end: str = "\n") -> bytes:
    return "".join(
        (f"event: {name}{end}" if name else "")
        + f"data: {data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)}{end}{end}"
        for name, data in events
    ).encode()


def released(dialect: Dialect, operation: Operation, body: bytes, places: list[int], spans: Spans) -> list[Any]:
    screen = StreamScreen(dialect, operation, spans)
    edges = sorted({place % (len(body) + 1) for place in places} | {0, len(body)})
    cutter, out = Cutter(), b""
    for start, end in itertools.pairwise(edges):
        # As the stream before it does: whole events, cut anywhere.
        out += screen.feed(b"".join(cutter.cut(body[start:end])))
    out += screen.end(bytes(cutter.tail))
    events = Cutter().cut(out)
    told = []
    for event in events:
        data = event_fields(event)[1]
        if data is not None and data != b"[DONE]":
            told.append(json.loads(data))
    return told


def spans() -> Spans:
    return Spans(DETECTORS, ())


@settings(max_examples=300, deadline=None)
@given(
    st.lists(texts, min_size=1, max_size=3),
    cuts_of,
    places_of,
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.data(),
)
def test_openai_chat(said: list[str], cuts: list[int], places: list[int], end: str, data: st.DataObject) -> None:
    """Several choices, each with a text and the arguments of a tool, mixed in any order."""
    waiting: list[tuple[int, str, list[str]]] = []
    for index, text in enumerate(said):
        waiting.append((index, "content", cut(text, cuts)))
        waiting.append((index, "arguments", cut(json.dumps({"q": text}), cuts)))
    events: list[tuple[str, Any]] = []
    while waiting:
        number = data.draw(st.integers(0, len(waiting) - 1))
        index, kind, pieces = waiting[number]
        piece = pieces.pop(0)
        call = {"index": 0, "function": {"arguments": piece}}
        delta = {"content": piece} if kind == "content" else {"tool_calls": [call]}
        events.append(("", {"id": "x", "choices": [{"index": index, "delta": delta, "finish_reason": None}]}))
        if not pieces:
            del waiting[number]
    events += [
        ("", {"id": "x", "choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]})
        for index in range(len(said))
    ]
    got = released("openai", "chat", sse([*events, ("", "[DONE]")], end), places, spans())
    assert len(got) == len(events)
    for index, text in enumerate(said):
        content = arguments = ""
        for event in got:
            choice = event["choices"][0]
            if choice["index"] == index:
                content += choice["delta"].get("content", "")
                for call in choice["delta"].get("tool_calls", []):
                    arguments += call["function"]["arguments"]
        assert content == whole(text)
        # The text within: what stands beside it in the source may be part of a word there.
        assert json.loads(arguments).keys() == {"q"} or whole(text) != text
        assert "sk-abcdef0123456789" not in arguments
        assert "me@example.org" not in arguments


@settings(max_examples=200, deadline=None)
@given(
    st.lists(texts, min_size=1, max_size=4),
    cuts_of,
    places_of,
)
def test_anthropic_messages(said: list[str], cuts: list[int], places: list[int]) -> None:
    events: list[tuple[str, Any]] = [
        ("message_start", {"type": "message_start", "message": {"id": "m", "content": []}})
    ]
    for index, text in enumerate(said):
        block = {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}
        events.append(("content_block_start", block))
        events += [
            (
                "content_block_delta",
                {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": piece}},
            )
            for piece in cut(text, cuts)
        ]
        events.append(("content_block_stop", {"type": "content_block_stop", "index": index}))
    events.append(("message_stop", {"type": "message_stop"}))
    got = released("anthropic", "chat", sse(events), places, spans())
    assert [event["type"] for event in got] == [name for name, _ in events]
    for index, text in enumerate(said):
        pieces = [event["delta"]["text"] for event in got if event.get("index") == index and "delta" in event]
        assert "".join(pieces) == whole(text)


@settings(max_examples=200, deadline=None)
@given(texts, cuts_of, places_of)
def test_responses_say_the_same_in_pieces_and_at_the_end(text: str, cuts: list[int], places: list[int]) -> None:
    place = {"item_id": "i", "output_index": 0, "content_index": 0}
    events: list[tuple[str, Any]] = [
        ("response.output_text.delta", {"type": "response.output_text.delta", **place, "delta": piece})
        for piece in cut(text, cuts)
    ]
    events.append(("response.output_text.done", {"type": "response.output_text.done", **place, "text": text}))
    output = [{"type": "message", "content": [{"type": "output_text", "text": text}]}]
    events.append(("response.completed", {"type": "response.completed", "response": {"output": output}}))
    got = released("openai", "responses", sse(events), places, spans())
    assert "".join(event["delta"] for event in got if "delta" in event) == whole(text)
    assert got[-2]["text"] == whole(text)
    assert got[-1]["response"]["output"][0]["content"][0]["text"] == whole(text)


@settings(max_examples=200, deadline=None)
@given(texts, cuts_of, places_of)
def test_gemini_parts(text: str, cuts: list[int], places: list[int]) -> None:
    events = [
        ("", {"candidates": [{"content": {"parts": [{"text": piece}], "role": "model"}, "index": 0}]})
        for piece in cut(text, cuts)
    ]
    got = released("gemini", "chat", sse(events), places, spans())
    assert "".join(event["candidates"][0]["content"]["parts"][0]["text"] for event in got) == whole(text)


def test_what_has_no_finding_stays_as_it_came_to_the_byte() -> None:
    body = (
        b': hello\n\ndata:{"choices" : [ {"index":0,"delta":{"content":"caf\\u00e9 "}} ]}\r\n\r\n'
        b'data: {"choices":[{"index":0,"delta":{"content":"x"},"logprobs":{"content":[]}}]}\n\ndata: [DONE]\n\n'
    )
    screen = StreamScreen("openai", "chat", spans())
    cutter, out = Cutter(), b""
    for at in range(len(body)):
        events = cutter.cut(body[at : at + 1])
        out += screen.feed((b"\n" if cutter.rest else b"") + b"".join(events))
    assert out + screen.end(bytes(cutter.tail)) == body


def test_an_event_waits_only_while_a_value_may_go_on() -> None:
    screen = StreamScreen("openai", "chat", spans())

    def fed(text: str) -> list[str]:
        event = sse([("", {"choices": [{"index": 0, "delta": {"content": text}}]})])
        released = [json.loads(event_fields(each)[1] or b"") for each in Cutter().cut(screen.feed(event))]
        return [each["choices"][0]["delta"]["content"] for each in released]

    assert fed("hello ") == ["hello "]
    assert fed("wor") == []
    assert fed("ld ") == ["wor", "ld "]
    assert fed("sk-abcd") == []
    assert fed("efgh01 x") == ["[REDACTED]"]
    assert fed(" y ") == [" x", " y "]


def test_what_repeats_a_masked_piece_beside_it_goes() -> None:
    logprobs = {"content": [{"token": "sk-abcdefgh01", "bytes": [115], "top_logprobs": []}]}
    choice = {"index": 0, "delta": {"content": "sk-abcdefgh01"}, "logprobs": logprobs}
    got = released("openai", "chat", sse([("", {"choices": [choice]})]), [], spans())
    assert got[0]["choices"][0] == {"index": 0, "delta": {"content": "[REDACTED]"}, "logprobs": None}


@pytest.mark.parametrize(
    "event",
    [
        b": sk-abcdefgh01\n\n",
        b"event: sk-abcdefgh01\ndata: {}\n\n",
        b"id: sk-abcdefgh01\ndata: {}\n\n",
        b"data: sk-abcdefgh01\n\n",
        b'data: {"unknown": {"deep": ["sk-abcdefgh01"]}}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"sk-abcdefgh01"}}]}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":'
        b'{"arguments":"\\"s\\\\u006b-abcdefgh01\\""}}]}}]}\n\n',
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":'
        b'{"cited_text":"sk-abcdefgh01"}}}\n\n',
    ],
)
def test_a_value_does_not_leave_by_another_way(event: bytes) -> None:
    screen = StreamScreen("openai", "chat", spans())
    out = screen.feed(event) + screen.end(b"")
    assert b"abcdefgh01" not in out


def test_the_name_of_a_member_cannot_be_masked_and_blocks() -> None:
    with pytest.raises(Blocked):
        StreamScreen("openai", "chat", spans()).feed(b'data: {"sk-abcdefgh01": 1}\n\n')


def test_a_check_that_blocks_releases_nothing_of_what_it_found() -> None:
    screen = StreamScreen("openai", "chat", Spans(DETECTORS, (), blocks=frozenset({"secrets"})))
    events = [
        ("", {"choices": [{"index": 0, "delta": {"content": text}}]}) for text in ("ok sk-", "abcd", "efgh", "ij ")
    ]
    out = screen.feed(sse(events[:3]))
    assert b"sk-" not in out
    with pytest.raises(Blocked) as blocked:
        screen.feed(sse(events[3:]))
    assert blocked.value.match.type == "KEY"


def test_what_is_only_watched_is_noted_and_waits_for_nothing() -> None:
    spans = Spans((), DETECTORS)
    screen = StreamScreen("openai", "chat", spans)
    event = sse([("", {"choices": [{"index": 0, "delta": {"content": "sk-abcdefgh01"}}]})])
    assert screen.feed(event) == event
    screen.end(b"")
    assert [match.type for match in spans.found] == ["KEY"]
