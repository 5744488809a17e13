"""Prices: the provider's price times its tokens, exact, dated and sourced; nothing guessed."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.meter.prices import Cost, built_in, cost, nano, priced, rate
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
    found = cost(Usage(input=1000, cached=400, output=10), "openai", "gpt-5-nano")
    assert found == Cost(36_000, "https://developers.openai.com/api/docs/models/gpt-5-nano (2026-11-22)")


def test_figures_that_contradict_each_other_never_make_a_cost_negative() -> None:
    found = cost(Usage(input=1, cached=10, cache_write=10, output=0), "anthropic", "claude-opus-5")
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
    assert cost(Usage(input=5, output=5), catalog, model) is None


def test_an_override_comes_first() -> None:
    mine = {("openai", "gpt-5-nano"): rate(input="1", output="1", source="contract", date="2026-01-31")}
    assert cost(Usage(input=3), "openai", "gpt-5-nano", mine) == (3000, "contract (2026-01-31)")
    assert len(list(priced(mine))) == len(built_in())


def test_without_a_cache_price_the_cache_costs_what_input_does() -> None:
    plain = rate(input="3", output="15", source="s", date="d")
    assert plain.of(Usage(input=10, cached=4, cache_write=2)).nano == 30_000


def test_every_listed_price_is_dated_sourced_and_plausible() -> None:
    hosts = {"openai": "https://developers.openai.com/", "anthropic": "https://platform.claude.com/"}
    for catalog, model, found in priced():
        assert catalog in ENTRIES
        assert model
        assert "*" not in model
        assert found.source.startswith(hosts[catalog])
        assert found.source.endswith("(2026-11-22)")
        assert 0 < found.cached <= found.input <= found.output
        assert found.input <= found.cache_write
