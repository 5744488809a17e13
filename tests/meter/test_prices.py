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
    """1,000 input tokens of which 400 cached, 10 output, at $0.05, $0.005 and $0.40 a million."""
    found = cost(Usage(input=1000, cached=400, output=10), "openai", "gpt-5-nano", TODAY)
    assert found == Cost(36_000, "https://developers.openai.com/api/docs/models/gpt-5-nano (2026-11-22)")


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
    assert len(list(priced(mine))) == len(built_in())


def test_without_a_cache_price_the_cache_costs_what_input_does() -> None:
    plain = rate(input="3", output="15", source="s", date="d")
    assert plain.of(Usage(input=10, cached=4, cache_write=2)).nano == 30_000


SITES = {"openai": "https://developers.openai.com/", "anthropic": "https://platform.claude.com/"}
"""Where a provider publishes its own prices: nobody else's page is a source."""


def test_every_listed_price_is_dated_sourced_and_plausible() -> None:
    for catalog, model, found in priced():
        assert catalog in ENTRIES
        assert found.source.startswith(SITES[catalog])
        assert model
        assert "*" not in model
        assert re.fullmatch(r"https://\S+ \(20\d\d-\d\d-\d\d\)", found.source)
        for tiers in [found.tiers, *dict(found.services).values()]:
            for tier in tiers:
                assert 0 <= tier.cached <= tier.input
                assert tier.input <= tier.cache_write <= tier.cache_write_hour


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
