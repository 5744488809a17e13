"""The store on disk: what opens, what must not, and what each fault tells the operator to do."""

from __future__ import annotations

import base64
import concurrent.futures
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sekimori.errors import Refused
from sekimori.identity.names import uid
from sekimori.terms import OPERATOR
from sekimori.vault.durable import VaultFault
from sekimori.vault.embedded import Embedded
from sekimori.vault.kek import KekFile, KekGiven
from tests.vault.scene import ACME, DEPLOYMENT, GLOBEX, QuickDisk, kek_file

KEY = uid(b"key.............")
OTHER = uid(b"other...........")
VALUE = b"sk-canary-1"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    kek_file(tmp_path).create(os.urandom)
    store = Embedded.create(tmp_path / "vault", DEPLOYMENT, kek_file(tmp_path), disk=QuickDisk())
    for owner in (OPERATOR, ACME, GLOBEX):
        store.put(owner, "secret", KEY, "1", VALUE + owner.encode())
        store.put(owner, "secret", KEY, "2", b"second")
        store.put(owner, "secret", OTHER, "1", b"other")
        store.put(owner, "day-key", KEY, "1", b"day")
    return tmp_path


def reopen(home: Path, deployment: str = DEPLOYMENT) -> Embedded:
    return Embedded.open(home / "vault", deployment, kek_file(home), disk=QuickDisk())


def owner(home: Path, uid: str = ACME) -> Path:
    return home / "vault" / "owners" / uid


def fault(home: Path, *where: str) -> VaultFault:
    """What opening the vault, and reading a secret, comes to."""
    with pytest.raises(VaultFault) as caught:
        reopen(home).get(*(where or (ACME, "secret", KEY, "1")))
    assert VALUE.decode() not in str(caught.value)
    assert caught.value.reason == "key_unavailable"
    assert caught.value.advice
    return caught.value


def test_what_is_put_is_there_after_opening_again(home: Path) -> None:
    store = reopen(home)
    for one in (OPERATOR, ACME, GLOBEX):
        assert store.get(one, "secret", KEY, "1") == VALUE + one.encode()
    assert store.owners() == sorted((OPERATOR, ACME, GLOBEX))
    assert store.items(ACME, "secret") == sorted([(KEY, "1"), (KEY, "2"), (OTHER, "1")])
    assert store.items(uid(bytes(16)), "secret") == []


def test_no_plaintext_and_no_wide_mode_anywhere(home: Path) -> None:
    for path in [home / "kek", *(home / "vault").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
        if path.is_file() and path.name != "kek":
            data = path.read_bytes()
            assert VALUE not in data
            assert base64.b64encode(VALUE)[:8] not in data
            assert (home / "kek").read_bytes().strip() not in data


def test_a_vault_is_made_once(home: Path) -> None:
    with pytest.raises(Refused, match="conflict"):
        Embedded.create(home / "vault", DEPLOYMENT, kek_file(home))
    assert reopen(home).get(ACME, "secret", KEY, "2") == b"second"


@pytest.mark.parametrize("name", ["", ".", "..", "../acme", "a/b", "A" * 26, ACME.upper(), ACME + "x", "operator2"])
def test_names_cannot_leave_the_folder(home: Path, name: str) -> None:
    store = reopen(home)
    for call in (
        lambda: store.put(name, "secret", KEY, "1", b""),
        lambda: store.get(name, "secret", KEY, "1"),
        lambda: store.items(name, "secret"),
        lambda: store.destroy_owner(name),
        lambda: store.get(ACME, name, KEY, "1"),
        lambda: store.put(ACME, "secret", name if name != ACME + "x" and name != "operator2" else "", "1", b""),
    ):
        with pytest.raises(ValueError):
            call()


# -- what must not open ------------------------------------------------------------------------------------------------


def test_a_file_of_another_owner_key_version_or_purpose(home: Path) -> None:
    here = owner(home) / "secret" / f"{KEY}.1"
    for there in (
        owner(home, GLOBEX) / "secret" / f"{KEY}.1",
        owner(home) / "secret" / f"{OTHER}.1",
        owner(home) / "secret" / f"{KEY}.2",
        owner(home) / "day-key" / f"{KEY}.1",
        owner(home) / "tenant-key",
    ):
        kept = here.read_bytes()
        here.write_bytes(there.read_bytes())
        assert "does not open" in fault(home).text
        here.write_bytes(kept)
    assert reopen(home).get(ACME, "secret", KEY, "1") == VALUE + ACME.encode()


def test_a_tenant_key_of_another_owner(home: Path) -> None:
    shutil.copy(owner(home, GLOBEX) / "tenant-key", owner(home) / "tenant-key")
    assert "belongs to another" in fault(home).text


def test_the_whole_folder_of_another_owner(home: Path) -> None:
    shutil.rmtree(owner(home))
    shutil.copytree(owner(home, GLOBEX), owner(home))
    fault(home)


def test_a_vault_of_another_deployment(home: Path) -> None:
    with pytest.raises(VaultFault, match="belongs to the deployment"):
        reopen(home, "other.example")
    header = home / "vault" / "vault.json"
    header.write_text(header.read_text().replace(DEPLOYMENT, "other.example"))
    with pytest.raises(VaultFault, match="does not open"):
        reopen(home, "other.example")


@pytest.mark.parametrize("name", ["tenant-key", f"secret/{KEY}.1"])
def test_every_byte_of_a_file_counts(home: Path, name: str) -> None:
    path = owner(home) / name
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        path.write_bytes(changed)
        fault(home)
    for size in (0, 1, 9, len(whole) - 1):
        path.write_bytes(whole[:size])
        fault(home)
    path.write_bytes(whole)
    assert reopen(home).get(ACME, "secret", KEY, "1") == VALUE + ACME.encode()


def test_the_kek_is_missing_wrong_or_damaged(home: Path) -> None:
    right = (home / "kek").read_bytes()
    (home / "kek").unlink()
    assert "missing" in fault(home).text
    KekFile(home / "kek").create(os.urandom)
    wrong = fault(home)
    assert "locked with kek-" in wrong.text
    assert "kek-" in wrong.advice
    (home / "kek").write_bytes(b"junk")
    assert "base64" in fault(home).text
    (home / "kek").write_bytes(right)
    assert reopen(home)


def test_one_owner_under_a_kek_that_is_gone(home: Path) -> None:
    """A backup from before a rotation, restored for one owner alone."""
    before = (owner(home) / "tenant-key").read_bytes()
    reopen(home).rotate_kek()
    (owner(home) / "tenant-key").write_bytes(before)
    found = fault(home)
    assert "locked with kek-" in found.text
    assert "kek rotate" in found.advice
    assert reopen(home).get(GLOBEX, "secret", KEY, "1") == VALUE + GLOBEX.encode()


def test_what_is_missing_is_not_made_anew(home: Path) -> None:
    (owner(home) / "tenant-key").unlink()
    assert "missing" in fault(home).text
    with pytest.raises(VaultFault, match="missing"):
        reopen(home).put(ACME, "secret", KEY, "3", b"x")
    assert not (owner(home) / "tenant-key").exists()
    shutil.rmtree(owner(home, OPERATOR))
    assert "missing" in fault(home).text
    assert not owner(home, OPERATOR).exists()


@pytest.mark.parametrize("name", ["owners", "destroyed", "vault.json"])
def test_a_vault_that_lacks_a_part(home: Path, name: str) -> None:
    path = home / "vault" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    fault(home)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format":1}', '{"format":2,"deployment":"sekimori.example","kek":"k"}', "\xff"]
)
def test_a_damaged_header(home: Path, text: str) -> None:
    (home / "vault" / "vault.json").write_text(text, encoding="latin-1")
    fault(home)


def test_there_is_no_vault(tmp_path: Path) -> None:
    kek_file(tmp_path).create(os.urandom)
    assert "sekimori init" in fault(tmp_path).advice


@pytest.mark.parametrize(
    "path", ["kek", "vault", "vault/vault.json", "vault/owners", "vault/destroyed", f"vault/owners/{ACME}",
             f"vault/owners/{ACME}/tenant-key", f"vault/owners/{ACME}/secret", f"vault/owners/{ACME}/secret/{KEY}.1"]
)  # fmt: skip
def test_wide_modes_are_refused_with_the_fix(home: Path, path: str) -> None:
    (home / path).chmod((home / path).stat().st_mode | 0o040)
    found = fault(home)
    assert "chmod" in found.advice
    assert str(home / path) in found.advice
    os.system(found.advice.split("`")[1])
    assert reopen(home).get(ACME, "secret", KEY, "1") == VALUE + ACME.encode()


@pytest.mark.parametrize("path", [f"vault/owners/{ACME}/secret/{KEY}.1", f"vault/owners/{ACME}/secret", "vault"])
def test_links_are_refused(home: Path, path: str) -> None:
    (home / path).rename(home / "elsewhere")
    (home / path).symlink_to(home / "elsewhere")
    fault(home)


# -- destroying --------------------------------------------------------------------------------------------------------


def test_one_plaintext_destroyed_leaves_a_mark(home: Path) -> None:
    store = reopen(home)
    store.destroy(ACME, "day-key", KEY, "1")
    store.destroy(ACME, "day-key", OTHER, "1")
    for again in (store, reopen(home)):
        assert again.destroyed(ACME, "day-key", KEY, "1")
        assert not again.destroyed(ACME, "day-key", OTHER, "1")
        with pytest.raises(FileNotFoundError):
            again.get(ACME, "day-key", KEY, "1")
    assert store.get(GLOBEX, "day-key", KEY, "1") == b"day"


def test_an_owner_destroyed_is_gone_for_good(home: Path) -> None:
    backup = home / "backup"
    shutil.copytree(owner(home), backup)
    store = reopen(home)
    store.destroy_owner(ACME)
    assert not owner(home).exists()
    assert ACME not in store.owners()
    for again in (store, reopen(home)):
        with pytest.raises(FileNotFoundError):
            again.get(ACME, "secret", KEY, "1")
        with pytest.raises(VaultFault, match="destroyed"):
            again.put(ACME, "secret", KEY, "3", b"x")
        assert again.destroyed(ACME, "day-key", KEY, "1")
        assert again.get(GLOBEX, "secret", KEY, "1") == VALUE + GLOBEX.encode()
    # Files that come back from a backup are removed again, not served.
    shutil.copytree(backup, owner(home))
    again = reopen(home)
    assert not owner(home).exists()
    with pytest.raises(FileNotFoundError):
        again.get(ACME, "secret", KEY, "1")


def test_nobody_claims_a_purge_by_writing_a_file(home: Path) -> None:
    """A mark is sealed: neither a file of that name nor another key's mark passes for one."""
    store = reopen(home)
    store.destroy(ACME, "secret", OTHER, "1")
    path = owner(home) / "day-key" / f"{KEY}.1"
    for forged in (b"destroyed\n", (owner(home) / "secret" / f"{OTHER}.1").read_bytes()):
        path.write_bytes(forged)
        for ask in (store.get, store.destroyed):
            with pytest.raises(VaultFault, match="does not open"):
                ask(ACME, "day-key", KEY, "1")
    store.destroy_owner(GLOBEX)
    genuine = (home / "vault" / "destroyed" / GLOBEX).read_bytes()
    for forged in (b"", b"destroyed\n", genuine, (owner(home) / "secret" / f"{OTHER}.1").read_bytes()):
        mark = home / "vault" / "destroyed" / ACME
        mark.write_bytes(forged)
        mark.chmod(0o600)
        with pytest.raises(VaultFault, match="does not open"):
            reopen(home)
        assert owner(home).exists()
        mark.unlink()
    assert reopen(home).get(ACME, "secret", KEY, "1") == VALUE + ACME.encode()


def test_a_stray_file_disturbs_nothing(home: Path) -> None:
    for folder in ("owners", "destroyed"):
        (home / "vault" / folder / "lost+found").mkdir(mode=0o700)
    store = reopen(home)
    assert store.owners() == sorted((OPERATOR, ACME, GLOBEX))
    assert store.rotate_kek().owners == 3


def test_the_operator_is_not_destroyed(home: Path) -> None:
    with pytest.raises(Refused, match="forbidden"):
        reopen(home).destroy_owner(OPERATOR)
    assert reopen(home).get(OPERATOR, "secret", KEY, "1") == VALUE + b"operator"


# -- key-encryption key ------------------------------------------------------------------------------------------------


def test_rotation_touches_tenant_keys_alone(home: Path) -> None:
    before = {path: path.read_bytes() for path in (home / "vault").rglob("*") if path.is_file()}
    old_kek = (home / "kek").read_bytes()
    store = reopen(home)
    told = store.rotate_kek()
    assert (told.previous, told.current, told.owners) == (KekGiven(old_kek, "").load().current.id, store.kek_id, 3)
    for path, data in before.items():
        assert (path.read_bytes() != data) == (path.name in ("tenant-key", "vault.json")), path
    assert len((home / "kek").read_bytes().split()) == 1
    for again in (store, reopen(home)):
        assert again.get(ACME, "secret", KEY, "1") == VALUE + ACME.encode()
    with pytest.raises(VaultFault, match="locked with"):
        Embedded.open(home / "vault", DEPLOYMENT, KekGiven(old_kek, "the old key"))


def test_rotation_changes_nothing_where_one_tenant_key_does_not_open(home: Path) -> None:
    path = owner(home) / "tenant-key"
    path.write_bytes(path.read_bytes()[:-1])
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    with pytest.raises(VaultFault, match="does not open"):
        reopen(home).rotate_kek()
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


def test_rotation_of_a_key_that_a_person_gives(home: Path) -> None:
    old = (home / "kek").read_bytes()
    new = base64.b64encode(os.urandom(32))

    def given(text: bytes) -> Embedded:
        return Embedded.open(home / "vault", DEPLOYMENT, KekGiven(text, "the variable KEK"))

    with pytest.raises(Refused, match="new key first"):
        given(old).rotate_kek()
    with pytest.raises(VaultFault, match="the new key first"):
        given(new)
    store = given(new + b" " + old)
    assert store.get(ACME, "secret", KEY, "1") == VALUE + ACME.encode()
    late = uid(b"late............")
    store.put(late, "secret", KEY, "1", b"late")  # a tenant that comes in the middle
    assert store.rotate_kek().owners == 3
    assert given(new).get(ACME, "secret", KEY, "1") == VALUE + ACME.encode()
    assert given(new).get(late, "secret", KEY, "1") == b"late"
    with pytest.raises(VaultFault, match="locked with"):
        given(old)


def test_a_rotation_that_cannot_be_finished_does_not_stop_the_rest(home: Path) -> None:
    path = owner(home) / "tenant-key"
    whole = path.read_bytes()
    kek_file(home).stage(os.urandom)
    path.write_bytes(whole[:-1])
    store = reopen(home)
    assert store.rotation_fault is not None
    assert store.get(GLOBEX, "secret", KEY, "1") == VALUE + GLOBEX.encode()
    path.write_bytes(whole)
    store = reopen(home)
    assert store.rotation_fault is None
    assert store.get(ACME, "secret", KEY, "1") == VALUE + ACME.encode()
    assert len((home / "kek").read_bytes().split()) == 1


def test_threads_wait_for_each_other(home: Path) -> None:

    store = reopen(home)
    owners = [uid(bytes([number] * 16)) for number in range(8)]

    def work(one: str) -> bytes:
        store.put(one, "secret", KEY, "1", one.encode())
        return store.get(one, "secret", KEY, "1")

    calls: list[Callable[[], object]] = [lambda one=one: work(one) for one in owners]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(call) for call in calls]
        rotation = pool.submit(store.rotate_kek)
        assert [future.result(30) for future in futures] == [one.encode() for one in owners]
        rotation.result(30)
    again = reopen(home)
    assert [again.get(one, "secret", KEY, "1") for one in owners] == [one.encode() for one in owners]
