"""What a call cost: the provider's price times the provider's own token figures, nothing added.

Prices are data (prices.toml and prices_listed.toml beside this file), each with its page and date; the Operator
document replaces or adds entries. A model without a price has no cost, never a guessed one. All figures are integers,
so sums reconcile exactly: charges are nano-USD (10^-9 US dollars) per million tokens, costs are nano-USD.

A price may depend on the length of the prompt (`tiers`), on the service tier that the provider says it served with
(`services`), and on the day (`from`). So a cost follows from a record alone: usage, model and time stand in it.
"""

from __future__ import annotations

import datetime
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from msgspec import Struct

from sekimori.terms import Usage

MILLION: Final = 1_000_000
DAY_MS: Final = 86_400_000
_EPOCH: Final = datetime.date(1970, 1, 1).toordinal()


class Cost(NamedTuple):
    """What one hop cost."""

    nano: int
    """Nano-USD, rounded half up once for the hop."""
    source: str
    """Where the price is published, and the day it was read."""


class Charges(Struct, frozen=True, gc=False):
    """Nano-USD per million tokens, for prompts of more than `above` tokens."""

    input: int
    output: int
    """Reasoning is output."""
    cached: int
    cache_write: int
    """Written to the cache for five minutes, or for what the provider's shortest time is."""
    cache_write_hour: int
    above: int = 0

    def of(self, usage: Usage) -> int:
        """The cost in millionths of a nano-USD."""
        written = usage.cache_write - usage.cache_write_hour
        plain = max(0, usage.input - usage.cached - usage.cache_write)
        return (
            plain * self.input
            + usage.cached * self.cached
            + written * self.cache_write
            + usage.cache_write_hour * self.cache_write_hour
            + usage.output * self.output
        )

    def most(self, input: int, output: int) -> int:
        """The same for the dearest way in which so many tokens can be read."""
        return input * max(self.input, self.cached, self.cache_write, self.cache_write_hour) + output * self.output


class Rate(Struct, frozen=True, gc=False):
    """The price of one model from one day on."""

    tiers: tuple[Charges, ...]
    """By `above`, ascending; the first is for every prompt. All tokens of a call are charged by one of them."""
    source: str
    services: tuple[tuple[str, tuple[Charges, ...]], ...] = ()
    """(service tier as the provider names it, its tiers); any other costs what `tiers` say."""
    begins: int = 0
    """Days since 1970 (UTC) from which it holds."""

    def of(self, usage: Usage) -> Cost:
        """The cost of a usage. `input` holds the tokens read from and written to the cache, `output` the reasoning."""
        tiers = self.tiers
        if usage.service:
            tiers = dict(self.services).get(usage.service, tiers)
        charges = tiers[0]
        for tier in tiers[1:]:
            if usage.input > tier.above:
                charges = tier
        return Cost((charges.of(usage) + MILLION // 2) // MILLION, self.source)

    def most(self, input: int, output: int, *, any_service: bool) -> int:
        """Nano-USD, rounded up, that a call of at most so many tokens can cost: for its reservation.

        `any_service`: it may be served by another service tier than the usual one."""
        tables = [self.tiers, *(tiers for _, tiers in self.services)] if any_service else [self.tiers]
        possible = (tier for tiers in tables for tier in tiers if tier.above < max(input, 1))
        return -(-max(tier.most(input, output) for tier in possible) // MILLION)


Rates = Mapping[tuple[str, str], tuple[Rate, ...]]
"""(catalogue entry, model as the provider knows it) -> its rates, the one that begins last first."""

NO_RATES: Final[Rates] = MappingProxyType({})

_FILES: Final = ("prices.toml", "prices_listed.toml")


def rate(
    *,
    input: str,
    output: str,
    cached: str | None = None,
    cache_write: str | None = None,
    cache_write_hour: str | None = None,
    tiers: Iterable[Mapping[str, Any]] = (),
    services: Iterable[Mapping[str, Any]] = (),
    begins: str = "",
    source: str,
    date: str,
) -> Rate:
    """A rate from decimal US dollars per million tokens.

    Cache reads and writes without a price cost what input does; writes for an hour what other writes do. `tiers` hold
    `above` and the same figures, `services` hold `name`, the same figures and tiers of their own. `begins` is a day,
    `YYYY-MM-DD`.

    Raises ValueError for what is not a decimal number with at most nine decimals or not a day, and for tiers that do
    not ascend or services that are named twice.
    """
    figures = {
        "input": input,
        "output": output,
        "cached": cached,
        "cache_write": cache_write,
        "cache_write_hour": cache_write_hour,
    }
    named = []
    for service in services:
        rest = {name: value for name, value in service.items() if name not in ("name", "tiers")}
        named.append((str(service["name"]), _tiers(rest, service.get("tiers") or ())))
    if len(dict(named)) < len(named):
        raise ValueError("a service tier is named twice")
    return Rate(
        tiers=_tiers(figures, tiers),
        source=sys.intern(f"{source} ({date})"),
        services=tuple(named),
        begins=day_of(begins) if begins else 0,
    )


def _tiers(figures: Mapping[str, Any], above: Iterable[Mapping[str, Any]]) -> tuple[Charges, ...]:
    found = [_charges(figures), *(_charges(tier) for tier in above)]
    if any(one.above >= other.above for one, other in pairwise(found)):
        raise ValueError("tiers must ascend by `above`")
    return tuple(found)


def _charges(figures: Mapping[str, Any]) -> Charges:
    left = set(figures) - {"input", "output", "cached", "cache_write", "cache_write_hour", "above"}
    if left:
        raise ValueError(f"a price has no {', '.join(sorted(left))}")
    above = figures.get("above", 0)
    if type(above) is not int or not 0 <= above <= 10**9:
        raise ValueError("`above` must be a whole number of tokens")
    plain = nano(figures["input"])
    written = plain if figures.get("cache_write") is None else nano(figures["cache_write"])
    return Charges(
        input=plain,
        output=nano(figures["output"]),
        cached=plain if figures.get("cached") is None else nano(figures["cached"]),
        cache_write=written,
        cache_write_hour=written if figures.get("cache_write_hour") is None else nano(figures["cache_write_hour"]),
        above=above,
    )


@lru_cache(maxsize=1024)  # a table holds few figures many times: they are one object each
def nano(dollars: str) -> int:
    """Nano-USD of a decimal number of US dollars, exactly. Raises ValueError where that is not a whole number."""
    whole, _, fraction = dollars.partition(".")
    digits = whole + fraction.ljust(9, "0")
    if not (digits.isascii() and digits.isdigit()) or not whole or len(fraction) > 9:
        raise ValueError(f"{dollars!r} is not a decimal number with at most nine decimals")
    return int(digits)


def day_of(text: str) -> int:
    """Days since 1970 of `YYYY-MM-DD`. Raises ValueError where there is no such day."""
    return datetime.date.fromisoformat(text).toordinal() - _EPOCH


def is_day(text: str) -> bool:
    """Whether the calendar has this day, `YYYY-MM-DD`."""
    try:
        day_of(text)
    except ValueError:
        return False
    return True


def table(rates: Iterable[tuple[str, str, Rate]]) -> Rates:
    """Rates by what they are for. Raises ValueError where two of one model begin on one day."""
    found: dict[tuple[str, str], list[Rate]] = {}
    for catalog, model, one in rates:
        found.setdefault((catalog, model), []).append(one)
    for (catalog, model), held in found.items():
        held.sort(key=lambda one: -one.begins)
        if len({one.begins for one in held}) < len(held):
            raise ValueError(f"{catalog} {model} is priced twice")
    return MappingProxyType({of: tuple(held) for of, held in found.items()})


def read(text: str) -> Rates:
    """A table in the form of prices.toml, which says what may stand in it. Raises ValueError, TypeError, KeyError."""
    rows = []
    # An entry at a time: what a parser makes of the whole would take more memory than all that is kept of it.
    for block in text.split("[[price]]")[1:]:
        entry = tomllib.loads(block)
        catalog, models = entry.pop("catalog"), entry.pop("models")
        made = rate(begins=entry.pop("from", ""), **entry)
        rows += [(catalog, model, made) for model in models]
    return table(rows)


@cache
def built_in() -> Rates:
    """The table that is shipped: what was read at a provider's own site comes before what was taken from a list."""
    files = resources.files("sekimori.meter")
    own, listed = (read(files.joinpath(name).read_text(encoding="utf-8")) for name in _FILES)
    return MappingProxyType({**listed, **own})


def price(catalog: str, model: str, day: int, overrides: Rates = NO_RATES) -> Rate | None:
    """The rate of a model on a day (days since 1970, UTC); None where it has none.

    `overrides` come before the built-in table, each from the day on which it begins.
    """
    at = (catalog, model)
    for rates in (overrides, built_in()):
        for one in rates.get(at, ()):
            if one.begins <= day:
                return one
    return None


def cost(usage: Usage, catalog: str, model: str, day: int, overrides: Rates = NO_RATES) -> Cost | None:
    """What a hop of that day cost; None where the model has no price."""
    found = price(catalog, model, day, overrides)
    return None if found is None else found.of(usage)


def priced(overrides: Rates = NO_RATES) -> Iterator[tuple[str, str, Rate]]:
    """(catalogue entry, model, rate) of every price there is, sorted; of one model, the one that begins first first."""
    for (catalog, model), rates in sorted({**built_in(), **overrides}.items()):
        for one in reversed(rates):
            yield catalog, model, one
