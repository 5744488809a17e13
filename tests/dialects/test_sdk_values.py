"""Whatever the SDK's own types can hold is read and travels: bodies are generated from the types themselves."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
import typing_extensions as te
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sekimori.dialects import embeddings, openai, responses
from sekimori.errors import Refused
from sekimori.terms import Operation
from tests.dialects import sdk

TEXTS = st.sampled_from(["a", "file_1", "https://example.com/x", "data:image/png;base64,AA", "ä\u2028"])
DEPTH = 6


def value_of(draw: st.DrawFn, kind: Any, depth: int = 0) -> Any:
    """A value of a type that an SDK's parameters name; beyond DEPTH arrays are empty and unions their first choice."""
    origin, inner = te.get_origin(kind), te.get_args(kind)
    if te.is_typeddict(kind):
        return {
            name: value_of(draw, one, depth + 1)
            for name, one in sdk.members(kind).items()
            if te.get_origin(one) is te.Required or (depth < DEPTH and draw(st.integers(0, 3)) == 0)
        }
    if origin is te.Literal:
        return draw(st.sampled_from(inner))
    if origin in (te.Required, te.NotRequired, te.Annotated):
        return value_of(draw, inner[0], depth)
    if origin in (typing.Union, types.UnionType):
        return value_of(draw, inner[0] if depth > DEPTH else draw(st.sampled_from(inner)), depth)
    if isinstance(origin, type) and issubclass(origin, dict):
        return {"k": value_of(draw, inner[1], depth + 1)}
    if kind in (str, int, float, bool, type(None)):
        return draw(
            {str: TEXTS, int: st.integers(0, 9), float: st.floats(0, 1), bool: st.booleans()}.get(kind, st.none())
        )
    if (isinstance(origin, type) and issubclass(origin, Iterable)) or getattr(
        origin, "__name__", ""
    ) == "SequenceNotStr":
        many = 0 if depth > DEPTH else draw(st.integers(0, 2))
        return [value_of(draw, inner[0], depth + 1) for _ in range(many)]
    assert kind in (object, Any), kind
    return {}


CASES: list[tuple[Any, Operation, Any]] = [
    *((params, "chat", openai) for params in sdk.OPENAI),
    *((params, "responses", responses) for params in sdk.RESPONSES),
    *((params, "embeddings", embeddings) for params in sdk.EMBEDDINGS),
]


@pytest.mark.parametrize(("params", "operation", "speech"), CASES, ids=[case[0].__name__ for case in CASES])
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None, max_examples=60)
@given(st.data())
def test_it_is_read_and_travels_byte_for_byte(
    params: Any, operation: Operation, speech: Any, data: st.DataObject
) -> None:
    whole = value_of(data.draw, params)
    whole["model"] = "gpt-x"
    body = json.dumps(whole, ensure_ascii=False, separators=(", ", " : ")).encode()
    try:
        ask = speech.read_ask(operation, body, [])
    except Refused as refused:
        # The only fault of what an SDK can say is that it is never carried.
        assert "is not carried" in refused.text, (refused, whole)
        return
    assert not ask.needs & {"unknown_fields", "unknown_tools"}, (ask.places, whole)
    stores = data.draw(st.booleans())
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
