"""What a tenant has used, read from its record: for the bounds on tokens and money of a process that did not see it.

The sums of days come from the tenant's usage rows and, exactly from where their follower stands, from the entries of
the log that it has not taken yet; so they are the ledger's own. Read when the first call against such a bound is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from sekimori.db import Database, UsageRow
from sekimori.errors import Fault
from sekimori.ledger.entry import KEY_USED, KeyUsed
from sekimori.ledger.ledger import Ledger
from sekimori.ledger.protocols import Recorded
from sekimori.meter.budget import WINDOW, History
from sekimori.meter.prices import DAY_MS, day_of
from sekimori.meter.spend import date, first_of_month
from sekimori.meter.usage_report import NAME, summed

_SLICE: Final = 256
"""Entries read at once."""


async def history(database: Database, ledger: Ledger, tenant: str, keys: Mapping[str, str], now_ms: int) -> History:
    """What the record of a tenant (its uid) says was used since the beginning of the month before this one.

    `keys` are the uids of keys by path. The month before is read for the case that the clock is set back. Raises Fault
    where the record cannot be read whole: what is not known must not count as nothing.
    """
    await ledger.integrate()
    trouble = ledger.troubles.get(tenant)
    if trouble is not None:
        raise trouble
    since = first_of_month(first_of_month(now_ms // DAY_MS) - 1)
    cursor, rows = await database.tenant(tenant).used(NAME, date(since).isoformat())
    size = ledger.size(tenant)
    days: dict[str, dict[int, tuple[int, int]]] = {}
    _count(days, tenant, keys, rows)
    for start in range(cursor, size, _SLICE):
        entries = await _entries(ledger, tenant, start, min(start + _SLICE, size))
        told = (row for row in summed(entries) if day_of(row.day) >= since)
        _count(days, tenant, keys, told)
    minute, last = await _minute(ledger, tenant, size, keys, now_ms)
    return History(days, minute, last)


async def _minute(
    ledger: Ledger, tenant: str, size: int, keys: Mapping[str, str], now_ms: int
) -> tuple[dict[str, list[tuple[float, int]]], str]:
    """The tokens of the last minute by scope, and the id of the log's last entry where it is of this run."""
    horizon = now_ms - round(WINDOW * 1000)
    minute: dict[str, list[tuple[float, int]]] = {}
    last, end = "", size
    while end > 0:
        start = max(0, end - _SLICE)
        entries = await _entries(ledger, tenant, start, end)
        if end == size and entries[-1].leaf.run == ledger.run:
            last = entries[-1].leaf.id
        for entry in entries:
            used = entry.payload
            if not isinstance(used, KeyUsed) or used.corrects is not None:
                continue  # what is corrected was used before
            if used.usage is not None and entry.leaf.time > horizon:
                age = max(now_ms - entry.leaf.time, 0) / 1000
                tags = () if used.tags is None else used.tags.tags
                for scope in _scopes(tenant, entry.leaf.agent or "", keys.get(used.key, used.key_uid), tags):
                    minute.setdefault(scope, []).append((age, used.usage.input + used.usage.output))
        end = start if entries[0].leaf.time > horizon else 0
    return minute, last


async def _entries(ledger: Ledger, tenant: str, start: int, end: int) -> list[Recorded]:
    """Entries of a log, all of them and each use of a key readable. Raises Fault."""
    entries = await ledger.entries(tenant, start, end)
    unread = any(entry.leaf.kind == KEY_USED and entry.state != "present" for entry in entries)
    if len(entries) != end - start or unread:
        raise Fault(
            "ledger_unavailable",
            "The record of this tenant cannot be read whole.",
            advice=f"`sekimori ledger verify --log {tenant}` says what is wrong.",
        )
    return entries


def _count(
    days: dict[str, dict[int, tuple[int, int]]], tenant: str, keys: Mapping[str, str], rows: Iterable[UsageRow]
) -> None:
    for row in rows:
        day = day_of(row.day)
        tags = tuple(row.tags.split(",")) if row.tags else ()
        for scope in _scopes(tenant, row.agent, keys.get(row.key, ""), tags):
            of = days.setdefault(scope, {})
            tokens, nano = of.get(day, (0, 0))
            of[day] = (tokens + row.input + row.output, nano + row.cost_nano)


def _scopes(tenant: str, agent: str, key_uid: str, tags: tuple[str, ...]) -> list[str]:
    """The scopes that a use counts in, as terms.Limits names them."""
    scopes = [f"agent:{agent}", f"tenant:{tenant}", f"key:{tenant}/{key_uid}"]
    return scopes + [f"tag:{tenant}/{tag}" for tag in tags]
