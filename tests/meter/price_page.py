"""The table of docs/prices.md, made from the shipped prices: `python -m tests.meter.price_page` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final

from sekimori.meter.prices import Rate, priced

PAGE: Final = Path(__file__).parents[2] / "docs" / "prices.md"
_EPOCH: Final = date(1970, 1, 1).toordinal()
_COLUMNS: Final = ("catalog", "models", "input", "cached", "cache write", "one hour", "output", "also")


def table() -> str:
    """A row for each price, with the models that have it."""
    groups: dict[tuple[str, int], tuple[Rate, list[str]]] = {}
    for catalog, model, rate in priced():
        groups.setdefault((catalog, id(rate)), (rate, []))[1].append(model)
    head = f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}\n"
    return head + "".join(_row(catalog, *group) for (catalog, _), group in groups.items())


def _row(catalog: str, rate: Rate, models: list[str]) -> str:
    usual = rate.tiers[0]
    figures = (usual.input, usual.cached, usual.cache_write, usual.cache_write_hour, usual.output)
    named = " ".join(f"`{model}`" for model in models)
    return f"| `{catalog}` | {named} | {' | '.join(map(_dollars, figures))} | {', '.join(_also(rate))} |\n"


def _also(rate: Rate) -> Iterator[str]:
    if rate.begins:
        yield f"from {date.fromordinal(rate.begins + _EPOCH)}"
    for tier in rate.tiers[1:]:
        yield f"above {tier.above}"
    for name, _ in rate.services:
        yield f"`{name}`"


def _dollars(nano: int) -> str:
    text = f"{Decimal(nano).scaleb(-9).normalize():f}"
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.ljust(2, '0')}"


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.partition(f"| {_COLUMNS[0]} | {_COLUMNS[1]} |")[0] + table(), encoding="utf-8")


if __name__ == "__main__":
    main()
