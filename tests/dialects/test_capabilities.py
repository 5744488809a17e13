"""Every capability of the closed list is asked for by something, in each place of the registry that names it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sekimori.dialects import anthropic, fields, openai
from sekimori.dialects.fields import CAPABILITIES
from sekimori.errors import Refused
from sekimori.terms import Ask

HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
Found = tuple[str, str, dict[str, Any], list[tuple[bytes, bytes]]]
"""(dialect, capability, members of an ask, headers)."""

# What a member holds that asks for something, where `{"id": "x"}` would be refused for its form.
HOLDS: dict[str, Any] = {
    "mcp_servers": [{"type": "url", "name": "n", "url": "https://x.example/"}],
    "previous_response_id": "resp_1",
    "conversation": "conv_1",
    "container": {"skills": []},
    "thread": {"type": "continue", "previous_message_id": "msg_1"},
    "diagnostics": {"previous_message_id": "msg_1"},
    "audio": {"voice": "alloy", "format": "wav"},
    "background": True,
    "store": True,
}
BLOCKS: dict[str, dict[str, Any]] = {"container_upload": {"file_id": "file_1"}}
SOURCES: dict[str, dict[str, Any]] = {"url": {"url": "https://x.example/"}, "file": {"file_id": "file_1"}}


def said(block: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [block]}]}


def places() -> Iterator[Found]:
    for dialect, table in (("openai", fields.OPENAI_CHAT), ("anthropic", fields.ANTHROPIC_MESSAGES)):
        for name, rule in table.items():
            if rule.capability:
                yield dialect, rule.capability, {name: HOLDS.get(name, {"some": "thing"})}, []
        yield dialect, "unknown_fields", {"no_such_field": 1}, []
        yield dialect, "unknown_tools", {"tools": [{"type": "no_such_tool"}]}, []
    for name, rule in fields.OPENAI_TOOLS.items():
        if rule.capability:
            yield "openai", rule.capability, {"tools": [{"type": name}]}, []
            yield "openai", rule.capability, {"tools": [{"type": f"{name}_2026_01_31"}]}, []
            yield "openai", rule.capability, {"tool_choice": {"type": name}}, []
            chosen = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": name}]}}
            yield "openai", rule.capability, {"tool_choice": chosen}, []
    for name, part in fields.OPENAI_PARTS.items():
        if part.url:
            yield "openai", "images_by_url", said({"type": name, part.url: {"url": "https://x.example/"}}), []
            yield "openai", "files_by_id", said({"type": name, part.url: {"file_id": "file_1"}}), []
    for name, rule in fields.ANTHROPIC_TOOLS.items():
        if rule.capability:
            yield "anthropic", rule.capability, {"tools": [{"type": name, "name": "n"}]}, []
            yield "anthropic", rule.capability, {"tools": [{"type": f"{name}_20260318", "name": "n"}]}, []
            added = {"type": "tool_definition", "definition": {"type": name, "name": "n"}}
            yield "anthropic", rule.capability, said({"type": "tool_addition", "tool": added}), []
    for name, part in fields.ANTHROPIC_BLOCKS.items():
        if part.rule.capability:
            block = {"type": name, **BLOCKS.get(name, {})}
            yield "anthropic", part.rule.capability, said(block), []
            inside = {"type": "tool_result", "tool_use_id": "t", "content": [block]}
            yield "anthropic", part.rule.capability, said(inside), []
            yield "anthropic", part.rule.capability, {"system": [block]}, []
    for name, part in fields.ANTHROPIC_SOURCES.items():
        if part.rule.capability:
            for kind in ("image", "document"):
                shown = {"type": kind, "source": {"type": name, **SOURCES[name]}}
                yield "anthropic", part.rule.capability, said(shown), []
                within = {"type": "document", "source": {"type": "content", "content": [shown]}}
                yield "anthropic", part.rule.capability, said(within), []
    for name, rule in fields.ANTHROPIC_SERVER_TOOLS.items():
        if rule.capability:
            use = {"type": "server_tool_use", "id": "s", "name": name, "input": {}}
            yield "anthropic", rule.capability, said(use), []
    for name, rule in fields.ANTHROPIC_BETAS.items():
        if rule.capability:
            yield "anthropic", rule.capability, {}, [(b"anthropic-beta", name.encode())]
    yield "anthropic", "unknown_betas", {}, [(b"anthropic-beta", b"no-such-beta-2026-01-01")]


def read(dialect: str, members: dict[str, Any], headers: list[tuple[bytes, bytes]]) -> Ask:
    speech = openai if dialect == "openai" else anthropic
    return speech.read_ask("chat", json.dumps({**HELLO, **members}).encode(), headers)


PLACES = list(places())


@pytest.mark.parametrize(
    ("dialect", "capability", "members", "headers"),
    PLACES,
    ids=[f"{one[0]} {one[1]} {json.dumps(one[2])[:60]}{one[3] and one[3][0][1].decode()}" for one in PLACES],
)
def test_a_place_that_needs_a_capability_is_found(
    dialect: str, capability: str, members: dict[str, Any], headers: list[tuple[bytes, bytes]]
) -> None:
    ask = read(dialect, members, headers)
    assert capability in ask.needs
    assert dict(ask.places)[capability]


def test_every_capability_is_asked_for_somewhere() -> None:
    assert {capability for _, capability, _, _ in PLACES} == set(CAPABILITIES)


def test_hosted_tools_hide_nowhere() -> None:
    """In an unknown member, in an unknown tool, below an unknown block: there the unknown is what is asked for."""
    hosted = {"type": "web_search"}
    for dialect in ("openai", "anthropic"):
        for members, need in (
            ({"no_such_field": {"tools": [hosted]}}, "unknown_fields"),
            ({"tools": [{"type": "no_such_tool", "tools": [hosted]}]}, "unknown_tools"),
            (said({"type": "no_such_block", "content": [hosted]}), "unknown_fields"),
            (said({"type": "text", "text": "x", "tools": [hosted]}), "unknown_fields"),
            ({"messages": [{"role": "user", "content": "x", "tools": [hosted]}]}, "unknown_fields"),
        ):
            assert need in read(dialect, members, []).needs


@pytest.mark.parametrize("twin", ["Type", "TYPE", "Server_Url", "CONTAINER", "vector_\u017ftore_ids", "Tools"])
def test_a_twin_in_another_case_is_refused_in_any_tool(twin: str) -> None:
    """Whatever was granted: some servers take it for the member that the registry knows."""
    for dialect in ("openai", "anthropic"):
        for kind in ("no_such_tool", "web_search", "function" if dialect == "openai" else "custom"):
            for members in ({"tools": [{"type": kind, twin: "x"}]}, {"tool_choice": {"type": kind, twin: "x"}}):
                with pytest.raises(Refused, match="spelled otherwise"):
                    read(dialect, members, [])


MINTED: list[tuple[dict[str, Any], list[str]]] = [
    ({"id": "msg_1"}, ["msg_1"]),
    ({"id": "msg_1", "container": {"id": "container_1"}}, ["msg_1", "container_1"]),
    ({"id": "msg_1", "container": None}, ["msg_1"]),
    ({"id": 7, "container": {"id": ["x"]}}, []),
    ({"id": "two words", "container": {"id": "x" * 257}}, []),
    ({"id": "msg_1", "container": "container_1"}, ["msg_1"]),
]


@pytest.mark.parametrize(("members", "expected"), MINTED)
def test_an_anthropic_reply_says_what_is_kept(members: dict[str, Any], expected: list[str]) -> None:
    body = {"type": "message", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}, **members}
    assert anthropic.read_reply(json.dumps(body).encode()).minted == tuple(expected)


def test_a_hostile_reply_leaves_a_bounded_number() -> None:
    files = [{"type": "container_upload", "file_id": f"file_{number}"} for number in range(5000)]
    body = {"type": "message", "id": "msg_1", "content": files, "usage": {"input_tokens": 1, "output_tokens": 1}}
    assert len(anthropic.read_reply(json.dumps(body).encode()).minted) == 64
    stream = anthropic.Stream()
    stream.feed(b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1"}}\n\n')
    for file in files[:200]:
        event = {"type": "content_block_start", "index": 0, "content_block": file}
        stream.feed(f"event: content_block_start\ndata: {json.dumps(event)}\n\n".encode())
    assert len(stream.minted) == 64


def test_text_that_quotes_an_id_is_not_believed() -> None:
    stream = anthropic.Stream()
    stream.feed(b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1"}}\n\n')
    for delta in (
        {"type": "text_delta", "text": '{"file_id": "file_1", "container": {"id": "container_1"}}'},
        {"type": "input_json_delta", "partial_json": '{"file_id": "file_1"}'},
        {"type": "made_up", "file_id": "file_1", "container": {"id": "container_1"}},
    ):
        event = {"type": "content_block_delta", "index": 0, "delta": delta, "file_id": "file_2"}
        stream.feed(f"event: content_block_delta\ndata: {json.dumps(event)}\n\n".encode())
    assert stream.minted == ("msg_1",)
