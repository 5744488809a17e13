"""The registry knows whatever the SDKs' own types can hold, and every class it gives is a real one."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic
from anthropic.types import AnthropicBetaParam

from sekimori.dialects import fields
from sekimori.dialects.fields import CAPABILITIES, Part, Rule
from tests.dialects import sdk

TABLES = {
    "OPENAI_CHAT": fields.OPENAI_CHAT,
    "OPENAI_TOOLS": fields.OPENAI_TOOLS,
    "ANTHROPIC_MESSAGES": fields.ANTHROPIC_MESSAGES,
    "ANTHROPIC_SERVER_TOOLS": fields.ANTHROPIC_SERVER_TOOLS,
    "ANTHROPIC_TOOLS": fields.ANTHROPIC_TOOLS,
    "ANTHROPIC_BETAS": fields.ANTHROPIC_BETAS,
}
PARTS = {
    "OPENAI_PARTS": fields.OPENAI_PARTS,
    "ANTHROPIC_BLOCKS": fields.ANTHROPIC_BLOCKS,
    "ANTHROPIC_SOURCES": fields.ANTHROPIC_SOURCES,
}
HEADERS = {"betas", "user_profile_id", "workspace_id"}
"""Arguments that the SDK sends as headers."""


def names(problem: set[Any]) -> str:
    return ", ".join(sorted(str(one) for one in problem))


def test_the_sources_are_the_installed_releases() -> None:
    for dialect, source in fields.SOURCES.items():
        assert source == f"{dialect} {version(dialect)}", "compare the tables with the new release, then set DATE"


@pytest.mark.parametrize("params", sdk.OPENAI)
def test_every_openai_member_is_classed(params: Any) -> None:
    missing = sdk.members(params).keys() - fields.OPENAI_CHAT.keys()
    assert not missing, f"not in OPENAI_CHAT: {names(missing)}"


@pytest.mark.parametrize("params", sdk.ANTHROPIC)
def test_every_anthropic_member_is_classed(params: Any) -> None:
    missing = sdk.members(params).keys() - fields.ANTHROPIC_MESSAGES.keys()
    assert not missing, f"not in ANTHROPIC_MESSAGES: {names(missing)}"
    assert all(fields.ANTHROPIC_MESSAGES[name].refused for name in HEADERS), "in a body they are not the SDK's"


@pytest.mark.parametrize("params", sdk.OPENAI)
def test_every_openai_message_part_and_tool_is_classed(params: Any) -> None:
    own = sdk.members(params)
    for message in sdk.choices(own["messages"]):
        missing = sdk.members(message).keys() - fields.OPENAI_MESSAGE
        assert not missing, f"not in OPENAI_MESSAGE: {names(missing)} of {message.__name__}"
        for part in sdk.choices(sdk.members(message)["content"]):
            check_part(part, fields.OPENAI_PARTS)
            kind = fields.OPENAI_PARTS[sdk.kinds(part).pop()]
            if kind.url:
                [media] = sdk.choices(sdk.members(part)[kind.url])
                missing = sdk.members(media).keys() - fields.OPENAI_MEDIA
                assert not missing, f"not in OPENAI_MEDIA: {names(missing)} of {media.__name__}"
    for tool in sdk.choices(own["tools"]):
        assert sdk.kinds(tool) <= fields.OPENAI_TOOLS.keys(), tool.__name__
        assert sdk.members(tool).keys() <= fields.OPENAI_TOOL, tool.__name__
    for part in sdk.choices(sdk.members(next(sdk.choices(own["prediction"])))["content"]):
        check_part(part, fields.OPENAI_PARTS)


@pytest.mark.parametrize("params", sdk.ANTHROPIC)
def test_every_anthropic_message_block_and_source_is_classed(params: Any) -> None:
    own = sdk.members(params)
    blocks = list(sdk.choices(own["system"]))
    for message in sdk.choices(own["messages"]):
        missing = sdk.members(message).keys() - fields.ANTHROPIC_MESSAGE
        assert not missing, f"not in ANTHROPIC_MESSAGE: {names(missing)} of {message.__name__}"
        assert sdk.literals(sdk.members(message)["role"]) <= fields.ANTHROPIC_ROLES
        blocks += sdk.choices(sdk.members(message)["content"])
    assert len(blocks) > 10
    seen = set()
    while blocks:
        block = blocks.pop()
        if block in seen:
            continue
        seen.add(block)
        check_part(block, fields.ANTHROPIC_BLOCKS)
        own_members = sdk.members(block)
        if sdk.kinds(block) & {"tool_result", "search_result", "mcp_tool_result"}:
            blocks += sdk.choices(own_members["content"])
        if "tool_changes" in own_members:
            blocks += sdk.choices(own_members["tool_changes"])
        if "source" in own_members:
            for source in sdk.choices(own_members["source"]):
                check_part(source, fields.ANTHROPIC_SOURCES)
                if "content" in sdk.members(source):
                    blocks += sdk.choices(sdk.members(source)["content"])


@pytest.mark.parametrize("params", sdk.ANTHROPIC)
def test_every_anthropic_tool_is_classed(params: Any) -> None:
    for tool in sdk.choices(sdk.members(params)["tools"]):
        kinds = sdk.kinds(tool) or {"custom"}
        for kind in kinds:
            assert fields.undated(kind) in fields.ANTHROPIC_TOOLS, kind
        if "custom" in kinds:
            missing = sdk.members(tool).keys() - fields.ANTHROPIC_TOOL
            assert not missing, f"not in ANTHROPIC_TOOL: {names(missing)}"


def test_every_server_tool_of_the_history_is_classed() -> None:
    found = set()
    for params in sdk.ANTHROPIC:
        for one in sdk.dicts(params):
            if "server_tool_use" in sdk.kinds(one):
                found |= sdk.literals(sdk.members(one)["name"])
    assert "web_search" in found
    assert found <= fields.ANTHROPIC_SERVER_TOOLS.keys()


def test_every_beta_is_classed() -> None:
    missing = sdk.literals(AnthropicBetaParam) - fields.ANTHROPIC_BETAS.keys()
    assert not missing, f"not in ANTHROPIC_BETAS: {names(missing)}"


def test_the_version_that_the_sdk_sends_is_read() -> None:
    sent = Anthropic(api_key="k").default_headers["anthropic-version"]
    assert sent in fields.ANTHROPIC_VERSIONS


def test_listed_names_are_folded() -> None:
    """What differs from a listed name in case alone is found by folding it, which takes for granted that lists are."""
    listed = {name for table in (*TABLES.values(), *PARTS.values()) for name in table}
    listed |= {member for table in PARTS.values() for part in table.values() for member in part.members}
    listed |= fields.OPENAI_MESSAGE | fields.OPENAI_MEDIA | fields.OPENAI_TOOL
    listed |= fields.ANTHROPIC_MESSAGE | fields.ANTHROPIC_TOOL
    assert {name for name in listed if name != name.casefold()} == set()


def check_part(part: Any, table: Any) -> None:
    [kind] = sdk.kinds(part)
    assert kind in table, f"unknown type {kind} of {part.__name__}"
    missing = sdk.members(part).keys() - table[kind].members
    assert not missing, f"{kind} lacks {names(missing)}"


def wants_fetching(name: str) -> bool:
    return bool(re.search(r"(^|_)ur[il]s?($|_)|(^|_)id$|_ids$", name))


# Members that hold a URL or an id and still need no capability, each with the reason.
HARMLESS = {
    "tool_call_id": "names a call of the same conversation",
    "tool_use_id": "names a call of the same conversation",
    "tool_id": "names a call of the same conversation",
    "id": "names a call of the same conversation, or is judged by the member that holds it",
    "user_id": "the agent's own name for its user",
    "tab_id": "of the agent's own browser",
    "download_id": "of the agent's own browser",
    "skill_id": "judged with the container that holds it",
    "previous_message_id": "judged with `thread` and `diagnostics`",
    "url_sources": "narrows what web_fetch may fetch",
    "user_profile_id": "refused",
    "workspace_id": "refused",
}
JUDGED = {"url", "image_url", "file_id"}
"""Members that the readers judge: see tests of each dialect."""


def test_no_url_or_id_of_the_sdks_is_overlooked() -> None:
    """A new member that smells of a URL or an id fails here until somebody has looked at it."""
    found = {
        name
        for params in (*sdk.OPENAI, *sdk.ANTHROPIC)
        for one in sdk.dicts(params)
        for name in sdk.members(one)
        if wants_fetching(name)
    }
    assert {"file_id", "url"} <= found
    assert found <= HARMLESS.keys() | JUDGED, names(found - HARMLESS.keys() - JUDGED)


def test_rules_name_capabilities_of_the_closed_list() -> None:
    rules = [rule for table in TABLES.values() for rule in table.values()]
    rules += [part.rule for parts in PARTS.values() for part in parts.values()]
    for rule in rules:
        assert not rule.capability or rule.capability in CAPABILITIES
        assert not (rule.capability and rule.refused)
    used = {rule.capability for rule in rules} | {"images_by_url", "unknown_fields", "unknown_tools", "unknown_betas"}
    assert CAPABILITIES.keys() <= used | {"stored_state"}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("web_search_20260318", "web_search"),
        ("web_search_preview_2026_03_11", "web_search_preview"),
        ("bash_20250124", "bash"),
        ("mcp_toolset", "mcp_toolset"),
        ("web_search_2026", "web_search_2026"),
        ("web_search_20260318\n", "web_search_20260318\n"),
        ("web_search_٢٠٢٦٠٣١٨", "web_search_٢٠٢٦٠٣١٨"),
    ],
)
def test_undated(kind: str, expected: str) -> None:
    assert fields.undated(kind) == expected


# docs/dialects.md shows the tables.

DOCS = Path(__file__).parents[2] / "docs" / "dialects.md"


def described(rule: Rule) -> str:
    if rule.refused:
        return f"refused: {rule.refused}"
    return f"needs `{rule.capability}`" if rule.capability else "inert"


def test_the_documentation_has_every_row() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert fields.DATE in text
    assert all(source in text for source in fields.SOURCES.values())
    rows = {tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines() if line[:1] == "|"}
    for name, meaning in CAPABILITIES.items():
        assert (f"`{name}`", meaning) in rows, f"docs/dialects.md lacks the capability {name}"
    for title, table in TABLES.items():
        for name, rule in table.items():
            assert any(row[0] == f"`{name}`" and row[1].startswith(described(rule)) for row in rows), (title, name)
    parts: dict[str, Part] = {name: part for table in PARTS.values() for name, part in table.items()}
    for name in parts:
        assert any(row[0] == f"`{name}`" for row in rows), name
