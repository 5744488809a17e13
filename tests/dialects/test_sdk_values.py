"""Whatever the SDK's own types can hold is read and travels: bodies are generated from the types themselves."""

from __future__ import annotations

import functools
import json
import os
import random
import types
import typing
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import msgspec
import pydantic
import pytest
import typing_extensions as te
from hypothesis import given
from hypothesis import strategies as st

from sekimori.dialects import anthropic, embeddings, openai, responses
from sekimori.errors import Refused
from sekimori.terms import Operation
from tests.dialects import sdk

TEXTS = ["a", "file_1", "https://example.com/x", "data:image/png;base64,AA", "x-1"]
DEPTH = 6
FILES = (os.PathLike, typing.IO)
"""What an SDK turns into a string."""
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
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        # What came in a reply may be sent again as it is.
        return {
            field.alias or name: value_of(draw, field.annotation, depth + 1)
            for name, field in kind.model_fields.items()
            if field.is_required() or (depth < DEPTH and draw.random() < 0.25)
        }
    if origin is te.Literal:
        return draw.choice(inner)
    if origin in (te.Required, te.NotRequired, te.Annotated):
        return value_of(draw, inner[0], depth)
    if origin in (typing.Union, types.UnionType):
        inner = [one for one in inner if (te.get_origin(one) or one) not in FILES]
        return value_of(draw, inner[0] if depth > DEPTH else draw.choice(inner), depth)
    if isinstance(origin, type) and issubclass(origin, dict):
        return {"k": value_of(draw, inner[1], depth + 1)}
    if kind in (datetime, date):
        return "2026-01-02" if kind is date else "2026-01-02T03:04:05Z"
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
    *((params, "count_tokens" if "Count" in params.__name__ else "chat", anthropic) for params in sdk.ANTHROPIC),
]


@pytest.mark.parametrize(
    ("params", "operation", "speech"),
    CASES,
    ids=[f"{case[0].__module__.rpartition('.')[2]}.{case[0].__name__}" for case in CASES],
)
@given(st.integers(0, 2**32), st.booleans())
def test_it_is_read_and_travels_byte_for_byte(
    params: Any, operation: Operation, speech: Any, seed: int, stores: bool
) -> None:
    whole = {**value_of(random.Random(seed), params), "model": "gpt-x"}
    # What the types leave open (any object, any string) and only some of which means something.
    if operation == "responses":
        for entry in whole.get("context_management") or ():
            entry["type"] = "compaction"
    choice = whole.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        choice.get("allowed_tools", choice)["tools"] = [{"type": "function", "name": "f"}]
    # Named in a header by the SDK, where they are judged.
    whole.pop("betas", None)
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
    if operation == "chat" and ask.stream and speech is openai:
        options = json.loads(bytes(sent.pop("stream_options")))
        assert options == {**(json.loads(bytes(came.pop("stream_options", b"{}"))) or {}), "include_usage": True}
    assert list(sent) == list(came)
    assert {name: bytes(value) for name, value in sent.items()} == {name: bytes(value) for name, value in came.items()}
