"""Reading and writing the Anthropic dialect: what an ask needs, what travels, what a reply says."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from sekimori.dialects import anthropic
from sekimori.dialects.openai import ReplyFacts
from sekimori.errors import Refused, Upstream
from sekimori.terms import Ask, Headers, Usage

HELLO: dict[str, Any] = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}


def read(headers: Headers | None = None, **members: Any) -> Ask:
    return anthropic.read_ask("chat", json.dumps({**HELLO, **members}).encode(), headers or [])


def content(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(blocks)}]}


def image(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": source}


def document(**source: Any) -> dict[str, Any]:
    return {"type": "document", "source": source}


def result(*blocks: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "t", "content": list(blocks)}


INLINE = image(type="base64", media_type="image/png", data="iVBORw0KGgo=")
LINKED = image(type="url", url="https://example.com/x.png")


def test_reads_a_plain_ask() -> None:
    body = json.dumps({**HELLO, "system": "be kind", "stream": True}).encode()
    ask = anthropic.read_ask("chat", body, [(b"x-api-key", b"k"), (b"anthropic-version", b"2023-06-01")])
    assert (ask.dialect, ask.operation, ask.model, ask.stream) == ("anthropic", "chat", "claude-x", True)
    assert (ask.needs, ask.places, ask.output_cap, ask.size) == (frozenset(), (), 9, len(body))
    assert ask.headers == ((b"anthropic-version", b"2023-06-01"),)
    sent = msgspec.json.decode(anthropic.upstream_body(ask, "claude-y"), type=dict[str, msgspec.Raw])
    assert bytes(sent.pop("model")) == b'"claude-y"'
    assert {name: bytes(raw) for name, raw in sent.items()} == {
        name: bytes(raw) for name, raw in ask.members.items() if name != "model"
    }


NEEDS: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"metadata": {"user_id": "u"}, "thinking": {"type": "adaptive"}, "top_k": 4, "service_tier": "auto"}, {}),
    ({"service_tier": "priority"}, {"priority_tier": "service_tier"}),
    ({"speed": "standard"}, {}),
    ({"speed": "fast"}, {"priority_tier": "speed"}),
    ({"inference_geo": "us"}, {"inference_geo": "inference_geo"}),
    ({"mcp_servers": []}, {}),
    ({"mcp_servers": [{"type": "url", "url": "http://x/", "name": "x"}]}, {"remote_mcp": "mcp_servers"}),
    ({"container": {"skills": [{"type": "anthropic", "skill_id": "pdf"}]}}, {"code_interpreter": "container"}),
    ({"container": "c-1"}, {"code_interpreter": "container", "stored_state": "container"}),
    ({"container": {"id": "c-1"}}, {"code_interpreter": "container", "stored_state": "container"}),
    (
        {"container": {"skills": [{"type": "custom", "skill_id": "s"}]}},
        {"code_interpreter": "container", "stored_state": "container.skills[0]"},
    ),
    ({"thread": {"type": "create"}}, {"stored_state": "thread"}),
    ({"diagnostics": {"previous_message_id": None}}, {}),
    ({"diagnostics": {"previous_message_id": "msg_1"}}, {"stored_state": "diagnostics"}),
    ({"no_such_field": 1}, {"unknown_fields": "no_such_field"}),
    # Blocks and sources.
    (content({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, INLINE), {}),
    (content(LINKED), {"images_by_url": "messages[0].content[0].source"}),
    (content(image(type="file", file_id="file_1")), {"files_by_id": "messages[0].content[0].source"}),
    (content(document(type="base64", media_type="application/pdf", data="AA==")), {}),
    (content(document(type="text", media_type="text/plain", data="http://x/")), {}),
    (content(document(type="url", url="http://10.0.0.1/")), {"images_by_url": "messages[0].content[0].source"}),
    (content(document(type="file", file_id="f")), {"files_by_id": "messages[0].content[0].source"}),
    (
        content(document(type="content", content=[{"type": "text", "text": "a"}, LINKED])),
        {"images_by_url": "messages[0].content[0].source.content[1].source"},
    ),
    (content(document(type="content", content="text")), {}),
    (content(result({"type": "text", "text": "a"}, INLINE)), {}),
    (content(result(INLINE, LINKED)), {"images_by_url": "messages[0].content[0].content[1].source"}),
    (
        content(result(document(type="content", content=[LINKED]))),
        {"images_by_url": "messages[0].content[0].content[0].source.content[0].source"},
    ),
    (content(image(type="gopher", url="x")), {"unknown_fields": "messages[0].content[0].source.type=gopher"}),
    (
        content(image(type="base64", media_type="image/png", data="", url="http://x/")),
        {"unknown_fields": "messages[0].content[0].source.url"},
    ),
    (content({"type": "hologram"}), {"unknown_fields": "messages[0].content[0].type=hologram"}),
    (content({"type": "text", "text": "a", "source": {}}), {"unknown_fields": "messages[0].content[0].source"}),
    (
        content({"type": "container_upload", "file_id": "f"}),
        {"code_interpreter": "messages[0].content[0]", "files_by_id": "messages[0].content[0].file_id"},
    ),
    (
        content({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, role="assistant"),
        {"web_search": "messages[0].content[0].name"},
    ),
    (
        content({"type": "server_tool_use", "id": "s", "name": "rm_rf", "input": {}}, role="assistant"),
        {"unknown_tools": "messages[0].content[0].name"},
    ),
    (
        content({"type": "server_tool_use", "id": "s", "name": ["x"], "input": {}}, role="assistant"),
        {"unknown_tools": "messages[0].content[0].name"},
    ),
    (
        content({"type": "mcp_tool_use", "id": "m", "name": "n", "server_name": "s", "input": {}}),
        {"remote_mcp": "messages[0].content[0]"},
    ),
    (
        content({"type": "web_search_tool_result", "tool_use_id": "t", "content": []}),
        {"web_search": "messages[0].content[0]"},
    ),
    (content({"type": "tool_use", "id": "t", "name": "n", "input": {"url": "http://x/"}}, role="assistant"), {}),
    (content({"type": "thinking", "thinking": "t", "signature": "s"}, role="assistant"), {}),
    (content({"type": "search_result", "source": "http://x/", "title": "t", "content": []}), {}),
    (
        content(
            {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": {"type": "web_fetch_20260318"}}}
        ),
        {"web_fetch": "messages[0].content[0].tool.definition.type"},
    ),
    (
        content({"type": "tool_addition", "tool": {"type": "mcp_toolset_reference", "server_name": "s"}}),
        {"remote_mcp": "messages[0].content[0].tool"},
    ),
    (content({"type": "tool_addition", "tool": {"type": "tool_reference", "name": "n"}}), {}),
    (content({"type": "tool_addition", "tool": "web_search"}), {"unknown_tools": "messages[0].content[0].tool"}),
    (
        content(
            {
                "type": "compaction",
                "tool_changes": [
                    {
                        "type": "tool_addition",
                        "tool": {"type": "tool_definition", "definition": {"type": "code_execution_20260521"}},
                    }
                ],
            }
        ),
        {"code_interpreter": "messages[0].content[0].tool_changes[0].tool.definition.type"},
    ),
    ({"system": [{"type": "text", "text": "a"}]}, {}),
    ({"system": [LINKED]}, {"images_by_url": "system[0].source"}),
    # Tools.
    ({"tools": [{"name": "n", "input_schema": {}}, {"type": "custom", "name": "m", "input_schema": {}}]}, {}),
    ({"tools": [{"type": None, "name": "n", "input_schema": {}}]}, {}),
    ({"tools": [{"name": "n", "input_schema": {}, "server_url": "x"}]}, {"unknown_fields": "tools[0].server_url"}),
    (
        {"tools": [{"name": "n", "input_schema": {"properties": {"a": {"$ref": "http://x/"}}}}]},
        {"images_by_url": "tools[0].input_schema.properties.a.$ref"},
    ),
    (
        {"output_config": {"format": {"type": "json_schema", "schema": {"$ref": "http://x/"}}}},
        {"images_by_url": "output_config.format.schema.$ref"},
    ),
    ({"tools": [{"type": "web_search_20260318", "name": "web_search"}]}, {"web_search": "tools[0].type"}),
    ({"tools": [{"type": "web_fetch_20270101", "name": "web_fetch"}]}, {"web_fetch": "tools[0].type"}),
    ({"tools": [{"type": "code_execution_20260521"}]}, {"code_interpreter": "tools[0].type"}),
    ({"tools": [{"type": "computer_20251124"}]}, {"computer_use": "tools[0].type"}),
    ({"tools": [{"type": "browser_toolset_20260801"}]}, {"computer_use": "tools[0].type"}),
    ({"tools": [{"type": "bash_20250124"}]}, {"computer_use": "tools[0].type"}),
    ({"tools": [{"type": "text_editor_20250728"}]}, {"computer_use": "tools[0].type"}),
    ({"tools": [{"type": "memory_20250818"}]}, {"memory": "tools[0].type"}),
    ({"tools": [{"type": "mcp_toolset", "mcp_server_name": "s"}]}, {"remote_mcp": "tools[0].type"}),
    ({"tools": [{"type": "tool_search_tool_bm25_20251119"}]}, {}),
    ({"tools": [{"type": "custom_20260101"}]}, {"unknown_tools": "tools[0].type=custom_20260101"}),
    ({"tools": [{"type": "something_new"}]}, {"unknown_tools": "tools[0].type=something_new"}),
]


@pytest.mark.parametrize(("members", "expected"), NEEDS, ids=[json.dumps(case[0])[:70] for case in NEEDS])
def test_finds_what_an_ask_needs_and_where(members: dict[str, Any], expected: dict[str, str]) -> None:
    for operation in ("chat", "count_tokens"):
        ask = anthropic.read_ask(operation, json.dumps({**HELLO, **members}).encode(), [])  # type: ignore[arg-type]
        assert dict(ask.places) == expected
        assert ask.needs == expected.keys()


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"model": 5}, "bad_request", "`model`"),
    ({"messages": None}, "bad_request", "`messages`"),
    ({"messages": [5]}, "bad_request", "`messages[0]`"),
    ({"messages": [{"role": None, "content": "x"}]}, "bad_request", "`messages[0].role`"),
    ({"messages": [{"role": "user", "content": {"type": "text"}}]}, "bad_request", "`messages[0].content`"),
    (content(5), "bad_request", "`messages[0].content[0]`"),
    (content({"text": "a"}), "bad_request", "`messages[0].content[0].type`"),
    (content({"type": "image", "source": "http://x/"}), "bad_request", "`messages[0].content[0].source`"),
    (content({"type": "image"}), "bad_request", "`messages[0].content[0].source`"),
    (content(image(url="http://x/")), "bad_request", "`messages[0].content[0].source.type`"),
    ({"system": 5}, "bad_request", "`system`"),
    ({"tools": [{"type": 5}]}, "bad_request", "`tools[0].type`"),
    ({"tools": ["bash"]}, "bad_request", "`tools[0]`"),
    ({"stream": "yes"}, "bad_request", "`stream`"),
    ({"max_tokens": -5}, "bad_request", "`max_tokens`"),
    ({"max_tokens": 1e9}, "bad_request", "`max_tokens`"),
    ({"fallbacks": "default"}, "unknown_field", "`fallbacks` is not carried"),
    ({"fallback_credit_token": "t"}, "unknown_field", "`fallback_credit_token` is not carried"),
    ({"billing_policy": {"bill_to": "user_profile"}}, "unknown_field", "`billing_policy` is not carried"),
    ({"betas": ["x"]}, "unknown_field", "`betas` is not carried"),
    ({"tools": [{"type": "advisor_20260301", "model": "claude-z"}]}, "unknown_field", "`tools[0].type` is not carried"),
    (content({"type": "fallback", "from": {}, "to": {}}), "unknown_field", "is not carried"),
    (content({"type": "server_tool_use", "name": "advisor"}), "unknown_field", "is not carried"),
    ({"Max_Tokens": 10**9}, "unknown_field", "`Max_Tokens`"),
    ({"MCP_servers": [{}]}, "unknown_field", "`MCP_servers`"),
    (
        content({"type": "image", "source": {"type": "Url", "url": "http://x/"}}),
        "unknown_field",
        "type` is spelled otherwise",
    ),
]


@pytest.mark.parametrize(("members", "reason", "says"), REFUSED, ids=[json.dumps(case[0])[:70] for case in REFUSED])
def test_refuses_naming_the_place(members: dict[str, Any], reason: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        read(**members)
    assert refused.value.reason == reason
    assert refused.value.status == 400
    assert says in refused.value.text


def test_count_tokens_is_never_a_stream() -> None:
    body = json.dumps({**HELLO, "stream": True}).encode()
    assert anthropic.read_ask("count_tokens", body, []).stream is False


# Headers.


def betas(*values: bytes) -> Headers:
    return [(b"anthropic-beta", value) for value in values]


def test_known_betas_travel_once_each() -> None:
    ask = read(betas(b"pdfs-2024-09-25, context-1m-2025-08-07", b"pdfs-2024-09-25,"))
    assert ask.headers == ((b"anthropic-beta", b"pdfs-2024-09-25,context-1m-2025-08-07"),)
    assert ask.needs == frozenset()


@pytest.mark.parametrize(
    ("beta", "capability"),
    [
        (b"mcp-client-2025-11-20", "remote_mcp"),
        (b"files-api-2025-04-14", "files_by_id"),
        (b"computer-use-2025-11-24", "computer_use"),
        (b"skills-2025-10-02", "code_interpreter"),
        (b"from-tomorrow-2027-01-01", "unknown_betas"),
    ],
)
def test_a_beta_needs_its_capability(beta: bytes, capability: str) -> None:
    ask = read(betas(b"pdfs-2024-09-25," + beta))
    assert dict(ask.places) == {capability: f"anthropic-beta.{beta.decode()}"}
    assert ask.headers[-1] == (b"anthropic-beta", b"pdfs-2024-09-25," + beta)


@pytest.mark.parametrize(
    "headers",
    [
        betas(b"server-side-fallback-2026-07-01"),
        betas(b"user-profiles-2026-09-04"),
        betas(b"managed-agents-2026-04-01"),
        betas(b"x" * 81),
        betas(b"a b"),
        betas(b"caf\xe9"),
        [(b"anthropic-version", b"2023-01-01")],
        [(b"anthropic-version", b"2023-06-01"), (b"anthropic-version", b"2023-06-01")],
        [(b"anthropic-version", b"2023-06-01\t")],
    ],
)
def test_refuses_headers(headers: Headers) -> None:
    with pytest.raises(Refused) as refused:
        read(headers)
    assert refused.value.reason in ("unknown_field", "bad_request")


def test_no_other_header_travels() -> None:
    others = [b"anthropic-workspace-id", b"anthropic-user-profile-id", b"cookie", b"x-api-key", b"user-agent"]
    assert read([(name, b"x") for name in others]).headers == ()


# Replies.


def test_reads_a_reply() -> None:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 5, "output_tokens": 6}
    body = json.dumps({"content": [], "stop_reason": "end_turn", "model": "m", "usage": usage}).encode()
    assert anthropic.read_reply(body) == ReplyFacts(Usage(12, 6, cached=4, cache_write=5), "end_turn", "m")


def test_counting_uses_nothing() -> None:
    assert anthropic.read_reply(b'{"input_tokens":14}', "count_tokens") == ReplyFacts(Usage())


@pytest.mark.parametrize(
    ("body", "operation", "reason"),
    [
        (b"<html>", "chat", "upstream_malformed"),
        (b"[" * 5000, "chat", "upstream_malformed"),
        (b"{}", "chat", "upstream_malformed"),
        (b'{"content":"x"}', "chat", "upstream_malformed"),
        (b'{"type":"error","error":{"type":"x"}}', "chat", "upstream_error"),
        (b'{"input_tokens":"5"}', "count_tokens", "upstream_malformed"),
        (b'{"input_tokens":true}', "count_tokens", "upstream_malformed"),
    ],
)
def test_what_is_no_reply(body: bytes, operation: Any, reason: str) -> None:
    with pytest.raises(Upstream) as failed:
        anthropic.read_reply(body, operation)
    assert failed.value.reason == reason


def test_models_pages() -> None:
    page = json.loads(anthropic.models_page(("a", "b")))
    assert ([model["id"] for model in page["data"]], page["first_id"], page["last_id"]) == (["a", "b"], "a", "b")
    assert json.loads(anthropic.models_page(()))["first_id"] is None
    assert json.loads(anthropic.model_page("a"))["type"] == "model"
