"""The registry of responses and embeddings, and of all else, knows whatever the SDKs' own types can hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sekimori.dialects import fields_responses as registry
from sekimori.dialects.fields import CAPABILITIES, Rule
from sekimori.dialects.fields_gemini import GEMINI
from tests.dialects import sdk
from tests.dialects.registry_diff import Compared, compare
from tests.dialects.test_fields import HARMLESS as HARMLESS_ELSEWHERE
from tests.dialects.test_fields import described, names, wants_fetching

TABLES = {
    "RESPONSES": registry.RESPONSES,
    "RESPONSES_INCLUDE": registry.RESPONSES_INCLUDE,
    "EMBEDDINGS": registry.EMBEDDINGS,
}
ROWS = {
    "RESPONSES_ITEMS": registry.RESPONSES_ITEMS,
    "RESPONSES_CONTENT": registry.RESPONSES_CONTENT,
    "RESPONSES_TOOLS": registry.RESPONSES_TOOLS,
    "RESPONSES_ENVIRONMENTS": registry.RESPONSES_ENVIRONMENTS,
}
COMPARED = compare()


@pytest.mark.parametrize("one", COMPARED, ids=[f"{one.dialect}-{one.table}" for one in COMPARED])
def test_whatever_an_sdk_can_send_is_classed(one: Compared) -> None:
    assert one.sent, "nothing was found to compare with"
    assert not one.unclassed, f"not in {one.table}: {', '.join(one.unclassed)}"


def test_every_table_is_compared() -> None:
    compared = {one.table for one in COMPARED}
    assert compared >= TABLES.keys() | ROWS.keys()
    assert compared >= {"OPENAI_CHAT", "OPENAI_PARTS", "OPENAI_TOOLS", "ANTHROPIC_BLOCKS", "ANTHROPIC_BETAS"}
    gemini = {one.table for one in COMPARED if one.dialect == "gemini"}
    embedding = {"BatchEmbedContentsRequest", "EmbedContentRequest"}  # which the SDK makes of its arguments alone
    empty = {name for name, members in GEMINI.items() if not members}
    assert gemini >= {f"GEMINI.{name}" for name in GEMINI.keys() - embedding - empty}
    for title in ("RESPONSES_ITEMS", "RESPONSES_TOOLS", "RESPONSES_ENVIRONMENTS"):
        lacking = {f"{title}.{name}" for name in ROWS[title]} - compared
        assert lacking <= {"RESPONSES_TOOLS.computer_use"}, lacking


def test_a_difference_is_told() -> None:
    one = Compared("openai", "T", {"a", "b"}, {"b", "c"})
    assert (one.unclassed, one.ours_alone) == (["c"], ["a"])


def test_the_tool_prints_what_it_found() -> None:
    command = [sys.executable, "-m", "tests.dialects.registry_diff", "--json", "--all"]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True, timeout=120
    )
    assert [one["table"] for one in json.loads(done.stdout)] == [one.table for one in COMPARED]


# Members that hold a URL or an id and still need no capability, each with the reason.
HARMLESS = {
    **HARMLESS_ELSEWHERE,
    "call_id": "names a call of the same conversation",
    "caller_id": "names a call of the same conversation",
    "item_id": "names an item of the same conversation",
    "approval_request_id": "answers a request of the same conversation",
    "continuation_id": "the agent's own name for calls that belong together, judged with `background_options`",
    "connector_id": "one of the provider's own connectors, judged with the tool that holds it",
    "external_web_access": "judged with the tool that holds it",
}
JUDGED = {
    "url", "image_url", "file_url", "server_url", "file_id", "file_ids", "vector_store_ids", "container_id", "skill_id",
    "tunnel_id", "previous_response_id", "comparison_response_id",
}  # fmt: skip
"""Members that the reader judges: see test_responses.py."""


def test_no_url_or_id_of_the_sdk_is_overlooked() -> None:
    found = {
        name
        for params in (*sdk.RESPONSES, *sdk.EMBEDDINGS)
        for one in sdk.dicts(params)
        for name in sdk.members(one)
        if wants_fetching(name)
    }
    assert {"file_url", "container_id", "vector_store_ids"} <= found
    assert found <= HARMLESS.keys() | JUDGED, names(found - HARMLESS.keys() - JUDGED)


def rules() -> list[Rule]:
    return [rule for table in TABLES.values() for rule in table.values()] + [
        row.rule for table in ROWS.values() for row in table.values() if hasattr(row, "rule")
    ]


def test_rules_name_capabilities_of_the_closed_list() -> None:
    for rule in rules():
        assert not rule.capability or rule.capability in CAPABILITIES
        assert not (rule.capability and rule.refused)


def test_listed_names_are_folded() -> None:
    listed = {name for table in (*TABLES.values(), *ROWS.values()) for name in table}
    listed |= {member for table in ROWS.values() for row in table.values() for member in row.members}
    assert {name for name in listed if name != name.casefold()} == set()


def test_what_an_item_is_stands_among_its_members() -> None:
    for name, item in registry.RESPONSES_ITEMS.items():
        assert set(item.own) <= item.members, name
    for name, content in registry.RESPONSES_CONTENT.items():
        assert {*content.urls, *content.encoded} <= content.members, name


DOCS = Path(__file__).parents[2] / "docs" / "dialects.md"


def test_the_documentation_has_every_row() -> None:
    text = DOCS.read_text(encoding="utf-8").partition("### OpenAI: members of a response")[2]
    text = text.partition("### Anthropic: members")[0]
    rows = {tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines() if line[:1] == "|"}
    for title, table in TABLES.items():
        for name, rule in table.items():
            assert any(row[0] == f"`{name}`" and row[1].startswith(described(rule)) for row in rows), (title, name)
    for title, kinds in ROWS.items():
        for name, kind in kinds.items():
            members = ", ".join(sorted(kind.members - {"type"})) or "none"
            found = [row for row in rows if row[0] == f"`{name}`" and row[2] == members]
            assert found, (title, name, members)
            if hasattr(kind, "rule"):
                assert any(row[1].startswith(described(kind.rule)) for row in found), (title, name)
