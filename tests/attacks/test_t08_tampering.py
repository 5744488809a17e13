"""T08: the record is altered, cut or forked afterwards."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sekimori.control.arguments import Logs, Show
from sekimori.control.owner import Failed
from sekimori.errors import Fault
from sekimori.ledger import entry, merkle, note
from sekimori.ledger.log import fetch, files
from sekimori.ledger.note import Key
from sekimori.ledger.verify import Report, verify_log, verify_proof
from tests.attacks.attacker import back_up, code_of
from tests.flows.place import Place, chat, place, serving


async def deployment(folder: Path, calls: int = 6) -> tuple[Place, str, Key]:
    """A home with some calls of two tenants in it, stopped; acme's uid and the public key of its log."""
    async with place(folder) as here:
        for number in range(calls):
            await here.post("acme/x", chat(text=f"call {number}"))
            await here.post("globex/z", chat("globex-only"))
        uid = here.running.home.snapshot.uid("tenant/acme")
        assert uid is not None
        signer = await here.running.home.keys.signer(entry.origin("test.example", uid))
        key = Key(signer.name, signer.public)
    return here, uid, key


async def verified(directory: Path, key: Key) -> Report:
    """What anyone finds who has the exported files and the public key."""
    return await verify_log(fetch(directory), key, files=files(directory))


async def test_any_flipped_bit_of_an_exported_log_is_found(tmp_path: Path) -> None:
    here, uid, key = await deployment(tmp_path)
    export = tmp_path / "export"
    shutil.copytree(here.home / "ledger" / uid, export)
    assert (await verified(export, key)).problems == []
    chance = random.Random(8)
    parts = files(export)
    partial = {part: int(part.rpartition(".p/")[2]) for part in parts if ".p/" in part}
    superseded = {part for part, width in partial.items() if width < max(partial.values())}
    assert {part.split("/")[0] for part in parts} == {"checkpoint", "tile"}
    for part in parts:
        path = export / part
        whole = path.read_bytes()
        for place_ in sorted({0, len(whole) * 8 - 1, *(chance.randrange(len(whole) * 8) for _ in range(40))}):
            flipped = bytearray(whole)
            flipped[place_ // 8] ^= 1 << place_ % 8
            path.write_bytes(flipped)
            assert (await verified(export, key)).problems, f"bit {place_} of {part}"
        path.write_bytes(whole)
        if part not in superseded:
            path.unlink()
            assert (await verified(export, key)).problems, f"{part} is missing"
            path.write_bytes(whole)
        path.write_bytes(whole[:-1])
        assert (await verified(export, key)).problems, f"{part} is cut"
        path.write_bytes(whole + b"\0")
        assert (await verified(export, key)).problems, f"{part} has grown"
        path.write_bytes(whole)
    assert (await verified(export, key)).problems == []


async def test_the_deployment_itself_finds_what_was_altered_while_it_served(tmp_path: Path) -> None:
    async with place(tmp_path, check=False) as here:
        for _ in range(4):
            await here.post("acme/x", chat())
        assert all(one["ok"] for one in await here.verb("ledger verify", Logs()))
        uid = here.running.home.snapshot.uid("tenant/acme")
        directory = here.home / "ledger" / str(uid)
        for part in files(directory):
            path = directory / part
            whole = path.read_bytes()
            for position in (0, len(whole) // 2, len(whole) - 1):
                flipped = bytearray(whole)
                flipped[position] ^= 0x20
                path.write_bytes(flipped)
                views = {one["log"]: one for one in await here.verb("ledger verify", Logs())}
                assert not views["acme"]["ok"], f"byte {position} of {part}"
                assert views["acme"]["problems"]
                assert views["globex"]["ok"], "one tenant's damage was laid at another's door"
            path.write_bytes(whole)
        assert all(one["ok"] for one in await here.verb("ledger verify", Logs()))


async def test_a_payload_is_what_its_leaf_committed_to_or_the_verifier_says_so(tmp_path: Path) -> None:
    async with place(tmp_path, check=False) as here:
        for _ in range(3):
            await here.post("acme/x", chat())
        await here.running.home.ledger.integrate()
        uid = str(here.running.home.snapshot.uid("tenant/acme"))

        async def said() -> list[str]:
            [view] = await here.verb("ledger verify", Logs(log="acme"))
            assert view["ok"] == (not view["problems"])
            return [str(problem) for problem in view["problems"]]

        [path] = [one for one in (here.home / "tenants").rglob("*.sqlite") if uid in str(one)]
        assert await said() == []
        for what, alter in ALTERED.items():
            kept = rows_of(path)
            with sqlite3.connect(path) as database:
                for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
                    database.execute(f"DROP TRIGGER {name}")
                alter(database)
            assert await said(), what
            restore(path, kept)
            assert await said() == [], what


def table_of(database: sqlite3.Connection) -> str:
    [(name,)] = [
        row
        for row in database.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()
        if any(column[1] == "ciphertext" for column in database.execute(f"PRAGMA table_info({row[0]})"))
    ]
    return str(name)


def rows_of(path: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as database:
        return database.execute(f"SELECT * FROM {table_of(database)}").fetchall()


def restore(path: Path, rows: list[tuple[object, ...]]) -> None:
    with sqlite3.connect(path) as database:
        table = table_of(database)
        database.execute(f"DELETE FROM {table}")
        marks = ", ".join("?" * len(rows[0]))
        database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)


def _flip(database: sqlite3.Connection) -> None:
    table = table_of(database)
    rowid, data = database.execute(f"SELECT rowid, ciphertext FROM {table} ORDER BY rowid LIMIT 1 OFFSET 4").fetchone()
    database.execute(f"UPDATE {table} SET ciphertext=? WHERE rowid=?", (bytes([data[0] ^ 1]) + data[1:], rowid))


def _swap(database: sqlite3.Connection) -> None:
    table = table_of(database)
    rows = database.execute(f"SELECT rowid, ciphertext FROM {table} ORDER BY rowid LIMIT 2 OFFSET 4").fetchall()
    (first, one), (second, other) = rows
    database.execute(f"UPDATE {table} SET ciphertext=? WHERE rowid=?", (other, first))
    database.execute(f"UPDATE {table} SET ciphertext=? WHERE rowid=?", (one, second))


def _lose(database: sqlite3.Connection) -> None:
    table = table_of(database)
    database.execute(f"DELETE FROM {table} WHERE rowid=(SELECT rowid FROM {table} ORDER BY rowid LIMIT 1 OFFSET 4)")


def _empty(database: sqlite3.Connection) -> None:
    table = table_of(database)
    database.execute(f"UPDATE {table} SET ciphertext=x'' WHERE rowid=(SELECT max(rowid) FROM {table})")


def _retime(database: sqlite3.Connection) -> None:
    table = table_of(database)
    database.execute(f"UPDATE {table} SET time_ms=time_ms-86400000")


ALTERED: dict[str, Callable[[sqlite3.Connection], None]] = {
    "a flipped bit": _flip,
    "two payloads swapped": _swap,
    "a payload lost": _lose,
    "the newest payload emptied": _empty,
    "the times of all rows": _retime,
}


async def test_a_log_whose_newest_entries_were_cut_off_is_found_when_the_home_is_opened(tmp_path: Path) -> None:
    """An older copy of a log put back in its place: its checkpoint is genuine, its tree whole."""
    here, uid, key = await deployment(tmp_path, calls=2)
    directory, older = here.home / "ledger" / uid, tmp_path / "older"
    shutil.copytree(directory, older)
    async with back_up(here), serving(here):
        for _ in range(4):
            assert (await here.post("acme/x", chat()))[0] == 200
    assert (await verified(older, key)).problems == [], "taken alone, nothing is wrong with it"
    shutil.rmtree(directory)
    shutil.copytree(older, directory)
    async with back_up(here), serving(here):
        [view] = await here.verb("ledger verify", Logs(log="acme"))
        size = here.running.home.ledger.size(uid)
        whole = view["ok"] and size > (await verified(older, key)).size
        assert whole or not view["ok"], "entries were cut off, and the verifier says that all is well"
        if not view["ok"]:
            code, _, body = await here.post("acme/x", chat())
            assert (code, code_of(body)) == (503, "ledger_unavailable")
        assert (await here.post("globex/z", chat("globex-only")))[0] == 200, "one tenant's damage stops another"


async def test_a_record_put_back_to_an_earlier_state_is_not_continued(tmp_path: Path) -> None:
    """Journal and logs of yesterday, each genuine and fitting the other: going on would sign a second history."""
    here, uid, key = await deployment(tmp_path, calls=2)
    for part in ("ledger", "journal"):
        shutil.copytree(here.home / part, tmp_path / part)
    async with back_up(here), serving(here):
        for _ in range(3):
            assert (await here.post("acme/x", chat()))[0] == 200
    later = note.open_checkpoint((here.home / "ledger" / uid / "checkpoint").read_bytes(), key)
    for part in ("ledger", "journal"):
        shutil.rmtree(here.home / part)
        shutil.copytree(tmp_path / part, here.home / part)
    async with back_up(here), serving(here):
        [view] = await here.verb("ledger verify", Logs(log="acme"))
        assert not view["ok"], "entries were taken away, and the verifier says that all is well"
        for _ in range(4):
            code, _, body = await here.post("acme/x", chat())
            assert (code, code_of(body)) == (503, "ledger_unavailable")
        assert len(here.provider.seen) == 2 * 2 + 3
    now = note.open_checkpoint((here.home / "ledger" / uid / "checkpoint").read_bytes(), key)
    assert now.size < later.size, "a second history of the same log was signed"


async def test_a_history_that_was_written_anew_is_not_signed_on(tmp_path: Path) -> None:
    """Whoever can write the files but has no signing key: a whole new tree with a checkpoint of his own."""
    here, uid, key = await deployment(tmp_path, calls=3)
    directory = here.home / "ledger" / uid
    mine = Ed25519PrivateKey.generate()

    class Forger:
        name = key.name
        public = mine.public_key().public_bytes_raw()

        def sign(self, message: bytes, /) -> bytes:
            return mine.sign(message)

    checkpoint = note.open_checkpoint((directory / "checkpoint").read_bytes(), key)
    body = note.Checkpoint(checkpoint.origin, checkpoint.size, merkle.leaf_hash(b"forged")).body()
    genuine = (directory / "checkpoint").read_bytes()
    other = (here.home / "ledger" / "operator" / "checkpoint").read_bytes()
    for what, forged in {
        "another's signature": note.sign(body, [Forger()]),
        "a genuine signature on other words": body.encode() + genuine[genuine.index(b"\n\n") + 1 :],
        "another log's checkpoint": other,
        "a size that was raised": genuine.replace(b"\n%d\n" % checkpoint.size, b"\n%d\n" % (checkpoint.size + 1)),
        "a size that was lowered": genuine.replace(b"\n%d\n" % checkpoint.size, b"\n%d\n" % (checkpoint.size - 1)),
        "no signature": genuine[: genuine.index(b"\n\n") + 2],
        "nothing": b"",
    }.items():
        (directory / "checkpoint").write_bytes(forged)
        assert (await verified(directory, key)).problems, what
        async with back_up(here), serving(here):
            code, _, body_ = await here.post("acme/x", chat())
            assert (code, code_of(body_)) == (503, "ledger_unavailable"), what
            assert (await here.post("globex/z", chat("globex-only")))[0] == 200
        assert (directory / "checkpoint").read_bytes() == forged, f"{what}: a forged tree was built on and signed"
    (directory / "checkpoint").write_bytes(genuine)
    async with back_up(here), serving(here):
        assert (await here.post("acme/x", chat()))[0] == 200
        await here.check_invariants()


async def test_a_damaged_journal_is_never_taken_for_a_shorter_one(tmp_path: Path) -> None:
    here, _, _ = await deployment(tmp_path, calls=3)
    segments = sorted((here.home / "journal").glob("*.segment"))
    assert segments
    whole = segments[-1].read_bytes()
    end = len(whole.rstrip(b"\0"))
    chance = random.Random(5)
    starts = [match.start() for match in re.finditer(rb"SKJ1", whole)]
    assert len(starts) > 6
    for position in (
        3,
        20,
        starts[1] + 2,
        starts[len(starts) // 2] + 30,
        *(chance.randrange(512, starts[-2]) for _ in range(3)),
    ):
        if not any(whole[position : position + 1]) and position > end:
            continue
        damaged = bytearray(whole)
        damaged[position] ^= 0x40
        segments[-1].write_bytes(damaged)
        with pytest.raises(Fault) as caught:
            async with serving(here):
                views = await here.verb("ledger verify", Logs())
                code, _, _ = await here.post("acme/x", chat())
                if code == 503 or not all(one["ok"] for one in views):
                    raise Fault("ledger_unavailable", "found", advice="restore")
        assert caught.value.reason == "ledger_unavailable", position
        assert "restore" in caught.value.advice
    segments[-1].write_bytes(whole)
    segments[-1].unlink()
    with pytest.raises(Fault, match="ledger_unavailable"):
        async with serving(here):
            pytest.fail("a home without its journal was served")
    segments[-1].write_bytes(whole)
    async with serving(here):
        await here.check_invariants()


async def test_a_proof_proves_its_own_entry_and_no_other(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        _, headers, _ = await here.post("acme/x", chat())
        await here.post("acme/x", chat())
        _, foreign, _ = await here.post("globex/z", chat())
        proof = await here.verb("ledger proof", Show(record=headers["x-sekimori-record"]))
        uid = str(here.running.home.snapshot.uid("tenant/acme"))
        signer = await here.running.home.keys.signer(entry.origin("test.example", uid))
        key = Key(signer.name, signer.public)
        text, leaf = proof["proof"].encode(), proof["leaf"].encode()
        verify_proof(text, leaf, key)
        lines = text.split(b"\n")
        wrong: list[tuple[bytes, bytes]] = [
            (text, leaf.replace(b'"kind":', b'"kind": ')),
            (text, leaf.replace(uid.encode(), uid[::-1].encode())),
            (re.sub(rb"index \d+", b"index 0", text), leaf),
            (re.sub(rb"index (\d+)", b"index 0\\1", text), leaf),
            (text.replace(b"test.example", b"evil.example"), leaf),
            (b"\n".join([*lines[:2], *lines[3:]]), leaf),
            (b"\n".join([*lines[:3], lines[2], *lines[3:]]), leaf),
            (text[: text.rindex("— ".encode())], leaf),
            (b"", leaf),
        ]
        for altered, claimed in wrong:
            if (altered, claimed) == (text, leaf):
                continue
            with pytest.raises((note.Invalid, merkle.Invalid)):
                verify_proof(altered, claimed, key)
        other = await here.verb("ledger proof", Show(record=foreign["x-sekimori-record"]))
        with pytest.raises((note.Invalid, merkle.Invalid)):
            verify_proof(other["proof"].encode(), other["leaf"].encode(), key)
        with pytest.raises(Failed):
            await here.verb("ledger proof", Show(record=foreign["x-sekimori-record"], log="acme"))
