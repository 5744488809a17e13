"""Lending: who gets a key, where it may go, and how fast it stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from sekimori.errors import Fault, Refused
from sekimori.identity.names import uid
from sekimori.terms import OPERATOR
from sekimori.vault.durable import VaultFault
from sekimori.vault.embedded import Embedded
from sekimori.vault.keys import CACHE_SECONDS, KeyInfo, Keys
from sekimori.vault.secret import Secret
from tests.vault.scene import (
    ACME,
    DEPLOYMENT,
    GLOBEX,
    BrokenDisk,
    Clock,
    QuickDisk,
    grant,
    kek_file,
    lent,
    provider,
    route,
)

DEADLINE = 20.0
PATH = "clients/acme/openai"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def disk() -> BrokenDisk:
    return BrokenDisk()


@pytest.fixture
async def keys(tmp_path: Path, clock: Clock, disk: BrokenDisk) -> AsyncIterator[Keys]:
    kek_file(tmp_path).create(os.urandom)
    keys = Keys.create(
        tmp_path / "vault", DEPLOYMENT, kek_file(tmp_path, disk), clock=clock, now_ms=lambda: 7, disk=disk
    )
    yield keys
    await keys.close()


def opened(home: Path, clock: Clock | None = None) -> Keys:
    return Keys.open(home / "vault", DEPLOYMENT, kek_file(home), clock=clock or Clock(), disk=QuickDisk())


async def put(keys: Keys, owner: str = ACME, path: str = PATH, value: bytes = b"sk-one") -> KeyInfo:
    return await keys.put(owner, path, Secret(value), "uid:0")


async def unavailable(keys: Keys, info: KeyInfo) -> Fault:
    with pytest.raises(Fault) as caught:
        await lent(keys, info)
    assert caught.value.reason == "key_unavailable"
    assert "/vault/" not in str(caught.value), "a caller learns no path"
    assert "sk-" not in str(caught.value)
    return caught.value


async def test_a_key_is_put_and_lent(keys: Keys, tmp_path: Path) -> None:
    info = await put(keys)
    assert info == KeyInfo(PATH, info.uid, ACME, 1, 7, 7, "uid:0", frozen=False)
    assert await lent(keys, info) == (b"sk-one", 1)
    assert await keys.metadata(ACME, PATH) == info
    assert await keys.metadata(ACME, "clients/acme/other") is None
    again = opened(tmp_path)
    assert await lent(again, info) == (b"sk-one", 1)
    assert await again.list(ACME) == (info,)
    assert await again.list(GLOBEX) == ()
    await again.close()


async def test_the_secret_is_gone_when_the_block_ends(keys: Keys) -> None:
    info = await put(keys)
    way = route(info)
    lending = keys.lend(grant(ACME, way), way)
    with pytest.raises(RuntimeError):
        _ = lending.secret
    async with lending as one:
        assert one.secret.reveal() == b"sk-one"
    for read in (lambda: one.secret, lambda: one.version):
        with pytest.raises(RuntimeError):
            read()


async def test_who_may_have_a_key(keys: Keys) -> None:
    """Every combination of tenant, key's owner and server's owner; only these are lent."""
    values = {OPERATOR: b"sk-operator", ACME: b"sk-acme", GLOBEX: b"sk-globex"}
    infos = {
        OPERATOR: await put(keys, OPERATOR, "operator/openai", values[OPERATOR]),
        ACME: await put(keys, ACME, PATH, values[ACME]),
        GLOBEX: await put(keys, GLOBEX, "clients/globex/openai", values[GLOBEX]),
    }
    got = set()
    for tenant in (ACME, GLOBEX):
        for owner, info in infos.items():
            for server in (OPERATOR, ACME, GLOBEX):
                way = route(info, server)
                with contextlib.suppress(Fault):
                    async with keys.lend(grant(tenant, way), way) as one:
                        assert one.secret == Secret(values[owner])
                        got.add((tenant, owner, server))
    assert got == {
        (ACME, OPERATOR, OPERATOR),
        (ACME, ACME, OPERATOR),
        (ACME, ACME, ACME),
        (GLOBEX, OPERATOR, OPERATOR),
        (GLOBEX, GLOBEX, OPERATOR),
        (GLOBEX, GLOBEX, GLOBEX),
    }


async def test_the_operator_s_key_never_goes_to_a_server_that_a_tenant_chose(keys: Keys) -> None:
    info = await put(keys, OPERATOR, "operator/openai")
    way = route(info, server=ACME)
    with pytest.raises(Fault):
        async with keys.lend(grant(ACME, way), way):
            pass


async def test_a_route_that_is_not_the_grant_s(keys: Keys) -> None:
    info = await put(keys)
    other = await put(keys, path="clients/acme/other", value=b"sk-two")
    granted = route(info)
    for way in (route(other), replace(granted, model="other"), replace(granted, provider=provider(ACME))):
        with pytest.raises(Fault, match="no leave"):
            async with keys.lend(grant(ACME, granted), way):
                pass
    with pytest.raises(Fault, match="no leave"):
        async with keys.lend(grant(ACME), granted):
            pass
    same = replace(granted)
    async with keys.lend(grant(ACME, granted), same) as one:  # equal is the same; identity is no matter
        assert one.version == 1


async def test_a_route_whose_words_do_not_fit_the_key(keys: Keys) -> None:
    """Also with the key in memory: uid, path and owner must be one key's."""
    info = await put(keys)
    other = await put(keys, path="clients/acme/other", value=b"sk-two")
    await lent(keys, info)
    for changed in (
        {"key": "clients/acme/other"},
        {"key_uid": other.uid},
        {"key_uid": uid(b"unknown.........")},
        {"key_owner_uid": OPERATOR},
        {"key": "operator/openai"},
    ):
        way = route(info, **changed)
        with pytest.raises(Fault):
            async with keys.lend(grant(ACME, way), way):
                pass


# -- rotating, freezing, destroying ------------------------------------------------------------------------------------


async def test_after_a_rotation_only_the_new_version_is_lent(keys: Keys, tmp_path: Path) -> None:
    info = await put(keys)
    await lent(keys, info)
    rotated = await keys.rotate(ACME, PATH, Secret(b"sk-two"), "uid:1")
    assert (rotated.uid, rotated.version, rotated.by) == (info.uid, 2, "uid:1")
    assert await lent(keys, info) == (b"sk-two", 2)
    folder = tmp_path / "vault" / "owners" / ACME / "secret"
    assert [path.name for path in folder.iterdir()] == [f"{info.uid}.2"]


async def test_a_frozen_key_is_not_lent_not_even_from_memory(keys: Keys, tmp_path: Path) -> None:
    info = await put(keys)
    await lent(keys, info)
    assert (await keys.freeze(ACME, PATH)).frozen
    assert "frozen" in (await unavailable(keys, info)).text
    again = opened(tmp_path)
    await unavailable(again, info)
    await again.close()
    await keys.rotate(ACME, PATH, Secret(b"sk-two"), "uid:0")
    await unavailable(keys, info)
    assert not (await keys.unfreeze(ACME, PATH)).frozen
    assert await lent(keys, info) == (b"sk-two", 2)


async def test_freezing_bites_before_it_is_written(keys: Keys, disk: BrokenDisk, tmp_path: Path) -> None:
    """A disk that is full does not keep a key in use."""
    info = await put(keys)
    await lent(keys, info)
    disk.arm(0, fault="no space")
    with pytest.raises(VaultFault, match="full"):
        await keys.freeze(ACME, PATH)
    await unavailable(keys, info)
    disk.arm(None)
    await keys.freeze(ACME, PATH)
    await keys.unfreeze(ACME, PATH)
    assert await lent(keys, info) == (b"sk-one", 1)


async def test_unfreezing_that_is_not_durable_does_not_lend(keys: Keys, disk: BrokenDisk) -> None:
    info = await put(keys)
    await keys.freeze(ACME, PATH)
    disk.arm(0, fault="broken")
    with pytest.raises(VaultFault):
        await keys.unfreeze(ACME, PATH)
    disk.arm(None)
    await unavailable(keys, info)


async def test_a_destroyed_key_and_its_uid_are_gone(keys: Keys, tmp_path: Path) -> None:
    info = await put(keys)
    await lent(keys, info)
    assert await keys.destroy(ACME, PATH) == info
    await unavailable(keys, info)
    assert list((tmp_path / "vault" / "owners" / ACME / "secret").iterdir()) == []
    with pytest.raises(Refused, match="conflict"):
        await keys.put(ACME, PATH, Secret(b"sk-two"), "uid:0", key_uid=info.uid)
    new = await put(keys, value=b"sk-two")
    assert new.uid != info.uid
    await unavailable(keys, info)
    assert await lent(keys, new) == (b"sk-two", 1)


async def test_a_look_up_under_way_does_not_bring_an_old_key_back(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old plaintext is read, then the key changes, then the look-up goes on: in either order."""
    for change in ("rotate", "freeze", "destroy"):
        path = f"clients/acme/{change}"
        info = await put(keys, path=path, value=b"sk-old")
        reached, go = asyncio.Event(), asyncio.Event()
        decrypt = keys._decrypt

        async def slowly(owner: str, key: str, *, decrypt=decrypt, reached=reached, go=go):  # type: ignore[no-untyped-def]
            found = await decrypt(owner, key)
            reached.set()
            await go.wait()
            return found

        monkeypatch.setattr(keys, "_decrypt", slowly)
        call = asyncio.create_task(lent(keys, info))
        async with asyncio.timeout(DEADLINE):
            await reached.wait()
            if change == "rotate":
                await keys.rotate(ACME, path, Secret(b"sk-new"), "uid:0")
            else:
                await getattr(keys, change)(ACME, path)
            go.set()
            if change == "rotate":
                assert await call == (b"sk-new", 2)
                assert await lent(keys, info) == (b"sk-new", 2)
            else:
                with pytest.raises(Fault):
                    await call
                await unavailable(keys, info)
        monkeypatch.setattr(keys, "_decrypt", decrypt)


async def test_calls_and_changes_all_at_once(keys: Keys) -> None:
    """Whatever the order, a call gets a version that was current between its start and its end."""
    info = await put(keys, value=b"sk-1")
    current = [1, 1]  # durable, begun

    async def calls() -> None:
        for _ in range(30):
            least = current[0]
            value, version = await lent(keys, info)
            assert value == b"sk-%d" % version
            assert least <= version <= current[1]
            await asyncio.sleep(0)

    async def changes() -> None:
        for version in range(2, 12):
            current[1] = version
            await keys.rotate(ACME, PATH, Secret(b"sk-%d" % version), "uid:0")
            current[0] = version
            await asyncio.sleep(0)

    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(changes(), *(calls() for _ in range(8)))


async def test_a_change_whose_caller_leaves_is_done_or_not_done(keys: Keys) -> None:
    info = await put(keys, value=b"sk-1")
    for version in range(2, 12):
        task = asyncio.create_task(keys.rotate(ACME, PATH, Secret(b"sk-new"), "uid:0"))
        for _ in range(version):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(DEADLINE):
            _, served = await lent(keys, info)
            known = await keys.metadata(ACME, PATH)
        assert known is not None
        assert known.version == served


# -- memory ------------------------------------------------------------------------------------------------------------


async def test_a_key_is_decrypted_once_a_minute(keys: Keys, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    info = await put(keys)
    reads: list[str] = []
    get = Embedded.get

    def counted(self: Embedded, owner: str, purpose: str, key_uid: str, version: str) -> bytes:
        reads.append(purpose)
        return get(self, owner, purpose, key_uid, version)

    monkeypatch.setattr(Embedded, "get", counted)
    await asyncio.gather(*(lent(keys, info) for _ in range(50)))
    assert reads.count("secret") == 1
    clock.now += CACHE_SECONDS - 0.001
    await lent(keys, info)
    assert reads.count("secret") == 1
    clock.now += 0.001
    await lent(keys, info)
    assert reads.count("secret") == 2


async def test_a_plaintext_leaves_memory_when_its_time_is_over(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sekimori.vault.keys.CACHE_SECONDS", 0.05)
    info = await put(keys)
    await lent(keys, info)
    assert keys._held
    async with asyncio.timeout(DEADLINE):
        while keys._held:
            await asyncio.sleep(0.01)


async def test_nothing_of_a_vault_shows_a_key(keys: Keys) -> None:
    info = await put(keys, value=b"sk-canary")
    way = route(info)
    async with keys.lend(grant(ACME, way), way) as one:
        shown = repr((keys.__dict__, one, one._held, one.secret, keys._store.__dict__, keys.days.__dict__))
    assert "sk-canary" not in shown


async def test_a_damaged_key_is_a_fault_that_names_no_path(keys: Keys, tmp_path: Path) -> None:
    info = await put(keys)
    path = tmp_path / "vault" / "owners" / ACME / "secret" / f"{info.uid}.1"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    error = await unavailable(keys, info)
    assert "doctor" in error.advice
    assert isinstance(error.__cause__, VaultFault)
    path.unlink()
    await unavailable(keys, info)
    path.write_bytes(whole)
    path.chmod(0o600)
    assert await lent(keys, info) == (b"sk-one", 1)


async def test_an_index_that_somebody_changed_or_removed(keys: Keys, tmp_path: Path) -> None:
    info = await put(keys)
    await keys.freeze(ACME, PATH)
    path = tmp_path / "vault" / "owners" / ACME / "index" / "index.1"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    again = opened(tmp_path)
    await unavailable(again, info)
    path.unlink()
    with pytest.raises(VaultFault, match="missing"):
        await again.list(ACME)
    with pytest.raises(VaultFault, match="missing"):
        await put(again, path="clients/acme/other")
    await again.close()


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "path"),
    [
        (ACME, "operator/openai"),
        (OPERATOR, "clients/acme/openai"),
        (OPERATOR, "openai"),
        (OPERATOR, "operator/"),
        (OPERATOR, "operator/a/b"),
        (OPERATOR, "operator/operator"),
        (ACME, "clients/openai"),
        (ACME, "clients/operator/openai"),
        (ACME, "clients/Acme/openai"),
        (ACME, "clients/acme/Open"),
        (ACME, "clients/acme/../x"),
        (ACME, "clients/acme/x\n"),
        (ACME, ""),
    ],
)
async def test_paths_that_are_none(keys: Keys, owner: str, path: str) -> None:
    with pytest.raises(Refused, match="wrong_use"):
        await put(keys, owner, path)


@pytest.mark.parametrize("value", [b"", b"sk one", b"sk\r\nx-evil: 1", b"sk\n", b"sk\x00", b"sk\xff", b"a" * 16385])
async def test_values_that_are_no_key(keys: Keys, value: bytes) -> None:
    info = await put(keys)
    for attempt in (put(keys, path="clients/acme/two", value=value), keys.rotate(ACME, PATH, Secret(value), "uid:0")):
        with pytest.raises(Refused) as caught:
            await attempt
        assert caught.value.reason == "wrong_use"
        assert value.decode("latin-1") not in str(caught.value) or not value
    assert await lent(keys, info) == (b"sk-one", 1)


async def test_what_is_taken_and_what_is_not_there(keys: Keys) -> None:
    info = await put(keys)
    with pytest.raises(Refused, match="conflict"):
        await put(keys)
    with pytest.raises(Refused, match="conflict"):
        await keys.put(ACME, "clients/acme/other", Secret(b"x"), "uid:0", key_uid=info.uid)
    with pytest.raises(Refused, match="wrong_use"):
        await keys.put(ACME, "clients/acme/other", Secret(b"x"), "uid:0", key_uid="nonsense")
    for attempt in (
        keys.rotate(ACME, "clients/acme/none", Secret(b"x"), "uid:0"),
        keys.freeze(ACME, "clients/acme/none"),
        keys.unfreeze(ACME, "clients/acme/none"),
        keys.destroy(ACME, "clients/acme/none"),
        keys.rotate(GLOBEX, PATH, Secret(b"x"), "uid:0"),
    ):
        with pytest.raises(Refused, match="not_found"):
            await attempt
    assert await lent(keys, info) == (b"sk-one", 1)


async def test_a_destroyed_owner_has_nothing_left(keys: Keys, tmp_path: Path) -> None:
    info = await put(keys)
    other = await put(keys, GLOBEX, "clients/globex/openai", b"sk-globex")
    await lent(keys, info)
    id, _ = await keys.day_key(ACME, 1, "2026-11-22")
    signer = await keys.signer(f"{DEPLOYMENT}/{ACME}")
    await keys.destroy_owner(ACME)
    await unavailable(keys, info)
    assert keys.cached(ACME, 1, "2026-11-22") is None
    assert await keys.open_day_key(ACME, id) is None
    for attempt in (
        keys.day_key(ACME, 1, "2026-11-22"),
        keys.signer(f"{DEPLOYMENT}/{ACME}"),
        put(keys),
    ):
        with pytest.raises(VaultFault, match="destroyed"):
            await attempt
    assert await lent(keys, other) == (b"sk-globex", 1)
    assert signer.name not in repr(list((tmp_path / "vault").rglob("*")))
    with pytest.raises(Refused):
        await keys.destroy_owner(OPERATOR)


async def test_rotating_the_kek_disturbs_no_call(keys: Keys, tmp_path: Path) -> None:
    info = await put(keys)
    before = keys.kek_id
    told = await keys.rotate_kek()
    assert (told.previous, told.current) == (before, keys.kek_id)
    assert await lent(keys, info) == (b"sk-one", 1)
    again = opened(tmp_path)
    assert await lent(again, info) == (b"sk-one", 1)
    assert [pepper.hash(b"x") for pepper in again.peppers] == [pepper.hash(b"x") for pepper in keys.peppers]
    await again.close()


async def test_peppers(keys: Keys, tmp_path: Path) -> None:
    [first] = keys.peppers
    assert first.version == 1
    second = await keys.add_pepper()
    assert (second.version, keys.peppers[0], len(keys.peppers)) == (2, second, 2)
    again = opened(tmp_path)
    assert [pepper.hash(b"x") for pepper in again.peppers] == [second.hash(b"x"), first.hash(b"x")]
    await again.close()
    for path in (tmp_path / "vault" / "owners" / "operator" / "pepper").iterdir():
        path.unlink()
    with pytest.raises(VaultFault, match="pepper"):
        opened(tmp_path)
