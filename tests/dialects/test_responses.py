"""Reading and writing responses: what an ask needs and names, what travels, what a reply says and has kept."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.dialects import responses
from sekimori.dialects.fields_responses import RESPONSES, RESPONSES_ITEMS
from sekimori.errors import Refused, Upstream
from sekimori.terms import Ask, Named, Usage
from tests.dialects.test_openai import values

HELLO: dict[str, Any] = {"model": "gpt-x", "input": "hello"}
IMAGE = "data:image/png;base64,iVBORw0KGgo="


def read(**members: Any) -> Ask:
    return responses.read_ask("responses", json.dumps({**HELLO, **members}).encode(), [])


def items(*given: Any) -> dict[str, Any]:
    return {"input": list(given)}


def content(*parts: Any) -> dict[str, Any]:
    return items({"role": "user", "content": list(parts)})


def tool(**members: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "name": "f", "parameters": {}}, members]}


def test_reads_a_plain_ask() -> None:
    body = json.dumps({**HELLO, "stream": True, "max_output_tokens": 7}).encode()
    ask = responses.read_ask("responses", body, [(b"openai-organization", b"org-1")])
    assert (ask.dialect, ask.operation, ask.model, ask.stream) == ("openai", "responses", "gpt-x", True)
    assert (ask.needs, ask.places, ask.headers, ask.output_cap) == (frozenset(), (), (), 7)
    assert (ask.objects, ask.fetches, ask.size) == ((), (), len(body))
    assert responses.read_ask("responses", body, [], Named(model="deployed")).model == "deployed"


NEEDS: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"store": False}, {}),
    ({"store": None}, {}),
    ({"store": True}, {"stored_state": "store"}),
    ({"store": "false"}, {"stored_state": "store"}),
    ({"metadata": {"a": "b"}, "include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low"}}, {}),
    ({"include": ["something.new"]}, {"unknown_fields": "include=something.new"}),
    ({"background": False, "background_options": {}}, {}),
    ({"background": True}, {"background": "background"}),
    ({"background_options": {"completion_window": "8h"}}, {"background": "background_options"}),
    ({"service_tier": "flex"}, {}),
    ({"service_tier": "ultrafast"}, {"priority_tier": "service_tier"}),
    ({"context_management": [{"type": "compaction", "compact_threshold": 9}]}, {}),
    ({"context_management": [{"type": "new"}]}, {"unknown_fields": "context_management[0]"}),
    ({"no_such_field": 1}, {"unknown_fields": "no_such_field"}),
    # Content.
    (content({"type": "input_text", "text": "http://example.com/"}), {}),
    (content({"type": "input_image", "image_url": IMAGE, "detail": "auto"}), {}),
    (content({"type": "input_file", "file_data": "JVBERi0xLjQ=", "filename": "a"}), {}),
    (content({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}), {}),
    (content({"type": "new", "x": 1}), {"unknown_fields": "input[0].content[0].type=new"}),
    (content({"type": "input_text", "text": "a", "url": "x"}), {"unknown_fields": "input[0].content[0].url"}),
    (
        content({"type": "input_audio", "input_audio": {"data": "A", "url": "x"}}),
        {"unknown_fields": "input[0].content[0].input_audio.url"},
    ),
    # Items that hold what they are.
    (items({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}), {}),
    (
        items({"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "x"}]}),
        {},
    ),
    (items({"type": "compaction", "id": "c", "encrypted_content": "x"}, {"type": "compaction_trigger"}), {}),
    (items({"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}"}), {}),
    (items({"type": "function_call_output", "call_id": "c", "output": "x"}), {}),
    (items({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": "x"}), {}),
    (
        items(
            {
                "type": "message", "id": "m", "role": "assistant",
                "content": [{"type": "output_text", "text": "x", "annotations": [
                    {"type": "file_citation", "file_id": "f", "filename": "f", "index": 1}]}],
            }
        ),
        {},
    ),
    (items({"type": "new", "x": 1}), {"unknown_fields": "input[0].type=new"}),
    (items({"type": "function_call", "call_id": "c", "url": "x"}), {"unknown_fields": "input[0].url"}),
    # Items of the provider's own tools.
    (items({"type": "web_search_call", "id": "w", "status": "completed"}), {"web_search": "input[0]"}),
    (items({"type": "file_search_call", "id": "w", "queries": []}), {"file_search": "input[0]"}),
    (items({"type": "mcp_call", "id": "m", "name": "n"}), {"remote_mcp": "input[0]"}),
    (items({"type": "mcp_approval_response", "approval_request_id": "a", "approve": True}), {"remote_mcp": "input[0]"}),
    (items({"type": "program", "id": "p", "code": "x"}), {"code_interpreter": "input[0]"}),
    (items({"type": "local_shell_call_output", "id": "l", "output": "x"}), {"computer_use": "input[0]"}),
    (
        items({"type": "additional_tools", "role": "developer", "tools": [{"type": "web_search"}]}),
        {"web_search": "input[0].tools[0].type"},
    ),
    (
        items({"type": "tool_search_output", "call_id": "c", "tools": [{"type": "mcp", "server_label": "s"}]}),
        {"remote_mcp": "input[0].tools[0].type"},
    ),
    # Tools and choices.
    (tool(type="custom", name="c", format={"type": "text"}), {}),
    (tool(type="tool_search"), {}),
    (tool(type="namespace", name="n", tools=[{"type": "function", "name": "f"}]), {}),
    (
        tool(type="namespace", name="n", tools=[{"type": "code_interpreter", "container": {"type": "auto"}}]),
        {"code_interpreter": "tools[1].tools[0].type"},
    ),
    (tool(type="web_search_2025_08_26"), {"web_search": "tools[1].type"}),
    (tool(type="programmatic_tool_calling"), {"code_interpreter": "tools[1].type"}),
    (tool(type="image_generation", model="gpt-image-2"), {"image_generation": "tools[1].type"}),
    (tool(type="computer"), {"computer_use": "tools[1].type"}),
    (tool(type="shell", environment={"type": "local"}), {"computer_use": "tools[1].type"}),
    (tool(type="function_20260101", name="f"), {"unknown_tools": "tools[1].type=function_20260101"}),
    (tool(type="something_new"), {"unknown_tools": "tools[1].type=something_new"}),
    (tool(type="web_search", url="x"), {"web_search": "tools[1].type", "unknown_fields": "tools[1].url"}),
    ({"tool_choice": "auto"}, {}),
    ({"tool_choice": {"type": "function", "name": "f"}}, {}),
    ({"tool_choice": {"type": "web_search_preview"}}, {"web_search": "tool_choice.type"}),
    (
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "server_label": "x"}]}},
        {"remote_mcp": "tool_choice.tools[0].type"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("members", "expected"), NEEDS, ids=[json.dumps(case[0])[:70] for case in NEEDS])
def test_finds_what_an_ask_needs_and_where(members: dict[str, Any], expected: dict[str, str]) -> None:
    ask = read(**members)
    assert dict(ask.places) == expected
    assert ask.needs == expected.keys()
    assert (ask.objects, ask.fetches) == ((), ())


NAMED: list[tuple[dict[str, Any], set[str], list[tuple[str, str]], list[tuple[str, str]]]] = [
    ({"previous_response_id": "resp_1"}, {"stored_state"}, [("resp_1", "previous_response_id")], []),
    ({"conversation": "conv_1"}, {"stored_state"}, [("conv_1", "conversation")], []),
    ({"conversation": {"id": "conv_1"}}, {"stored_state"}, [("conv_1", "conversation.id")], []),
    (
        {"prompt": {"id": "pmpt_1", "variables": {"a": "x", "b": {"type": "input_image", "file_id": "file_1"}}}},
        {"stored_state", "files_by_id"},
        [("pmpt_1", "prompt.id"), ("file_1", "prompt.variables.b.file_id")],
        [],
    ),
    (
        {"prompt_cache_options": {"comparison_response_id": "resp_1"}},
        {"stored_state"},
        [("resp_1", "prompt_cache_options.comparison_response_id")],
        [],
    ),
    (items({"type": "item_reference", "id": "msg_1"}), {"stored_state"}, [("msg_1", "input[0].id")], []),
    (items({"id": "msg_1"}), {"stored_state"}, [("msg_1", "input[0].id")], []),
    # Items whose content the provider would look up by their id.
    (items({"type": "reasoning", "id": "rs_1", "summary": []}), {"stored_state"}, [("rs_1", "input[0].id")], []),
    (
        items({"type": "reasoning", "id": "rs_1", "content": [], "encrypted_content": ""}),
        {"stored_state"},
        [("rs_1", "input[0].id")],
        [],
    ),
    (
        items({"type": "image_generation_call", "id": "ig_1"}),
        {"image_generation", "stored_state"},
        [("ig_1", "input[0].id")],
        [],
    ),
    (
        content({"type": "input_image", "image_url": "https://example.com/x.png"}),
        {"images_by_url"},
        [],
        [("https://example.com/x.png", "input[0].content[0].image_url")],
    ),
    (
        content({"type": "input_file", "file_url": "http://169.254.169.254/", "file_id": "file_1"}),
        {"images_by_url", "files_by_id"},
        [("file_1", "input[0].content[0].file_id")],
        [("http://169.254.169.254/", "input[0].content[0].file_url")],
    ),
    (
        content({"type": "input_file", "file_data": "https://x/"}),
        {"images_by_url"},
        [],
        [("https://x/", "input[0].content[0].file_data")],
    ),
    (
        items({"type": "function_call_output", "output": [{"type": "input_image", "image_url": "x:y"}]}),
        {"images_by_url"},
        [],
        [("x:y", "input[0].output[0].image_url")],
    ),
    (
        items({"type": "computer_call_output", "call_id": "c",
               "output": {"type": "computer_screenshot", "image_url": "http://x/"}}),
        {"computer_use", "images_by_url"},
        [],
        [("http://x/", "input[0].output.image_url")],
    ),
    (
        items({"type": "code_interpreter_call", "id": "ci", "container_id": "cntr_1",
               "outputs": [{"type": "image", "url": "http://x/"}]}),
        {"code_interpreter", "images_by_url"},
        [("cntr_1", "input[0].container_id")],
        [("http://x/", "input[0].outputs[0].url")],
    ),
    (
        items({"type": "shell_call", "environment": {"type": "container_reference", "container_id": "n"}}),
        {"computer_use", "code_interpreter"},
        [("n", "input[0].environment.container_id")],
        [],
    ),
    (
        tool(type="file_search", vector_store_ids=["vs_1", "vs_2"]),
        {"file_search"},
        [("vs_1", "tools[1].vector_store_ids[0]"), ("vs_2", "tools[1].vector_store_ids[1]")],
        [],
    ),
    (tool(type="code_interpreter", container="cntr_1"), {"code_interpreter"}, [("cntr_1", "tools[1].container")], []),
    (
        tool(type="code_interpreter", container={"type": "auto", "file_ids": ["file_1"], "network_policy": {
            "type": "allowlist", "allowed_domains": ["example.com"]}}),
        {"code_interpreter", "files_by_id", "web_fetch"},
        [("file_1", "tools[1].container.file_ids[0]")],
        [("https://example.com", "tools[1].container.network_policy.allowed_domains[0]")],
    ),
    (
        tool(type="shell", environment={"type": "container_auto", "skills": [
            {"type": "skill_reference", "skill_id": "sk"}, {"type": "inline", "name": "n"}]}),
        {"computer_use", "code_interpreter", "stored_state"},
        [("sk", "tools[1].environment.skills[0].skill_id")],
        [],
    ),
    (
        tool(type="mcp", server_label="s", server_url="https://mcp.example/", tunnel_id="t"),
        {"remote_mcp", "stored_state"},
        [("t", "tools[1].tunnel_id")],
        [("https://mcp.example/", "tools[1].server_url")],
    ),
    (
        tool(type="image_generation", input_image_mask={"image_url": "http://x/", "file_id": "file_1"}),
        {"image_generation", "images_by_url", "files_by_id"},
        [("file_1", "tools[1].input_image_mask.file_id")],
        [("http://x/", "tools[1].input_image_mask.image_url")],
    ),
    (
        tool(type="function", name="g", parameters={"$ref": "http://x/"}),
        {"images_by_url"},
        [],
        [("http://x/", "tools[1].parameters.$ref")],
    ),
    (
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"$ref": "other.json"}}}},
        {"images_by_url"},
        [],
        [("other.json", "text.format.schema.$ref")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("members", "needs", "objects", "fetches"), NAMED, ids=[json.dumps(case[0])[:70] for case in NAMED]
)
def test_names_every_object_and_url(
    members: dict[str, Any], needs: set[str], objects: list[tuple[str, str]], fetches: list[tuple[str, str]]
) -> None:
    ask = read(**members)
    assert ask.needs == needs
    assert list(ask.objects) == objects
    assert list(ask.fetches) == fetches


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"model": None}, "bad_request", "`model`"),
    ({"input": {"role": "user"}}, "bad_request", "`input`"),
    (items("hello"), "bad_request", "`input[0]`"),
    (items({"role": 5, "content": "x"}), "bad_request", "`input[0].role`"),
    (items({"role": "user"}), "bad_request", "`input[0].content`"),
    (items({"role": "user", "content": {"type": "input_text"}}), "bad_request", "`input[0].content`"),
    (items({"type": ["message"], "role": "user"}), "bad_request", "`input[0].type`"),
    (items({"type": "item_reference"}), "bad_request", "`input[0].id`"),
    (items({}), "bad_request", "`input[0].id`"),
    (items({"type": "item_reference", "id": ["x"]}), "bad_request", "`input[0].id`"),
    (content("text"), "bad_request", "`input[0].content[0]`"),
    (content({"image_url": "http://x/"}), "bad_request", "`input[0].content[0].type`"),
    (content({"type": "input_image", "image_url": {"url": "x"}}), "bad_request", "image_url`"),
    (content({"type": "input_image", "file_id": 5}), "bad_request", "file_id`"),
    (content({"type": "input_audio", "input_audio": "x"}), "bad_request", "input_audio`"),
    (items({"type": "computer_call_output", "call_id": "c", "output": "x"}), "bad_request", "`input[0].output`"),
    ({"tools": ["web_search"]}, "bad_request", "`tools[0]`"),
    ({"tools": [{"name": "f"}]}, "bad_request", "`tools[0].type`"),
    (tool(type="mcp", server_url=["http://x/"]), "bad_request", "server_url`"),
    (tool(type="file_search", vector_store_ids="vs_1"), "bad_request", "`vector_store_ids`"),
    (tool(type="code_interpreter", container=["c"]), "bad_request", "`tools[1].container`"),
    ({"tool_choice": {}}, "bad_request", "`tool_choice.type`"),
    ({"tool_choice": {"type": "allowed_tools", "tools": ["mcp"]}}, "bad_request", "`tool_choice.tools[0]`"),
    ({"include": [5]}, "bad_request", "`include[0]`"),
    ({"prompt": "pmpt_1"}, "bad_request", "`prompt`"),
    ({"prompt": {"version": "1"}}, "bad_request", "`prompt.id`"),
    ({"previous_response_id": 5}, "bad_request", "`previous_response_id`"),
    ({"conversation": []}, "bad_request", "`conversation`"),
    ({"stream": "true"}, "bad_request", "`stream`"),
    ({"max_output_tokens": -1}, "bad_request", "`max_output_tokens`"),
    ({"access_programs": {"cyber": "daybreak_red"}}, "unknown_field", "`access_programs` is not carried"),
    ({"models": ["a"]}, "unknown_field", "`models` is not carried"),
    (
        tool(type="code_interpreter", container={"type": "auto", "network_policy": {
            "type": "allowlist", "domain_secrets": [{"domain": "d", "name": "n", "value": "v"}]}}),
        "unknown_field",
        "domain_secrets` is not carried",
    ),
    # Servers that compare names without regard to case would take these for the real ones.
    ({"Model": "other"}, "unknown_field", "`Model`"),
    ({"Previous_response_id": "x"}, "unknown_field", "`Previous_response_id`"),
    (items({"type": "Item_Reference", "id": "x"}), "unknown_field", "`input[0].type` is spelled otherwise"),
    (items({"type": "reasoning", "encrypted_content": "x", "ID": "rs"}), "unknown_field", "`input[0].ID`"),
    (content({"type": "input_text", "text": "a", "Type": "input_image"}), "unknown_field", "Type`"),
    (tool(type="function", name="f", Type="mcp"), "unknown_field", "`tools[1].Type`"),
    ({"prompt_cache_options": {"Comparison_response_id": "x"}}, "unknown_field", "Comparison_response_id`"),
]  # fmt: skip


@pytest.mark.parametrize(("members", "reason", "says"), REFUSED, ids=[json.dumps(case[0])[:70] for case in REFUSED])
def test_refuses_naming_the_place(members: dict[str, Any], reason: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        read(**members)
    assert (refused.value.reason, refused.value.status) == (reason, 400)
    assert says in refused.value.text


def test_every_item_that_lacks_its_own_content_is_a_reference() -> None:
    for kind, item in RESPONSES_ITEMS.items():
        ask = read(**items({"type": kind, "id": "x_1"})) if item.own or kind == "item_reference" else None
        assert ask is None or ask.objects == (("x_1", "input[0].id"),), kind


# What travels.


@pytest.mark.parametrize("store", [None, "true", "false", "null", "0"])
@pytest.mark.parametrize("stores", [False, True])
def test_nothing_is_kept_for_who_may_not_have_it_kept(store: str | None, stores: bool) -> None:
    inner = "" if store is None else f',"store":{store}'
    ask = responses.read_ask("responses", f'{{"model":"m","input":"x"{inner}}}'.encode(), [])
    sent = msgspec.json.decode(responses.upstream_body(ask, "m", stores=stores), type=dict[str, msgspec.Raw])
    told = bytes(sent["store"]).decode() if "store" in sent else None
    assert told == (store if stores else "false")


JUDGED = {"model", "input", "stream", "tools", "tool_choice", "include", "context_management", "max_output_tokens",
          "previous_response_id", "conversation", "prompt", "prompt_cache_options"}  # fmt: skip
LISTED = [name for name, rule in RESPONSES.items() if not rule.refused and name not in JUDGED]


@given(
    st.dictionaries(
        st.sampled_from(LISTED) | st.text(min_size=22).filter(lambda name: name not in JUDGED), values, max_size=6
    ),
    st.booleans(),
    st.booleans(),
    st.text(min_size=1, max_size=20),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n ")]),
)
def test_every_other_member_travels_byte_for_byte(
    members: dict[str, Any], stream: bool, stores: bool, model: str, separators: tuple[str, str]
) -> None:
    whole = {**members, "model": "gpt-x", "input": [{"role": "user", "content": "ä\u2028"}], "stream": stream}
    try:
        body = json.dumps(whole, separators=separators).encode()
        ask = responses.read_ask("responses", body, [])
    except Refused:
        return  # a lone surrogate, or a name that case-folds to a known one
    raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    sent, came = raw(responses.upstream_body(ask, model, stores=stores)), raw(body)
    assert json.loads(bytes(sent.pop("model"))) == model
    came.pop("model")
    if not stores:
        assert bytes(sent.pop("store")) == b"false"
        came.pop("store", None)
    assert list(sent) == list(came)
    assert {name: bytes(value) for name, value in sent.items()} == {name: bytes(value) for name, value in came.items()}


# Replies.


def reply(**members: Any) -> bytes:
    message = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}
    whole = {"id": "resp_1", "object": "response", "status": "completed", "model": "gpt-x-1", "error": None}
    return json.dumps({**whole, "output": [message], **members}).encode()


FIGURES = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}


def test_reads_a_reply() -> None:
    assert responses.read_reply(reply(usage=FIGURES)) == responses.ReplyFacts(Usage(5, 2), "completed", "gpt-x-1")
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "usage": None}
    assert responses.read_reply(reply(**cut)) == responses.ReplyFacts(None, "max_output_tokens", "gpt-x-1")
    queued = reply(status="queued", background=True, output=[], usage=None)
    assert responses.read_reply(queued).finish == "queued"


@pytest.mark.parametrize("usage", [None, {}, [], "many", {"input_tokens": -1, "output_tokens": 1}])
def test_a_reply_whose_usage_cannot_be_believed_has_none(usage: Any) -> None:
    assert responses.read_reply(reply(usage=usage)).usage is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"{}", b'{"output":{}}', b'{"output":[', b"[" * 5000, b'{"a":"\xff"}']
)
def test_what_is_no_reply_is_malformed(body: bytes) -> None:
    with pytest.raises(Upstream) as failed:
        responses.read_reply(body)
    assert failed.value.reason == "upstream_malformed"


FAILED: list[tuple[Any, str]] = [
    ({"code": "rate_limit_exceeded", "message": "org-secret-1"}, "upstream_rate_limited"),
    ({"code": "server_error", "message": "org-secret-1"}, "upstream_error"),
    ({"code": "vector_store_timeout"}, "upstream_error"),
    ({"code": "something_new"}, "upstream_error"),
    ({"code": ["x"]}, "upstream_error"),
    ("sorry", "upstream_error"),
    (None, "upstream_error"),
    ({"code": "invalid_image_url", "message": "It is at org-secret-1."}, "upstream_refused"),
    ({"code": "invalid_prompt", "message": 5}, "upstream_refused"),
]


@pytest.mark.parametrize(("error", "reason"), FAILED)
def test_a_response_that_failed_with_200_is_a_failure(error: Any, reason: str) -> None:
    bodies = [reply(status="failed", error=error, output=[])]
    if error is not None:
        bodies.append(json.dumps({"error": error}).encode())
    for body in bodies:
        with pytest.raises(Upstream) as failed:
            responses.read_reply(body)
        assert failed.value.reason == reason
        assert "org-secret" not in str(failed.value)


# What the provider keeps from now on.

CONTAINER = {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1", "code": "x"}
MADE = {"type": "container_file_citation", "container_id": "cntr_2", "file_id": "cfile_1"}
CITED = {"type": "file_citation", "file_id": "file_9"}
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "content": [{"type": "output_text", "text": "x", "annotations": [MADE, CITED]}],
}
MINTED: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"store": True}, ("resp_1", "msg_1")),
    ({"store": False}, ()),
    ({"store": None}, ()),
    ({"store": "true"}, ()),
    ({}, ()),
    ({"store": False, "conversation": {"id": "conv_1"}}, ("conv_1",)),
    ({"store": False, "conversation": "conv_1"}, ("conv_1",)),
    ({"store": False, "output": [CONTAINER, MESSAGE]}, ("cntr_1", "cntr_2", "cfile_1")),
    ({"store": True, "output": [CONTAINER, MESSAGE]}, ("resp_1", "ci_1", "cntr_1", "msg_1", "cntr_2", "cfile_1")),
    (
        {"output": [{"type": "shell_call", "environment": {"type": "container_reference", "container_id": "c"}}]},
        ("c",),
    ),
    # What cannot be an id, or is too much to be looked through.
    ({"store": True, "id": "a b", "output": []}, ()),
    ({"store": True, "id": "é", "output": []}, ()),
    ({"store": True, "id": "x" * 257, "output": []}, ()),
    ({"store": True, "id": ["x"], "output": [5]}, ()),
    ({"store": True, "output": [{"id": "m", "result": "x" * responses.MINTED_READ}]}, ("resp_1",)),
    ({"store": True, "output": [{"id": f"m{number}"} for number in range(500)]},
     ("resp_1", *(f"m{number}" for number in range(responses.MOST_MINTED - 1)))),
]  # fmt: skip


@pytest.mark.parametrize(("members", "expected"), MINTED, ids=[json.dumps(case[0])[:60] for case in MINTED])
def test_ids_of_what_the_provider_keeps(members: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert responses.read_reply(reply(**members)).minted == expected


@pytest.mark.parametrize("filling", [b"{},", b'{"a":0},', b"[],", b"0,", b'"container_id",'])
def test_what_a_provider_sends_is_not_multiplied_in_memory(filling: bytes) -> None:
    many = b"[" + filling * ((4 << 20) // len(filling)) + b"0]"
    some = b'[{"id":"x","content":[' + b"{}," * (responses.MINTED_READ // 4) + b"{}]}]"
    tracemalloc.start()
    try:
        body = b'{"store":true,"output":' + many + b',"usage":' + many + b',"error":' + many + b"}"
        assert responses.read_reply(body).usage is None
        responses.read_reply(b'{"store":true,"output":' + some + b"}")
        stream = responses.Stream()
        whole = b'{"store":true,"output":' + many + b',"usage":null}'
        stream.feed(b'data: {"type":"response.completed","response":' + whole + b"}\n\n")
        assert stream.complete
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * len(many)
