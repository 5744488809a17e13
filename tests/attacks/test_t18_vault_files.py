"""T18: encrypted files are swapped, rolled back or damaged.

Whoever can write the files but has no key-encryption key may break things; he may not make a call travel with a key
that is not its own, bring an old one back by a single file, or be served on as if nothing were.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sekimori.control.arguments import Nothing, Put
from sekimori.control.arguments import Path as KeyPath
from sekimori.errors import Fault
from sekimori.vault.durable import VaultFault
from tests.attacks.attacker import back_up, code_of
from tests.flows.place import SECRETS, Place, chat, place, serving

OWN = {"acme/x": SECRETS["clients/acme/own"], "globex/z": SECRETS["clients/globex/own"]}
MODEL = {"acme/x": "acme-only", "globex/z": "globex-only"}


class Vault:
    """The vault of a home that is not served: its files by what they are for, and the way back."""

    def __init__(self, here: Place, uids: dict[str, str]) -> None:
        self.here = here
        self.folder = here.home / "vault"
        self.kept = here.home.parent / "vault.kept"
        self.uids = uids
        shutil.copytree(self.folder, self.kept)

    def restore(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.kept, self.folder)

    def owner(self, name: str) -> Path:
        return self.folder / "owners" / self.uids[name]

    def files(self, name: str, purpose: str) -> list[Path]:
        return sorted(self.owner(name).glob(f"{purpose}/*"))


async def vault(folder: Path, meanwhile: Callable[[Place], Any] | None = None) -> Vault:
    """A stopped deployment whose two tenants have each used a key of their own."""
    async with place(folder) as here:
        for agent in OWN:
            assert (await here.post(agent, chat(MODEL[agent])))[0] == 200
        snapshot = here.running.home.snapshot
        uids = {name: str(snapshot.uid(f"tenant/{name}")) for name in ("acme", "globex")}
        if meanwhile is not None:
            await meanwhile(here)
    here.provider.seen.clear()
    return Vault(here, {**uids, "operator": "operator"})


async def outcome(attacked: Vault) -> dict[str, str]:
    """What each tenant's call comes to: `ok`, the reason of a refusal, or `closed` where the home is not served."""
    here = attacked.here
    said: dict[str, str] = {}
    before = len(here.provider.seen)
    try:
        async with back_up(here), serving(here):
            for agent in OWN:
                count = len(here.provider.seen)
                code, _, body = await here.post(agent, chat(MODEL[agent]))
                said[agent] = "ok" if code == 200 else code_of(body)
                if code == 200:
                    assert here.provider.keys()[-1] == OWN[agent], "a call travelled with a key that is not its own"
                else:
                    assert len(here.provider.seen) == count, "a call left although its key could not be had"
    except Fault as fault:
        assert fault.advice, "a home that is not served says what to do"
        said = dict.fromkeys(OWN, "closed")
        assert len(here.provider.seen) == before
    return said


def flip(path: Path, place_: int = -20) -> None:
    data = bytearray(path.read_bytes())
    data[place_] ^= 0x10
    path.write_bytes(data)


def swap(first: Path, second: Path) -> None:
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


WELL = {"acme/x": "ok", "globex/z": "ok"}


async def test_a_damaged_secret_stops_its_own_tenant_and_nobody_else(tmp_path: Path) -> None:
    attacked = await vault(tmp_path)
    assert await outcome(attacked) == WELL
    chance = random.Random(18)
    damages: list[Callable[[Path], Any]] = [
        lambda path: flip(path, 0),
        lambda path: flip(path, 12),
        lambda path: flip(path, -1),
        lambda path: flip(path, chance.randrange(path.stat().st_size)),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(SECRETS["clients/acme/own"].encode()),
        lambda path: path.unlink(),
    ]
    for number, damage in enumerate(damages):
        for path in attacked.files("acme", "secret"):
            damage(path)
        assert await outcome(attacked) == {"acme/x": "key_unavailable", "globex/z": "ok"}, number
        attacked.restore()
    assert await outcome(attacked) == WELL


async def test_a_ciphertext_opens_in_no_other_place(tmp_path: Path) -> None:
    attacked = await vault(tmp_path)

    def secrets() -> list[Path]:
        return attacked.files("acme", "secret")

    def one(name: str, purpose: str) -> Path:
        return attacked.files(name, purpose)[0]

    def put(source: Path, *targets: Path) -> None:
        data = source.read_bytes()
        for target in targets:
            target.write_bytes(data)

    def tenant_key(name: str) -> Path:
        return attacked.owner(name) / "tenant-key"

    def next_version() -> None:
        for path in secrets():
            path.rename(path.with_name(path.name.rpartition(".")[0] + ".2"))

    def whole_owner() -> None:
        shutil.rmtree(attacked.owner("globex"))
        shutil.copytree(attacked.owner("acme"), attacked.owner("globex"))

    moves: dict[str, Callable[[], Any]] = {
        "two tenants' secrets swapped": lambda: swap(secrets()[0], one("globex", "secret")),
        "another tenant's secret in its place": lambda: put(one("globex", "secret"), *secrets()),
        "two keys of one tenant swapped": lambda: swap(*secrets()),
        "another tenant's index": lambda: put(one("globex", "index"), one("acme", "index")),
        "two tenant keys swapped": lambda: swap(tenant_key("acme"), tenant_key("globex")),
        "the operator's tenant key": lambda: put(tenant_key("operator"), tenant_key("acme")),
        "secrets under another version": next_version,
        "a signing key as a secret": lambda: put(one("acme", "log-signing"), *secrets()),
        "a day key as a secret": lambda: put(one("acme", "day-key"), *secrets()),
        "the pepper as a secret": lambda: put(one("operator", "pepper"), *secrets()),
        "a secret as the signing key": lambda: put(secrets()[0], one("acme", "log-signing")),
        "all of another tenant": whole_owner,
    }
    for what, move in moves.items():
        move()
        said = await outcome(attacked)
        assert said != WELL, what
        assert "ok" in said.values() or set(said.values()) <= {"closed", "key_unavailable", "ledger_unavailable"}, what
        attacked.restore()
    assert await outcome(attacked) == WELL


async def test_two_keys_of_one_tenant_swapped_are_told_apart(tmp_path: Path) -> None:
    """As above, but with two texts: if the swap went unseen, a key would travel to a server that is not its own."""

    async def other(here: Place) -> None:
        await here.verb("key rotate", Put(path="clients/acme/own", secret=b"sk-another-0123456789abcdef"))

    attacked = await vault(tmp_path, other)
    first, second = attacked.files("acme", "secret")
    swap(first, second)
    assert (await outcome(attacked))["acme/x"] == "key_unavailable"


async def test_one_file_of_yesterday_brings_no_old_key_back(tmp_path: Path) -> None:
    """Rotation: the old version's file put back, under its own name and under the new one's."""
    old: dict[str, bytes] = {}

    async def rotates(here: Place) -> None:
        folder = here.home / "vault" / "owners" / str(here.running.home.snapshot.uid("tenant/acme"))
        old.update({str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()})
        for path in ("clients/acme/llm", "clients/acme/own"):
            await here.verb("key rotate", Put(path=path, secret=b"sk-rotated-0123456789abcdef"))

    attacked = await vault(tmp_path, rotates)
    rotated = "sk-rotated-0123456789abcdef"
    for name, data in old.items():
        path = Path(name)
        if path.parent.name == "secret":
            path.write_bytes(data)  # under its own name, `<uid>.1`: the index names version 2
    async with back_up(attacked.here), serving(attacked.here):
        assert (await attacked.here.post("acme/x", chat("acme-only")))[0] == 200
        assert attacked.here.provider.keys()[-1] == rotated, "a key that was rotated away was lent"
        left = [path.name for path in attacked.files("acme", "secret")]
        assert all(name.endswith(".2") for name in left), "the old version stays on disk"
    attacked.restore()
    attacked.here.provider.seen.clear()
    for name, data in old.items():
        path = Path(name)
        if path.parent.name == "secret":
            path.with_name(path.name.replace(".1", ".2")).write_bytes(data)
    assert (await stopped(attacked, "acme/x")) == "key_unavailable"
    attacked.restore()
    for name, data in old.items():
        if "/index/" in name:
            Path(name).write_bytes(data)  # the index says version 1, and that file is gone
    assert (await stopped(attacked, "acme/x")) == "key_unavailable"


async def stopped(attacked: Vault, agent: str) -> str:
    """Why a call is not answered; nothing has left."""
    async with back_up(attacked.here), serving(attacked.here):
        code, _, body = await attacked.here.post(agent, chat(MODEL[agent]))
    assert code == 503
    assert attacked.here.provider.seen == []
    return code_of(body)


async def test_what_holds_the_vault_together_is_not_replaced_in_silence(tmp_path: Path) -> None:
    attacked = await vault(tmp_path)
    here = attacked.here
    kek = here.home / "kek"
    key = kek.read_bytes()
    other = tmp_path / "other"
    async with place(other) as foreign:
        pass

    def foreign_vault() -> None:
        shutil.rmtree(attacked.folder)
        shutil.copytree(foreign.home / "vault", attacked.folder)

    breaks: dict[str, Callable[[], Any]] = {
        "another deployment's key-encryption key": lambda: kek.write_bytes((foreign.home / "kek").read_bytes()),
        "a flipped bit of it": lambda: flip(kek, len(key) // 2),
        "no key-encryption key": lambda: kek.unlink(),
        "an empty one": lambda: kek.write_bytes(b""),
        "no header": lambda: (attacked.folder / "vault.json").unlink(),
        "a header with another name": lambda: rename(attacked, "test.example", "evil.example"),
        "a header of a later format": lambda: rename(attacked, '"format":1', '"format":2'),
        "another deployment's vault": foreign_vault,
        "the operator's tenant key damaged": lambda: flip(attacked.owner("operator") / "tenant-key"),
        "the operator's tenant key missing": lambda: (attacked.owner("operator") / "tenant-key").unlink(),
        "no pepper": lambda: attacked.files("operator", "pepper")[0].unlink(),
        "a damaged pepper": lambda: flip(attacked.files("operator", "pepper")[0]),
        "no folder of owners": lambda: shutil.rmtree(attacked.folder / "owners"),
    }
    for what, damage in breaks.items():
        damage()
        assert set((await outcome(attacked)).values()) == {"closed"}, what
        attacked.restore()
        kek.write_bytes(key)
        kek.chmod(0o600)
    assert await outcome(attacked) == WELL


def rename(attacked: Vault, old: str, new: str) -> None:
    path = attacked.folder / "vault.json"
    text = path.read_text().replace(": ", ":")
    assert old in text
    path.write_text(text.replace(old, new))


async def test_lost_parts_of_a_tenant_are_missed_and_never_made_anew(tmp_path: Path) -> None:
    """A new tenant key or day key in the place of a lost one would hide the loss, and orphan the record."""
    attacked = await vault(tmp_path)
    losses: dict[str, Callable[[], Any]] = {
        "the tenant key": lambda: (attacked.owner("acme") / "tenant-key").unlink(),
        "the index": lambda: attacked.files("acme", "index")[0].unlink(),
        "a damaged index": lambda: flip(attacked.files("acme", "index")[0]),
        "a damaged tenant key": lambda: flip(attacked.owner("acme") / "tenant-key"),
        "the signing key": lambda: attacked.files("acme", "log-signing")[0].unlink(),
        "a damaged signing key": lambda: flip(attacked.files("acme", "log-signing")[0]),
    }
    for what, lose in losses.items():
        lose()
        said = await outcome(attacked)
        assert said["acme/x"] in ("key_unavailable", "ledger_unavailable", "closed"), what
        if said["acme/x"] != "closed":
            assert said["globex/z"] == "ok", f"{what}: one tenant's loss stops another"
        attacked.restore()
    assert await outcome(attacked) == WELL


async def test_a_frozen_key_is_not_thawed_and_a_destroyed_one_not_raised_by_moving_files(tmp_path: Path) -> None:
    kept: dict[str, bytes] = {}

    async def freezes(here: Place) -> None:
        folder = here.home / "vault" / "owners" / str(here.running.home.snapshot.uid("tenant/acme"))
        kept.update({str(path): path.read_bytes() for path in (folder / "secret").iterdir()})
        await here.verb("key freeze", KeyPath(path="clients/acme/llm"))
        text = (await here.verb("export", Nothing()))["text"]
        parts = [one for one in text.split("---\n") if "clients/acme/own" not in one]
        await here.apply("---\n".join(parts), prune=True)

    attacked = await vault(tmp_path, freezes)
    assert await stopped(attacked, "acme/x") == "key_unavailable"
    for name, data in kept.items():  # the destroyed secret's file is put back
        Path(name).write_bytes(data)
    async with back_up(attacked.here), serving(attacked.here) as running:
        code, _, body = await attacked.here.post("acme/x", chat("acme-only"))
        assert (code, code_of(body)) == (503, "key_unavailable")
        await attacked.here.apply(
            "kind: Key\npath: clients/acme/own\nprovider: house\n"
            "---\nkind: Route\ntenant: acme\nprovider: house\nkey: clients/acme/own\n"
        )
        code, _, body = await attacked.here.post("acme/x", chat())
        assert (code, code_of(body)) == (503, "key_unavailable"), "a destroyed key came back by its path"
        assert running.home.keys
    assert attacked.here.provider.seen == []


async def test_faults_of_the_vault_name_files_to_the_operator_and_nothing_to_callers(tmp_path: Path) -> None:
    attacked = await vault(tmp_path)
    flip(attacked.files("acme", "secret")[0])
    flip(attacked.files("acme", "secret")[1])
    here = attacked.here
    async with back_up(here), serving(here):
        code, headers, body = await here.post("acme/x", chat("acme-only"))
        assert code == 503
        for word in (str(here.home), attacked.uids["acme"], "secret/", "AES", "Tag"):
            assert word.encode() not in body + str(headers).encode()
        assert b"doctor" in body
    flip(attacked.folder / "vault.json", 5)
    with pytest.raises(VaultFault) as caught:
        async with serving(here):
            pytest.fail("served on a damaged header")
    assert "vault.json" in caught.value.text
    assert "backup" in caught.value.advice
