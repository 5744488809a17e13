"""The doors of the Gemini dialect: what a path and its query say, byte for byte, and what is no door."""

from __future__ import annotations

import pytest

from sekimori.errors import Refused
from sekimori.gateway.doors import Door, dialect_of, door_of, no_door
from sekimori.terms import Named


def door(operation: str, model: str, **named: bool) -> Door:
    return Door("gemini", operation, Named(model, **named))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/v1beta/models/m:generateContent", "", door("chat", "m")),
        ("/v1beta/models/m:generateContent", "alt=json", door("chat", "m")),
        ("/v1/models/m:generateContent", "", door("chat", "m")),
        ("/v1beta/models/m:streamGenerateContent", "alt=sse", door("chat", "m", stream=True)),
        ("/v1beta/models/m:streamGenerateContent", "", door("chat", "m", stream=True, array=True)),
        ("/v1beta/models/m:streamGenerateContent", "alt=json", door("chat", "m", stream=True, array=True)),
        ("/v1beta/models/house/m:countTokens", "", door("count_tokens", "house/m")),
        ("/v1beta/models/m:embedContent", "", door("embeddings", "m")),
        ("/v1beta/models/m:batchEmbedContents", "", door("embeddings", "m", batch=True)),
        ("/v1beta/tunedModels/t:generateContent", "", door("chat", "tunedModels/t")),
        ("/v1beta/models/ft:x:generateContent", "", door("chat", "ft:x")),
        ("/v1beta1/publishers/google/models/m:generateContent", "", door("chat", "m")),
        ("/v1/publishers/google/models/m:countTokens", "", door("count_tokens", "m")),
    ],
)
def test_a_path_names_model_and_method(path: str, query: str, expected: Door) -> None:
    assert door_of(path, query) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/v1beta/models",
        "/v1beta/models/m",
        "/v1beta/models/:generateContent",
        "/v1beta/models/m:generatecontent",
        "/v1beta/models/m:predict",
        "/v1beta/models/m:generateContent/x",
        "/v1beta/m:generateContent",
        "/V1beta/models/m:generateContent",
        "/v1alpha/models/m:generateContent",
        "/v1beta1/projects/p/locations/l/publishers/google/models/m:generateContent",
        "/v1beta1/publishers/anthropic/models/m:generateContent",
        "/v1/models/m",
    ],
)
def test_what_is_no_door(path: str) -> None:
    assert door_of(path, "") is None


@pytest.mark.parametrize(
    ("query", "unread"),
    [
        ("alt=sse", ""),
        ("alt=sse&", ""),
        ("alt=sse&alt=json", "alt"),
        ("alt=sse&fields=usageMetadata", "fields"),
        ("alt=SSE", "alt"),
        ("$alt=sse", "$alt"),
        ("prettyPrint", "prettyPrint"),
        ("%61lt=json", "%61lt"),
    ],
)
def test_what_a_query_says_that_is_not_read_is_refused(query: str, unread: str) -> None:
    found = door_of("/v1beta/models/m:streamGenerateContent", query)
    assert found is not None
    assert found.unread == unread
    if unread:
        with pytest.raises(Refused) as refused:
            found.read(b"{}", [])
        assert f"`{unread}`" in refused.value.text
    plain = door_of("/v1beta/models/m:generateContent", "alt=sse")
    assert plain is not None
    assert plain.unread == "alt", "nothing that is not a stream comes as events"


@pytest.mark.parametrize(
    ("target", "dialect"),
    [
        (None, "openai"),
        ("/v1/chat/completions", "openai"),
        ("/v1/messages?beta=true", "anthropic"),
        ("/v1beta/models/m:generateContent", "gemini"),
        ("/v1beta1/anything", "gemini"),
        ("/v1/models/m:generateContent?alt=sse", "gemini"),
        ("/v1/projects/p/locations/l/publishers/google/models/m:predict", "gemini"),
        ("/v1/tunedModels/t", "gemini"),
        ("/v1/projects/p", "openai"),
        ("/v1/models/ft:gpt-4o:org:x", "openai"),
        ("/v1/models", "openai"),
    ],
)
def test_in_which_dialect_a_target_is_refused(target: str | None, dialect: str) -> None:
    assert dialect_of(target) == dialect


def test_no_door_names_the_doors() -> None:
    assert "/v1beta/models/MODEL:METHOD" in no_door("/x").advice
    named = "/v1beta1/projects/p/locations/l/publishers/google/models/m:generateContent"
    assert "neither project nor location" in no_door(named).advice
    assert "neither project nor location" in no_door(named.replace("v1beta1", "v1")).advice
    assert "console" in no_door("/v1/projects").advice, "a door of OpenAI's that is shut"
