"""Whatever the SDK's own types can hold is read and travels: bodies are generated from the types themselves."""

from __future__ import annotations

import functools
import json
import random
import types
import typing
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
import typing_extensions as te
from hypothesis import given
from hypothesis import strategies as st

from sekimori.dialects import embeddings, openai, responses
from sekimori.errors import Refused
from sekimori.terms import Operation
from tests.dialects import sdk

TEXTS = ["a", "file_1", "https://example.com/x", "data:image/png;base64,AA", "x-1"]
DEPTH = 6
members = functools.cache(sdk.members)


def value_of(draw: random.Random, kind: Any, depth: int = 0) -> Any:
    """A value of a type that an SDK's parameters name; beyond DEPTH arrays are empty and unions their first choice."""
    origin, inner = te.get_origin(kind), te.get_args(kind)
    if te.is_typeddict(kind):
        return {
            name: value_of(draw, one, depth + 1)
            for name, one in members(kind).items()
            if te.get_origin(one) is te.Required or (depth < DEPTH and draw.random() < 0.25)
        }
    if origin is te.Literal:
        return draw.choice(inner)
    if origin in (te.Required, te.NotRequired, te.Annotated):
        return value_of(draw, inner[0], depth)
    if origin in (typing.Union, types.UnionType):
        return value_of(draw, inner[0] if depth > DEPTH else draw.choice(inner), depth)
    if isinstance(origin, type) and issubclass(origin, dict):
        return {"k": value_of(draw, inner[1], depth + 1)}
    plain = {str: draw.choice(TEXTS), int: draw.randrange(1, 9), float: draw.random(), bool: draw.random() < 0.5}
    if kind in plain or kind is type(None):
        return plain.get(kind)
    if (isinstance(origin, type) and issubclass(origin, Iterable)) or getattr(
        origin, "__name__", ""
    ) == "SequenceNotStr":
        many = 0 if depth > DEPTH else draw.randrange(3)
        return [value_of(draw, inner[0], depth + 1) for _ in range(many)]
    assert kind in (object, Any), kind
    return {}


CASES: list[tuple[Any, Operation, Any]] = [
    *((params, "chat", openai) for params in sdk.OPENAI),
    *((params, "responses", responses) for params in sdk.RESPONSES),
    *((params, "embeddings", embeddings) for params in sdk.EMBEDDINGS),
]


@pytest.mark.parametrize(("params", "operation", "speech"), CASES, ids=[case[0].__name__ for case in CASES])
@given(st.integers(0, 2**32), st.booleans())
def test_it_is_read_and_travels_byte_for_byte(
    params: Any, operation: Operation, speech: Any, seed: int, stores: bool
) -> None:
    whole = {**value_of(random.Random(seed), params), "model": "gpt-x"}
    # What the types leave open (any object, any string) and only some of which means something.
    for entry in whole.get("context_management") or ():
        entry["type"] = "compaction"
    choice = whole.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        choice.get("allowed_tools", choice)["tools"] = [{"type": "function", "name": "f"}]
    body = json.dumps(whole, ensure_ascii=False, separators=(", ", " : ")).encode()
    try:
        ask = speech.read_ask(operation, body, [])
    except Refused as refused:
        # The only fault of what an SDK can say is that it is never carried.
        assert "is not carried" in refused.text, (refused, whole)
        return
    assert not ask.needs & {"unknown_fields", "unknown_tools"}, (ask.places, whole)
    raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    sent, came = raw(speech.upstream_body(ask, "other", stores=stores)), raw(body)
    assert bytes(sent.pop("model")) == b'"other"'
    came.pop("model")
    if operation == "responses" and not stores:
        assert bytes(sent.pop("store")) == b"false"
        came.pop("store", None)
    if operation == "chat" and ask.stream:
        options = json.loads(bytes(sent.pop("stream_options")))
        assert options == {**(json.loads(bytes(came.pop("stream_options", b"{}"))) or {}), "include_usage": True}
    assert list(sent) == list(came)
    assert {name: bytes(value) for name, value in sent.items()} == {name: bytes(value) for name, value in came.items()}
