"""Break and repair: every change of the vault, broken at every step of its writing, in every way.

A step fails before it happens, in its middle, or after it happened all the same; the process is killed there, or goes
on with a disk that is full or broken. After each: the vault opens, what was not touched is as it was, what was touched
is as before or as after and never in between, and the same change can be made again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from sekimori.errors import Fault, Refused
from sekimori.identity.names import uid
from sekimori.terms import OPERATOR
from sekimori.vault.durable import VaultFault
from sekimori.vault.keys import KeyInfo, Keys
from sekimori.vault.secret import Secret
from tests.vault.scene import ACME, DAY, DEPLOYMENT, FAULTS, GLOBEX, BrokenDisk, Killed, QuickDisk, kek_file, lent

DEADLINE = 60.0
PATH = "clients/acme/openai"
NEW_PATH = "clients/acme/new"
NEW_UID = uid(b"new key.........")
HOWS = ("before", "half", "after")


class Scene(NamedTuple):
    """What a healthy vault holds before the change."""

    home: Path
    acme: KeyInfo
    globex: KeyInfo
    operator: KeyInfo
    days: dict[str, str]
    signatures: dict[str, bytes]
    pepper: bytes
    kek: str


def opened(home: Path, disk: BrokenDisk | None = None) -> Keys:
    return Keys.open(home / "vault", DEPLOYMENT, kek_file(home, disk), disk=disk or QuickDisk(), now_ms=lambda: 7)


async def build(home: Path) -> Scene:
    kek_file(home).create(os.urandom)
    keys = Keys.create(home / "vault", DEPLOYMENT, kek_file(home), now_ms=lambda: 7, disk=QuickDisk())
    infos = {
        owner: await keys.put(owner, path, Secret(b"sk-" + owner.encode()), "uid:0")
        for owner, path in ((ACME, PATH), (GLOBEX, "clients/globex/openai"), (OPERATOR, "operator/openai"))
    }
    days = {owner: (await keys.day_key(owner, 1, DAY))[0] for owner in infos}
    signatures = {owner: (await keys.signer(f"{DEPLOYMENT}/{owner}")).sign(b"x") for owner in infos}
    scene = Scene(
        home, infos[ACME], infos[GLOBEX], infos[OPERATOR], days, signatures, keys.peppers[-1].hash(b"x"), keys.kek_id
    )
    await keys.close()
    return scene


async def untouched(keys: Keys, scene: Scene, *owners: str) -> None:
    for owner, info in ((ACME, scene.acme), (GLOBEX, scene.globex), (OPERATOR, scene.operator)):
        if owner in owners:
            assert await lent(keys, info) == (b"sk-" + owner.encode(), 1)
            assert (await keys.signer(f"{DEPLOYMENT}/{owner}")).sign(b"x") == scene.signatures[owner]
            assert (await keys.day_key(owner, 1, DAY))[0] == scene.days[owner]
            assert await keys.open_day_key(owner, scene.days[owner]) is not None
    assert keys.peppers[-1].hash(b"x") == scene.pepper


async def key(keys: Keys, info: KeyInfo) -> tuple[bytes, int] | None:
    with contextlib.suppress(Fault):
        return await lent(keys, info)
    return None


class Change(NamedTuple):
    """A change, the states it may leave, and which owners it never touches."""

    make: Callable[[Keys], Awaitable[object]]
    state: Callable[[Keys, Scene], Awaitable[object]]
    before: object
    after: object
    others: tuple[str, ...] = (GLOBEX, OPERATOR)
    done: tuple[str, ...] = ()
    """Refusals that say that it was done already."""


SAME = (b"sk-" + ACME.encode(), 1)


async def acme_state(keys: Keys, scene: Scene) -> object:
    return await key(keys, scene.acme)


async def new_state(keys: Keys, scene: Scene) -> object:
    info = KeyInfo(NEW_PATH, NEW_UID, ACME, 1, 7, 7, "uid:0", frozen=False)
    return await key(keys, info)


async def day_state(keys: Keys, scene: Scene) -> object:
    return await keys.open_day_key(ACME, scene.days[ACME]) is not None


async def owner_state(keys: Keys, scene: Scene) -> object:
    key_there = await key(keys, scene.acme) is not None
    day_there = await keys.open_day_key(ACME, scene.days[ACME]) is not None
    assert key_there == day_there
    return key_there


async def pepper_state(keys: Keys, scene: Scene) -> object:
    return len(keys.peppers) > 1


async def kek_state(keys: Keys, scene: Scene) -> object:
    return keys.kek_id != scene.kek


async def nothing(keys: Keys, scene: Scene) -> object:
    return None


CHANGES: dict[str, Change] = {
    "put": Change(
        lambda keys: keys.put(ACME, NEW_PATH, Secret(b"sk-new"), "uid:0", key_uid=NEW_UID),
        new_state, None, (b"sk-new", 1), (ACME, GLOBEX, OPERATOR), ("conflict",),
    ),
    "rotate": Change(lambda keys: keys.rotate(ACME, PATH, Secret(b"sk-2"), "uid:0"), acme_state, SAME, (b"sk-2", 2)),
    "freeze": Change(lambda keys: keys.freeze(ACME, PATH), acme_state, SAME, None),
    "destroy": Change(lambda keys: keys.destroy(ACME, PATH), acme_state, SAME, None, done=("not_found",)),
    "new day key": Change(
        lambda keys: keys.day_key(ACME, 2, DAY), nothing, None, None, (ACME, GLOBEX, OPERATOR)
    ),
    "new tenant": Change(
        lambda keys: keys.day_key(uid(b"new tenant......"), 2, DAY), nothing, None, None, (ACME, GLOBEX, OPERATOR)
    ),
    "new signer": Change(
        lambda keys: keys.signer(f"{DEPLOYMENT}/{uid(b'new tenant......')}"), nothing, None, None,
        (ACME, GLOBEX, OPERATOR),
    ),
    "destroy day key": Change(
        lambda keys: keys.days.destroy_day_key(ACME, uid(bytes(16))), nothing, None, None
    ),
    "destroy owner": Change(lambda keys: keys.destroy_owner(ACME), owner_state, True, False),
    "pepper": Change(lambda keys: keys.add_pepper(), pepper_state, False, True, (ACME, GLOBEX, OPERATOR)),
    "rotate kek": Change(lambda keys: keys.rotate_kek(), kek_state, False, True, (ACME, GLOBEX, OPERATOR)),
}  # fmt: skip


def broken(change: Change, name: str, scene: Scene) -> Change:
    if name == "destroy day key":
        return change._replace(
            make=lambda keys: keys.days.destroy_day_key(ACME, scene.days[ACME]),
            state=day_state, before=True, after=False,
        )  # fmt: skip
    return change


async def run(keys: Keys, change: Change) -> None:
    """Make the change, which may have been made already."""
    try:
        await change.make(keys)
    except Refused as refused:
        if refused.reason not in change.done:
            raise


def tidy(home: Path) -> None:
    """Once a change was made in whole, nothing of an attempt is left and nobody else can read anything."""
    for path in home.rglob("*"):
        assert not path.name.startswith("."), path
        assert path.stat().st_mode & 0o077 == 0, path
    assert len((home / "kek").read_bytes().split()) == 1


@pytest.fixture
async def template(tmp_path: Path) -> Scene:
    home = tmp_path / "template"
    home.mkdir(mode=0o700)
    return await build(home)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", CHANGES)
async def test_every_step_of_every_change(name: str, fault: str, template: Scene, tmp_path: Path) -> None:
    change = broken(CHANGES[name], name, template)
    at, struck = 0, True
    async with asyncio.timeout(DEADLINE):
        while struck:
            for how in HOWS:
                home = tmp_path / f"{at}-{how}"
                shutil.copytree(template.home, home)
                scene = template._replace(home=home)
                disk = BrokenDisk()
                keys = opened(home, disk)
                await change.state(keys, scene)  # plaintexts in memory, as in a gateway that serves
                disk.arm(at, how, fault)
                if fault == "killed":
                    with contextlib.suppress(Killed):
                        await change.make(keys)
                else:
                    with contextlib.suppress(VaultFault):
                        await change.make(keys)
                struck = disk.struck
                disk.arm(None)

                if fault != "killed":  # the process that failed goes on
                    state = await change.state(keys, scene)
                    assert state in (change.before, change.after), (at, how, disk.steps)
                    await untouched(keys, scene, *change.others)

                after = opened(home)  # and so does one that is started on what is on disk
                on_disk = await change.state(after, scene)
                assert on_disk in (change.before, change.after), (at, how)
                await untouched(after, scene, *change.others)
                await after.close()

                survivor = opened(home) if fault == "killed" else keys
                if change.before in (on_disk, await change.state(survivor, scene)):
                    await run(survivor, change)
                assert await change.state(survivor, scene) == change.after
                await untouched(survivor, scene, *change.others)
                if name == "rotate kek":
                    assert survivor.kek_id != scene.kek
                await survivor.close()
                last = opened(home)
                assert await change.state(last, scene) == change.after
                await untouched(last, scene, *change.others)
                assert {one.name for one in (home / "vault/owners" / ACME / "secret").glob("*")} == {
                    f"{info.uid}.{info.version}" for info in await last.list(ACME)
                }
                await last.close()
                tidy(home)
                await keys.close()
                shutil.rmtree(home)
            at += 1
    assert at >= 4, "the change writes nothing: this test proves nothing"


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_step_of_making_a_vault(fault: str, tmp_path: Path) -> None:
    """Until the header is there, making it is repeated; from then on it is opened."""
    at, struck = 0, True
    while struck:
        for how in HOWS:
            home = tmp_path / f"{at}-{how}"
            home.mkdir(mode=0o700)
            disk = BrokenDisk()
            disk.arm(at, how, fault)
            with contextlib.suppress(Killed, VaultFault):
                kek_file(home, disk).create(os.urandom)
                await Keys.create(home / "vault", DEPLOYMENT, kek_file(home, disk), disk=disk).close()
            struck = disk.struck
            kek_file(home).create(os.urandom)
            try:
                keys = opened(home)
            except VaultFault:
                keys = Keys.create(home / "vault", DEPLOYMENT, kek_file(home), disk=QuickDisk())
            info = await keys.put(ACME, PATH, Secret(b"sk-one"), "uid:0")
            await keys.close()
            keys = opened(home)
            assert await lent(keys, info) == (b"sk-one", 1)
            assert len(keys.peppers) == 1
            await keys.close()
            tidy(home)
        at += 1
    assert at > 10


@pytest.mark.parametrize("fault", FAULTS)
async def test_finishing_a_rotation_of_the_kek_is_broken_too(fault: str, template: Scene, tmp_path: Path) -> None:
    """A crash in the rotation, and then at every step of finishing it when the vault is opened."""
    begun = tmp_path / "begun"
    shutil.copytree(template.home, begun)
    disk = BrokenDisk()
    keys = opened(begun, disk)
    disk.arm(7, "after", "killed")
    with pytest.raises(Killed):
        await keys.rotate_kek()
    assert len((begun / "kek").read_bytes().split()) == 2
    await keys.close()
    at, struck = 0, True
    while struck:
        for how in HOWS:
            home = tmp_path / f"{at}-{how}"
            shutil.copytree(begun, home)
            disk = BrokenDisk()
            disk.arm(at, how, fault)
            with contextlib.suppress(Killed):
                half = opened(home, disk)
                await untouched(half, template, ACME, GLOBEX, OPERATOR)
                await half.close()
            struck = disk.struck
            last = opened(home)
            assert last.rotation_fault is None
            assert last.kek_id != template.kek
            await untouched(last, template, ACME, GLOBEX, OPERATOR)
            await last.close()
            tidy(home)
        at += 1
    assert at > 5
