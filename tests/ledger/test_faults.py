"""Break and repair: every deed the ledger asks of the disk fails once, in every way a disk fails; each time the home
must come out whole, with every acknowledged entry and no fork. The scenario rotates segments, drops them, fills a
bundle and leaves a pair open, so that each kind of deed is among them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path

import pytest

from sekimori.errors import Fault
from sekimori.ledger.disk import Disk
from sekimori.ledger.entry import KEY_USED, RUN_CLOSED, SETTLED, KeyUsed, RunClosed, Settled
from sekimori.ledger.journal import frame
from sekimori.ledger.ledger import Ledger
from tests.ledger.world import ACME, GLOBEX, Crash, FaultyDisk, World, call, decided, key_used, settled, sound

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


@pytest.mark.parametrize("fault", ["broken", "torn", "persisted", "kill", "kill_torn", "kill_persisted"])
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


async def test_the_power_goes_at_every_deed(tmp_path: Path) -> None:
    """Harsher than a kill: what was not synchronised is gone, and so is every name whose directory was not."""
    total = await deeds(tmp_path)
    for at in range(total):
        world, disk = World(tmp_path / f"{at}"), FaultyDisk(at, "kill")
        acknowledged: Acknowledged = {ACME: [], GLOBEX: []}
        await scenario(world, disk, acknowledged)
        disk.after_power_loss(world.home, tmp_path / f"{at} after")
        world.home = tmp_path / f"{at} after"
        try:
            await sound(world, acknowledged)
        except BaseException as error:
            raise AssertionError(f"deed {at} of {total}") from error


async def crashed_home(world: World) -> Acknowledged:
    """A home whose process died with a bundle nearly full, pairs open in two logs (one of them carried out of a
    dropped segment), entries that wait for integration and a torn commit at the journal's end."""
    acknowledged: Acknowledged = {ACME: [], GLOBEX: []}
    ledger = await world.open(segment_bytes=16384)
    await one_call(ledger, ACME, acknowledged, leave_open=True)
    for _ in range(80):
        await one_call(ledger, ACME, acknowledged)
    await ledger.integrate()
    await asyncio.gather(*(one_call(ledger, ACME, acknowledged) for _ in range(5)))
    await one_call(ledger, GLOBEX, acknowledged, leave_open=True)
    await world.crash(ledger)
    newest = max((world.home / "journal").glob("*.segment"))
    data = bytearray(newest.read_bytes())
    end = len(data.rstrip(b"\0"))
    start = -(-end // 512) * 512
    torn = frame(10_000, 0, [b"x" * 900])[0][:700]
    data[start : start + len(torn)] = torn
    newest.write_bytes(data)
    return acknowledged


async def recovery(world: World, disk: FaultyDisk, acknowledged: Acknowledged) -> None:
    ledger = None
    try:
        ledger = await world.open(disk=disk, segment_bytes=16384)
        await one_call(ledger, ACME, acknowledged)
        await ledger.close()
    except (Fault, Crash):
        pass
    finally:
        if ledger is not None and ledger._lock >= 0:
            with contextlib.suppress(Crash):
                await ledger._release()


@pytest.mark.parametrize("fault", ["broken", "torn", "persisted", "kill", "kill_torn", "kill_persisted", "power"])
async def test_every_deed_of_recovery_fails_once(tmp_path: Path, fault: str) -> None:
    crashed = World(tmp_path / "crashed")
    acknowledged = await crashed_home(crashed)
    assert (crashed.home / "journal" / "open").exists(), "the scenario must carry a pair"
    disk = FaultyDisk()
    world = crashed.copy(tmp_path / "count")
    await recovery(world, disk, {log: list(ids) for log, ids in acknowledged.items()})
    assert disk.deeds > 25
    assert (world.home / "ledger" / ACME / "tile" / "0" / "000").exists(), "the scenario must fill a bundle"
    for at in range(disk.deeds):
        world, broken = crashed.copy(tmp_path / f"{at}"), FaultyDisk(at, "kill" if fault == "power" else fault)
        broken.assume(world.home)
        known = {log: list(ids) for log, ids in acknowledged.items()}
        await recovery(world, broken, known)
        assert broken.hit
        if fault == "power":
            broken.after_power_loss(world.home, tmp_path / f"{at} after")
            world.home = tmp_path / f"{at} after"
        try:
            await sound(world, known)
        except BaseException as error:
            raise AssertionError(f"deed {at} of {disk.deeds}, {fault}") from error


async def test_what_recovery_writes(tmp_path: Path) -> None:
    world = World(tmp_path)
    acknowledged = await crashed_home(world)
    ledger = await world.open()
    try:
        for log in (ACME, GLOBEX):
            entries = await ledger.entries(log, 0, 1000)
            opened = entries[0].leaf.run
            assert {entry.leaf.run for entry in entries} == {opened}
            settled, used, closed = entries[-3:]
            assert [entry.leaf.kind for entry in (settled, used, closed)] == [SETTLED, KEY_USED, RUN_CLOSED]
            assert isinstance(settled.payload, Settled)
            assert settled.payload.outcome == "interrupted"
            assert (settled.leaf.call, settled.leaf.hop) == (used.leaf.call, used.leaf.hop)
            assert isinstance(used.payload, KeyUsed)
            assert (used.payload.key, used.payload.outcome, used.payload.key_version) == (
                "operator/openai",
                "interrupted",
                None,
            )
            assert isinstance(closed.payload, RunClosed)
            assert (closed.payload.by, closed.payload.interrupted) == ("recovery", 1)
            assert [entry.leaf.n for entry in entries] == list(range(len(entries)))
        assert len(acknowledged[ACME]) + 1 + 3 == ledger.size(ACME)
    finally:
        await ledger.close()
    await sound(world, acknowledged)


@pytest.mark.parametrize("lasting", [3, 10, 40])
async def test_calls_go_on_when_the_disk_is_back(tmp_path: Path, lasting: int) -> None:
    world, disk = World(tmp_path), FaultyDisk(-1, "full", lasting)
    acknowledged: Acknowledged = {ACME: [], GLOBEX: []}
    ledger = await world.open(disk=disk)
    await one_call(ledger, ACME, acknowledged)
    open_call = ledger.new_id()
    acknowledged[ACME] += await ledger.write(decided(ACME, open_call))
    disk.at = disk.deeds
    for _ in range(lasting):
        with pytest.raises(Fault) as raised:
            await ledger.write(decided(ACME, ledger.new_id()))
        assert raised.value.reason == "ledger_unavailable"
        assert raised.value.status == 503
        assert "free space" in raised.value.advice
    assert "journal" in ledger.troubles
    # Nothing of the failed ones is left: the numbers go on as if they had never been.
    await one_call(ledger, ACME, acknowledged)
    assert ledger.troubles == {}
    assert ledger.is_open(ACME, open_call, 0)
    acknowledged[ACME] += await ledger.write(settled(ACME, open_call))
    await ledger.close()
    await sound(world, acknowledged)


async def test_a_settled_that_met_a_fault_is_closed_by_the_ledger(tmp_path: Path) -> None:
    world, disk = World(tmp_path), FaultyDisk()
    ledger = await world.open(disk=disk, checkpoint_seconds=0.01)
    call = ledger.new_id()
    [id] = await ledger.write(decided(ACME, call))
    disk.at, disk.lasting, disk.fault = disk.deeds, 1000, "broken"
    with pytest.raises(Fault):
        await ledger.write(settled(ACME, call), key_used(ACME, call))
    disk.at = -1
    outcomes: list[str] = []
    async with asyncio.timeout(60):
        while not outcomes:
            await asyncio.sleep(0.01)
            entries = await ledger.entries(ACME, 0, 99)
            outcomes = [each.payload.outcome for each in entries if isinstance(each.payload, Settled)]
    assert outcomes == ["interrupted"]
    assert not ledger.is_open(ACME, call, 0)
    with pytest.raises(Fault):
        await ledger.write(settled(ACME, call))
    await ledger.close()
    await sound(world, {ACME: [id]})


async def test_payload_rows_that_fail_hold_the_tree_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    acknowledged: Acknowledged = {ACME: [], GLOBEX: []}
    ledger = await world.open()
    await one_call(ledger, ACME, acknowledged)

    def broken() -> None:
        raise Fault("ledger_unavailable", "The rows are not there.")

    world.rows.broken = broken
    await ledger.integrate()
    assert set(ledger.troubles) == {ACME}
    assert ledger.size(ACME) == 0
    await one_call(ledger, ACME, acknowledged)
    world.rows.broken = lambda: None
    await ledger.integrate()
    assert ledger.troubles == {}
    assert ledger.size(ACME) == 7
    await ledger.close()
    await sound(world, acknowledged)


async def test_a_slow_disk_delays_and_loses_nothing(tmp_path: Path) -> None:
    """The commit under way holds the others up; they share the next one."""
    world = World(tmp_path)

    class Slow(Disk):
        def __init__(self) -> None:
            self.gate = threading.Event()
            self.gate.set()
            self.writes = 0

        def write(self, descriptor: int, data: bytes, offset: int) -> None:
            assert self.gate.wait(30)
            self.writes += 1
            super().write(descriptor, data, offset)

    disk = Slow()
    ledger = await world.open(disk=disk, segment_bytes=1 << 20)
    await call(ledger, ACME)
    disk.gate.clear()
    writes = disk.writes
    tasks = [asyncio.create_task(ledger.write(decided(ACME, ledger.new_id()))) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    late = [asyncio.create_task(ledger.write(decided(ACME, ledger.new_id()))) for _ in range(20)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in (*tasks, *late))
    disk.gate.set()
    ids = [id for written in await asyncio.gather(*tasks, *late) for id in written]
    assert len(set(ids)) == 40
    assert disk.writes == writes + 2
    await ledger.close()
    await sound(world, {ACME: ids})
