"""What is taken of another project's list of prices, and what is not."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from sekimori.meter.prices import built_in, read
from tests.meter.price_table import LISTED, changes, entries, names, text

DAY = datetime.date(2026, 11, 25)
PAGE = "https://developers.openai.com/api/docs/pricing"


def entry(**more: Any) -> dict[str, Any]:
    return {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 2e-06,
        "output_cost_per_token": 1e-05,
        "cache_read_input_token_cost": 2e-07,
        "source": f"{PAGE}?latest=1#text",
        **more,
    }


def listed(**file: dict[str, Any]) -> str:
    return text(list(entries(file, DAY)), "litellm 9.9.9", "2026-11-20")


def test_figures_tiers_and_services_are_taken_whole() -> None:
    long = {f"{kind}_above_272k_tokens{service}": n * 1e-06 for kind, n in [
        ("input_cost_per_token", 4), ("output_cost_per_token", 15), ("cache_read_input_token_cost", 0.4),
    ] for service in ("", "_priority")}  # fmt: skip
    priority = {f"{kind}_priority": n * 1e-06 for kind, n in [
        ("input_cost_per_token", 3.5), ("output_cost_per_token", 20), ("cache_read_input_token_cost", 0.35),
    ]}  # fmt: skip
    made = listed(m=entry(**long, **priority), other=entry(**long, **priority))
    assert 'models = ["m", "other"]' in made
    ((rate,), _) = read(made).values()
    assert [(one.above, one.input, one.output, one.cached) for one in rate.tiers] == [
        (0, 2 * 10**9, 10 * 10**9, 2 * 10**8),
        (272_000, 4 * 10**9, 15 * 10**9, 4 * 10**8),
    ]
    (name, (short, _)) = rate.services[0]
    assert (name, short.input, short.output, short.cached) == ("priority", 35 * 10**8, 20 * 10**9, 35 * 10**7)
    assert rate.source == f"{PAGE} via litellm 9.9.9 (2026-11-20)"


@pytest.mark.parametrize(
    "more",
    [
        {"mode": "image_generation"},
        {"source": "https://example.com/prices"},
        {"source": ""},
        {"input_cost_per_token": 0.0},
        {"output_cost_per_token": None},
        {"deprecation_date": "2026-10-23"},
        {"input_cost_per_token_above_272k_tokens": 4e-06},
        {"litellm_provider": "somebody"},
    ],
)
def test_what_is_not_taken(more: dict[str, Any]) -> None:
    assert read(listed(m=entry(**more))) == {}
    assert read(listed(m=entry()))


def test_a_retired_model_keeps_its_price_for_a_while_and_a_coming_one_anyway() -> None:
    for date in ("2026-11-01", "2027-04-01"):
        assert read(listed(m=entry(deprecation_date=date)))


def test_a_cheaper_service_is_taken_whole_or_not_at_all() -> None:
    flex = {"input_cost_per_token_flex": 1e-06, "output_cost_per_token_flex": 5e-06}
    ((rate,),) = read(listed(m=entry(**flex))).values()
    assert rate.services == ()
    ((rate,),) = read(listed(m=entry(**flex, cache_read_input_token_cost_flex=1e-07))).values()
    assert [name for name, _ in rate.services] == ["flex"]


def test_fast_mode_costs_its_factor() -> None:
    claude = entry(
        litellm_provider="anthropic",
        source="https://platform.claude.com/docs/en/about-claude/pricing",
        cache_creation_input_token_cost=2.5e-06,
        cache_creation_input_token_cost_above_1hr=4e-06,
        provider_specific_entry={"us": 1.1, "fast": 2.0},
    )
    ((rate,),) = read(listed(**{"claude-x": claude})).values()
    ((name, (fast,)),) = rate.services
    assert (name, fast.input, fast.cache_write_hour) == ("fast", 4 * 10**9, 8 * 10**9)
    del claude["cache_creation_input_token_cost_above_1hr"]
    assert read(listed(**{"claude-x": claude})) == {}, "an hour of cache would be too cheap"


@pytest.mark.parametrize(
    ("key", "provider", "named"),
    [
        ("gpt-6-luna", "openai", [("openai", "gpt-6-luna")]),
        ("ft:gpt-4.1-2025-04-14", "openai", []),
        ("gemini/gemini-3.8-flash", "gemini", [("gemini", "gemini-3.8-flash")]),
        ("gemini-3.8-flash", "gemini", []),
        ("groq/openai/gpt-oss-120b", "groq", [("groq", "openai/gpt-oss-120b")]),
        ("azure/gpt-6-sol", "azure", [("azure", "gpt-6-sol")]),
        ("azure/eu/gpt-6-sol", "azure", []),
        ("azure_ai/grok-4.3", "azure_ai", [("azure", "grok-4.3")]),
        ("azure_ai/FW-Kimi-K3", "azure_ai", []),
        ("eu.anthropic.claude-opus-5", "bedrock_converse", [("bedrock", "eu.anthropic.claude-opus-5")]),
        ("bedrock/us-east-1/zai.glm-5", "bedrock_converse", []),
        ("bedrock_mantle/xai.grok-4.7", "bedrock_mantle", [("bedrock_mantle", "xai.grok-4.7")]),
        ("bedrock_mantle/us-gov-west-1/xai.grok-4.7", "bedrock_mantle", []),
        ("vertex_ai/gemini-4", "vertex_ai", [("vertex", "gemini-4"), ("vertex", "google/gemini-4")]),
        ("vertex_ai/claude-opus-5@default", "vertex_ai-anthropic_models", [("vertex", "claude-opus-5@default")]),
        ("vertex_ai/mistral-large", "vertex_ai-mistral_models", []),
    ],
)
def test_models_are_named_as_their_catalogue_entry_calls_them(
    key: str, provider: str, named: list[tuple[str, str]]
) -> None:
    assert list(names(key, provider)) == named


def test_changes_are_told_by_kind() -> None:
    shipped = LISTED.read_text(encoding="utf-8")
    assert list(changes(shipped)) == []
    luna = {"litellm_provider": "openai", "mode": "chat", "source": PAGE, "output_cost_per_token": 5e-07}
    told = list(changes(shipped + listed(**{"gpt-6-luna": {**luna, "input_cost_per_token": 9e-07}, "new": entry()})))
    assert [line.split()[0] for line in told] == ["contradicted", "new"]
    assert "openai gpt-6-luna: read 0.1/0.5/0.01" in told[0]
    gone = [line for line in changes(listed(**{"gpt-4.1": entry()})) if " openai gpt-4.1" in line]
    assert gone[0].startswith("changed       openai gpt-4.1: 2/8/0.5 +priority -> 2/10/0.2")
    assert gone[1].startswith("gone          openai gpt-4.1-2025-04-14")


def test_the_shipped_list_says_where_it_is_from_and_is_small() -> None:
    shipped = LISTED.read_text(encoding="utf-8")
    assert shipped.startswith("# List prices that litellm ")
    assert len(shipped) < 200_000, "it is read at every start"
    assert len({id(rate) for rates in built_in().values() for rate in rates}) < 600
