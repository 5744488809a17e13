"""What one scope has used and has promised, in tokens and money. Pure: every instant is an argument.

Two clocks are told: `now` is monotonic, for the minute; `today` is the UTC day by the wall clock, for days and months.
Used is what ended calls were charged, held is what calls under way may still use; a call is admitted only where used,
held and its own most stay within every bound. What a call was charged takes the place of what it held.

A day's figure is what was charged on that day **or later**, a month's likewise. So a clock that is set back reopens
nothing: what was charged meanwhile counts on the earlier day, too.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from sekimori.meter.window import WINDOW, Minute
from sekimori.terms import Bound

DAYS_KEPT: Final = 400
"""Days with charges that are kept. What is older counts as charged on the oldest of them, should a clock be set back so
far."""
_EPOCH: Final = datetime.date(1970, 1, 1).toordinal()

Which = Literal["tokens_per_minute", "tokens_per_day", "nano_per_day", "nano_per_month"]


class Short(NamedTuple):
    """A bound that has no room for a call."""

    bound: Bound
    which: Which
    limit: int
    asked: int
    wait: float | None
    """Seconds until there may be room; None where there never is, or only on another day."""
    opens: int | None = None
    """The day (since 1970) on which it opens; None where waiting that long is of no use or not needed."""


def first_of_month(day: int) -> int:
    """The first day of the month of a day."""
    return datetime.date.fromordinal(day + _EPOCH).replace(day=1).toordinal() - _EPOCH


def next_month(day: int) -> int:
    """The first day of the month after that of a day."""
    return first_of_month(first_of_month(day) + 31)


def date(day: int) -> datetime.date:
    """The date of a day since 1970."""
    return datetime.date.fromordinal(day + _EPOCH)


class Spend:
    """One scope's figures."""

    __slots__ = ("_at", "_day", "_days", "_from", "_minute", "_month", "held_nano", "held_tokens", "holds")

    def __init__(self) -> None:
        self._days: dict[int, list[int]] = {}
        """Day -> [tokens, nano] charged on it."""
        self._minute = Minute()
        self._at = -1
        """The day for which the sums below hold, and the first day of its month."""
        self._from = -1
        self._day = [0, 0]
        self._month = 0
        self.held_tokens = 0
        self.held_nano = 0
        self.holds = 0

    # Taking.

    def short(self, bound: Bound, tokens: int, nano: int, now: float, today: int) -> Short | None:
        """The first bound that has no room for a call that may use so much; None where all have."""
        limit = bound.tokens_per_minute
        if limit is not None:
            self._minute.expire(now)
            over = self._minute.total + self.held_tokens + tokens - limit
            if over > 0:
                wait = None
                if tokens <= limit:
                    # Once the oldest have left it fits, or else as soon as calls under way end for less.
                    wait = self._minute.frees(now, over) or 1.0
                return Short(bound, "tokens_per_minute", limit, tokens, wait)
        if today != self._at:
            self._sum(today)
        for which, limit, asked, used, held in (
            ("tokens_per_day", bound.tokens_per_day, tokens, self._day[0], self.held_tokens),
            ("nano_per_day", bound.nano_per_day, nano, self._day[1], self.held_nano),
            ("nano_per_month", bound.nano_per_month, nano, self._month, self.held_nano),
        ):
            if limit is None or used + held + asked <= limit:
                continue
            name: Which = which  # type: ignore[assignment]
            if used + asked <= limit:
                return Short(bound, name, limit, asked, 1.0)  # calls under way hold the rest and may end for less
            if asked > limit:
                return Short(bound, name, limit, asked, None)
            at = max(self._at, today)
            return Short(bound, name, limit, asked, None, next_month(at) if which == "nano_per_month" else at + 1)
        return None

    def hold(self, tokens: int, nano: int) -> None:
        """Promise so much to a call."""
        self.held_tokens += tokens
        self.held_nano += nano
        self.holds += 1

    def release(self, tokens: int, nano: int) -> None:
        """The call that was promised so much has ended, or was charged."""
        self.held_tokens -= tokens
        self.held_nano -= nano
        self.holds -= 1

    def charge(self, tokens: int, nano: int, now: float, day: int) -> None:
        """Count what a call used, on the day of its record."""
        self._minute.expire(now)
        self._minute.add(now, tokens)
        self._add(day, tokens, nano)

    def correct(self, tokens: int, nano: int, day: int) -> None:
        """Count what an earlier charge of that day was wrong by."""
        self._add(day, tokens, nano)

    def recall(self, days: Mapping[int, tuple[int, int]], minute: list[tuple[float, int]]) -> None:
        """Count what is known from the record: day -> (tokens, nano), and (instant, tokens) of the last minute."""
        for at, tokens in sorted(minute):
            self._minute.add(at, tokens)
        for day, (tokens, nano) in days.items():
            self._add(day, tokens, nano)

    # Reading.

    def used(self, today: int) -> tuple[int, int, int]:
        """(tokens of the day, nano of the day, nano of the month)."""
        self._sum(today)
        return self._day[0], self._day[1], self._month

    def left(self, limit: int, now: float) -> tuple[int, float]:
        """(tokens that are left of the minute, seconds until the oldest that count have left)."""
        self._minute.expire(now)
        return max(0, limit - self._minute.total - self.held_tokens), self._minute.frees(now, 1) or WINDOW

    def idle(self, now: float, today: int) -> bool:
        """Whether nothing is held and nothing was charged that could still count."""
        self._minute.expire(now)
        return not self.holds and not self._minute.total and not any(day >= first_of_month(today) for day in self._days)

    def _add(self, day: int, tokens: int, nano: int) -> None:
        if len(self._days) >= DAYS_KEPT and day not in self._days:
            oldest = min(self._days)
            if day < oldest:
                day = oldest
            else:
                tokens_then, nano_then = self._days.pop(oldest)
                kept = self._days[min(self._days)]
                kept[0] += tokens_then
                kept[1] += nano_then
        figures = self._days.setdefault(day, [0, 0])
        figures[0] += tokens
        figures[1] += nano
        self._count(day, tokens, nano)

    def _sum(self, today: int) -> None:
        self._at, self._from = today, first_of_month(today)
        self._day = [0, 0]
        self._month = 0
        for day, (tokens, nano) in self._days.items():
            self._count(day, tokens, nano)

    def _count(self, day: int, tokens: int, nano: int) -> None:
        if day >= self._at:
            self._day[0] += tokens
            self._day[1] += nano
        if day >= self._from:
            self._month += nano
