"""Stores: durable, isolated by construction, and honest about a file that is damaged."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy
from msgspec import structs

from sekimori.db import ApiKeyRow, Database, Generation, Identity, Pending, UsageRow
from sekimori.errors import Fault
from sekimori.identity.names import uid
from sekimori.ledger.entry import Row

ACME, GLOBEX = (uid(bytes([n]) * 16) for n in (1, 2))
AGENT = uid(bytes([3]) * 16)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(tmp_path)
    await made.deployment.create("gw.example", b"", "d0", "uid:1", 5)
    await made.tenant(ACME).create()
    yield made
    await made.close()


def row(index: int, id: str | None = None, ciphertext: bytes | None = b"sealed") -> Row:
    id = id or f"01a20000-0000-7000-8000-{index:012x}"
    return Row(index=index, id=id, call=None, kind=3, class_=5, time=7, daykey="k1", ciphertext=ciphertext)


# -- the deployment ----------------------------------------------------------------------------------------------------


async def test_generations_follow_each_other_and_the_switch_moves_with_them(database: Database) -> None:
    store = database.deployment
    assert await store.deployment() == "gw.example"
    assert (await store.generation()).number == 0
    first = Generation(1, "d1", "uid:1", 6, b"{}")
    await store.commit(first, new=[Identity(ACME, "tenant/acme", 6)], retired=[], revoked=[])
    assert await store.generation() == first
    assert (await store.generation(0)).digest == "d0"
    with pytest.raises(Fault, match="does not follow"):
        await store.commit(Generation(3, "d3", "uid:1", 7, b""), new=[], retired=[], revoked=[])
    assert await store.generation() == first


async def test_a_commit_that_fails_changes_nothing(database: Database) -> None:
    store = database.deployment
    same = Identity(ACME, "tenant/acme", 6)
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        await store.commit(Generation(1, "d1", "uid:1", 6, b""), new=[same, same], retired=[], revoked=[])
    assert (await store.generation()).number == 0
    assert await store.identities() == []


async def test_a_name_that_is_freed_and_taken_again_has_another_uid(database: Database) -> None:
    store = database.deployment
    await store.commit(Generation(1, "1", "a", 6, b""), new=[Identity(ACME, "tenant/acme", 6)], retired=[], revoked=[])
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        await store.commit(
            Generation(2, "2", "a", 7, b""), new=[Identity(GLOBEX, "tenant/acme", 7)], retired=[], revoked=[]
        )
    again = [Identity(GLOBEX, "tenant/acme", 7)]
    await store.commit(Generation(2, "2", "a", 7, b""), new=again, retired=[ACME], revoked=[])
    assert [(one.uid, one.retired_ms) for one in await store.identities()] == [(ACME, 7), (GLOBEX, None)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE generation SET documents = x''",
        "DELETE FROM generation",
        "DELETE FROM identity",
        "UPDATE identity SET uid = 'x'",
        "UPDATE identity SET name = 'tenant/other'",
        "UPDATE identity SET retired_ms = NULL WHERE retired_ms IS NOT NULL",
        "UPDATE apikey SET revoked_ms = NULL",
        "UPDATE apikey SET agent_uid = 'x'",
        "UPDATE apikey SET scopes = 'admin'",
        "DELETE FROM apikey",
    ],
)
async def test_what_is_written_once_stays_even_for_a_stray_statement(
    database: Database, tmp_path: Path, statement: str
) -> None:
    store = database.deployment
    new = [Identity(ACME, "tenant/acme", 6), Identity(AGENT, "agent/acme/x", 6)]
    await store.commit(Generation(1, "1", "a", 6, b""), new=new, retired=[], revoked=[])
    await store.add_api_key(api_key("key-1"), Pending("p", b""))
    await store.revoke_api_key("key-1", 9, None)
    await store.commit(Generation(2, "2", "a", 7, b""), new=[], retired=[AGENT], revoked=[])
    await database.close()
    with sqlite3.connect(tmp_path / "deployment.sqlite") as raw, pytest.raises(sqlite3.IntegrityError):
        raw.execute(statement)
    raw.close()


def api_key(id: str) -> ApiKeyRow:
    return ApiKeyRow(id, id.encode() * 4, 1, ACME, AGENT, "read,write", "", 6, None, None)


async def test_an_api_key_and_the_note_of_its_issue_are_one(database: Database) -> None:
    store = database.deployment
    new = [Identity(ACME, "tenant/acme", 6), Identity(AGENT, "agent/acme/x", 6)]
    await store.commit(Generation(1, "1", "a", 6, b""), new=new, retired=[], revoked=[])
    await store.add_api_key(api_key("key-1"), Pending("p1", b"1"))
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        await store.add_api_key(api_key("key-2"), Pending("p1", b"2"))
    assert [key.id for key in await store.api_keys()] == ["key-1"]
    await store.revoke_api_key("key-1", 9, Pending("p2", b"2"))
    await store.revoke_api_key("key-1", 99, None)
    assert [key.revoked_ms for key in await store.api_keys()] == [9]
    assert await store.pending() == [Pending("p1", b"1"), Pending("p2", b"2")]
    await store.end("p1")
    assert [one.id for one in await store.pending()] == ["p2"]


async def test_create_leaves_a_whole_file_alone(database: Database) -> None:
    assert await database.deployment.create("other.example", b"", "d", "uid:1", 5) is False
    assert await database.deployment.deployment() == "gw.example"


# -- a tenant ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "acme", "../acme", "a/b", ACME.upper(), ACME + "x", "operator/../x", "OPERATOR"])
async def test_a_store_is_named_by_a_uid_and_nothing_else(database: Database, name: str) -> None:
    with pytest.raises(ValueError, match="uid"):
        database.tenant(name)


async def test_rows_of_one_tenant_are_not_in_the_others_file(database: Database, tmp_path: Path) -> None:
    await database.tenant(GLOBEX).create()
    await database.tenant(ACME).put_entries([row(0, ciphertext=b"canary-of-acme")])
    assert await database.tenant(GLOBEX).entries(0, 10) == []
    await database.close()
    for file in (tmp_path / "tenants").iterdir():
        assert (b"canary-of-acme" in file.read_bytes()) == (ACME in file.name)


async def test_a_file_put_in_anothers_place_is_refused(database: Database, tmp_path: Path) -> None:
    await database.tenant(ACME).put_entries([row(0)])
    await database.close()
    (tmp_path / "tenants" / f"{ACME}.sqlite").rename(tmp_path / "tenants" / f"{GLOBEX}.sqlite")
    again = Database(tmp_path)
    with pytest.raises(Fault, match="belongs to"):
        await again.tenant(GLOBEX).entries(0, 1)
    with pytest.raises(Fault, match="missing"):
        await again.tenant(ACME).entries(0, 1)
    assert not (tmp_path / "tenants" / f"{ACME}.sqlite").exists(), "a lost file is never made anew"
    await again.close()


async def test_entries_put_again_stay_as_they_are(database: Database) -> None:
    store = database.tenant(ACME)
    await store.put_entries([row(0), row(1, ciphertext=None)])
    await store.put_entries([row(0, ciphertext=b"other"), row(1), row(2)])
    assert [(one.index, one.ciphertext) for one in await store.entries(0, 9)] == [
        (0, b"sealed"),
        (1, None),
        (2, b"sealed"),
    ]
    assert await store.find_entry(row(2).id) == 2
    assert await store.find_entry(row(7).id) is None
    assert (await store.entries(1, 2))[0] == row(1, ciphertext=None)


async def test_usage_is_counted_once_whatever_is_repeated(database: Database) -> None:
    store = database.tenant(ACME)
    used = UsageRow("2026-01-02", AGENT, "operator/k", "openai", "gpt", "USD", uses=1, input=10, cost_nano=7)
    await store.add_usage("usage", 0, 5, [used])
    with pytest.raises(Fault, match="cursor"):
        await store.add_usage("usage", 0, 5, [used])
    await store.add_usage("usage", 5, 6, [used])
    [found] = await store.usage(("agent",), "", "9999")
    assert (found.agent, found.uses, found.input, found.cost_nano, found.day) == (AGENT, 2, 20, 14, "")
    assert await store.cursor("usage") == 6
    assert await store.usage((), "2026-01-03", "9999") == []


async def test_a_file_of_the_first_release_gets_the_table_it_lacks(database: Database, tmp_path: Path) -> None:
    old = UsageRow(day="2026-11-01", agent="a", key="k", provider="p", model="m", currency="USD", uses=3, input=9)
    await database.tenant(ACME).add_usage("usage", 0, 3, [old])
    await database.close()
    with sqlite3.connect(tmp_path / "tenants" / f"{ACME}.sqlite") as connection:
        connection.execute("DROP TABLE usage_for")
    connection.close()
    again = Database(tmp_path)
    new = structs.replace(old, uses=1, input=4, tags="a,b", session="s")
    await again.tenant(ACME).add_usage("usage", 3, 4, [new, structs.replace(old, uses=2, input=1)])
    store = again.tenant(ACME)
    assert [(row.uses, row.input) for row in await store.usage((), "", "9")] == [(6, 14)]
    rows = await store.usage(("tags",), "", "9")
    assert [(row.tags, row.uses, row.input) for row in rows] == [("", 5, 10), ("a,b", 1, 4)]
    assert [row.uses for row in await store.usage(("session",), "", "9", "b")] == [1]
    assert await store.usage((), "", "9", "ab") == await store.usage((), "", "9", "a,b,") == []
    at, used = await store.used("usage", "2026-11-01")
    assert (at, sum(row.input for row in used), {row.tags for row in used}) == (4, 14, {"", "a,b"})
    assert (await store.used("usage", "2026-11-02"))[1] == []
    await again.close()


async def test_currencies_are_never_added_up(database: Database) -> None:
    store = database.tenant(ACME)
    rows = [UsageRow("d", AGENT, "k", "p", "m", currency, uses=1, cost_nano=1) for currency in ("USD", "EUR")]
    await store.add_usage("usage", 0, 1, rows)
    assert [(one.currency, one.cost_nano) for one in await store.usage((), "", "z")] == [("EUR", 1), ("USD", 1)]


# -- files -------------------------------------------------------------------------------------------------------------


async def test_files_are_private(database: Database, tmp_path: Path) -> None:
    await database.tenant(ACME).put_entries([row(0)])
    for path in (*tmp_path.glob("*.sqlite*"), *(tmp_path / "tenants").glob("*.sqlite*")):
        assert path.stat().st_mode & 0o777 == 0o600, path
    assert (tmp_path / "tenants").stat().st_mode & 0o777 == 0o700


def scribble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    page = int.from_bytes(data[16:18], "big")  # https://sqlite.org/fileformat.html, 1.3.2
    data[page : page * 3] = os.urandom(page * 2)
    path.write_bytes(data)


def lose_a_table(path: Path) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TABLE cursor" if "tenants" in str(path) else "DROP TABLE pending")
    raw.close()


async def read(database: Database, which: str) -> None:
    if which.startswith("deployment"):
        await database.deployment.generation()
        await database.deployment.pending()
    else:
        await database.tenant(ACME).entries(0, 9)
        await database.tenant(ACME).cursor("usage")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (scribble, "is damaged"),
        (lambda path: path.write_bytes(b""), "is damaged"),
        (lambda path: path.write_bytes(b"hello world, this is no database at all" * 100), "is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "is damaged"),
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.chmod(0o640), "can be read by others"),
        (lose_a_table, "is damaged"),
    ],
)
@pytest.mark.parametrize("which", ["deployment.sqlite", f"tenants/{ACME}.sqlite"])
async def test_a_damaged_file_is_named_with_the_fix(
    database: Database, tmp_path: Path, damage: object, said: str, which: str
) -> None:
    await database.tenant(ACME).put_entries([row(n) for n in range(50)])
    await database.close()
    path = tmp_path / which
    damage(path)  # type: ignore[operator]
    again = Database(tmp_path)
    with pytest.raises(Fault) as caught:
        await read(again, which)
    assert caught.value.reason == "home_damaged"
    assert str(path) in caught.value.text
    assert said in caught.value.text
    assert caught.value.advice
    await again.close()


async def test_a_program_of_another_kind_is_not_taken_for_ours(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "deployment.sqlite") as raw:
        raw.execute("CREATE TABLE meta (name, value)")
    raw.close()
    (tmp_path / "deployment.sqlite").chmod(0o600)
    database = Database(tmp_path)
    with pytest.raises(Fault, match="not a Sekimori database"):
        await database.deployment.deployment()
    with pytest.raises(Fault, match="not a Sekimori database"):
        await database.deployment.create("gw.example", b"", "d", "a", 1)
    await database.close()


async def test_a_newer_schema_is_not_guessed_at(database: Database, tmp_path: Path) -> None:
    await database.close()
    with sqlite3.connect(tmp_path / "deployment.sqlite") as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    again = Database(tmp_path)
    with pytest.raises(Fault, match="schema 99"):
        await again.deployment.deployment()
    await again.close()


async def test_a_full_disk_changes_nothing_and_passes(database: Database, tmp_path: Path) -> None:
    store = database.tenant(ACME)
    await store.put_entries([row(0)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 * 1024, hard))
    try:
        with pytest.raises(Fault) as caught:
            await store.put_entries([row(n, ciphertext=os.urandom(8192)) for n in range(1, 40)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.reason == "store_unavailable"
    assert str(tmp_path) in caught.value.text
    assert len(await store.entries(0, 99)) == 1
    await store.put_entries([row(1)])
    assert len(await store.entries(0, 99)) == 2


async def test_a_locked_file_says_so(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sekimori.db import files

    await database.close()
    plain = files._driver

    def impatient(path: Path) -> sqlite3.Connection:
        connection = plain(path)
        connection.execute("PRAGMA busy_timeout = 0")
        return connection

    monkeypatch.setattr(files, "_driver", impatient)
    other = sqlite3.connect(tmp_path / "deployment.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    again = Database(tmp_path)
    with pytest.raises(Fault, match="locked by another program"):
        await again.deployment.generation()
    other.execute("ROLLBACK")
    assert (await again.deployment.generation()).number == 0
    other.close()
    await again.close()


async def test_cancelling_a_caller_leaves_a_store_that_works(database: Database) -> None:
    store = database.tenant(ACME)
    for start in range(0, 200, 10):
        task = asyncio.create_task(store.put_entries([row(start + n) for n in range(10)]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    found = await store.entries(0, 999)
    assert len(found) % 10 == 0, "a transaction is whole or not there"
    await store.put_entries([row(5000)])


async def test_many_tenants_are_not_many_open_files(tmp_path: Path) -> None:
    database = Database(tmp_path)
    tenants = [uid(bytes([n // 256, n % 256]) * 8) for n in range(150)]
    for one in tenants:
        await database.tenant(one).create()
    await asyncio.gather(*(database.tenant(one).put_entries([row(0)]) for one in tenants))
    held = {
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")
    }
    ours = {path for path in held if path.startswith(str(tmp_path)) and path.endswith(".sqlite")}
    assert len(ours) <= 64
    for one in tenants:
        assert len(await database.tenant(one).entries(0, 9)) == 1
    await database.close()
