"""Usage by agent, key, model and day: the first follower of the ledger.

What a report says is summed from `KeyUsed` entries and from nothing else, so a tenant can add up its own log and get
the same figures. Sums and cursor move in one transaction of the tenant's own file: an entry is counted exactly once,
whatever is killed when. Costs are the provider's price times tokens, in integer nano-units, never marked up; uses
without a known price are counted as such and not as free.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping, Sequence
from typing import Final, get_args

from msgspec import Struct, structs

from sekimori.db import By, Database, UsageRow
from sekimori.ledger.entry import KeyUsed
from sekimori.ledger.protocols import Recorded
from sekimori.meter.prices import DAY_MS
from sekimori.terms import NO_TAGS, OPERATOR, Tags

NAME: Final = "usage"


class UsageFollower:
    """Sums `KeyUsed` entries into the tenant's own rows; the ledger's `Follower`."""

    name = NAME

    def __init__(self, database: Database) -> None:
        self._database = database

    async def cursor(self, log: str) -> int:
        return await self._database.tenant(log).cursor(NAME)

    async def take(self, log: str, entries: Sequence[Recorded]) -> None:
        """Consecutive entries from the cursor on. Raises Fault where they do not begin there."""
        if entries:
            start, end = entries[0].index, entries[-1].index + 1
            await self._database.tenant(log).add_usage(NAME, start, end, summed(entries))


def summed(entries: Sequence[Recorded]) -> list[UsageRow]:
    """What the `KeyUsed` entries among these add up to: a row for each day, agent, key, provider, model, currency, end
    user, session and set of tags.

    Tokens of a use that corrects an estimate stand in the row of that estimate, so that what was estimated is as if it
    had been known; the use itself in the row of its own day and agent.
    """
    sums: dict[_Of, dict[str, int]] = {}

    def row_of(used: KeyUsed, time: int, agent: str, said: Tags) -> dict[str, int]:
        whom = (said.end_user, said.session, ",".join(said.tags))
        of = (time // DAY_MS, agent, used.key, used.provider, used.model, used.currency, *whom)
        row = sums.get(of)
        if row is None:
            row = sums[of] = dict.fromkeys(_FIGURES, 0)
        return row

    for entry in entries:
        used = entry.payload
        if type(used) is not KeyUsed:
            continue
        leaf, usage, corrects = entry.leaf, used.usage, used.corrects
        row = row_of(used, leaf.time, leaf.agent or "", used.tags or NO_TAGS)
        row["uses"] += 1
        row["answered"] += used.outcome == "answered"
        if corrects is not None:
            row = row_of(used, corrects.time, corrects.agent, corrects.tags or NO_TAGS)
            row["estimated"] -= 1
            row["unpriced"] -= corrects.unpriced
        if usage is not None:
            row["input"] += usage.input
            row["output"] += usage.output
            row["cached"] += usage.cached
            row["cache_write"] += usage.cache_write
            row["reasoning"] += usage.reasoning
            row["estimated"] += usage.estimated
            row["unpriced"] += used.cost_nano is None
        row["cost_nano"] += used.cost_nano or 0
    return [
        UsageRow(
            day=time.strftime("%Y-%m-%d", time.gmtime(of[0] * 86_400)),
            agent=of[1],
            key=of[2],
            provider=of[3],
            model=of[4],
            currency=of[5],
            end_user=of[6],
            session=of[7],
            tags=of[8],
            **row,
        )
        for of, row in sums.items()
    ]


_Of = tuple[int, str, str, str, str, str, str, str, str]
_FIGURES: Final = tuple(name for name in UsageRow.__struct_fields__ if name not in get_args(By))


class Line(Struct, frozen=True):
    """One line of a report. Names as people know them; empty where the report sums over them."""

    tenant: str
    day: str
    agent: str
    key: str
    provider: str
    model: str
    uses: int
    answered: int
    input: int
    output: int
    cached: int
    cache_write: int
    reasoning: int
    estimated: int
    cost_nano: int
    unpriced: int
    currency: str
    end_user: str = ""
    session: str = ""
    tags: str = ""
    """The set of cost tags, with commas between them: a call with two stands in the line of both, and in no other."""

    @property
    def cost(self) -> str:
        """Exact decimal, e.g. `0.001250000`."""
        return f"{self.cost_nano // 10**9}.{self.cost_nano % 10**9:09d}"


async def report(
    database: Database,
    tenants: Mapping[str, str],
    agents: Mapping[str, str],
    *,
    by: Sequence[By],
    since: str = "",
    until: str = "9999-12-31",
    tag: str = "",
) -> list[Line]:
    """Usage of the given tenants (uid -> slug), a line for each combination of `by`.

    `agents` maps uids to slugs; one that is not in it (its document is gone) is shown by its uid. Days inclusive, UTC.
    `tag`: only calls that carry this cost tag.
    """
    lines = []
    for uid, tenant in sorted(tenants.items(), key=lambda item: item[1]):
        if uid == OPERATOR:
            continue
        for row in await database.tenant(uid).usage(by, since, until, tag):
            fields = structs.asdict(row)
            fields["agent"] = agents.get(row.agent, row.agent)
            lines.append(Line(tenant=tenant, **fields))
    return lines


def to_csv(lines: Sequence[Line]) -> str:
    """RFC 4180. A cell that a spreadsheet would run as a formula is made text."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*Line.__struct_fields__, "cost"])
    for line in lines:
        writer.writerow([_cell(value) for value in (*structs.astuple(line), line.cost)])
    return out.getvalue()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
