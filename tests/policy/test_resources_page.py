"""docs/resources.md and docs/providers.md: nothing undocumented, nothing that is not there, every example works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from msgspec import Struct

from sekimori.dialects.fields import CAPABILITIES
from sekimori.policy.checks import check
from sekimori.policy.decide import STATEFUL
from sekimori.policy.documents import Documents, parse
from sekimori.policy.kinds import KINDS, Part, Provider, Route, Tenant, identity
from sekimori.upstream.catalog import ENTRIES
from tests.meter.price_page import table

DOCS = Path(__file__).parents[2] / "docs"
RESOURCES = (DOCS / "resources.md").read_text(encoding="utf-8")
PROVIDERS = (DOCS / "providers.md").read_text(encoding="utf-8")
PRICES = (DOCS / "prices.md").read_text(encoding="utf-8")


def section(kind: str) -> str:
    found = re.search(rf"^## {kind}\n(.*?)(?=^## |\Z)", RESOURCES, re.DOTALL | re.MULTILINE)
    assert found, f"docs/resources.md has no section {kind}"
    return found[1]


def fields(shape: type[Struct], prefix: str = "") -> list[str]:
    """Every field as it is written, groups included."""
    names = []
    hints = get_type_hints(shape, include_extras=True)
    for field in msgspec.structs.fields(shape):
        names.append(prefix + field.encode_name)
        for inner in parts(hints[field.name]):
            names += fields(inner, f"{prefix}{field.encode_name}.")
    return names


def parts(hint: Any) -> list[type[Struct]]:
    if isinstance(hint, type) and issubclass(hint, Part):
        return [hint]
    return [part for argument in get_args(hint) for part in parts(argument)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_documented_and_no_other(kind: str) -> None:
    table = section(kind).split("### ")[0]
    documented = re.findall(r"^\| `([A-Za-z.]+)` \|", table, re.MULTILINE)
    assert documented.count("kind") == 0
    assert sorted(documented) == sorted(fields(KINDS[kind]))


def test_there_are_no_other_kinds() -> None:
    assert set(re.findall(r"^## (\w+)$", RESOURCES, re.MULTILINE)) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_that_must_be_written_are_not_told_as_optional(kind: str) -> None:
    for field in msgspec.structs.fields(KINDS[kind]):
        row = re.search(rf"^\| `{field.encode_name}` \| (.*) \|$", section(kind), re.MULTILINE)
        assert row
        optional = "Default:" in row[1] or "Without it" in row[1] or "the default" in row[1]
        assert optional == (not field.required), f"{kind}.{field.encode_name}"


def examples(text: str) -> list[bytes]:
    return [found.encode() for found in re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_an_example_that_reads(kind: str) -> None:
    found = examples(section(kind))
    assert found
    for example in found:
        (located,) = parse(example, "docs/resources.md")
        assert type(located.document).__name__ == kind


def test_the_examples_fit_together() -> None:
    written = [located.document for example in examples(RESOURCES) for located in parse(example, "docs")]
    missing = [
        *parse(b"{kind: Key, path: clients/acme/openai, provider: openai}", "test"),
        *parse(b"{kind: Key, path: clients/acme/openai-2, provider: openai}", "test"),
        *parse(b"{kind: Provider, name: anthropic, catalog: anthropic, models: ['claude-*']}", "test"),
        *parse(b"{kind: Key, path: clients/acme/anthropic, provider: anthropic}", "test"),
        *parse(b"{kind: Route, tenant: acme, provider: anthropic, key: clients/acme/anthropic}", "test"),
    ]
    # One page shows a route and an agent more than once: the last one written counts, as it does for an apply.
    written = list({identity(document): document for document in written}.values())
    documents = Documents([*written, *(located.document for located in missing)])
    assert check(documents) == []
    assert {type(document) for document in documents} >= {Tenant, Provider, Route}


def test_capabilities_are_the_closed_list() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", section("Agent").split("### Capabilities")[1], re.MULTILINE)
    assert dict(rows) == dict(CAPABILITIES)
    told = section("Agent").split("On a key of the operator")[1]
    assert set(re.findall(r"`(\w+)`", told)) == STATEFUL


def test_every_catalogue_entry_is_documented() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .*? \| (.*?) \| .* \|$", PROVIDERS.split("## Prices")[0], re.MULTILINE))
    assert set(rows) == set(ENTRIES)
    for name, entry in ENTRIES.items():
        assert rows[name] == (
            f"`{entry.regional or entry.base_url}`" if entry.regional or entry.base_url else "must be written"
        )


@pytest.mark.parametrize("example", examples(PROVIDERS), ids=range(len(examples(PROVIDERS))))
def test_the_providers_examples_fit_together(example: bytes) -> None:
    assert check(Documents(parse(example, "docs/providers.md"))) == []


def test_the_prices_example_holds() -> None:
    (example,) = examples(PRICES)
    assert check(Documents(parse(example, "docs/prices.md"))) == []


def test_the_table_of_the_prices_page_is_what_is_shipped() -> None:
    assert PRICES.endswith("\n\n" + table()), "python -m tests.meter.price_page writes it"
