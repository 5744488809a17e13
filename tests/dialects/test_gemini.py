"""Reading and writing the Gemini dialect: what an ask needs in either spelling, what travels, what a reply says."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.dialects import gemini, openai
from sekimori.dialects.fields_gemini import GEMINI, SPELLED, snake
from sekimori.dialects.openai import ReplyFacts
from sekimori.errors import Refused, Upstream
from sekimori.terms import Ask, Named, Operation, Usage

NAMED = Named("gemini-x")
HELLO: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
FILE = "https://generativelanguage.googleapis.com/v1beta/files/abc-1"


def read(operation: Operation = "chat", named: Named = NAMED, **members: Any) -> Ask:
    return gemini.read_ask(operation, json.dumps({**HELLO, **members}).encode(), [], named)


def parts(*given: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": list(given)}]}


def config(**members: Any) -> dict[str, Any]:
    return {"generationConfig": members}


def tool(**members: Any) -> dict[str, Any]:
    return {"tools": [members]}


def test_reads_a_plain_ask() -> None:
    body = json.dumps({**HELLO, "systemInstruction": {"parts": {"text": "be kind"}}}).encode()
    named = Named("gemini-x", stream=True, array=True)
    ask = gemini.read_ask("chat", body, [(b"x-goog-user-project", b"p")], named)
    assert (ask.dialect, ask.operation, ask.model, ask.stream, ask.array) == ("gemini", "chat", "gemini-x", True, True)
    assert (ask.needs, ask.places, ask.output_cap, ask.size) == (frozenset(), (), None, len(body))
    assert (ask.headers, ask.objects, ask.fetches) == ((), (), ())
    sent = msgspec.json.decode(gemini.upstream_body(ask, "gemini-x"), type=dict[str, msgspec.Raw])
    assert {name: bytes(raw) for name, raw in sent.items()} == {name: bytes(raw) for name, raw in ask.members.items()}
    assert "model" not in sent


NEEDS: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"labels": {"a": "b"}, "safetySettings": [{"category": "C", "threshold": "T"}]}, {}),
    (config(temperature=1, topK=3, thinkingConfig={"thinkingBudget": 4}, stopSequences=["a"]), {}),
    ({"serviceTier": "flex"}, {}),
    ({"serviceTier": "priority"}, {"priority_tier": "serviceTier"}),
    ({"service_tier": 3}, {"priority_tier": "service_tier"}),
    ({"store": False}, {}),
    ({"store": True}, {"stored_state": "store"}),
    ({"cachedContent": "cachedContents/c"}, {"stored_state": "cachedContent"}),
    ({"cachedContent": ["a", "b"]}, {"stored_state": "cachedContent"}),
    ({"cached_content": "cachedContents/c"}, {"stored_state": "cached_content"}),
    ({"continuationToken": "AA=="}, {"stored_state": "continuationToken"}),
    ({"no_such_field": 1}, {"unknown_fields": "no_such_field"}),
    ({"model": "models/gemini-x"}, {}),
    # Parts.
    (parts({"inlineData": {"mimeType": "image/png", "data": "AA=="}}), {}),
    (parts({"thought": True, "text": "x", "thoughtSignature": "AA=="}), {}),
    (parts({"functionCall": {"name": "f", "args": {"fileData": {"fileUri": "gs://x"}}}}), {}),
    (parts({"functionResponse": {"name": "f", "response": {"url": "http://x/"}}}), {}),
    (parts({"fileData": {"fileUri": "gs://b/o"}}), {"images_by_url": "contents[0].parts[0].fileData.fileUri"}),
    (parts({"file_data": {"file_uri": "http://x/"}}), {"images_by_url": "contents[0].parts[0].file_data.file_uri"}),
    (parts({"fileData": {"fileUri": "files/abc"}}), {"files_by_id": "contents[0].parts[0].fileData.fileUri"}),
    (parts({"fileData": {"file_uri": FILE}}), {"files_by_id": "contents[0].parts[0].fileData.file_uri"}),
    (
        parts({"functionResponse": {"name": "f", "parts": [{"fileData": {"fileUri": "http://x/"}}]}}),
        {"images_by_url": "contents[0].parts[0].functionResponse.parts[0].fileData.fileUri"},
    ),
    (parts({"executableCode": {"code": "1"}}), {"code_interpreter": "contents[0].parts[0].executableCode"}),
    (parts({"code_execution_result": {}}), {"code_interpreter": "contents[0].parts[0].code_execution_result"}),
    (
        parts({"toolCall": {"toolType": "URL_CONTEXT"}}),
        {"web_fetch": "contents[0].parts[0].toolCall.toolType"},
    ),
    (
        parts({"toolResponse": {"tool_type": "google_search_web"}}),
        {"web_search": "contents[0].parts[0].toolResponse.tool_type"},
    ),
    (parts({"toolCall": {"toolType": 4}}), {"unknown_tools": "contents[0].parts[0].toolCall.toolType"}),
    (parts({"hologram": {}}), {"unknown_fields": "contents[0].parts[0].hologram"}),
    # One alone where several may stand.
    (
        {"contents": {"parts": {"fileData": {"fileUri": "http://x/"}}}},
        {"images_by_url": "contents.parts.fileData.fileUri"},
    ),
    ({"system_instruction": {"parts": {"text": "be kind"}}}, {}),
    (
        {"systemInstruction": [{"parts": [[{"executableCode": {}}]]}]},
        {"code_interpreter": "systemInstruction[0].parts[0][0].executableCode"},
    ),
    # Tools.
    (tool(functionDeclarations=[{"name": "f", "parameters": {"type": "OBJECT"}}]), {}),
    (tool(googleSearch={}), {"web_search": "tools[0].googleSearch"}),
    (tool(google_search={}), {"web_search": "tools[0].google_search"}),
    (tool(googleSearch=None), {}),
    ({"tools": {"googleSearchRetrieval": {}}}, {"web_search": "tools.googleSearchRetrieval"}),
    (tool(enterpriseWebSearch={}), {"web_search": "tools[0].enterpriseWebSearch"}),
    (tool(googleMaps={}), {"web_search": "tools[0].googleMaps"}),
    (tool(urlContext={}), {"web_fetch": "tools[0].urlContext"}),
    (tool(code_execution={}), {"code_interpreter": "tools[0].code_execution"}),
    (tool(computerUse={"environment": "ENVIRONMENT_BROWSER"}), {"computer_use": "tools[0].computerUse"}),
    (tool(fileSearch={"fileSearchStoreNames": ["s"]}), {"file_search": "tools[0].fileSearch"}),
    (
        tool(retrieval={"vertexRagStore": {"storeContext": True}}),
        {"file_search": "tools[0].retrieval", "stored_state": "tools[0].retrieval.vertexRagStore.storeContext"},
    ),
    (tool(mcpServers=[{"streamableHttpTransport": {"url": "http://x/"}}]), {"remote_mcp": "tools[0].mcpServers"}),
    (tool(functionDeclarations=[], codeExecution={}), {"code_interpreter": "tools[0].codeExecution"}),
    (tool(somethingNew={}), {"unknown_tools": "tools[0].somethingNew"}),
    (
        tool(functionDeclarations=[{"name": "f", "newThing": 1}]),
        {"unknown_fields": "tools[0].functionDeclarations[0].newThing"},
    ),
    # Schemas.
    (config(responseSchema={"properties": {"a": {"ref": "#/defs/A"}}, "defs": {"A": {}}}), {}),
    (
        config(responseSchema={"properties": {"a": {"ref": "http://x/"}}}),
        {"images_by_url": "generationConfig.responseSchema.properties.a.ref"},
    ),
    (config(_responseJsonSchema={"$ref": "http://x/"}), {"images_by_url": "generationConfig._responseJsonSchema.$ref"}),
    (
        config(response_json_schema={"$ref": "http://x/"}),
        {"images_by_url": "generationConfig.response_json_schema.$ref"},
    ),
    (
        tool(functionDeclarations=[{"name": "f", "parameters_json_schema": {"items": [{"$ref": "http://x/"}]}}]),
        {"images_by_url": "tools[0].functionDeclarations[0].parameters_json_schema.items[0].$ref"},
    ),
    (tool(functionDeclarations=[{"name": "f", "parameters": {"properties": {"ref": {"type": "STRING"}}}}]), {}),
    # How to answer.
    (config(responseModalities=["TEXT"]), {}),
    (config(responseModalities=["TEXT", "Audio"]), {"audio_out": "generationConfig.responseModalities[1]"}),
    (config(response_modalities="IMAGE"), {"image_generation": "generationConfig.response_modalities"}),
    (config(responseModalities=[2]), {"unknown_fields": "generationConfig.responseModalities[0]"}),
    (
        config(responseModalities=["VIDEO"]),
        {
            "image_generation": "generationConfig.responseModalities[0]",
            "audio_out": "generationConfig.responseModalities[0]",
        },
    ),
    (
        config(speechConfig={"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}}),
        {"audio_out": "generationConfig.speechConfig"},
    ),
    (
        config(speech_config={"voice_config": {"voice": "voices/mine"}}),
        {
            "audio_out": "generationConfig.speech_config",
            "stored_state": "generationConfig.speech_config.voice_config.voice",
        },
    ),
    (config(imageConfig={}), {"image_generation": "generationConfig.imageConfig"}),
    (config(responseFormat=[{"text": {"schema": {}}}]), {}),
    (
        config(responseFormat=[{"image": {"delivery": "URI"}}]),
        {
            "image_generation": "generationConfig.responseFormat[0].image",
            "stored_state": "generationConfig.responseFormat[0].image.delivery",
        },
    ),
    (
        config(responseFormat={"video": {"delivery": "INLINE"}}),
        {
            "image_generation": "generationConfig.responseFormat.video",
            "audio_out": "generationConfig.responseFormat.video",
        },
    ),
    (config(newKnob=1), {"unknown_fields": "generationConfig.newKnob"}),
]


@pytest.mark.parametrize(("members", "expected"), NEEDS, ids=[json.dumps(case[0])[:70] for case in NEEDS])
def test_finds_what_an_ask_needs_and_where(members: dict[str, Any], expected: dict[str, str]) -> None:
    ask = read(**members)
    assert dict(ask.places) == expected
    assert ask.needs == expected.keys()
    request = {"model": "models/gemini-x", **HELLO, **members}
    counted = gemini.read_ask("count_tokens", json.dumps({"generateContentRequest": request}).encode(), [], NAMED)
    assert counted.needs == expected.keys()


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"contents": None}, "bad_request", "`contents` must be given"),
    ({"contents": "hello"}, "bad_request", "`contents` must be an object"),
    ({"contents": [5]}, "bad_request", "`contents[0]`"),
    (parts("hello"), "bad_request", "`contents[0].parts[0]`"),
    (parts({"fileData": "gs://x"}), "bad_request", "`contents[0].parts[0].fileData`"),
    (parts({"fileData": {"fileUri": 5}}), "bad_request", "fileUri` must be a string"),
    ({"model": "models/gemini-y"}, "bad_request", "`model` names another model than the path"),
    ({"model": 5}, "bad_request", "`model` must be a string"),
    (config(maxOutputTokens="5"), "bad_request", "`generationConfig.maxOutputTokens`"),
    (config(max_output_tokens=-5), "bad_request", "`generationConfig.maxOutputTokens`"),
    (config(maxOutputTokens=1, candidateCount=0), "bad_request", "`generationConfig.candidateCount`"),
    ({"modelArmorConfig": {}}, "unknown_field", "`modelArmorConfig` is not carried"),
    ({"output_config": {"output_uri_prefix": "gs://x"}}, "unknown_field", "`output_config` is not carried"),
    (config(routingConfig={}), "unknown_field", "`generationConfig.routingConfig` is not carried"),
    (config(model_config={}), "unknown_field", "`generationConfig.model_config` is not carried"),
    (config(responseFormat={"video": {"gcs_uri": "gs://x"}}), "unknown_field", "gcs_uri` is not carried"),
    (tool(googleMaps={"authConfig": {"apiKey": "k"}}), "unknown_field", "`tools[0].googleMaps.authConfig`"),
    (tool(retrieval={"external_api": {"endpoint": "http://x"}}), "unknown_field", "`tools[0].retrieval.external_api`"),
    (tool(exa_ai_search={"api_key": "k"}), "unknown_field", "`tools[0].exa_ai_search.api_key`"),
    # Two spellings, and spellings that are neither.
    (tool(googleSearch=None, google_search={}), "bad_request", "stands there twice"),
    (parts({"fileData": {"fileUri": "files/a", "file_uri": "gs://x"}}), "bad_request", "stands there twice"),
    ({"generation_config": {}, "generationConfig": {}}, "bad_request", "stands there twice"),
    (tool(Googlesearch={}), "unknown_field", "`tools[0].Googlesearch` is spelled otherwise: `googleSearch`"),
    (tool(google_Search={}), "unknown_field", "spelled otherwise"),
    (tool(**{"google-search": {}}), "unknown_field", "spelled otherwise"),
    (parts({"FileData": {"fileUri": "gs://x"}}), "unknown_field", "spelled otherwise"),
    ({"CachedContent": "x"}, "unknown_field", "spelled otherwise"),
    ({"cached__content": "x"}, "unknown_field", "spelled otherwise"),
]


@pytest.mark.parametrize(("members", "reason", "says"), REFUSED, ids=[json.dumps(case[0])[:70] for case in REFUSED])
def test_refuses_naming_the_place(members: dict[str, Any], reason: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        read(**members)
    assert (refused.value.reason, refused.value.status) == (reason, 400)
    assert says in refused.value.text


def paths() -> list[tuple[str, ...]]:
    """The way to every member that is not inert, through the messages that hold it."""
    found: list[tuple[str, ...]] = []
    stack: list[tuple[str, tuple[str, ...], frozenset[str]]] = [("GenerateContentRequest", (), frozenset())]
    while stack:
        message, way, above = stack.pop()
        for name, member in GEMINI[message].items():
            here = (*way, name)
            if not member.rule.inert or member.reads in ("file", "tool_type", "modality", "video"):
                found.append(here)
            if member.inside and member.inside not in above:
                stack.append((member.inside, here, above | {message}))
    return found


def value_at(way: tuple[str, ...], spelled: list[bool], wrapped: list[bool]) -> Any:
    """A body that has something at the end of a way, each member in one of its spellings, alone or in an array."""
    value: Any = "http://example.com/x" if way[-1] == "fileUri" else 77
    if GEMINI_MEMBERS[way].inside:
        value = {}
    for step, name in reversed(list(enumerate(way))):
        one = [value] if wrapped[step % len(wrapped)] and type(value) is dict else value
        value = {(snake(name) if spelled[step % len(spelled)] else name): one}
    return value


def members_by_way() -> dict[tuple[str, ...], Any]:
    found = {}
    for way in paths():
        message, member = "GenerateContentRequest", None
        for name in way:
            member = GEMINI[message][name]
            message = member.inside
        found[way] = member
    return found


GEMINI_MEMBERS = members_by_way()
flags = st.lists(st.booleans(), min_size=1, max_size=6)


@given(st.sampled_from(sorted(GEMINI_MEMBERS)), flags, flags)
def test_nothing_hides_behind_a_spelling_or_an_array(
    way: tuple[str, ...], spelled: list[bool], wrapped: list[bool]
) -> None:
    member = GEMINI_MEMBERS[way]
    body = {**HELLO, **value_at(way, spelled, wrapped)}
    try:
        ask = gemini.read_ask("chat", json.dumps(body).encode(), [], NAMED)
    except Refused as refused:
        assert refused.reason in ("unknown_field", "bad_request")
        return
    assert ask.needs, way
    if member.rule.capability:
        assert member.rule.capability in ask.needs


def test_objects_and_fetches_are_named() -> None:
    ask = read(
        cachedContent="cachedContents/c",
        tools=[
            {"fileSearch": {"fileSearchStoreNames": ["fileSearchStores/a", "fileSearchStores/b"]}},
            {"mcpServers": [{"streamableHttpTransport": {"url": "https://mcp.example/x"}}]},
            {"retrieval": {"vertexAiSearch": {"datastore": "projects/p/d"}}},
        ],
        **parts(
            {"fileData": {"fileUri": FILE}},
            {"fileData": {"fileUri": "gs://b/o"}},
            {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}},
        ),
    )
    assert set(ask.objects) == {
        ("files/abc-1", "contents[0].parts[0].fileData.fileUri"),
        ("cachedContents/c", "cachedContent"),
        ("fileSearchStores/a", "tools[0].fileSearch.fileSearchStoreNames[0]"),
        ("fileSearchStores/b", "tools[0].fileSearch.fileSearchStoreNames[1]"),
        ("projects/p/d", "tools[2].retrieval.vertexAiSearch.datastore"),
    }
    assert set(ask.fetches) == {
        ("gs://b/o", "contents[0].parts[1].fileData.fileUri"),
        ("https://www.youtube.com/watch?v=1", "contents[0].parts[2].fileData.fileUri"),
        ("https://mcp.example/x", "tools[1].mcpServers[0].streamableHttpTransport.url"),
    }


@pytest.mark.parametrize(
    "uri",
    [
        "https://GENERATIVELANGUAGE.googleapis.com/v1beta/files/abc",
        "https://generativelanguage.googleapis.com:443/v1beta/files/abc",
        "https://generativelanguage.googleapis.com./v1beta/files/abc",
        "https://generativelanguage.googleapis.com/v1beta/files/abc?alt=media",
        "https://generativelanguage.googleapis.com/v1beta//files/abc",
        "http://generativelanguage.googleapis.com/v1beta/files/abc",
        "https://u@generativelanguage.googleapis.com/v1beta/files/abc",
        "https://generativelanguage%2Egoogleapis.com/v1beta/files/abc",
        "HTTPS://example.com/x",
        "files/ABC/../x",
        "Files/abc",
        "abc",
    ],
)
def test_a_uri_too_odd_to_tell_needs_both(uri: str) -> None:
    ask = read(**parts({"fileData": {"fileUri": uri}}))
    assert ask.needs == {"files_by_id", "images_by_url"}
    assert [one for one, _ in ask.objects] == [one for one, _ in ask.fetches] == [uri]


@pytest.mark.parametrize("uri", ["files/abc\n", " files/abc", "files/\u0430bc", "", "files/" + "a" * 300])
def test_a_uri_that_is_no_name_at_all_is_refused(uri: str) -> None:
    with pytest.raises(Refused, match="visible ASCII"):
        read(**parts({"fileData": {"fileUri": uri}}))


def test_the_output_cap_is_that_of_all_candidates() -> None:
    assert read(**config(maxOutputTokens=5)).output_cap == 5
    assert read(generation_config={"max_output_tokens": 5, "candidateCount": 3}).output_cap == 15
    assert read(**config(candidateCount=3)).output_cap is None


# Where the body repeats the model.


def test_the_models_name_is_replaced_wherever_it_is_repeated() -> None:
    named = Named("house/gemini-x")
    request = b'{"model" : "models/house/gemini-x","content":{"parts":[ {"text":"a"}]}, "taskType":"T"}'
    batch = gemini.read_ask("embeddings", b'{"requests":[' + request + b"]}", [], Named("house/gemini-x", batch=True))
    expected = b'{"requests":[{"model":"models/gemini-x","content":{"parts":[ {"text":"a"}]},"taskType":"T"}]}'
    assert gemini.upstream_body(batch, "gemini-x") == expected
    alone = gemini.read_ask("embeddings", request, [], named)
    assert gemini.upstream_body(alone, "gemini-x") == expected[13:-2]
    inner = b'{"generateContentRequest":{"model":"house/gemini-x","contents":[{"parts":{"text":"a"}}]}}'
    counted = gemini.read_ask("count_tokens", inner, [], named)
    assert gemini.upstream_body(counted, "gemini-x") == inner.replace(b"house/gemini-x", b"models/gemini-x")
    tuned = gemini.read_ask("chat", b'{"model":"tunedModels/t","contents":[{}]}', [], Named("tunedModels/t"))
    assert gemini.upstream_body(tuned, "tunedModels/t") == b'{"model":"tunedModels/t","contents":[{}]}'
    single = gemini.read_ask("embeddings", b'{"requests":' + request + b"}", [], Named("house/gemini-x", batch=True))
    assert gemini.upstream_body(single, "g") == b'{"requests":' + expected[13:-2].replace(b"gemini-x", b"g") + b"}"


@pytest.mark.parametrize(
    ("operation", "batch", "body"),
    [
        ("embeddings", True, {"requests": [{"model": "models/gemini-y", "content": {}}]}),
        ("embeddings", False, {"model": "gemini-y", "content": {}}),
        ("count_tokens", False, {"generateContentRequest": {"model": "models/gemini-y", "contents": []}}),
        ("count_tokens", False, {"generate_content_request": {"model": "models/models/gemini-x", "contents": []}}),
    ],
)
def test_a_body_that_names_another_model_is_refused(operation: Operation, batch: bool, body: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="another model than the path"):
        gemini.read_ask(operation, json.dumps(body).encode(), [], Named("gemini-x", batch=batch))


def test_each_operation_wants_its_own_body() -> None:
    for operation, batch in (("count_tokens", False), ("embeddings", False), ("embeddings", True)):
        with pytest.raises(Refused, match="must be given"):
            gemini.read_ask(operation, b"{}", [], Named("m", batch=batch))  # type: ignore[arg-type]
    with pytest.raises(Refused, match="no operation"):
        gemini.read_ask("responses", b"{}", [], NAMED)


# Replies.

FIGURES = {
    "promptTokenCount": 10,
    "toolUsePromptTokenCount": 2,
    "cachedContentTokenCount": 4,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 3,
    "totalTokenCount": 20,
}


def test_reads_replies() -> None:
    said = {"candidates": [{"finishReason": "STOP"}], "usageMetadata": FIGURES, "modelVersion": "gemini-x-001"}
    facts = gemini.read_reply(json.dumps(said).encode())
    assert facts == ReplyFacts(Usage(12, 8, cached=4, reasoning=3), "STOP", "gemini-x-001")
    blocked = b'{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":3,"totalTokenCount":3}}'
    assert gemini.read_reply(blocked) == ReplyFacts(Usage(3, 0), "SAFETY")
    assert gemini.read_reply(b'{"totalTokens":14}', "count_tokens") == ReplyFacts(Usage())
    assert gemini.read_reply(b'{"embeddings":[{}]}', "embeddings") == ReplyFacts(None)
    embedded = b'{"embedding":{"values":[1]},"usageMetadata":{"promptTokenCount":6}}'
    assert gemini.read_reply(embedded, "embeddings") == ReplyFacts(Usage(6, 0))


@pytest.mark.parametrize(
    ("body", "operation", "reason"),
    [
        (b"<html>", "chat", "upstream_malformed"),
        (b"[]", "chat", "upstream_malformed"),
        (b"{}", "chat", "upstream_malformed"),
        (b'{"candidates":{}}', "chat", "upstream_malformed"),
        (b'{"error":{"code":500}}', "chat", "upstream_error"),
        (b'{"totalTokens":"14"}', "count_tokens", "upstream_malformed"),
        (b'{"embeddings":5}', "embeddings", "upstream_malformed"),
    ],
)
def test_replies_that_are_none(body: bytes, operation: Operation, reason: str) -> None:
    with pytest.raises(Upstream) as failed:
        gemini.read_reply(body, operation)
    assert failed.value.reason == reason


def test_a_wrong_key_is_not_the_callers_fault() -> None:
    details = [{"reason": "API_KEY_INVALID"}]
    body = json.dumps({"error": {"code": 400, "message": "API key not valid: AIzaSyx", "details": details}}).encode()
    refused = gemini.read_error(400, body)
    assert (refused.reason, refused.status) == ("upstream_unauthorized", 502)
    assert "AIza" not in str(refused)
    for odd in (b'{"error":{"details":[{"reason":["x"]},5]}}', b'{"error":{"details":{}}}', b"[[]]", b"[{}]"):
        assert gemini.read_error(400, odd).reason == "upstream_refused"


@pytest.mark.parametrize(
    ("delay", "expected"), [("34s", 34.0), ("1.5s", 1.5), ("999999s", 3600.0), ("soon", 1.0), (5, 1.0), ("-3s", 1.0)]
)
def test_how_long_to_wait(delay: Any, expected: float) -> None:
    error = {"code": 429, "details": [{"@type": "x/google.rpc.RetryInfo", "retryDelay": delay}]}
    assert gemini.read_error(429, json.dumps({"error": error}).encode()).retry_after == expected


def test_an_error_in_an_array_is_read() -> None:
    """As Gemini's OpenAI endpoint sends it."""
    body = b' [{"error":{"code":404,"message":"models/x is not found"}}]'
    assert "models/x is not found" in openai.read_error(404, body).text


def test_models_pages() -> None:
    page = json.loads(gemini.models_page(("a", "house/b", "tunedModels/c")))
    assert [model["name"] for model in page["models"]] == ["models/a", "models/house/b", "tunedModels/c"]
    assert json.loads(gemini.model_page("a"))["displayName"] == "a"


def test_both_spellings_of_every_member_are_read() -> None:
    for message, members in GEMINI.items():
        for name in members:
            assert {name, snake(name)} <= SPELLED[message].keys()
