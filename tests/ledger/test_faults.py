"""Break and repair: every deed the ledger asks of the disk fails once, in every way a disk fails; each time the home
must come out whole, with every acknowledged entry and no fork. The scenario rotates segments, drops them, fills a
bundle and leaves a pair open, so that each kind of deed is among them."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from sekimori.errors import Fault
from sekimori.ledger.ledger import Ledger
from tests.ledger.world import ACME, GLOBEX, Crash, FaultyDisk, World, decided, key_used, settled, sound

OPENING = 6
ROUNDS = 4
Acknowledged = dict[str, list[str]]


async def one_call(ledger: Ledger, log: str, acknowledged: Acknowledged, *, leave_open: bool = False) -> None:
    id = ledger.new_id()
    try:
        acknowledged[log] += await ledger.write(decided(log, id))
        if not leave_open:
            acknowledged[log] += await ledger.write(settled(log, id), key_used(log, id))
    except Fault:
        return


async def scenario(world: World, disk: FaultyDisk, acknowledged: Acknowledged) -> None:
    ledger = None
    try:
        ledger = await world.open(disk=disk, segment_bytes=8192)
        for number in range(ROUNDS):
            await asyncio.gather(
                one_call(ledger, ACME, acknowledged),
                one_call(ledger, ACME, acknowledged),
                one_call(ledger, GLOBEX, acknowledged, leave_open=number == 0),
            )
            await ledger.integrate()
        await ledger.close()
    except (Fault, Crash):
        pass
    finally:
        if ledger is not None and ledger._lock >= 0:
            with contextlib.suppress(Crash):
                await ledger._release()


async def deeds(tmp_path: Path) -> int:
    world, disk = World(tmp_path / "count"), FaultyDisk()
    acknowledged: Acknowledged = {ACME: [], GLOBEX: []}
    await scenario(world, disk, acknowledged)
    assert [len(ids) for ids in acknowledged.values()] == [ROUNDS * 6, ROUNDS * 3 - 2]
    await sound(world, acknowledged)
    return disk.deeds


@pytest.mark.parametrize("fault", ["full", "broken", "torn", "persisted", "kill", "kill_torn", "kill_persisted"])
async def test_every_deed_fails_once(tmp_path: Path, fault: str) -> None:
    total = await deeds(tmp_path)
    assert total > 80
    for at in range(total):
        world, disk = World(tmp_path / f"{at}"), FaultyDisk(at, fault)
        acknowledged: Acknowledged = {ACME: [], GLOBEX: []}
        await scenario(world, disk, acknowledged)
        assert disk.hit
        try:
            await sound(world, acknowledged)
        except BaseException as error:
            raise AssertionError(f"deed {at} of {total}, {fault}") from error
