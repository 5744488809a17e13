"""What a call cost: the provider's price times the provider's own token figures, nothing added.

Prices are data (prices.toml beside this file), each with the date and the page it was read in; the Operator document
replaces or adds entries. A model without a price has no cost, never a guessed one. All figures are integers, so sums
reconcile exactly: rates are nano-USD (10^-9 US dollars) per million tokens, costs are nano-USD.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec import Struct

from sekimori.terms import Usage

MILLION: Final = 1_000_000


class Cost(NamedTuple):
    """What one hop cost."""

    nano: int
    """Nano-USD, rounded half up once for the hop."""
    source: str
    """Where the price is published, and the day it was read."""


class Rate(Struct, frozen=True):
    """The price of one model, in nano-USD per million tokens."""

    input: int
    output: int
    cached: int
    cache_write: int
    source: str

    def of(self, usage: Usage) -> Cost:
        """The cost of a usage. `input` holds the tokens read from and written to the cache, `output` the reasoning."""
        plain = max(0, usage.input - usage.cached - usage.cache_write)
        total = (
            plain * self.input
            + usage.cached * self.cached
            + usage.cache_write * self.cache_write
            + usage.output * self.output
        )
        return Cost((total + MILLION // 2) // MILLION, self.source)


Rates = Mapping[tuple[str, str], Rate]
"""(catalogue entry, model as the provider knows it) -> rate."""

NO_RATES: Final[Rates] = MappingProxyType({})


def rate(
    *, input: str, output: str, cached: str | None = None, cache_write: str | None = None, source: str, date: str
) -> Rate:
    """A rate from decimal US dollars per million tokens. Cache reads and writes without a price cost what input does.

    Raises ValueError for what is not a decimal number with at most nine decimals.
    """
    plain = nano(input)
    return Rate(
        input=plain,
        output=nano(output),
        cached=plain if cached is None else nano(cached),
        cache_write=plain if cache_write is None else nano(cache_write),
        source=f"{source} ({date})",
    )


def nano(dollars: str) -> int:
    """Nano-USD of a decimal number of US dollars, exactly. Raises ValueError where that is not a whole number."""
    whole, _, fraction = dollars.partition(".")
    digits = whole + fraction.ljust(9, "0")
    if not (digits.isascii() and digits.isdigit()) or not whole or len(fraction) > 9:
        raise ValueError(f"{dollars!r} is not a decimal number with at most nine decimals")
    return int(digits)


@cache
def built_in() -> Rates:
    """The table that is shipped."""
    data = tomllib.loads(resources.files("sekimori.meter").joinpath("prices.toml").read_text(encoding="utf-8"))
    table: dict[tuple[str, str], Rate] = {}
    for entry in data["price"]:
        catalog, models = entry.pop("catalog"), entry.pop("models")
        for model in models:
            if (catalog, model) in table:
                raise ValueError(f"prices.toml prices {catalog} {model} twice")
            table[catalog, model] = rate(**entry)
    return MappingProxyType(table)


def cost(usage: Usage, catalog: str, model: str, overrides: Rates = NO_RATES) -> Cost | None:
    """What a hop cost; None where the model has no price. `overrides` come before the built-in table."""
    found = overrides.get((catalog, model)) or built_in().get((catalog, model))
    return None if found is None else found.of(usage)


def priced(overrides: Rates = NO_RATES) -> Iterable[tuple[str, str, Rate]]:
    """(catalogue entry, model, rate) of every price in force, sorted."""
    return [(catalog, model, found) for (catalog, model), found in sorted({**built_in(), **overrides}.items())]
