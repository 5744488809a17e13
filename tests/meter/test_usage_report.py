"""Usage: what the record says, each entry once, in integers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekimori.db import Database
from sekimori.errors import Fault
from sekimori.identity.names import uid
from sekimori.ledger.entry import Corrected, KeyUsed, Leaf, Refused
from sekimori.ledger.protocols import Recorded
from sekimori.meter.prices import DAY_MS
from sekimori.meter.usage_report import Line, UsageFollower, report, summed, to_csv
from sekimori.terms import Tags, Usage

ACME, AGENT, OTHER = (uid(bytes([n]) * 16) for n in (1, 2, 3))
DAY = 1_795_000_000_000  # 2026-11-18T11:06:40Z


def used(index: int, *, agent: str | None = AGENT, time: int = DAY, **fields: Any) -> Recorded:
    payload = KeyUsed(
        **{
            "key": "clients/acme/own",
            "key_uid": OTHER,
            "key_version": 1,
            "provider": "openai",
            "model": "gpt-4o",
            "usage": Usage(input=10, output=5, cached=2),
            "cost_nano": 7,
            "outcome": "answered",
            **fields,
        }
    )
    return Recorded(ACME, index, leaf(index, agent, time), payload)


def leaf(index: int, agent: str | None, time: int) -> Leaf:
    id = f"01a20000-0000-7000-8000-{index:012x}"
    return Leaf(
        actor="sekimori", agent=agent, call=id, class_=3, commit="A" * 43 + "=", daykey="k", generation=1, hop=0, id=id,
        kind=6, n=index, run=id, schema=1, tenant=ACME, time=time, v=1,
    )  # fmt: skip


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(tmp_path)
    await made.tenant(ACME).create()
    yield made
    await made.close()


async def lines(database: Database, *by: Any, **span: str) -> list[Line]:
    return await report(database, {ACME: "acme"}, {AGENT: "analyst"}, by=by, **span)


async def test_a_report_adds_up_what_was_taken_once(database: Database) -> None:
    follower = UsageFollower(database)
    await follower.take(ACME, [used(0), used(1, model="gpt-5", cost_nano=None), used(2, agent=OTHER)])
    with pytest.raises(Fault, match="cursor"):
        await follower.take(ACME, [used(0)])
    assert await follower.cursor(ACME) == 3
    [total] = await lines(database)
    assert (total.tenant, total.uses, total.input, total.output, total.cached) == ("acme", 3, 30, 15, 6)
    assert (total.cost_nano, total.unpriced, total.agent) == (14, 1, "")
    by_agent = await lines(database, "agent")
    assert [(line.agent, line.uses) for line in by_agent] == [("analyst", 2), (OTHER, 1)]
    assert {line.model for line in await lines(database, "model")} == {"gpt-4o", "gpt-5"}


async def test_what_is_not_of_a_key_moves_the_cursor_alone(database: Database) -> None:
    follower = UsageFollower(database)
    refused = Refused(
        reason=1, text="", status=400, dialect="openai", operation="chat", model="", count=1, first_ms=0, last_ms=0
    )
    purged = Recorded(ACME, 1, leaf(1, AGENT, DAY), None, "purged")
    await follower.take(ACME, [Recorded(ACME, 0, leaf(0, AGENT, DAY), refused), purged])
    await follower.take(ACME, [])
    assert await follower.cursor(ACME) == 2
    assert await lines(database) == []


async def test_days_are_utc_and_a_span_includes_both_ends(database: Database) -> None:
    midnight = DAY - DAY % 86_400_000
    await UsageFollower(database).take(ACME, [used(0, time=midnight - 1), used(1, time=midnight)])
    assert [line.day for line in await lines(database, "day")] == ["2026-11-17", "2026-11-18"]
    assert [line.uses for line in await lines(database, since="2026-11-18", until="2026-11-18")] == [1]


async def test_what_came_to_nothing_is_counted_as_such(database: Database) -> None:
    entries = [
        used(0, outcome="yielded", usage=None, cost_nano=None),
        used(1, outcome="interrupted", usage=Usage(input=9, estimated=True), cost_nano=3),
        used(2),
    ]
    await UsageFollower(database).take(ACME, entries)
    [total] = await lines(database)
    assert (total.uses, total.answered, total.estimated, total.unpriced, total.input) == (3, 1, 1, 0, 19)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**12), st.sampled_from("ab")), max_size=30))
def test_nothing_is_lost_in_the_sum(uses: list[tuple[int, int, str]]) -> None:
    rows = summed([used(n, usage=Usage(input=i), cost_nano=c, model=m) for n, (i, c, m) in enumerate(uses)])
    assert sum(row.input for row in rows) == sum(i for i, _, _ in uses)
    assert sum(row.cost_nano for row in rows) == sum(c for _, c, _ in uses)
    assert len(rows) == len({m for _, _, m in uses})


@given(st.integers(0, 10**18))
def test_a_cost_is_the_exact_decimal(nano: int) -> None:
    line = Line("t", "", "", "", "", "", 1, 1, 0, 0, 0, 0, 0, 0, nano, 0, "USD")
    assert Decimal(line.cost) == Decimal(nano) / 10**9


def test_csv_is_text_to_a_spreadsheet() -> None:
    line = Line("acme", "", "", "", "", "=cmd|' /C calc'!A0", 1, 1, 0, 0, 0, 0, 0, 0, 5, 0, "USD")
    head, row = to_csv([line]).splitlines()
    assert head.endswith("currency,end_user,session,tags,cost")
    assert "'=cmd" in row
    assert row.endswith("USD,,,,0.000000005")


def test_a_corrected_estimate_is_as_if_it_had_been_known() -> None:
    """The difference stands in the row of the estimate; the call that brought it in its own, with no tokens."""
    tags = Tags("", "", ("batch",))
    estimate = used(0, usage=Usage(100, 400, estimated=True), cost_nano=90, began="resp_1", tags=tags)
    corrects = Corrected(id="resp_1", agent=AGENT, time=DAY, tags=tags)
    told = used(1, agent=OTHER, time=DAY + DAY_MS, usage=Usage(-70, -380), cost_nano=-80, corrects=corrects)
    rows = {(row.day, row.agent, row.tags): row for row in summed([estimate, told])}
    mine, other = rows["2026-11-18", AGENT, "batch"], rows["2026-11-19", OTHER, ""]
    assert (mine.uses, mine.input, mine.output, mine.cost_nano, mine.estimated, mine.unpriced) == (1, 30, 20, 10, 0, 0)
    assert (other.uses, other.input, other.output, other.cost_nano, other.estimated) == (1, 0, 0, 0, 0)
    assert summed([estimate, told]) == [mine, other]


def test_an_estimate_that_stays_one_is_counted_as_one() -> None:
    estimate = used(0, usage=Usage(100, 400, estimated=True), cost_nano=None, began="resp_1")
    corrects = Corrected(id="resp_1", agent=AGENT, time=DAY, unpriced=True)
    [row] = summed([estimate, used(1, usage=Usage(estimated=True), cost_nano=None, corrects=corrects)])
    assert (row.uses, row.input, row.output, row.estimated, row.unpriced) == (2, 100, 400, 1, 1)
