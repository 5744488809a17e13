"""The ledger as its callers see it."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest
from msgspec.structs import replace

from sekimori.errors import Fault
from sekimori.ledger import entry
from sekimori.ledger.ledger import Draft
from sekimori.terms import Tags, Usage
from tests.ledger.world import ACME, GLOBEX, FaultyDisk, Keys, World, call, decided, key_of, key_used, settled, sound

OPERATOR = "operator"


def key_changed(log: str) -> Draft:
    payload = entry.KeyChanged(action="put", path="operator/openai", key_uid="k", version=1)
    return Draft(entry.KEY_CHANGED, entry.CONFIGURATION, log, None, "uid:0", None, None, payload, 4)


async def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    world = World(tmp_path)
    ledger = await world.open()
    id, own = ledger.new_id(), ledger.new_id()
    first = decided(ACME, id)
    first.id = own
    assert await ledger.write(first) == [own]
    ids = await ledger.write(settled(ACME, id), key_used(ACME, id))
    assert ledger.size(ACME) == 0, "not before it is integrated"
    assert await ledger.entries(ACME, 0, 9) == []
    await ledger.integrate()
    entries = await ledger.entries(ACME, 0, 9)
    assert [each.leaf.id for each in entries[1:]] == [own, *ids]
    assert [each.index for each in entries] == [0, 1, 2, 3]
    opened, decision = entries[0].leaf, entries[1].leaf
    assert (opened.kind, opened.class_, opened.actor, opened.n, opened.agent) == (1, 1, "sekimori", 0, None)
    assert (decision.call, decision.hop, decision.agent, decision.actor) == (id, 0, "agent", "agent:agent")
    assert (decision.tenant, decision.generation, decision.n, decision.run) == (ACME, 3, 1, ledger.run)
    assert (decision.daykey, decision.time) == ("5.2027-01-15", decision.time)
    assert entries[1].payload == first.payload
    assert {each.state for each in entries} == {"present"}
    assert await ledger.find(ACME, own) == 1
    assert await ledger.find(GLOBEX, own) is None
    assert await ledger.entries(ACME, 2, 3) == entries[2:3]
    assert await ledger.entries(ACME, 3, 2) == []
    world.keys.destroyed.add("5.2027-01-15")
    purged = await ledger.entries(ACME, 0, 9)
    assert [each.state for each in purged] == ["present", "purged", "purged", "present"]
    assert purged[1].payload is None
    await ledger.close()


async def test_one_commit_over_several_logs(tmp_path: Path) -> None:
    """A change that touches a tenant stands in its log and the operator's, or in neither."""
    world, disk = World(tmp_path), FaultyDisk()
    ledger = await world.open(disk=disk)
    await ledger.write(key_changed(OPERATOR), key_changed(ACME))
    disk.at = disk.deeds
    with pytest.raises(Fault):
        await ledger.write(key_changed(OPERATOR), key_changed(ACME), key_changed(GLOBEX))
    await ledger.integrate()
    assert ledger.logs() == [ACME, GLOBEX, OPERATOR]
    assert [ledger.size(log) for log in ledger.logs()] == [2, 0, 2]
    ids = await ledger.write(key_changed(GLOBEX))
    await ledger.close()
    await sound(world, {GLOBEX: ids})


async def test_each_run_opens_and_closes_in_each_log_it_wrote_to(tmp_path: Path) -> None:
    world = World(tmp_path)
    runs = []
    for logs in ([ACME], [], [ACME, OPERATOR], [OPERATOR]):
        ledger = await world.open()
        runs.append(ledger.run)
        for log in logs:
            await ledger.write(key_changed(log))
        await ledger.close()
    ledger = await world.open()
    kinds = [(each.leaf.run, each.leaf.n, each.leaf.kind) for each in await ledger.entries(ACME, 0, 99)]
    assert kinds == [(run, n, kind) for run in (runs[0], runs[2]) for n, kind in ((0, 1), (1, 10), (2, 2))]
    kinds = [(each.leaf.run, each.leaf.n, each.leaf.kind) for each in await ledger.entries(OPERATOR, 0, 99)]
    assert kinds == [(run, n, kind) for run in (runs[2], runs[3]) for n, kind in ((0, 1), (1, 10), (2, 2))]
    await ledger.close()
    assert ledger.size(ACME) == 6, "a run that wrote nothing leaves nothing"


async def test_open_pairs_are_interrupted_at_the_end(tmp_path: Path) -> None:
    world = World(tmp_path)
    ledger = await world.open()
    first, second = ledger.new_id(), ledger.new_id()
    await ledger.write(decided(ACME, first))
    await ledger.write(settled(ACME, first, outcome="yielded"), decided(ACME, first, 1))
    await ledger.write(decided(ACME, second))
    assert ledger.is_open(ACME, first, 1)
    assert not ledger.is_open(ACME, first, 0)
    await ledger.close()
    ledger = await world.open()
    entries = await ledger.entries(ACME, 0, 99)
    closing = [(each.leaf.kind, each.leaf.call, each.leaf.hop) for each in entries[5:]]
    assert closing == [(4, first, 1), (6, first, 1), (4, second, 0), (6, second, 0), (2, None, None)]
    assert all(each.payload.outcome == "interrupted" for each in entries[5:-1])  # type: ignore[union-attr]
    await ledger.close()
    await sound(world, {})


async def test_what_was_interrupted_is_settled_at_its_reservation(tmp_path: Path) -> None:
    world = World(tmp_path)
    ledger = await world.open()
    call = ledger.new_id()
    draft = decided(ACME, call)
    assert isinstance(draft.payload, entry.Decided)
    most, tags = Usage(900, 50, estimated=True), Tags("u", "s", ("a",))
    draft.payload = replace(draft.payload, reserved=most, reserved_nano=77, tags=tags)
    await ledger.write(draft)
    await ledger.close()
    ledger = await world.open()
    ended, used = [each.payload for each in await ledger.entries(ACME, 2, 4)]
    assert isinstance(ended, entry.Settled)
    assert isinstance(used, entry.KeyUsed)
    assert ended.usage == used.usage == most
    assert ended.cost_nano == used.cost_nano == 77
    assert used.tags == tags
    await ledger.close()
    await sound(world, {})


async def test_what_is_no_entry_is_refused_and_leaves_no_gap(tmp_path: Path) -> None:
    world = World(tmp_path)
    ledger = await world.open()
    id = ledger.new_id()
    await ledger.write(decided(ACME, id))
    good = key_changed(ACME)
    wrong = [decided(ACME, id), decided(ACME, "no-uuid"), decided(ACME, ledger.new_id(), model="x" * 300_000)]
    for change in (
        {"kind": entry.SETTLED},
        {"class_": 99},
        {"actor": "two words"},
        {"actor": ""},
        {"agent": "näme"},
        {"id": "1"},
        {"log": "../escape"},
        {"log": "UPPER"},
        {"log": ""},
        {"kind": entry.RUN_OPENED, "payload": entry.RunOpened(deployment="d", software="s")},
        {"kind": entry.RUN_CLOSED, "payload": entry.RunClosed(by="close", interrupted=0)},
    ):
        draft = key_changed(ACME)
        for name, value in change.items():
            setattr(draft, name, value)
        wrong.append(draft)
    for draft in wrong:
        with pytest.raises(ValueError):
            await ledger.write(good, draft)
    with pytest.raises(Fault):
        await ledger.write(good, settled(ACME, ledger.new_id()))
    ids = await ledger.write(good, settled(ACME, id))
    await ledger.close()
    assert {path.name for path in (tmp_path / "ledger").iterdir()} == {ACME}
    await sound(world, {ACME: ids})
    assert len(world.rows.logs[ACME]) == 5


async def test_numbers_follow_the_queue_where_keys_must_be_waited_for(tmp_path: Path) -> None:
    """The first writer of a day waits for its key; those behind it must not pass it."""

    class SlowKeys(Keys):
        async def day_key(self, owner_uid: str, class_: int, day: str):  # type: ignore[no-untyped-def]
            for _ in range(5):
                await asyncio.sleep(0)
            made = await super().day_key(owner_uid, class_, day)
            for _ in range(5):
                await asyncio.sleep(0)  # at hand for others before whoever asked for it goes on
            return made

    world = World(tmp_path)
    world.keys = SlowKeys()
    ledger = await world.open()
    id = ledger.new_id()
    waiting = asyncio.create_task(ledger.write(decided(ACME, id)))
    await asyncio.sleep(0)
    waiting.cancel()
    ids = await ledger.write(settled(ACME, id, outcome="not_sent"))
    with pytest.raises(asyncio.CancelledError):
        await waiting
    world.now += 86_400_000
    id = ledger.new_id()
    waiting = asyncio.create_task(ledger.write(decided(ACME, id)))
    while world.keys.cached(ACME, entry.LOG_INTEGRITY, "2027-01-16") is None:
        await asyncio.sleep(0)
    ids += await ledger.write(settled(ACME, id))
    ids += await waiting
    world.now += 86_400_000
    await asyncio.gather(*(call(ledger, log) for log in (ACME, GLOBEX, OPERATOR) * 5))
    await ledger.close()
    await sound(world, {ACME: ids})
    assert {row.daykey for row in world.rows.logs[GLOBEX].values()} == {"1.2027-01-17", "5.2027-01-17", "3.2027-01-17"}


async def test_what_a_store_says_does_not_reach_callers(tmp_path: Path) -> None:
    """Its words name paths; ours do not, and keep its error as the cause."""

    class NoKeys(Keys):
        broken = True

        async def day_key(self, owner_uid: str, class_: int, day: str):  # type: ignore[no-untyped-def]
            if self.broken:
                raise Fault("key_unavailable", f"{tmp_path}/vault is not readable")
            return await super().day_key(owner_uid, class_, day)

        async def open_day_key(self, owner_uid: str, daykey_id: str):  # type: ignore[no-untyped-def]
            if self.broken:
                raise Fault("key_unavailable", f"{tmp_path}/vault is not readable")
            return await super().open_day_key(owner_uid, daykey_id)

    world = World(tmp_path)
    world.keys = keys = NoKeys()
    ledger = await world.open()

    async def refused() -> None:
        with pytest.raises(Fault) as raised:
            await call(ledger, ACME)
        assert raised.value.reason == "ledger_unavailable"
        assert "vault" not in str(raised.value)

    await refused()
    keys.broken = False
    ids = await ledger.write(decided(ACME, ledger.new_id()))
    await world.crash(ledger)
    keys.broken = True
    ledger = await world.open()
    assert set(ledger.troubles) == {ACME}
    await refused()
    await ledger.close()
    keys.broken = False
    await sound(world, {ACME: ids})


async def test_keys_of_tomorrow_are_made_before_midnight(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.now += 86_400_000 - world.now % 86_400_000 - 300_000
    ledger = await world.open(checkpoint_seconds=0.01)
    await call(ledger, ACME)
    async with asyncio.timeout(30):
        while world.keys.cached(ACME, entry.KEY_ACCESS, "2027-01-16") is None:
            await asyncio.sleep(0.01)
    await ledger.close()


async def test_a_clock_that_jumps(tmp_path: Path) -> None:
    world = World(tmp_path)
    ledger = await world.open()
    ids = []
    for jump in (0, 40 * 86_400_000, -80 * 86_400_000, 1):
        world.now += jump
        ids += await call(ledger, ACME)
    assert ids == sorted(ids), "ids increase all the same"
    await ledger.close()
    await sound(world, {ACME: ids})


async def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    world = World(tmp_path)
    ledger = await world.open()
    with pytest.raises(Fault, match="Another process holds this home"):
        await world.open()
    await call(ledger, ACME)
    await ledger.close()
    with pytest.raises(Fault, match="shutting down"):
        await call(ledger, ACME)
    await ledger.close()
    await (await world.open()).close()


async def test_a_damaged_log_stops_alone(tmp_path: Path) -> None:
    world = World(tmp_path)
    ledger = await world.open()
    ids = {log: await call(ledger, log) for log in (ACME, GLOBEX)}
    await ledger.close()
    path = tmp_path / "ledger" / ACME / "checkpoint"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"\n5\n", b"\n4\n"))
    ledger = await world.open()
    assert set(ledger.troubles) == {ACME}
    with pytest.raises(Fault, match="damaged") as raised:
        await call(ledger, ACME)
    assert ACME in raised.value.advice
    ids[GLOBEX] += await call(ledger, GLOBEX)
    await ledger.close()
    path.write_bytes(whole)
    await sound(world, ids)


@pytest.mark.parametrize("gone", ["ledger/acme0000000000000000000000", "ledger/acme0000000000000000000000/checkpoint"])
async def test_a_log_that_is_gone_is_not_begun_again(tmp_path: Path, gone: str) -> None:
    """The same origin with another first entry would contradict every checkpoint that anybody holds."""
    world = World(tmp_path)
    ledger = await world.open()
    await call(ledger, ACME)
    await ledger.close()
    ledger = await world.open(segment_bytes=8192)
    for _ in range(20):
        await call(ledger, GLOBEX)
    await ledger.close()
    path = tmp_path / gone
    path.rename(path.with_name("elsewhere"))
    if path.name == "checkpoint":
        path.with_name("elsewhere").unlink()
    ledger = await world.open()
    with pytest.raises(Fault, match="damaged"):
        await call(ledger, ACME)
    await call(ledger, GLOBEX)
    await ledger.close()


async def test_a_missing_or_older_journal_is_noticed(tmp_path: Path) -> None:
    world = World(tmp_path / "home")
    ledger = await world.open()
    await call(ledger, ACME)
    await ledger.close()
    older = world.copy(tmp_path / "older")
    ledger = await world.open()
    await call(ledger, ACME)
    await ledger.close()
    journal = world.home / "journal"
    journal.rename(world.home / "kept")
    (older.home / "journal").rename(journal)
    ledger = await world.open()
    with pytest.raises(Fault, match="damaged"):
        await call(ledger, ACME)
    await ledger.close()
    for path in journal.glob("*.segment"):
        path.unlink()
    with pytest.raises(Fault, match="journal of the ledger is damaged") as raised:
        await world.open()
    assert "the journal is missing" in raised.value.advice


@pytest.mark.parametrize("busy", [ACME, GLOBEX], ids=["the journal has its newest", "the journal has nothing of it"])
async def test_an_older_log_beside_a_newer_journal_is_noticed(tmp_path: Path, busy: str) -> None:
    world = World(tmp_path / "home")
    ledger = await world.open(segment_bytes=8192)
    await call(ledger, ACME)
    await ledger.close()
    older = world.copy(tmp_path / "older")
    ledger = await world.open(segment_bytes=8192)
    for log in [ACME] * 5 + [busy] * 10:
        await call(ledger, log)
        await ledger.integrate()
    await ledger.close()
    (world.home / "ledger").rename(world.home / "kept")
    (older.home / "ledger").rename(world.home / "ledger")
    signed = len(world.signed)
    ledger = await world.open()
    with pytest.raises(Fault, match="damaged"):
        await call(ledger, ACME)
    assert ACME in ledger.troubles
    await ledger.close()
    assert len(world.signed) == signed, "nothing is signed that could be a fork"


async def test_an_older_log_that_the_journal_still_covers_is_made_whole_again(tmp_path: Path) -> None:
    """The same entries at the same places: the same tree, and the same checkpoints."""
    world = World(tmp_path / "home")
    ledger = await world.open()
    ids = await call(ledger, ACME)
    await ledger.close()
    older = world.copy(tmp_path / "older")
    ledger = await world.open()
    ids += await call(ledger, ACME)
    await ledger.close()
    (world.home / "ledger").rename(world.home / "kept")
    (older.home / "ledger").rename(world.home / "ledger")
    await sound(world, {ACME: ids})


async def test_an_unwritable_home_says_what_to_do(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(Fault) as raised:
        await world.open(disk=FaultyDisk(0, "full"))
    assert raised.value.status == 503
    assert "free space" in raised.value.advice
    assert str(tmp_path) not in str(raised.value), "callers see this: no paths"


async def test_checkpoints_are_signed_only_when_a_log_grew(tmp_path: Path) -> None:
    world = World(tmp_path)
    ledger = await world.open()
    await call(ledger, ACME)
    for _ in range(3):
        await ledger.integrate()
    assert len(world.signed) == 1
    note = ledger.checkpoint(ACME)
    assert note == (tmp_path / "ledger" / ACME / "checkpoint").read_bytes()
    assert ledger.checkpoint("nobody") is None
    await ledger.close()
    assert len(world.signed) == 2
    assert key_of(ACME).name.encode() in world.signed[0]


async def test_journal_segments_go_when_checkpoints_cover_them(tmp_path: Path) -> None:
    world = World(tmp_path)
    ledger = await world.open(segment_bytes=8192)
    open_call = ledger.new_id()
    ids = await ledger.write(decided(ACME, open_call))
    for _ in range(40):
        ids += await call(ledger, ACME)
    assert len(list((tmp_path / "journal").glob("*.segment"))) > 10
    await ledger.integrate()
    assert len(list((tmp_path / "journal").glob("*.segment"))) == 1, "an open pair does not hold segments"
    assert (tmp_path / "journal" / "open").exists()
    await world.crash(ledger)
    ledger = await world.open(segment_bytes=8192)
    entries = await ledger.entries(ACME, 0, 999)
    assert [each.leaf.call for each in entries[-3:]] == [open_call, open_call, None]
    await ledger.close()
    await sound(world, {ACME: ids})


# -- the loop is not held up -----------------------------------------------------------------------------------------


async def test_integration_gives_way_to_others_between_bundles(tmp_path: Path) -> None:
    """Order and count, not time: a pass over many bundles lets other tasks run many times."""
    world = World(tmp_path)
    ledger = await world.open(segment_bytes=1 << 20)
    ids = await asyncio.gather(*(call(ledger, ACME) for _ in range(1000)))
    ticks = itertools.count()
    stop = False

    async def other() -> None:
        while not stop:
            next(ticks)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await ledger.integrate()
    stop = True
    await task
    assert ledger.size(ACME) == 3001
    assert next(ticks) > 3001 // 256
    await ledger.close()
    await sound(world, {ACME: [id for each in ids for id in each]})


async def test_a_cancelled_integration_goes_on_to_its_end(tmp_path: Path) -> None:
    """Half a slice would be in the tree and wait for integration a second time."""
    world = World(tmp_path)
    ledger = await world.open()
    ids = []
    for turns in range(1, 40):
        ids += await call(ledger, ACME)
        task = asyncio.create_task(ledger.integrate())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await ledger.integrate()
    assert ledger.troubles == {}
    assert ledger.size(ACME) == len(ids) + 1
    await ledger.close()
    await sound(world, {ACME: ids})


async def test_where_too_much_waits_nothing_begins_and_what_has_begun_still_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    ledger = await world.open()
    id = ledger.new_id()
    first = await ledger.write(decided(ACME, id))
    monkeypatch.setattr("sekimori.ledger.ledger.BACKLOG", 0)
    with pytest.raises(Fault, match="Too much waits"):
        await ledger.write(decided(ACME, ledger.new_id()))
    with pytest.raises(Fault, match="Too much waits"):
        await ledger.write(settled(ACME, id, outcome="yielded"), decided(ACME, id, 1))
    assert ledger.is_open(ACME, id, 0)
    ended = await ledger.write(settled(ACME, id), key_used(ACME, id))
    await ledger.integrate()
    again = await ledger.write(decided(ACME, ledger.new_id()))
    await ledger.close()
    await sound(world, {ACME: [*first, *ended, *again]})
