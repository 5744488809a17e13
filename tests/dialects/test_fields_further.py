"""The registry of the OpenAI dialect's further operations: documented, folded, and blind to no URL of the SDK's types.

That it knows whatever the SDK can send is held by test_fields_responses, which compares every table.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sekimori.dialects import fields_further as registry
from sekimori.dialects.fields import CAPABILITIES
from tests.dialects import sdk
from tests.dialects.registry_diff import compare
from tests.dialects.test_fields import described, wants_fetching

TABLES = {
    "COMPLETIONS": registry.COMPLETIONS,
    "MODERATIONS": registry.MODERATIONS,
    "RERANK": registry.RERANK,
    "IMAGES": registry.IMAGES,
}
HEADINGS = {
    "COMPLETIONS": "members of a text completion",
    "MODERATIONS": "members of moderations",
    "RERANK": "members of a reranking",
    "IMAGES": "members of images",
}
JUDGED = {"url", "image_url"}
DOCS = Path(__file__).parents[2] / "docs" / "dialects.md"


@pytest.mark.parametrize("title", TABLES)
def test_the_documentation_has_every_row(title: str) -> None:
    text = DOCS.read_text(encoding="utf-8").partition(f"### OpenAI: {HEADINGS[title]}\n")[2].partition("\n### ")[0]
    rows = {tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines() if line[:1] == "|"}
    for name, rule in TABLES[title].items():
        assert any(row[0] == f"`{name}`" and row[1].startswith(described(rule)) for row in rows), name
    assert len(rows) == len(TABLES[title]) + 2, "and no other"


def test_every_table_is_compared_with_the_sdk() -> None:
    compared = {one.table for one in compare()}
    assert compared >= (TABLES.keys() - {"RERANK"}) | {"MODERATIONS_INPUT", "MODERATIONS_IMAGE"}


def test_rules_name_capabilities_of_the_closed_list_and_names_are_folded() -> None:
    for table in TABLES.values():
        for name, rule in table.items():
            assert name == name.casefold()
            assert not rule.capability or rule.capability in CAPABILITIES
            assert not (rule.capability and rule.refused)


def test_no_url_or_id_of_the_sdk_is_overlooked() -> None:
    found = {
        name
        for params in (*sdk.MODERATIONS, *sdk.COMPLETIONS, *sdk.IMAGES)
        for one in sdk.dicts(params)
        for name in sdk.members(one)
        if wants_fetching(name)
    }
    assert found == JUDGED
