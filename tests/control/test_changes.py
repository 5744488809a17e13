"""Changes: whole or not at all, recorded where they belong, in force when the verb returns."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sekimori.control.changes import Unfit
from sekimori.control.current import stored
from sekimori.control.home import Home, open_home
from sekimori.errors import Fault, Refused
from sekimori.identity.authenticate import authenticate
from sekimori.policy import documents
from sekimori.policy.snapshot import Snapshot
from sekimori.terms import OPERATOR
from sekimori.vault.secret import Secret
from tests.control.world import ACME, CANARY, GLOBEX, SHARED, kinds, made, parsed, said, settings_of, verb


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    settings = await made(tmp_path / "home")
    async with open_home(settings) as opened:
        yield opened


def bearer(key: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {key}".encode())]


async def test_an_apply_is_one_generation_published_before_it_returns(home: Home) -> None:
    seen: list[int] = []
    home.subscribe(lambda snapshot: seen.append(snapshot.generation))
    done = await home.changes.apply(parsed(SHARED, ACME), "uid:7")
    assert (done.generation, len(done.changes)) == (1, 5)
    assert seen == [0, 1]
    assert home.snapshot.generation == 1
    assert home.snapshot.tenant(home.current.uids["tenant/acme"]) is not None


async def test_applying_an_export_changes_nothing(home: Home) -> None:
    await home.changes.apply(parsed(SHARED, ACME, GLOBEX), "uid:7")
    exported = documents.export(home.current.documents)
    for prune in (False, True):
        done = await home.changes.apply(parsed(exported), "uid:7", prune=prune)
        assert (done.generation, done.changes) == (1, [])
    assert kinds(await said(home, OPERATOR)) == ["Proposed", "Applied"]


async def test_what_is_applied_is_there_after_a_restart(tmp_path: Path) -> None:
    settings = await made(tmp_path / "home")
    async with open_home(settings) as home:
        await home.changes.apply(parsed(SHARED, ACME), "uid:7")
        before, uids = list(home.current.documents), home.current.uids
    async with open_home(settings) as home:
        assert list(home.current.documents) == before
        assert home.current.uids == uids
        assert home.current.generation.actor == "uid:7"


async def test_documents_that_do_not_fit_change_nothing_and_name_the_place(home: Home) -> None:
    broken = ACME.replace("provider: sandbox\nkey: clients/acme/own", "provider: sandbox\nkey: clients/acme/none")
    for given in ([SHARED, broken], [SHARED, "kind: Tenant\nname: Bad_Name\nmode: agency\n"], [ACME, ACME]):
        with pytest.raises(Unfit) as caught:
            await home.changes.apply(parsed(*given), "uid:7")
        assert caught.value.reason == "document_invalid"
        assert caught.value.problems[0].file.endswith(".yaml")
        assert caught.value.problems[0].line > 0
    assert home.current.generation.number == 0
    assert await said(home, OPERATOR) == []


async def test_a_change_stands_in_the_log_of_the_tenant_it_touches_and_in_no_others(home: Home) -> None:
    await home.changes.apply(parsed(SHARED, ACME, GLOBEX), "uid:7")
    acme, globex = home.current.uids["tenant/acme"], home.current.uids["tenant/globex"]
    await home.changes.apply(parsed(ACME.replace("models: [m-1]", "models: [m-1]\nsuspended: true")), "uid:8")
    assert kinds(await said(home, OPERATOR)) == ["Proposed", "Applied"] * 2
    assert kinds(await said(home, acme)) == ["Proposed", "Applied"] * 2
    assert kinds(await said(home, globex)) == ["Proposed", "Applied"]
    for log in (acme, globex):
        for one in await said(home, log):
            assert {change.tenant for change in one.payload.changes} == {"acme" if log == acme else "globex"}
    everything = await said(home, OPERATOR)
    assert [change.action for change in everything[2].payload.changes] == ["change"]
    assert [one.leaf.actor for one in everything] == ["uid:7", "uid:7", "uid:8", "uid:8"]
    assert everything[2].leaf.call == everything[3].leaf.call, "a change is one call"
    assert everything[2].payload.digest.startswith("sha256:")


async def test_a_tenant_that_is_made_again_is_another_one(home: Home) -> None:
    await home.changes.apply(parsed(SHARED, ACME), "uid:7")
    before = home.current.uids
    issued = await home.changes.issue("acme", "analyst", "uid:7", expires_ms=None, note="")
    await home.changes.key_put("clients/acme/own", Secret(CANARY.encode()), "uid:7")
    done = await home.changes.apply(parsed(SHARED), "uid:7", prune=True)
    assert done.revoked == [issued.id]
    with pytest.raises(Refused) as caught:
        authenticate(bearer(issued.key), "", home.index, home.now_ms())
    assert caught.value.reason == "credential_revoked"
    assert await home.keys.metadata(before["tenant/acme"], "clients/acme/own") is None, "the secret went with its key"

    await home.changes.apply(parsed(ACME), "uid:7")
    after = home.current.uids
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())
    with pytest.raises(Refused):
        authenticate(bearer(issued.key), "", home.index, home.now_ms())
    assert [key["state"] for key in await verb(home, "key list")] == ["missing"]  # type: ignore[attr-defined]
    old = await said(home, before["tenant/acme"])
    assert kinds(old)[-4:] == ["Proposed", "Applied", "ApiKeyRevoked", "KeyChanged"]
    assert kinds(await said(home, after["tenant/acme"])) == ["Proposed", "Applied"]


async def test_a_change_of_thousands_of_documents_is_recorded_whole(home: Home) -> None:
    keys = "".join(f"---\nkind: Key\npath: operator/{'k' * 30}-{n}\nprovider: sandbox\n" for n in range(3000))
    await home.changes.apply(parsed(SHARED), "uid:7")
    done = await home.changes.apply(parsed(keys), "uid:7")
    assert done.generation == 2
    listed = [one.payload for one in (await said(home, OPERATOR))[2:]]
    applied = [change.name for one in listed if type(one).__name__ == "Applied" for change in one.changes]
    assert sorted(applied) == sorted(change.name for change in done.changes)
    assert len(set(applied)) == 3000


async def test_documents_that_were_changed_behind_our_back_are_noticed(tmp_path: Path) -> None:
    settings = await made(tmp_path / "home")
    async with open_home(settings) as home:
        await home.changes.apply(parsed(SHARED, ACME), "uid:7")
        assert {one["what"]: one["state"] for one in (await verb(home, "doctor"))["findings"]}["record"] == "ok"  # type: ignore[index]
        given = parsed(SHARED, ACME.replace("m-1", "m-*"))
        forged = (documents.digest(given), stored(given))
    with sqlite3.connect(tmp_path / "home" / "deployment.sqlite") as raw:
        raw.execute("DROP TRIGGER generation_fixed")
        raw.execute("UPDATE generation SET digest = ?, documents = ? WHERE number = 1", forged)
    raw.close()
    async with open_home(settings) as home:
        found = {one["what"]: one["state"] for one in (await verb(home, "doctor"))["findings"]}  # type: ignore[index]
        assert found["record"] == "fault"


@pytest.mark.parametrize("column", ["digest = 'x'", "documents = x'7b7d'", "documents = x''", "documents = x'ff'"])
async def test_a_generation_that_is_not_what_its_digest_says_is_damaged(tmp_path: Path, column: str) -> None:
    settings = await made(tmp_path / "home")
    async with open_home(settings) as home:
        await home.changes.apply(parsed(SHARED, ACME), "uid:7")
    with sqlite3.connect(tmp_path / "home" / "deployment.sqlite") as raw:
        raw.execute("DROP TRIGGER generation_fixed")
        raw.execute(f"UPDATE generation SET {column} WHERE number = 1")
    raw.close()
    with pytest.raises(Fault, match="generation 1 cannot be read"):
        async with open_home(settings):
            pass


async def test_pruning_is_asked_for(home: Home) -> None:
    await home.changes.apply(parsed(SHARED, ACME, GLOBEX), "uid:7")
    done = await home.changes.apply(parsed(SHARED, ACME), "uid:7")
    assert done.changes == []
    assert "tenant/globex" in home.current.uids
    _, changes, _ = home.changes.proposed(parsed(SHARED, ACME), prune=True)
    assert {change.action for change in changes} == {"delete"}


# -- API keys ----------------------------------------------------------------------------------------------------------


async def test_an_api_key_works_when_it_is_shown_and_no_more_when_it_is_revoked(tmp_path: Path) -> None:
    settings = await made(tmp_path / "home")
    async with open_home(settings) as home:
        await home.changes.apply(parsed(SHARED, ACME), "uid:7")
        issued = await home.changes.issue("acme", "analyst", "uid:7", scopes=("read",), expires_ms=None, note="ci")
        principal = authenticate(bearer(issued.key), "", home.index, home.now_ms())
        assert (principal.tenant, principal.agent, principal.scopes) == ("acme", "analyst", {"read"})
        assert home.snapshot.agent(principal).slug == "analyst"
        uids = home.current.uids
    async with open_home(settings) as home:
        assert authenticate(bearer(issued.key), "", home.index, home.now_ms()).credential == issued.id
        assert await home.changes.revoke(issued.id, "uid:8") is True
        with pytest.raises(Refused, match="credential_revoked"):
            authenticate(bearer(issued.key), "", home.index, home.now_ms())
        assert await home.changes.revoke(issued.id, "uid:8") is False
        for log in (OPERATOR, uids["tenant/acme"]):
            assert kinds(await said(home, log))[2:] == ["ApiKeyIssued", "ApiKeyRevoked"]
    async with open_home(settings) as home:
        with pytest.raises(Refused, match="credential_revoked"):
            authenticate(bearer(issued.key), "", home.index, home.now_ms())


async def test_the_text_of_an_api_key_is_nowhere_but_in_the_answer(tmp_path: Path) -> None:
    settings = await made(tmp_path / "home")
    async with open_home(settings) as home:
        await home.changes.apply(parsed(SHARED, ACME), "uid:7")
        issued = await home.changes.issue("acme", "analyst", "uid:7", expires_ms=None, note="")
        listed = str(await verb(home, "apikey list")) + repr(issued) + str(await verb(home, "ledger show", last=50))
        hashed = home.index.pepper.hash(issued.key.encode())
    assert issued.key[7:] not in listed
    assert hashed.hex() not in listed
    for path in (tmp_path / "home").rglob("*"):
        if path.is_file():
            assert issued.key.encode()[7:37] not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"agent": "nobody"}, "not_found"),
        ({"tenant": "nobody"}, "not_found"),
        ({"scopes": ("admin",)}, "wrong_use"),
        ({"expires_ms": 1}, "wrong_use"),
        ({"expires_ms": 1 << 50}, "wrong_use"),
        ({"note": "x" * 201}, "wrong_use"),
        ({"note": "a\nb"}, "wrong_use"),
    ],
)
async def test_an_api_key_that_cannot_be_meant_is_not_issued(
    home: Home, change: dict[str, object], reason: str
) -> None:
    await home.changes.apply(parsed(SHARED, ACME), "uid:7")
    given = {"tenant": "acme", "agent": "analyst", "scopes": (), "expires_ms": None, "note": "", **change}
    tenant, agent = str(given.pop("tenant")), str(given.pop("agent"))
    with pytest.raises(Refused) as caught:
        await home.changes.issue(tenant, agent, "uid:7", **given)  # type: ignore[arg-type]
    assert caught.value.reason == reason
    assert len(home.index) == 0
    assert await home.database.deployment.api_keys() == []


async def test_an_api_key_pasted_for_an_id_is_not_repeated(home: Home) -> None:
    with pytest.raises(Refused) as caught:
        await home.changes.revoke("sk-sek_" + "a" * 36, "uid:7")
    assert "aaaa" not in str(caught.value)


# -- provider keys -----------------------------------------------------------------------------------------------------


async def test_a_provider_key_through_its_life(home: Home) -> None:
    await home.changes.apply(parsed(SHARED, ACME), "uid:7")
    path, owner = "clients/acme/own", home.current.uids["tenant/acme"]
    with pytest.raises(Refused, match="not_found"):
        await home.changes.key_rotate(path, Secret(b"sk-x"), "uid:7")
    put = await home.changes.key_put(path, Secret(CANARY.encode()), "uid:7")
    assert (put.uid, put.version) == (home.current.uids[f"key/{path}"], 1)
    with pytest.raises(Refused, match="conflict"):
        await home.changes.key_put(path, Secret(b"sk-x"), "uid:7")
    assert (await home.changes.key_freeze(path, "uid:7")).frozen
    await home.changes.key_freeze(path, "uid:7")
    assert (await home.changes.key_rotate(path, Secret(CANARY.encode() + b"2"), "uid:7")).frozen, (
        "rotation thaws nothing"
    )
    assert not (await home.changes.key_unfreeze(path, "uid:7")).frozen
    for log in (OPERATOR, owner):
        entries = (await said(home, log))[2:]
        assert [(one.payload.action, one.payload.version) for one in entries] == [
            ("put", 1),
            ("frozen", 1),
            ("rotated", 2),
            ("unfrozen", 2),
        ]


@pytest.mark.parametrize("secret", [b"", b"sk x", b"sk\nx", b"sk\xff", b"s" * 100_000])
async def test_what_is_no_key_is_not_stored(home: Home, secret: bytes) -> None:
    await home.changes.apply(parsed(SHARED, ACME), "uid:7")
    with pytest.raises(Refused, match="wrong_use"):
        await home.changes.key_put("clients/acme/own", Secret(secret), "uid:7")
    assert "KeyChanged" not in kinds(await said(home, OPERATOR))
    assert await home.database.deployment.pending() == []
    await home.changes.key_put("clients/acme/own", Secret(b"sk-x"), "uid:7")


@pytest.mark.parametrize("path", ["clients/acme/none", "clients/none/own", "operator/none", "../../etc", "", "own"])
async def test_a_key_without_a_document_has_no_place(home: Home, path: str) -> None:
    await home.changes.apply(parsed(SHARED, ACME), "uid:7")
    with pytest.raises(Refused, match="not_found"):
        await home.changes.key_put(path, Secret(b"sk-x"), "uid:7")


async def test_rotating_the_key_encryption_key_is_recorded_and_everything_opens(tmp_path: Path) -> None:
    settings = await made(tmp_path / "home")
    async with open_home(settings) as home:
        await home.changes.apply(parsed(SHARED, ACME), "uid:7")
        await home.changes.key_put("clients/acme/own", Secret(CANARY.encode()), "uid:7")
        rotation = await home.changes.kek_rotate("uid:7")
        [*_, last] = await said(home, OPERATOR)
        assert (last.payload.old, last.payload.new) == (rotation.previous, rotation.current)
        assert last.payload.rewrapped == rotation.owners == 2
    async with open_home(settings) as home:
        assert home.keys.kek_id == rotation.current
        assert [one.state for one in await said(home, OPERATOR)] == ["present"] * len(await said(home, OPERATOR))


async def test_no_secret_is_in_any_answer_or_file(tmp_path: Path) -> None:
    settings = await made(tmp_path / "home")
    shown = []
    async with open_home(settings) as home:
        await home.changes.apply(parsed(SHARED, ACME), "uid:7")
        await home.changes.key_put("clients/acme/own", Secret(CANARY.encode()), "uid:7")
        for name in ("key list", "apikey list", "export", "ledger show", "ledger verify", "doctor", "usage"):
            shown.append(str(await verb(home, name)))
        with pytest.raises(Refused) as caught:
            await verb(home, "key put", path="clients/acme/own", secret="not base64: " + CANARY)
        shown.append(str(caught.value) + repr(caught.value.__cause__))
    assert not [text for text in shown if "canary" in text]
    for path in (tmp_path / "home").rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


async def test_a_subscriber_sees_only_whole_generations(home: Home) -> None:
    seen: list[Snapshot] = []
    home.subscribe(seen.append)
    for text in (SHARED, ACME, GLOBEX):
        await home.changes.apply(parsed(text), "uid:7")
    assert [snapshot.generation for snapshot in seen] == [0, 1, 2, 3]
    assert settings_of(home.settings.home).home == home.settings.home


async def test_changes_at_once_are_made_one_after_the_other(home: Home) -> None:
    tenants = [f"kind: Tenant\nname: t-{n}\nmode: vpc\n" for n in range(8)]
    done = await asyncio.gather(*(home.changes.apply(parsed(text), "uid:7") for text in tenants))
    assert sorted(one.generation for one in done) == list(range(1, 9))
    assert set(home.current.live) == {f"tenant/t-{n}" for n in range(8)}
    assert kinds(await said(home, OPERATOR)) == ["Proposed", "Applied"] * 8


async def test_a_subscriber_that_fails_keeps_no_other_from_the_new_policy(home: Home) -> None:
    seen: list[int] = []
    broken = [False]

    def fails(snapshot: Snapshot) -> None:
        if broken[0]:
            raise RuntimeError("no")

    home.subscribe(fails)
    home.subscribe(lambda snapshot: seen.append(snapshot.generation))
    broken[0] = True
    with pytest.raises(RuntimeError):
        await home.changes.apply(parsed(SHARED), "uid:7")
    assert seen == [0, 1]
    assert kinds(await said(home, OPERATOR)) == ["Proposed", "Applied"]
    broken[0] = False
    assert (await home.changes.apply(parsed(ACME), "uid:7")).generation == 2
