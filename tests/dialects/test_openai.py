"""Reading and writing the OpenAI dialect: what an ask needs, what travels, what a reply says."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.dialects import openai
from sekimori.dialects.fields import OPENAI_CHAT
from sekimori.dialects.found import lacking
from sekimori.errors import Refused, Upstream
from sekimori.terms import Ask, Usage

HELLO: dict[str, Any] = {"model": "gpt-x", "messages": [{"role": "user", "content": "hello"}]}


def read(**members: Any) -> Ask:
    return openai.read_ask("chat", json.dumps({**HELLO, **members}).encode(), [])


def content(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def tool(**members: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "f"}}, members]}


def schema(parameters: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "f", "parameters": parameters}}]}


IMAGE = "data:image/png;base64,iVBORw0KGgo="


def test_reads_a_plain_ask() -> None:
    body = json.dumps(HELLO).encode()
    ask = openai.read_ask("chat", body, [(b"authorization", b"Bearer x"), (b"openai-organization", b"org-1")])
    assert (ask.dialect, ask.operation, ask.model, ask.stream) == ("openai", "chat", "gpt-x", False)
    assert (ask.needs, ask.places, ask.headers, ask.output_cap) == (frozenset(), (), (), None)
    assert ask.size == len(body)
    assert bytes(ask.members["messages"]) == json.dumps(HELLO["messages"]).encode()


NEEDS: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"store": False}, {}),
    ({"store": None}, {}),
    ({"store": True}, {"stored_state": "store"}),
    ({"store": 1}, {"stored_state": "store"}),
    ({"store": "false"}, {"stored_state": "store"}),
    ({"metadata": {}}, {}),
    ({"metadata": {"a": "b"}}, {"stored_state": "metadata"}),
    ({"service_tier": "flex"}, {}),
    ({"service_tier": "priority"}, {"priority_tier": "service_tier"}),
    ({"service_tier": "fast"}, {"priority_tier": "service_tier"}),
    ({"web_search_options": {}}, {"web_search": "web_search_options"}),
    ({"audio": {"voice": "alloy", "format": "wav"}}, {"audio_out": "audio"}),
    ({"audio": {"voice": {"id": "v"}}}, {"audio_out": "audio", "stored_state": "audio.voice"}),
    ({"background": True}, {"background": "background"}),
    ({"previous_response_id": "r"}, {"stored_state": "previous_response_id"}),
    ({"search_parameters": {"mode": "on"}}, {"web_search": "search_parameters"}),
    ({"plugins": [{"id": "web"}]}, {"web_search": "plugins"}),
    ({"top_k": 3, "min_p": 0.1, "reasoning_effort": "low", "seed": 1}, {}),
    ({"no_such_field": 1}, {"unknown_fields": "no_such_field"}),
    ({"extra_body": {"x": 1}}, {"unknown_fields": "extra_body"}),
    # Content parts.
    (content({"type": "text", "text": "http://example.com/x.png"}), {}),
    (content({"type": "image_url", "image_url": {"url": IMAGE}}), {}),
    (content({"type": "image_url", "image_url": {"url": "DATA:image/png;base64,AA"}}), {}),
    (content({"type": "image_url", "image_url": IMAGE}), {}),
    (
        content({"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}),
        {"images_by_url": "messages[0].content[0].image_url.url"},
    ),
    (
        content({"type": "text", "text": "a"}, {"type": "image_url", "image_url": "http://169.254.169.254/"}),
        {"images_by_url": "messages[0].content[1].image_url.url"},
    ),
    (
        content({"type": "image_url", "image_url": {"url": " data:,x"}}),
        {"images_by_url": "messages[0].content[0].image_url.url"},
    ),
    (
        content({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}),
        {"images_by_url": "messages[0].content[0].image_url.url"},
    ),
    (
        content({"type": "image_url", "image_url": {"url": ""}}),
        {"images_by_url": "messages[0].content[0].image_url.url"},
    ),
    (
        content({"type": "video_url", "video_url": {"url": "ftp://x/"}}),
        {"images_by_url": "messages[0].content[0].video_url.url"},
    ),
    (content({"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a"}}), {}),
    (content({"type": "file", "file": {"file_data": "JVBERi0xLjQ="}}), {}),
    (
        content({"type": "file", "file": {"file_data": "https://example.com/a.pdf"}}),
        {"images_by_url": "messages[0].content[0].file.file_data"},
    ),
    (content({"type": "file", "file": {"file_id": "file-1"}}), {"files_by_id": "messages[0].content[0].file.file_id"}),
    (content({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}), {}),
    (
        content({"type": "input_audio", "input_audio": {"data": "http://x/", "format": "wav"}}),
        {"images_by_url": "messages[0].content[0].input_audio.data"},
    ),
    (
        content({"type": "image_embeds", "image_embeds": "x"}),
        {"unknown_fields": "messages[0].content[0].type=image_embeds"},
    ),
    (
        content({"type": "text", "text": "a", "image_url": {"url": "http://x/"}}),
        {"unknown_fields": "messages[0].content[0].image_url"},
    ),
    (
        content({"type": "image_url", "image_url": {"url": IMAGE, "also": "http://x/"}}),
        {"unknown_fields": "messages[0].content[0].image_url.also"},
    ),
    ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, {"stored_state": "messages[0].audio"}),
    ({"messages": [{"role": "user", "content": "a", "image": "x"}]}, {"unknown_fields": "messages[0].image"}),
    (
        {"prediction": {"type": "content", "content": [{"type": "image_url", "image_url": "http://x/"}]}},
        {"images_by_url": "prediction.content[0].image_url.url"},
    ),
    # Schemas that refer to elsewhere, spelled openly or not.
    (schema({"$ref": "#/$defs/a"}), {}),
    (schema({"$ref": "http://169.254.169.254/"}), {"images_by_url": "tools[0].function.parameters.$ref"}),
    (
        schema({"anyOf": [{}, {"$dynamicRef": "file:///x"}]}),
        {"images_by_url": "tools[0].function.parameters.anyOf[1].$dynamicRef"},
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "other.json"}}}},
        {"images_by_url": "response_format.json_schema.schema.$ref"},
    ),
    ({"guided_json": {"$ref": "http://x/"}}, {"images_by_url": "guided_json.$ref"}),
    ({"messages": [{"role": "user", "content": "$ref: http://x/"}]}, {}),
    # Choices.
    ({"tool_choice": "auto"}, {}),
    ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {}),
    ({"tool_choice": {"type": "mcp", "server_label": "x"}}, {"remote_mcp": "tool_choice.type"}),
    ({"tool_choice": {"type": "new"}}, {"unknown_tools": "tool_choice.type=new"}),
    (
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": [{"type": "web_search"}]}}},
        {"web_search": "tool_choice.allowed_tools.tools[0].type"},
    ),
    # Tools.
    (tool(type="custom", custom={"name": "c"}), {}),
    (tool(type="web_search"), {"web_search": "tools[1].type"}),
    (tool(type="web_search_preview_2026_03_11"), {"web_search": "tools[1].type"}),
    (tool(type="code_interpreter", container={"type": "auto"}), {"code_interpreter": "tools[1].type"}),
    (tool(type="mcp", server_url="http://x/"), {"remote_mcp": "tools[1].type"}),
    (tool(type="file_search"), {"file_search": "tools[1].type"}),
    (tool(type="computer_use_preview"), {"computer_use": "tools[1].type"}),
    (tool(type="image_generation"), {"image_generation": "tools[1].type"}),
    (tool(type="function_20260101", function={}), {"unknown_tools": "tools[1].type=function_20260101"}),
    (tool(type="something_new"), {"unknown_tools": "tools[1].type=something_new"}),
    (tool(type="function", function={}, server_url="http://x/"), {"unknown_fields": "tools[1].server_url"}),
]


@pytest.mark.parametrize(("members", "expected"), NEEDS, ids=[json.dumps(case[0])[:70] for case in NEEDS])
def test_finds_what_an_ask_needs_and_where(members: dict[str, Any], expected: dict[str, str]) -> None:
    ask = read(**members)
    assert dict(ask.places) == expected
    assert ask.needs == expected.keys()


NAMED: list[tuple[dict[str, Any], list[tuple[str, str]], list[tuple[str, str]]]] = [
    (content({"type": "image_url", "image_url": {"url": IMAGE}}), [], []),
    (
        content({"type": "image_url", "image_url": "http://169.254.169.254/"}),
        [],
        [("http://169.254.169.254/", "messages[0].content[0].image_url.url")],
    ),
    (
        content({"type": "file", "file": {"file_data": "https://x/a.pdf"}}),
        [],
        [("https://x/a.pdf", "messages[0].content[0].file.file_data")],
    ),
    (
        content({"type": "file", "file": {"file_id": "file-1"}}),
        [("file-1", "messages[0].content[0].file.file_id")],
        [],
    ),
    (
        {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]},
        [("audio_1", "messages[0].audio.id")],
        [],
    ),
    ({"audio": {"voice": {"id": "voice_1"}}}, [("voice_1", "audio.voice.id")], []),
    ({"previous_response_id": "r"}, [("r", "previous_response_id")], []),
    ({"conversation": {"id": "c"}}, [("c", "conversation.id")], []),
    (schema({"$ref": "http://x/"}), [], [("http://x/", "tools[0].function.parameters.$ref")]),
    (tool(type="mcp", server_url="http://x/"), [], [("http://x/", "tools[1].server_url")]),
    (tool(type="file_search", vector_store_ids=["vs"]), [("vs", "tools[1].vector_store_ids[0]")], []),
    (tool(type="code_interpreter", container="cntr"), [("cntr", "tools[1].container")], []),
]


@pytest.mark.parametrize(("members", "objects", "fetches"), NAMED, ids=[json.dumps(case[0])[:70] for case in NAMED])
def test_names_every_object_and_url(
    members: dict[str, Any], objects: list[tuple[str, str]], fetches: list[tuple[str, str]]
) -> None:
    ask = read(**members)
    assert list(ask.objects) == objects
    assert list(ask.fetches) == fetches


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (content({"type": "file", "file": {"file_id": 5}}), "bad_request", "`messages[0].content[0].file.file_id`"),
    ({"messages": [{"role": "assistant", "audio": {}}]}, "bad_request", "`messages[0].audio.id`"),
    ({"previous_response_id": ["r"]}, "bad_request", "`previous_response_id`"),
    ({"model": None}, "bad_request", "`model`"),
    ({"model": ""}, "bad_request", "`model`"),
    ({"model": 5}, "bad_request", "`model`"),
    ({"model": "x" * 257}, "bad_request", "`model`"),
    ({"model": "gpt\n-x"}, "bad_request", "`model`"),
    ({"messages": None}, "bad_request", "`messages`"),
    ({"messages": "hello"}, "bad_request", "`messages`"),
    ({"messages": {"role": "user"}}, "bad_request", "`messages`"),
    ({"messages": ["hello"]}, "bad_request", "`messages[0]`"),
    ({"messages": [{"content": "x"}]}, "bad_request", "`messages[0].role`"),
    ({"messages": [{"role": "user", "content": 5}]}, "bad_request", "`messages[0].content`"),
    ({"messages": [{"role": "user", "content": {"type": "text"}}]}, "bad_request", "`messages[0].content`"),
    (content("text"), "bad_request", "`messages[0].content[0]`"),
    (content({"image_url": {"url": "http://x/"}}), "bad_request", "`messages[0].content[0].type`"),
    (content({"type": ["image_url"]}), "bad_request", "`messages[0].content[0].type`"),
    (content({"type": "image_url", "image_url": 5}), "bad_request", "`messages[0].content[0].image_url`"),
    (content({"type": "image_url", "image_url": {"url": ["http://x/"]}}), "bad_request", "image_url.url`"),
    ({"tools": {"type": "function"}}, "bad_request", "`tools`"),
    ({"tools": ["web_search"]}, "bad_request", "`tools[0]`"),
    ({"tools": [{"function": {}}]}, "bad_request", "`tools[0].type`"),
    ({"tool_choice": {}}, "bad_request", "`tool_choice.type`"),
    ({"tool_choice": {"type": "allowed_tools"}}, "bad_request", "`tool_choice.allowed_tools`"),
    ({"stream": "true"}, "bad_request", "`stream`"),
    ({"stream": 1}, "bad_request", "`stream`"),
    ({"stream_options": []}, "bad_request", "`stream_options`"),
    ({"stream_options": {"include_usage": 1}}, "bad_request", "`include_usage`"),
    ({"max_tokens": -1}, "bad_request", "`max_tokens`"),
    ({"max_tokens": 1.5}, "bad_request", "`max_tokens`"),
    ({"max_tokens": True}, "bad_request", "`max_tokens`"),
    ({"max_completion_tokens": 10**30}, "bad_request", "`max_completion_tokens`"),
    ({"n": 0}, "bad_request", "`n`"),
    ({"models": ["a", "b"]}, "unknown_field", "`models` is not carried"),
    ({"route": "fallback"}, "unknown_field", "`route` is not carried"),
    ({"data_sources": [{}]}, "unknown_field", "`data_sources` is not carried"),
    # Servers that compare names without regard to case would take these for the real ones.
    ({"Model": "other"}, "unknown_field", "`Model`"),
    ({"MODEL": "other"}, "unknown_field", "`MODEL`"),
    ({"ſtore": True}, "unknown_field", "`ſtore`"),
    (content({"type": "text", "text": "a", "Type": "image_url"}), "unknown_field", "`messages[0].content[0].Type`"),
    (content({"type": "Image_URL", "image_url": "http://x/"}), "unknown_field", "type` is spelled otherwise"),
    ({"messages": [{"role": "user", "Content": "x"}]}, "unknown_field", "`messages[0].Content`"),
    ({"tools": [{"type": "function", "function": {}, "Type": "mcp"}]}, "unknown_field", "`tools[0].Type`"),
]


@pytest.mark.parametrize(("members", "reason", "says"), REFUSED, ids=[json.dumps(case[0])[:70] for case in REFUSED])
def test_refuses_naming_the_place(members: dict[str, Any], reason: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        read(**members)
    assert refused.value.reason == reason
    assert refused.value.status == 400
    assert says in refused.value.text


def test_an_escaped_reference_does_not_hide() -> None:
    body = json.dumps({**HELLO, **schema({"$ref": "http://x/"})}).replace("$ref", "\\u0024r\\u0065f").encode()
    assert openai.read_ask("chat", body, []).needs == {"images_by_url"}


def test_refuses_other_operations() -> None:
    with pytest.raises(Refused, match="unsupported_operation"):
        openai.read_ask("count_tokens", b"{}", [])


def test_a_name_that_cannot_be_printed_is_shown_escaped() -> None:
    ask = read(**{"evil\x1b[2J\n": 1})
    assert dict(ask.places) == {"unknown_fields": "evil\\x1b[2J\\n"}


@pytest.mark.parametrize(
    ("members", "cap"),
    [
        ({}, None),
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 10, "max_completion_tokens": 7}, 10),
        ({"max_tokens": 10, "n": 4}, 40),
        ({"max_tokens": 10, "n": None}, 10),
        ({"max_tokens": 0}, 0),
    ],
)
def test_output_cap_is_the_most_that_may_come(members: dict[str, Any], cap: int | None) -> None:
    assert read(**members).output_cap == cap


def test_lacking_names_place_and_setting() -> None:
    ask = read(**tool(type="mcp"), no_such_field=1)
    refused = lacking(ask.needs, dict(ask.places))
    assert refused.reason == "capability_missing"
    assert "`tools[1].type` needs `remote_mcp`" in refused.text
    assert "remote_mcp, unknown_fields to `capabilities`" in refused.advice
    refused = lacking({"unknown_fields"}, dict(ask.places))
    assert (refused.reason, refused.status) == ("unknown_field", 400)
    assert "`no_such_field`" in refused.text
    assert "unknown_fields" in refused.advice


# What travels.


@pytest.mark.parametrize(
    ("options", "include_usage", "expected"),
    [
        (None, True, b'{"include_usage":true}'),
        ("null", True, b'{"include_usage":true}'),
        ("{}", True, b'{"include_usage":true}'),
        ('{"include_usage" : false}', True, b'{"include_usage":true}'),
        ('{"include_obfuscation" : false }', True, b'{"include_obfuscation":false,"include_usage":true}'),
        ('{ "include_usage" : true }', True, b'{ "include_usage" : true }'),
        ('{ "include_usage" : false }', False, None),
        ('{ "include_usage" : true }', False, None),
        (None, False, None),
    ],
)
def test_asks_for_usage_where_the_caller_did_not(
    options: str | None, include_usage: bool, expected: bytes | None
) -> None:
    inner = "" if options is None else f',"stream_options":{options}'
    ask = openai.read_ask("chat", f'{{"model":"m","messages":[],"stream":true{inner}}}'.encode(), [])
    sent = msgspec.json.decode(openai.upstream_body(ask, "m", include_usage=include_usage), type=dict[str, msgspec.Raw])
    assert (bytes(sent["stream_options"]) if "stream_options" in sent else None) == expected


def test_a_plain_call_is_not_asked_for_usage() -> None:
    assert b"stream_options" not in openai.upstream_body(read(), "m")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
JUDGED = {"model", "messages", "stream", "stream_options", "tools", "prediction", "audio", "max_tokens", "n",
          "max_completion_tokens", "previous_response_id", "conversation"}  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from([name for name, rule in OPENAI_CHAT.items() if not rule.refused and name not in JUDGED])
        | st.text(min_size=12).filter(lambda name: name not in JUDGED),
        values,
    ),
    st.booleans(),
    st.text(min_size=1, max_size=20),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n ")]),
    st.booleans(),
)
def test_every_other_member_travels_byte_for_byte(
    members: dict[str, Any], stream: bool, model: str, separators: tuple[str, str], escaped: bool
) -> None:
    whole = {**members, "model": "gpt-x", "messages": [{"role": "user", "content": "ä\u2028"}], "stream": stream}
    try:
        body = json.dumps(whole, separators=separators, ensure_ascii=escaped).encode()
        ask = openai.read_ask("chat", body, [])
    except (Refused, UnicodeEncodeError):
        return  # a lone surrogate, or a name that case-folds to a known one
    raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    sent = raw(openai.upstream_body(ask, model))
    came = raw(body)
    assert json.loads(bytes(sent.pop("model"))) == model
    came.pop("model")
    if stream:
        assert bytes(sent.pop("stream_options")) == b'{"include_usage":true}'
    assert list(sent) == list(came)
    assert {name: bytes(value) for name, value in sent.items()} == {name: bytes(value) for name, value in came.items()}


# Replies.


def reply(**members: Any) -> bytes:
    message = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    return json.dumps({"id": "c", "model": "gpt-x-1", "choices": [message], **members}).encode()


def test_reads_a_reply() -> None:
    facts = openai.read_reply(reply(usage={"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}))
    assert facts == openai.ReplyFacts(Usage(input=5, output=2), "stop", "gpt-x-1")


@pytest.mark.parametrize("usage", [None, {}, [], "many", {"prompt_tokens": -1, "completion_tokens": 1}])
def test_a_reply_whose_usage_cannot_be_believed_has_none(usage: Any) -> None:
    assert openai.read_reply(reply(usage=usage)).usage is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"{}", b'{"choices":{}}', b'{"choices":[', b"[" * 5000, b'{"a":"\xff"}']
)
def test_what_is_no_reply_is_malformed(body: bytes) -> None:
    with pytest.raises(Upstream) as failed:
        openai.read_reply(body)
    assert failed.value.reason == "upstream_malformed"


def test_an_error_with_200_is_an_error() -> None:
    with pytest.raises(Upstream) as failed:
        openai.read_reply(b'{"error":{"message":"org-secret-1"}}')
    assert failed.value.reason == "upstream_error"
    assert "org-secret" not in str(failed.value)


def test_odd_choices_are_passed_on() -> None:
    assert openai.read_reply(b'{"choices":[5],"model":7,"usage":null}') == openai.ReplyFacts(None)
    assert openai.read_reply(b'{"choices":[]}') == openai.ReplyFacts(None)


def test_models_pages() -> None:
    page = json.loads(openai.models_page(("a", "b/c")))
    assert [model["id"] for model in page["data"]] == ["a", "b/c"]
    assert json.loads(openai.model_page("a"))["object"] == "model"
