"""Day keys and signing keys: durable before use, gone when destroyed, never another's."""

from __future__ import annotations

import asyncio
import os
import pickle
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sekimori.ledger.protocols import DayKeys as DayKeysProtocol
from sekimori.ledger.protocols import Signer
from sekimori.terms import OPERATOR
from sekimori.vault.durable import VaultFault
from sekimori.vault.keys import Keys
from tests.vault.scene import ACME, DAY, DEPLOYMENT, FAULTS, GLOBEX, BrokenDisk, Killed, QuickDisk, kek_file

NONCE = bytes(12)


@pytest.fixture
def disk() -> BrokenDisk:
    return BrokenDisk()


@pytest.fixture
async def keys(tmp_path: Path, disk: BrokenDisk) -> AsyncIterator[Keys]:
    kek_file(tmp_path).create(os.urandom)
    keys = Keys.create(tmp_path / "vault", DEPLOYMENT, kek_file(tmp_path), disk=disk)
    yield keys
    await keys.close()


def opened(home: Path) -> Keys:
    return Keys.open(home / "vault", DEPLOYMENT, kek_file(home), disk=QuickDisk())


async def test_one_key_per_owner_class_and_day(keys: Keys, tmp_path: Path) -> None:
    protocol: DayKeysProtocol = keys
    assert protocol.cached(ACME, 1, DAY) is None
    asked = [(ACME, 1, DAY), (ACME, 2, DAY), (ACME, 1, "2026-11-23"), (GLOBEX, 1, DAY), (OPERATOR, 1, DAY)]
    made = [await protocol.day_key(*one) for one in asked]
    assert len({id for id, _ in made}) == len(made)
    sealed = [key.encrypt(NONCE, b"payload", None) for _, key in made]
    assert len(set(sealed)) == len(sealed)
    assert [protocol.cached(*one) for one in asked] == made
    again = opened(tmp_path)
    for one, (id, _), box in zip(asked, made, sealed, strict=True):
        found, key = await again.day_key(*one)
        assert found == id
        assert key.decrypt(NONCE, box, None) == b"payload"
        opened_again = await again.open_day_key(one[0], id)
        assert opened_again is not None
        assert opened_again.decrypt(NONCE, box, None) == b"payload"
    await again.close()


async def test_many_who_ask_at_once_get_one_key(keys: Keys, tmp_path: Path) -> None:
    made = await asyncio.gather(*(keys.day_key(ACME, 1, DAY) for _ in range(50)))
    assert len({id for id, _ in made}) == 1
    assert len(list((tmp_path / "vault" / "owners" / ACME / "day-key").iterdir())) == 1


async def test_it_is_durable_before_it_is_had(keys: Keys, disk: BrokenDisk) -> None:
    await keys.day_key(ACME, 1, DAY)
    disk.arm(None)
    await keys.day_key(ACME, 2, DAY)
    assert [step.split(" ")[0] for step in disk.steps] == ["create", "rename", "sync"]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("how", ["before", "half", "after"])
@pytest.mark.parametrize("at", range(3))
async def test_a_disk_that_breaks_makes_no_key_twice_and_loses_none(
    keys: Keys, disk: BrokenDisk, tmp_path: Path, at: int, how: str, fault: str
) -> None:
    await keys.day_key(ACME, 9, DAY)
    disk.arm(at, how, fault)
    with pytest.raises((VaultFault, Killed)):
        await keys.day_key(ACME, 1, DAY)
    assert keys.cached(ACME, 1, DAY) is None
    disk.arm(None)
    disk.dead = False
    survivor = opened(tmp_path) if fault == "killed" else keys
    id, key = await survivor.day_key(ACME, 1, DAY)
    other = opened(tmp_path)
    found = await other.open_day_key(ACME, id)
    assert found is not None
    assert found.decrypt(NONCE, key.encrypt(NONCE, b"x", None), None) == b"x"
    assert await other.day_key(ACME, 1, DAY) is not None
    names = os.listdir(tmp_path / "vault" / "owners" / ACME / "day-key")
    assert len([name for name in names if ".1-" in name]) == 1, names
    await other.close()
    if survivor is not keys:
        await survivor.close()


async def test_destroyed_is_told_from_lost(keys: Keys, tmp_path: Path) -> None:
    id, _ = await keys.day_key(ACME, 1, DAY)
    kept, _ = await keys.day_key(ACME, 2, DAY)
    await keys.days.destroy_day_key(ACME, id)
    again = opened(tmp_path)
    for one in (keys, again):
        assert one.cached(ACME, 1, DAY) is None
        assert await one.open_day_key(ACME, id) is None
        assert await one.open_day_key(ACME, kept) is not None
    new, _ = await keys.day_key(ACME, 1, DAY)
    assert new != id, "an entry written after the purge has a key of its own"
    [path] = (tmp_path / "vault" / "owners" / ACME / "day-key").glob(f"{kept}.*")
    path.unlink()
    lost = opened(tmp_path)
    with pytest.raises(VaultFault, match="missing"):
        await lost.open_day_key(ACME, kept)
    with pytest.raises(VaultFault, match="missing"):
        await lost.open_day_key(ACME, "0" * 26)
    with pytest.raises(VaultFault, match="missing"):
        await lost.open_day_key(GLOBEX, kept)
    await again.close()
    await lost.close()


async def test_a_key_that_is_moved_to_another_day_does_not_open(keys: Keys, tmp_path: Path) -> None:
    """Else whoever writes the folder could make a purge of one day destroy another's, or keep one alive."""
    id, _ = await keys.day_key(ACME, 1, DAY)
    path = tmp_path / "vault" / "owners" / ACME / "day-key" / f"{id}.1-{DAY}"
    path.rename(path.with_name(f"{id}.1-2026-11-23"))
    again = opened(tmp_path)
    with pytest.raises(VaultFault, match="does not open"):
        await again.open_day_key(ACME, id)
    with pytest.raises(VaultFault, match="does not open"):
        await again.day_key(ACME, 1, "2026-11-23")
    await again.close()


@pytest.mark.parametrize(
    ("class_", "day"),
    [(0, DAY), (-1, DAY), (1, "2026-11-2"), (1, "../../x"), (1, ""), (1, DAY + "\n"), (1, "٢٠٢٦-11-22")],
)
async def test_what_is_no_class_or_day(keys: Keys, class_: int, day: str) -> None:
    with pytest.raises(ValueError):
        await keys.day_key(ACME, class_, day)


async def test_the_cache_is_bounded(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sekimori.vault.daykeys.MOST_HELD", 3)
    made = {class_: await keys.day_key(ACME, class_, DAY) for class_ in range(1, 8)}
    assert sum(keys.cached(ACME, class_, DAY) is not None for class_ in made) == 3
    for class_, (id, _) in made.items():
        assert (await keys.day_key(ACME, class_, DAY))[0] == id


# -- signing -----------------------------------------------------------------------------------------------------------


async def test_a_log_is_signed_with_one_key_for_ever(keys: Keys, tmp_path: Path) -> None:
    origins = [f"{DEPLOYMENT}/{OPERATOR}", f"{DEPLOYMENT}/{ACME}", f"{DEPLOYMENT}/{GLOBEX}"]
    signers: list[Signer] = [await keys.signer(origin) for origin in origins]
    assert len({signer.public for signer in signers}) == 3
    again = opened(tmp_path)
    for origin, signer in zip(origins, signers, strict=True):
        assert signer.name == origin
        Ed25519PublicKey.from_public_bytes((await again.signer(origin)).public).verify(signer.sign(b"x"), b"x")
    await again.close()
    assert len({(await keys.signer(origins[1])).public for _ in range(3)}) == 1
    assert len({one.public for one in await asyncio.gather(*(keys.signer(origins[1]) for _ in range(20)))}) == 1


async def test_a_signer_shows_no_key(keys: Keys) -> None:
    signer = await keys.signer(f"{DEPLOYMENT}/{ACME}")
    assert repr(signer) == f"LogSigner('{DEPLOYMENT}/{ACME}')"
    with pytest.raises(TypeError):
        pickle.dumps(signer)


@pytest.mark.parametrize(
    "origin", ["", "operator", f"other.example/{ACME}", f"{DEPLOYMENT}/..", f"{DEPLOYMENT}/x/{ACME}"]
)
async def test_a_log_that_is_not_ours(keys: Keys, origin: str) -> None:
    with pytest.raises(ValueError):
        await keys.signer(origin)


async def test_a_damaged_signing_key_is_not_replaced(keys: Keys, tmp_path: Path) -> None:
    await keys.signer(f"{DEPLOYMENT}/{ACME}")
    path = tmp_path / "vault" / "owners" / ACME / "log-signing" / "ed25519.1"
    path.write_bytes(path.read_bytes()[:-1])
    again = opened(tmp_path)
    with pytest.raises(VaultFault):
        await again.signer(f"{DEPLOYMENT}/{ACME}")
    await again.close()
