"""Whatever google-genai's own types can hold is read and travels: bodies are generated from the types themselves.

Its arguments become members of the request or of its `generationConfig`, as its converters have it; nested messages it
sends in both spellings. What stands where is asked of the registry, whose tables test_fields_gemini holds against the
converters.
"""

from __future__ import annotations

import enum
import json
import os
import random
import types as kinds
import typing
from datetime import datetime
from typing import Any

import msgspec
import pydantic
import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from sekimori.dialects import gemini
from sekimori.dialects.fields_gemini import GEMINI
from sekimori.errors import Refused
from sekimori.terms import Named, Operation
from tests.dialects.sdk_gemini import NOT_SENT, RENAMED, SCALARS

TEXTS = ["a", "file_1", "https://example.com/x", "AAEC", "x-1"]
DEPTH = 7
CAPABILITIES_OF_UNKNOWN = {"unknown_fields", "unknown_tools"}
MEANT = {
    "responseModalities": list[types.Modality],
    "speechConfig": types.SpeechConfig,
    "systemInstruction": types.Content,
}
"""What the SDK's looser types become on the wire, as its converters have it."""


def value_of(draw: random.Random, kind: Any, depth: int = 0) -> Any:
    """A value of a type as it stands in JSON; None where nothing of it can be sent."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, kinds.UnionType):
        fit = [one for one in inner if one is not type(None) and sendable(one)]
        return value_of(draw, draw.choice(fit), depth) if fit else None
    if origin is typing.Annotated:
        return value_of(draw, inner[0], depth)
    if origin is typing.Literal:
        return draw.choice(inner)
    if origin is list:
        many = 0 if depth > DEPTH else draw.randrange(1, 3)
        return [value_of(draw, inner[0], depth + 1) for _ in range(many)] if sendable(inner[0]) else []
    if origin is dict:
        return {"k": value_of(draw, inner[1], depth + 1)}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return draw.choice([one.value for one in kind])
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        return message_of(draw, kind, depth)
    plain = {str: draw.choice(TEXTS), int: draw.randrange(1, 9), float: draw.random(), bool: draw.random() < 0.5}
    if kind in plain:
        return plain[kind]
    if kind in (bytes, datetime):
        return "AAEC" if kind is bytes else "2026-01-02T03:04:05Z"
    assert kind in (object, Any, os.PathLike), kind
    return {}


def sendable(kind: Any) -> bool:
    """Whether a value of the type stands in a body: not a function, a session or a picture in memory."""
    if typing.get_origin(kind) is typing.Annotated:
        return sendable(typing.get_args(kind)[0])
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        return kind.__name__ in GEMINI or kind is types.Schema
    return typing.get_origin(kind) in (list, dict, typing.Union, kinds.UnionType, typing.Literal) or (
        isinstance(kind, type) and issubclass(kind, (str, int, float, bool, bytes, datetime, enum.Enum))
    )


def message_of(draw: random.Random, kind: Any, depth: int) -> dict[str, Any]:
    made = {}
    for name, field in kind.model_fields.items():
        if depth < DEPTH and draw.random() < 0.3:
            value = value_of(draw, field.annotation, depth + 1)
            if value is not None:
                made[name if draw.random() < 0.5 else field.alias or name] = value
    return made


def request_of(draw: random.Random, config: Any, message: str) -> dict[str, Any]:
    """A body of the configuration, its members where the registry says that they stand."""
    contents = [message_of(draw, types.Content, 1) for _ in range(draw.randrange(1, 3))]
    whole: dict[str, Any] = {"contents": contents}
    inside: dict[str, Any] = {}
    for name, field in config.model_fields.items():
        camel = RENAMED.get(field.alias or name, field.alias or name)
        if camel in NOT_SENT or draw.random() > 0.3:
            continue
        listed = GEMINI[message].get(camel) or GEMINI["GenerationConfig"][camel]
        if listed.rule.refused and draw.random() < 0.8:
            continue  # else most bodies would be refused, and few would show that they travel
        value = value_of(draw, MEANT.get(camel, field.annotation), 1)
        if value is None:
            continue
        (whole if camel in GEMINI[message] else inside)[camel] = value
    if inside:
        whole["generationConfig"] = inside | whole.get("generationConfig", {})
    return whole


def embedding_of(draw: random.Random) -> dict[str, Any]:
    config = message_of(draw, types.EmbedContentConfig, 0)
    for name in ("http_options", "httpOptions"):
        config.pop(name, None)
    content = message_of(draw, types.Content, 1)
    top = {name: config.pop(name) for name in ("taskType", "title") if name in config}
    return {"content": content, "embedContentConfig": config, **top}


@pytest.mark.parametrize("operation", ["chat", "count_tokens", "embeddings"])
@given(st.integers(0, 2**32))
def test_it_is_read_and_travels_byte_for_byte(operation: Operation, seed: int) -> None:
    draw = random.Random(seed)
    if operation == "chat":
        whole = request_of(draw, types.GenerateContentConfig, "GenerateContentRequest")
    elif operation == "count_tokens":
        whole = request_of(draw, types.CountTokensConfig, "CountTokensRequest")
    else:
        whole = embedding_of(draw)
    body = json.dumps(whole, ensure_ascii=False, separators=(", ", " : ")).encode()
    try:
        ask = gemini.read_ask(operation, body, [], Named("gemini-x"))
    except Refused as refused:
        # The only fault of what an SDK can say is that it is never carried.
        assert "is not carried" in refused.text, (refused, whole)
        return
    assert not ask.needs & CAPABILITIES_OF_UNKNOWN, (ask.places, whole)
    raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    sent, came = raw(gemini.upstream_body(ask, "other")), raw(body)
    assert list(sent) == list(came)
    assert {name: bytes(value) for name, value in sent.items()} == {name: bytes(value) for name, value in came.items()}


def test_the_generator_reaches_every_message_that_can_be_sent() -> None:
    """Else the property above would hold for want of trying."""
    reached: set[str] = set()
    draw = random.Random(1)

    def note(value: Any, message: str) -> None:
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, dict) or message not in GEMINI:
                continue
            reached.add(message)
            for name, inner in one.items():
                member = next((m for n, m in GEMINI[message].items() if name in (n, snaked(n))), None)
                if member is not None and member.inside:
                    note(inner, member.inside)

    for _ in range(1500):
        note(request_of(draw, types.GenerateContentConfig, "GenerateContentRequest"), "GenerateContentRequest")
        note(request_of(draw, types.CountTokensConfig, "CountTokensRequest"), "CountTokensRequest")
        note(embedding_of(draw), "EmbedContentRequest")
    assert GEMINI.keys() - reached - SCALARS.keys() == {"BatchEmbedContentsRequest"}


def snaked(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
