"""The follower that knows who made what: any slicing, any restart, and what is forgotten."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekimori.db import Database
from sekimori.errors import Fault
from sekimori.ledger import entry
from sekimori.ledger.entry import Corrected, KeyUsed, Leaf, ObjectsAdopted, Settled
from sekimori.ledger.protocols import Recorded
from sekimori.terms import Usage
from sekimori.upstream.objects import KEPT_MS, MOST_CACHED, MOST_LOOKING, SAVED_EVERY, Made, Objects, Open

TENANT = "0123456789abcdefghjkmnpqrs"
OTHER = "1123456789abcdefghjkmnpqrs"
NOW = 1_800_000_000_000
PAYLOADS = {Settled: entry.SETTLED, KeyUsed: entry.KEY_USED, ObjectsAdopted: entry.OBJECTS_ADOPTED}


def uuid(number: int) -> str:
    return f"01890000-0000-7000-8000-{number:012x}"


def recorded(index: int, payload: Any, call: int, hop: int = 0, *, time: int = NOW) -> Recorded:
    kind, id = PAYLOADS[type(payload)], uuid(1000 + index)
    leaf = Leaf("agent:x", "x", uuid(call), 5, "A" * 43 + "=", "d", 1, hop, id, kind, 0, uuid(0), 2, TENANT, time, 1)
    return Recorded(TENANT, index, leaf, payload)


def used(key: str) -> KeyUsed:
    return KeyUsed(key="clients/acme/own", key_uid=key, key_version=1, provider="p", model="m", outcome="answered")


def began(key: str, id: str) -> KeyUsed:
    return msgspec.structs.replace(used(key), usage=Usage(9, 4, estimated=True), cost_nano=5, began=id)


def ended(key: str, id: str) -> KeyUsed:
    return msgspec.structs.replace(used(key), usage=Usage(-2, 1), corrects=Corrected(id=id, agent="x", time=NOW))


def deleted(key: str, id: str) -> KeyUsed:
    return msgspec.structs.replace(used(key), deleted=id)


def log(calls: Sequence[tuple[str, list[str]]], *, time: int = NOW) -> list[Recorded]:
    """The entries of some calls: (key uid, ids) each."""
    found: list[Recorded] = []
    for number, (key, ids) in enumerate(calls):
        found.append(recorded(len(found), Settled(outcome="answered", minted=ids), number, time=time))
        found.append(recorded(len(found), used(key), number, time=time))
    return found


class Place:
    """A database with two tenants, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = Database(folder)
        self.now = NOW
        self.caught_up = 0

    async def __aenter__(self) -> Place:
        for uid in (TENANT, OTHER):
            await self.database.tenant(uid).create()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.database.close()

    def objects(self, begun: int = 0) -> Objects:
        async def catch_up() -> None:
            self.caught_up += 1

        return Objects(self.database, lambda: self.now, begun={TENANT: begun}, catch_up=catch_up)


async def feed(objects: Objects, entries: Sequence[Recorded], *ends: int) -> None:
    start = await objects.cursor(TENANT)
    for end in sorted({*ends, len(entries)}):
        if start < end:
            await objects.take(TENANT, entries[start:end])
            start = end


CALLS: list[tuple[str, list[str]]] = [("k1", ["a", "b"]), ("k1", []), ("k2", ["c"]), ("k2", ["a"]), ("k1", ["d"])]
KNOWN = {"a": {"k1", "k2"}, "b": {"k1"}, "c": {"k2"}, "d": {"k1"}}


@settings(max_examples=40, deadline=None)
@given(ends=st.sets(st.integers(0, 10)), restarts=st.sets(st.integers(0, 10)))
def test_any_slices_and_restarts_come_to_the_same(
    tmp_path_factory: pytest.TempPathFactory, ends: set[int], restarts: set[int]
) -> None:
    async def work() -> None:
        async with Place(tmp_path_factory.mktemp("objects")) as place:
            entries = log(CALLS)
            objects = place.objects()
            start = await objects.cursor(TENANT)
            for end in sorted({*ends, *restarts, len(entries)}):
                if start < end:
                    await objects.take(TENANT, entries[start:end])
                start = end
                if end in restarts:
                    objects = place.objects()
                    start = await objects.cursor(TENANT)
                    if start < end:
                        await objects.take(TENANT, entries[start:end])
                        start = end
            found = await objects.keys_of(TENANT, ["a", "b", "c", "d", "e"])
            assert {id: set(keys) for id, keys in found.items()} == KNOWN
            assert await objects.keys_of(OTHER, ["a", "b", "c", "d", "e"]) == {}
            assert (len(objects._fresh), len(objects._halves)) == (0, 0)

    asyncio.run(work())


LIFE: list[Any] = [
    Settled(outcome="answered", minted=["r1", "m1"]), began("k1", "r1"),
    Settled(outcome="answered", minted=["r2"]), began("k1", "r2"),
    Settled(outcome="answered", minted=["r3"]), used("k2"),
    Settled(outcome="answered", minted=["m2"]), ended("k1", "r2"),
    Settled(outcome="answered"), deleted("k2", "r3"),
]  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(ends=st.sets(st.integers(0, 10)), restarts=st.sets(st.integers(0, 10)))
def test_how_an_object_was_made_and_whether_its_use_is_known_survive_any_slices(
    tmp_path_factory: pytest.TempPathFactory, ends: set[int], restarts: set[int]
) -> None:
    async def work() -> None:
        async with Place(tmp_path_factory.mktemp("objects")) as place:
            entries = [recorded(index, said, index // 2) for index, said in enumerate(LIFE)]
            objects = place.objects()
            for end in sorted({*ends, *restarts, len(entries)}):
                start = await objects.cursor(TENANT)
                if start < end:
                    await objects.take(TENANT, entries[start:end])
                if end in restarts:
                    objects = place.objects()
            start = await objects.cursor(TENANT)
            if start < len(entries):
                await objects.take(TENANT, entries[start:])
            estimate = Open(Usage(9, 4, estimated=True), 5, "x", NOW)
            assert await objects.made(TENANT, "r1") == [Made("k1", "p/m", estimate)]
            assert await objects.made(TENANT, "m1") == [Made("k1", "p/m")]
            assert await objects.made(TENANT, "r2") == [Made("k1", "p/m")], "its end was told"
            assert await objects.made(TENANT, "m2") == [Made("k1", "p/m")]
            assert await objects.made(TENANT, "r3") == [], "it is gone"
            assert await objects.made(OTHER, "r1") == []

    asyncio.run(work())


@pytest.mark.parametrize("restart", [False, True])
async def test_to_adopt_what_was_made_through_us_forgets_nothing_of_how(tmp_path: Path, restart: bool) -> None:
    async with Place(tmp_path) as place:
        said = [Settled(outcome="answered", minted=["r1"]), began("k1", "r1")]
        entries = [recorded(index, one, 1) for index, one in enumerate(said)]
        adopted = ObjectsAdopted(key="clients/acme/own", key_uid="k1", ids=["r1"])
        entries.append(recorded(2, adopted, 2, time=NOW + 5))
        estimate = Open(Usage(9, 4, estimated=True), 5, "x", NOW)
        whole = [Made("k1", "p/m", estimate)]
        objects = place.objects()
        objects.mint(TENANT, "k1", ["r1"], "p/m", "r1", estimate)
        objects.mint(TENANT, "k1", ["r1"])
        assert await objects.made(TENANT, "r1") == whole
        await feed(objects, entries[:2])
        objects.mint(TENANT, "k1", ["r1"])
        assert await objects.made(TENANT, "r1") == whole
        await objects.take(TENANT, entries[2:])
        if restart:
            objects = place.objects()
        assert await objects.made(TENANT, "r1") == whole
        _, [row] = await place.database.tenant(TENANT).objects(["r1"])
        assert row.minted_ms == NOW + 5, "and it is known for longer"


async def test_an_end_is_told_once_and_what_is_gone_stays_gone(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        objects = place.objects()
        estimate = Open(Usage(9, 4, estimated=True), None, "x", NOW)
        objects.mint(TENANT, "k1", ["r1", "m1"], "p/m", "r1", estimate)
        assert await objects.made(TENANT, "r1") == [Made("k1", "p/m", estimate)]
        assert await objects.made(TENANT, "m1") == [Made("k1", "p/m")]
        assert [objects.end(TENANT, "k1", "r1") for _ in range(2)] == [True, False]
        objects.undo(TENANT, "k1", "r1", "")
        assert objects.end(TENANT, "k1", "r1")
        objects.delete(TENANT, "k1", "r1")
        assert await objects.made(TENANT, "r1") == []
        assert await objects.keys_of(TENANT, ["r1", "m1"]) == {"m1": {"k1"}}
        objects.undo(TENANT, "k1", "", "r1")
        assert await objects.keys_of(TENANT, ["r1"]) == {"r1": {"k1"}}
        assert objects._looking == {}


async def test_of_what_was_made_before_this_was_noted_the_model_is_not_known(tmp_path: Path) -> None:
    async with Place(tmp_path):
        pass
    file = tmp_path / "tenants" / f"{TENANT}.sqlite"
    with sqlite3.connect(file) as connection:
        for column in ("model", "open"):
            connection.execute(f"ALTER TABLE object DROP COLUMN {column}")
        call = bytes(16)
        connection.execute("INSERT INTO object VALUES ('old', 'k1', ?, ?, 0)", (NOW, call))
    connection.close()
    place = Place(tmp_path)
    try:
        objects = place.objects()
        assert await objects.keys_of(TENANT, ["old"]) == {"old": {"k1"}}, "it can be named as before"
        assert await objects.made(TENANT, "old") == [], "and is no answer to a call that names nothing else"
        await feed(objects, log([("k1", ["new"])]))
        assert await objects.made(TENANT, "new") == [Made("k1", "p/m")]
    finally:
        await place.database.close()


async def test_only_so_many_of_a_tenant_wait_at_once(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        objects = place.objects()
        found = await asyncio.gather(
            *(objects.made(TENANT, f"r{number}") for number in range(MOST_LOOKING + 3)), return_exceptions=True
        )
        faults = [one for one in found if isinstance(one, Fault)]
        assert (len(faults), {one.reason for one in faults}) == (3, {"overloaded"})
        assert await objects.made(OTHER, "r1") == []
        assert objects._looking == {}


async def test_what_is_minted_is_known_at_once_and_for_its_tenant_alone(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        objects = place.objects()
        objects.mint(TENANT, "k1", ["a"])
        assert await objects.keys_of(TENANT, ["a", "b"]) == {"a": {"k1"}}
        assert await objects.keys_of(OTHER, ["a"]) == {}
        objects.mint(TENANT, "k2", ["a"])
        objects.unmint(TENANT, "k1", ["a"])
        assert await objects.keys_of(TENANT, ["a"]) == {"a": {"k2"}}
        objects.unmint(TENANT, "k2", ["a"])
        assert await objects.keys_of(TENANT, ["a"]) == {}


async def test_between_the_two_entries_of_a_hop_an_id_stays_known(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        objects, entries = place.objects(), log([("k1", ["a"])])
        objects.mint(TENANT, "k1", ["a"])
        await objects.cursor(TENANT)
        await objects.take(TENANT, entries[:1])
        assert await objects.keys_of(TENANT, ["a"]) == {"a": {"k1"}}
        await objects.take(TENANT, entries[1:])
        assert await objects.keys_of(TENANT, ["a"]) == {"a": {"k1"}}
        assert not objects._fresh


async def test_a_former_runs_ids_are_caught_up_with_or_not_denied(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        objects, entries = place.objects(begun=2), log([("k1", ["a"])])
        with pytest.raises(Fault, match="policy_unavailable"):
            await objects.keys_of(TENANT, ["a"])
        assert place.caught_up == 1
        await feed(objects, entries)
        assert await objects.keys_of(TENANT, ["a", "b"]) == {"a": {"k1"}}


async def test_ids_are_forgotten_after_their_time(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        objects = place.objects()
        await feed(objects, log([("k1", ["a"])]))
        for now, known in ((NOW + KEPT_MS, True), (NOW + KEPT_MS + 1, False)):
            place.now = now
            assert bool(await objects.keys_of(TENANT, ["a"])) == known
            assert bool(await place.objects().keys_of(TENANT, ["a"])) == known
        later = log([("k1", ["a"]), ("k1", ["b"])], time=place.now)
        await objects.take(TENANT, later[2:])
        _, rows = await place.database.tenant(TENANT).objects(["a", "b"])
        assert [row.id for row in rows] == ["b"], "what is past its time leaves the rows"


async def test_plain_calls_cost_no_transaction_of_their_own(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        objects, entries = place.objects(), log([("k1", [])] * (SAVED_EVERY // 2))
        await feed(objects, entries, *range(100, SAVED_EVERY, 101))
        assert await place.database.tenant(TENANT).cursor("objects") == SAVED_EVERY
        half = place.objects()
        await half.cursor(TENANT)
        more = [recorded(SAVED_EVERY + n, used("k1"), 9000 + n) for n in range(3)]
        await half.take(TENANT, more[:1])  # may be what an earlier slice waits for: looked up
        await half.take(TENANT, more[1:])
        assert await place.database.tenant(TENANT).cursor("objects") == SAVED_EVERY + 1
        await half.flush()
        assert await place.database.tenant(TENANT).cursor("objects") == SAVED_EVERY + 3


async def test_the_cache_is_bounded_and_holds_only_what_exists(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        objects = place.objects()
        ids = [f"id-{number}" for number in range(MOST_CACHED + 50)]
        await feed(objects, log([("k1", ids[at : at + 64]) for at in range(0, len(ids), 64)]))
        for at in range(0, len(ids), 200):
            assert len(await objects.keys_of(TENANT, ids[at : at + 200])) == len(ids[at : at + 200])
        await objects.keys_of(TENANT, [f"no-{number}" for number in range(200)])
        assert len(objects._cached) == MOST_CACHED
        assert all(id.startswith("id-") for _, id in objects._cached)


async def test_a_file_of_before_gets_its_table(tmp_path: Path) -> None:
    async with Place(tmp_path):
        pass
    file = tmp_path / "tenants" / f"{TENANT}.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE object")
    connection.close()
    place = Place(tmp_path)
    try:
        objects = place.objects()
        await feed(objects, log(CALLS))
        assert (await objects.keys_of(TENANT, ["b"])) == {"b": {"k1"}}
    finally:
        await place.database.close()


async def test_rows_of_another_tenant_are_not_believed(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        await feed(place.objects(), log([("k1", ["a"])]))
    folder = tmp_path / "tenants"
    (folder / f"{OTHER}.sqlite").write_bytes((folder / f"{TENANT}.sqlite").read_bytes())
    place = Place(tmp_path)
    try:
        with pytest.raises(Fault, match="policy_unavailable"):
            await place.objects().keys_of(OTHER, ["a"])
    finally:
        await place.database.close()
