"""Followers see every entry once and in order, whatever crashes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from sekimori.ledger.ledger import Ledger, Recorded
from tests.ledger.world import ACME, GLOBEX, World, call, decided, sound


class Follower:
    """Keeps what it took and its cursor together, as a database would."""

    name = "test"

    def __init__(self) -> None:
        self.taken: dict[str, list[Recorded]] = {}
        self.failures = 0

    async def cursor(self, log: str) -> int:
        return len(self.taken.get(log, []))

    async def take(self, log: str, entries: Sequence[Recorded]) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the follower's own trouble")
        mine = self.taken.setdefault(log, [])
        for each in entries:
            assert each.index == len(mine), "each entry once and in order"
            mine.append(each)


async def everything(ledger: Ledger, log: str) -> list[Recorded]:
    return await ledger.entries(log, 0, 1 << 30)


async def test_followers_see_everything_once_and_in_order(tmp_path: Path) -> None:
    world, follower = World(tmp_path), Follower()
    ledger = await world.open(integrate_entries=256)
    for _ in range(10):
        await call(ledger, ACME)
    await ledger.integrate()
    ledger.register(follower)
    await ledger.integrate()
    assert len(follower.taken[ACME]) == 31, "what was there before it came"
    for round in range(3):
        for _ in range(100):
            await call(ledger, ACME)
        await call(ledger, GLOBEX)
        if round == 1:
            follower.failures = 2
        await ledger.integrate()
        assert (f"test of {ACME}" in ledger.troubles) == (round == 1)
    await ledger.integrate()
    assert follower.taken[ACME] == await everything(ledger, ACME)
    await call(ledger, ACME)
    await ledger.write(decided(ACME, ledger.new_id()))
    await world.crash(ledger)

    ledger = await world.open()
    ledger.register(follower)
    await call(ledger, ACME)
    await ledger.integrate()
    for log in (ACME, GLOBEX):
        assert follower.taken[log] == await everything(ledger, log)
    world.keys.destroyed.add("5.2027-01-15")
    late = Follower()
    late.name = "late"
    ledger.register(late)
    await ledger.integrate()
    assert late.taken[ACME] == await everything(ledger, ACME)
    assert {each.state for each in late.taken[ACME]} == {"present", "purged"}
    await ledger.close()


async def test_a_follower_that_was_ahead_of_the_checkpoint_at_a_crash(tmp_path: Path) -> None:
    """It is fed from the journal's order, which a crash does not change."""
    world, follower = World(tmp_path), Follower()
    ledger = await world.open(integrate_entries=256)
    ledger.register(follower)
    ids = []
    for _ in range(100):
        ids += await call(ledger, ACME)
    async with asyncio.timeout(30):
        while not follower.taken.get(ACME):
            await asyncio.sleep(0.01)
    assert ledger.size(ACME) == 0, "not signed yet"
    assert len(follower.taken[ACME]) == 256
    await world.crash(ledger)
    ledger = await world.open()
    ledger.register(follower)
    await ledger.integrate()
    assert follower.taken[ACME] == await everything(ledger, ACME)
    assert len(follower.taken[ACME]) == 302
    await ledger.close()
    await sound(world, {ACME: ids})
