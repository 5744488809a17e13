"""Prices: the provider's price times its tokens, exact, dated and sourced; nothing guessed."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.meter.prices import Charges, Cost, built_in, cost, day_of, nano, price, priced, rate, read, table
from sekimori.terms import Usage
from sekimori.upstream.catalog import ENTRIES
from tests.meter.price_table import SITES


@pytest.mark.parametrize(
    ("dollars", "expected"),
    [("4", 4_000_000_000), ("0.075", 75_000_000), ("0.000000001", 1), ("0", 0), ("2.50", 2_500_000_000)],
)
def test_dollars_become_whole_nano_dollars(dollars: str, expected: int) -> None:
    assert nano(dollars) == expected


@pytest.mark.parametrize("wrong", ["", ".", ".5", "-1", "1e3", "1,5", "0.0000000001", "٣", "1.5.0", " 1", "inf", "nan"])
def test_what_is_no_price(wrong: str) -> None:
    with pytest.raises(ValueError, match="decimal"):
        nano(wrong)


TODAY = day_of("2026-11-25")
tokens = st.integers(0, 10**9)
rates = st.integers(0, 10**12)


@given(tokens, tokens, tokens, tokens, rates, rates, rates, rates)
def test_a_cost_is_the_exact_product_rounded_once(
    plain: int, cached: int, written: int, output: int, a: int, b: int, c: int, d: int
) -> None:
    def dollars(value: int) -> str:
        return f"{Decimal(value).scaleb(-9):f}"

    made = rate(
        input=dollars(a), cached=dollars(b), cache_write=dollars(c), output=dollars(d), source="s", date="2026-11-22"
    )
    usage = Usage(input=plain + cached + written, cached=cached, cache_write=written, output=output)
    exact = sum(Decimal(n) * Decimal(r) for n, r in ((plain, a), (cached, b), (written, c), (output, d))) / 10**6
    assert made.of(usage) == (int(exact.quantize(Decimal(1), ROUND_HALF_UP)), "s (2026-11-22)")


def test_a_worked_example() -> None:
    """1,000 input tokens of which 400 cached, 10 output, at $0.10, $0.01 and $0.50 a million."""
    found = cost(Usage(input=1000, cached=400, output=10), "openai", "gpt-6-luna", TODAY)
    assert found == Cost(69_000, "https://developers.openai.com/ja-JP/api/docs/models/gpt-6-luna (2026-11-25)")


def test_the_longest_prompts_of_a_listed_model_have_their_own_price() -> None:
    """A token more than 272,000 makes every token of the call dearer: $2, $0.10 and $10 become $4, $0.20 and $15."""
    short = cost(Usage(input=272_000, cached=72_000, output=1000), "openai", "gpt-6.2-sol", TODAY)
    long = cost(Usage(input=272_001, cached=72_000, output=1000), "openai", "gpt-6.2-sol", TODAY)
    assert short is not None and short.nano == 200_000 * 2000 + 72_000 * 100 + 1000 * 10_000
    assert long is not None and long.nano == 200_001 * 4000 + 72_000 * 200 + 1000 * 15_000


def test_figures_that_contradict_each_other_never_make_a_cost_negative() -> None:
    found = cost(Usage(input=1, cached=10, cache_write=10, output=0), "anthropic", "claude-opus-5", TODAY)
    assert found is not None
    assert found.nano == 10 * 500 + 10 * 6250


@pytest.mark.parametrize(
    ("catalog", "model"),
    [
        ("openai", "gpt-9"),
        ("openai", ""),
        ("openai", "claude-opus-5"),
        ("compatible", "gpt-5-nano"),
        ("sandbox", "gpt-5-nano"),
        ("anthropic", "claude-opus-5-latest"),
        ("nobody", "gpt-5-nano"),
    ],
)
def test_a_model_without_a_price_has_no_cost(catalog: str, model: str) -> None:
    assert cost(Usage(input=5, output=5), catalog, model, TODAY) is None


def test_an_override_comes_first() -> None:
    mine = table([("openai", "gpt-5-nano", rate(input="1", output="1", source="contract", date="2026-01-31"))])
    assert cost(Usage(input=3), "openai", "gpt-5-nano", TODAY, mine) == (3000, "contract (2026-01-31)")
    assert len(list(priced(mine))) == sum(len(rates) for rates in built_in().values())


def test_without_a_cache_price_the_cache_costs_what_input_does() -> None:
    plain = rate(input="3", output="15", source="s", date="d")
    assert plain.of(Usage(input=10, cached=4, cache_write=2)).nano == 30_000


def test_every_listed_price_is_dated_sourced_and_plausible() -> None:
    for catalog, model, found in priced():
        assert catalog in ENTRIES
        assert model
        assert "*" not in model
        told = re.fullmatch(r"https://([^/ ]+)/\S+( via litellm [0-9.]+)? \((20\d\d-\d\d-\d\d)\)", found.source)
        assert told, found.source
        assert told[1] in SITES[catalog], f"{found.source} is not {catalog}'s own site"
        assert "2026-11-01" <= told[3] <= "2026-12-31", "read it again, or take it out"
        assert len({name for name, _ in found.services}) == len(found.services)
        for tiers in [found.tiers, *dict(found.services).values()]:
            for tier in tiers:
                if "moderation" in model:
                    assert tier.input == 0, "the one thing that is free"
                    continue
                assert tier.input > 0
                assert 0 < tier.cached <= tier.input
                assert tier.input <= tier.cache_write <= tier.cache_write_hour


def test_the_clouds_and_every_provider_with_fixed_prices_are_covered() -> None:
    models: dict[str, set[str]] = {}
    for catalog, model, _ in priced():
        models.setdefault(catalog, set()).add(model)
    # DeepSeek's prices depend on the hour, OpenRouter's on whom it asks; the others are whatever they are made to be.
    assert set(ENTRIES) - set(models) == {"deepseek", "openrouter", "compatible", "sandbox"}
    for catalog, model in [
        ("anthropic", "claude-opus-5-5"),
        ("azure", "gpt-6-sol"),
        ("bedrock", "eu.anthropic.claude-sonnet-5-5"),
        ("bedrock", "us.amazon.nova-pro-v1:0"),
        ("bedrock", "openai.gpt-oss-120b-1:0"),
        ("bedrock_mantle", "anthropic.claude-opus-5-5"),
        ("gemini", "gemini-3.8-flash"),
        ("groq", "openai/gpt-oss-120b"),
        ("mistral", "mistral-large-latest"),
        ("openai", "gpt-6.1-sol"),
        ("vertex", "claude-opus-4-5@20251101"),
        ("vertex", "gemini-3.8-flash"),
        ("vertex", "google/gemini-3.8-flash"),
        ("xai", "grok-4.7"),
    ]:
        assert model in models[catalog]
    assert {model for model in models["vertex"] if model.startswith("gemini")} == {
        model.removeprefix("google/") for model in models["vertex"] if model.startswith("google/gemini")
    }, "one model, two names, one price"


def test_anthropics_own_rule_for_the_cache_holds() -> None:
    """Written for five minutes a quarter more than input, for an hour twice as much; read for a tenth at most."""
    for catalog, model, found in priced():
        if catalog == "anthropic" or "claude" in model:
            for tiers in [found.tiers, *dict(found.services).values()]:
                for tier in tiers:
                    assert (4 * tier.cache_write, tier.cache_write_hour) == (5 * tier.input, 2 * tier.input), model
                    assert 10 * tier.cached <= tier.input, model


@pytest.mark.parametrize(
    ("catalog", "model", "usage", "nano_dollars"),
    [
        ("anthropic", "claude-haiku-4-5", Usage(input=10, cache_write=10, cache_write_hour=4), 6 * 1250 + 4 * 2000),
        ("anthropic", "claude-opus-5-5", Usage(input=10, output=1, service="fast"), 10 * 8000 + 40_000),
        ("anthropic", "claude-haiku-5-5", Usage(input=100_001), 100_001 * 500),
        ("openai", "gpt-6-luna", Usage(input=10, output=2, service="priority"), 10 * 200 + 2 * 1000),
        ("openai", "gpt-6-luna", Usage(input=272_001, service="flex"), 272_001 * 100),
        ("openai", "gpt-5-nano", Usage(input=10, cached=10, service="flex"), 25),
        ("openai", "gpt-6.2-sol", Usage(input=10, service="ultrafast"), 10 * 6000),
        ("gemini", "gemini-3.1-pro-preview", Usage(input=200_001, output=1), 200_001 * 4000 + 18_000),
        ("gemini", "gemini-3.1-pro-preview", Usage(input=200_001, service="priority"), 200_001 * 7200),
        ("xai", "grok-4.7", Usage(input=200_000, output=1), 200_000 * 2000 + 6000),
        ("bedrock", "us.anthropic.claude-opus-5-5", Usage(input=10, output=1), 10 * 4400 + 22_000),
    ],
)
def test_tiers_of_the_table_are_charged(catalog: str, model: str, usage: Usage, nano_dollars: int) -> None:
    found = cost(usage, catalog, model, TODAY)
    assert found is not None
    assert found.nano == nano_dollars


def test_a_listed_price_that_changes_on_a_day_does() -> None:
    day = day_of("2027-03-01")
    costs = [cost(Usage(input=10, service="ultrafast"), "openai", "gpt-6.2-sol", at) for at in (day - 1, day)]
    assert [one and one.nano for one in costs] == [60_000, 120_000]


FORM = """
[[price]]
catalog = "openai"
models = ["m", "m-1"]
input = "2"
output = "12"
cached = "0.20"
cache_write = "2.50"
cache_write_hour = "4"
tiers = [{above = 200000, input = "4", output = "18", cached = "0.40"}, {above = 1000000, input = "8", output = "36"}]
services = [{name = "priority", input = "20", output = "120", tiers = [{above = 10, input = "21", output = "121"}]}]
source = "s"
date = "2026-11-22"

[[price]]
catalog = "openai"
models = ["m"]
from = "2026-12-01"
input = "1"
output = "6"
source = "s"
date = "2026-11-22"
"""


def test_the_form_of_the_table() -> None:
    rates = read(FORM)
    later, first = rates["openai", "m"]
    assert rates["openai", "m-1"] == (first,)
    assert first.tiers[0] == Charges(2 * 10**9, 12 * 10**9, 2 * 10**8, 25 * 10**8, 4 * 10**9)
    assert [tier.above for tier in first.tiers] == [0, 200_000, 1_000_000]
    assert first.tiers[2].cached == first.tiers[2].cache_write == first.tiers[2].cache_write_hour == 8 * 10**9
    assert later.begins == day_of("2026-12-01")


@pytest.mark.parametrize(
    ("usage", "nano_dollars"),
    [
        (Usage(input=200_000, output=1), 200_000 * 2000 + 12_000),
        (Usage(input=200_001, output=1), 200_001 * 4000 + 18_000),
        (Usage(input=200_001, cached=200_001, output=1), 200_001 * 400 + 18_000),
        (Usage(input=1_000_001), 1_000_001 * 8000),
        (Usage(input=10, cache_write=10, cache_write_hour=4), 6 * 2500 + 4 * 4000),
        (Usage(input=10, service="priority"), 10 * 20_000),
        (Usage(input=11, output=1, service="priority"), 11 * 21_000 + 121_000),
        (Usage(input=10, service="flex"), 10 * 2000),
    ],
)
def test_a_call_is_charged_by_its_prompt_and_the_service_it_was_given(usage: Usage, nano_dollars: int) -> None:
    assert cost(usage, "openai", "m", TODAY, read(FORM)) == (nano_dollars, "s (2026-11-22)")


def test_a_price_holds_from_its_day_on() -> None:
    rates = read(FORM)
    change = day_of("2026-12-01")
    charged = [cost(Usage(input=10), "openai", "m", day, rates) for day in (0, change - 1, change, change + 400)]
    assert [one and one.nano for one in charged] == [20_000, 20_000, 10_000, 10_000]
    # An agreed price that begins later leaves the listed one in force until then.
    agreed = rate(input="0", output="0", begins="2026-12-01", source="contract", date="2026-11-22")
    mine = table([("openai", "gpt-5-nano", agreed)])
    listed = price("openai", "gpt-5-nano", change - 1, mine)
    assert listed is built_in()["openai", "gpt-5-nano"][0]
    assert price("openai", "gpt-5-nano", change, mine) is agreed


@given(
    st.integers(0, 3 * 10**6), st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.booleans()
)
def test_nothing_costs_more_than_its_most(a: int, output: int, b: float, c: float, d: float, priority: bool) -> None:
    """What a reservation takes bounds what the call can cost, however its input is cached."""
    found = read(FORM)["openai", "m-1"][0]
    cached = int(a * b)
    written = int((a - cached) * c)
    usage = Usage(a, output, cached, written, cache_write_hour=int(written * d), service="priority" if priority else "")
    assert found.of(usage).nano <= found.most(a, output, any_service=priority)


@pytest.mark.parametrize(
    "wrong",
    [
        "tiers = [{above = 5, input = '1', output = '1'}, {above = 5, input = '1', output = '1'}]",
        "tiers = [{input = '1', output = '1'}]",
        "tiers = [{above = -1, input = '1', output = '1'}]",
        "tiers = [{above = '5', input = '1', output = '1'}]",
        "tiers = [{above = 5, input = '1', output = '1', ouput = '1'}]",
        "services = [{name = 'x', input = '1', output = '1'}, {name = 'x', input = '1', output = '1'}]",
        "from = '2026-02-30'",
    ],
)
def test_what_is_no_entry(wrong: str) -> None:
    entry = "[[price]]\ncatalog = 'openai'\nmodels = ['m']\ninput = '1'\noutput = '1'\nsource = 's'\ndate = 'd'\n"
    assert read(entry)
    with pytest.raises(ValueError, match=r"."):
        read(entry + wrong)
    with pytest.raises(ValueError, match="twice"):
        read(entry + entry)
