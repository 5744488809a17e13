"""What a caller is told whose call a bound has no room for: which bound, and when it opens again."""

from __future__ import annotations

import math
from typing import Final

from msgspec import Struct

from sekimori.errors import Fault, Refused
from sekimori.meter.spend import Short, Spend, date

LONGEST_WAIT: Final = 60.0
"""Seconds that a caller is asked to wait. What opens later is not worth an SDK's waiting: it is told not to retry."""

_FIELDS: Final = {
    "tokens_per_minute": ("tokensPerMinute", "tokens in any minute"),
    "tokens_per_day": ("tokensPerDay", "tokens a day (UTC)"),
    "nano_per_day": ("moneyPerDay", "a day (UTC)"),
    "nano_per_month": ("moneyPerMonth", "a month (UTC)"),
}


class Figures(Struct, frozen=True):
    """The tightest bound as the caller may know it; for the rate-limit headers."""

    limit: int
    remaining: int
    reset: float
    """Seconds until a place that is taken now is free again."""


class RateLimited(Refused):
    """Refused `rate_limited`, with the figures the dialects put into their headers."""

    def __init__(self, scope: str, bound: int, wait: float, figures: Figures) -> None:
        super().__init__(
            "rate_limited",
            f"This {what(scope)} may make {bound} requests in any minute.",
            advice=f"Retry after {math.ceil(wait)} s, or raise `requestsPerMinute` in the Limit document.",
            retry_after=wait,
        )
        self.figures = figures


class TokensLimited(Refused):
    """Refused `tokens_limited`, with the figures the dialects put into their headers."""

    def __init__(self, text: str, advice: str, wait: float | None, tokens: Figures) -> None:
        super().__init__("tokens_limited", text, advice=advice, retry_after=wait)
        self.tokens = tokens


def concurrent(scope: str, bound: int) -> Refused:
    """Refused `concurrency_limited`."""
    return Refused(
        "concurrency_limited",
        f"{bound} calls of this {what(scope)} are already under way.",
        advice="Wait for one to end, or raise `concurrency` in the Limit document.",
        retry_after=1.0,
    )


def exhausted(short: Short, spend: Spend, now: float) -> Refused:
    """Refused `tokens_limited` or `budget_exhausted`: what the bound is, and when it opens again."""
    field, unit = _FIELDS[short.which]
    money = short.which.startswith("nano")
    limit = dollars(short.limit) if money else str(short.limit)
    asked = dollars(short.asked) if money else f"{short.asked} tokens"
    text = f"This {what(short.bound.scope)} may use {limit} {unit}"
    if short.wait is not None:
        text += "; what is left of it is held by calls under way." if short.which != "tokens_per_minute" else "."
        advice = f"Retry after {math.ceil(short.wait)} s, or raise `{field}` in the Limit document."
    elif short.opens is not None:
        text += f", and this call may use {asked}, more than is left."
        advice = f"It opens again at {date(short.opens)}T00:00:00Z; or raise `{field}` in the Limit document."
    else:
        text += f", and this call alone may use {asked}."
        advice = f"Ask for fewer output tokens or send less, or raise `{field}` in the Limit document."
    wait = short.wait if short.wait is not None and short.wait <= LONGEST_WAIT + 1 else None
    if short.which == "tokens_per_minute":
        left, reset = spend.left(short.limit, now)
        return TokensLimited(text, advice, wait, Figures(short.limit, left, reset if wait is None else wait))
    return Refused("budget_exhausted", text, advice=advice, retry_after=wait)


def unpriced(catalog: str, model: str) -> Refused:
    """Refused `budget_unpriced`: what cannot be priced cannot be bounded."""
    return Refused(
        "budget_unpriced",
        f"A bound on money applies to this call, and the model `{model}` has no price.",
        advice=f"Price it in `prices` of the Operator document (catalog {catalog}).",
    )


def unknown(error: Exception | None) -> Fault:
    """Fault `budget_unknown`: nothing is admitted against a bound whose use cannot be told."""
    fault = Fault(
        "budget_unknown",
        "What this tenant has used cannot be read from its record, so nothing is admitted against its budgets.",
        advice="The operator must see what `sekimori doctor` and `sekimori ledger verify` say; it is tried again.",
        retry_after=5.0,
    )
    fault.__cause__ = error
    return fault


def dollars(nano: int) -> str:
    """An amount as people write it: `$0.0125`."""
    whole, fraction = divmod(nano, 10**9)
    digits = f"{fraction:09d}".rstrip("0").ljust(2, "0")
    return f"${whole}.{digits}"


def what(scope: str) -> str:
    """The sort of a scope: agent, tenant, key or tag."""
    return scope.partition(":")[0]
