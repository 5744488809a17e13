"""Files of our own: whole or not at all, and nobody else's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sekimori.vault import durable
from sekimori.vault.durable import VaultFault
from tests.vault.scene import FAULTS, BrokenDisk, Killed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def test_a_write_is_on_disk_before_it_has_its_name(folder: Path) -> None:
    disk = BrokenDisk()
    durable.write(disk, folder / "a", b"one")
    assert disk.steps == ["create .a.new", "rename a", f"sync {folder.name}"]
    assert (folder / "a").read_bytes() == b"one"
    assert (folder / "a").stat().st_mode & 0o777 == 0o600
    assert os.listdir(folder) == ["a"]


def test_the_bytes_are_synced_before_the_rename_and_the_name_after_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        seen.append("fsync " + os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        seen.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    durable.write(durable.Disk(), folder / "a", b"x")
    assert seen == ["fsync .a.new", "rename", f"fsync {folder.name}"]
    durable.remove(durable.Disk(), folder / "a")
    durable.make_folder(durable.Disk(), folder / "sub")
    assert seen[3:] == [f"fsync {folder.name}"] * 2


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("how", ["before", "half", "after"])
@pytest.mark.parametrize("at", range(3))
def test_a_write_that_breaks_leaves_the_old_or_the_new(folder: Path, at: int, how: str, fault: str) -> None:
    durable.write(BrokenDisk(), folder / "a", b"old content")
    disk = BrokenDisk()
    disk.arm(at, how, fault)
    with pytest.raises((VaultFault, Killed)):
        durable.write(disk, folder / "a", b"new content")
    assert durable.read(folder / "a") in (b"old content", b"new content")
    durable.write(BrokenDisk(), folder / "a", b"again")
    assert durable.read(folder / "a") == b"again"
    assert os.listdir(folder) == ["a"]


def test_a_full_disk_says_so(folder: Path) -> None:
    disk = BrokenDisk()
    disk.arm(0, "half", "no space")
    with pytest.raises(VaultFault) as caught:
        durable.write(disk, folder / "a", b"x")
    assert "full" in caught.value.text
    assert "Free space" in caught.value.advice


def test_the_umask_makes_nothing_wider(folder: Path) -> None:
    before = os.umask(0)
    try:
        durable.make_folder(BrokenDisk(), folder / "sub")
        durable.write(BrokenDisk(), folder / "sub" / "a", b"x")
    finally:
        os.umask(before)
    assert (folder / "sub").stat().st_mode & 0o777 == 0o700
    assert (folder / "sub" / "a").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601, 0o620, 0o777])
def test_a_file_that_others_can_use_is_refused(folder: Path, mode: int) -> None:
    (folder / "a").write_bytes(b"x")
    (folder / "a").chmod(mode)
    with pytest.raises(VaultFault) as caught:
        durable.read(folder / "a")
    assert f"chmod 600 {folder / 'a'}" in caught.value.advice


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_ours_is_read(folder: Path, mode: int) -> None:
    (folder / "a").write_bytes(b"x")
    (folder / "a").chmod(mode)
    assert durable.read(folder / "a") == b"x"


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o777, 0o711])
def test_a_folder_that_others_can_use_is_refused(folder: Path, mode: int) -> None:
    (folder / "sub").mkdir()
    (folder / "sub").chmod(mode)
    with pytest.raises(VaultFault) as caught:
        durable.check_folder(folder / "sub")
    assert "chmod 700" in caught.value.advice


def test_a_link_is_not_followed_unless_asked(folder: Path) -> None:
    durable.write(BrokenDisk(), folder / "a", b"x")
    (folder / "link").symlink_to("a")
    with pytest.raises(VaultFault, match="link"):
        durable.read(folder / "link")
    assert durable.read(folder / "link", follow=True) == b"x"
    (folder / "a").chmod(0o644)
    with pytest.raises(VaultFault, match="chmod"):
        durable.read(folder / "link", follow=True)


@pytest.mark.parametrize(
    "make",
    [lambda path: path.mkdir(0o700), lambda path: os.mkfifo(path, 0o600)],
    ids=["folder", "pipe"],
)
def test_what_is_no_file_is_refused(folder: Path, make: Callable[[Path], None]) -> None:
    make(folder / "a")
    with pytest.raises(VaultFault, match="not a plain file"):
        durable.read(folder / "a")


def test_a_file_beyond_measure_is_refused(folder: Path) -> None:
    with open(folder / "a", "wb") as file:
        file.truncate(durable.LARGEST + 1)
    (folder / "a").chmod(0o600)
    with pytest.raises(VaultFault, match="larger"):
        durable.read(folder / "a")


def test_a_folder_in_the_place_of_which_a_link_stands(folder: Path) -> None:
    (folder / "real").mkdir(0o700)
    (folder / "link").symlink_to("real")
    with pytest.raises(VaultFault, match="not a folder"):
        durable.check_folder(folder / "link")


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT RUN: only root can give a file away")
def test_a_file_of_somebody_else_is_refused(folder: Path) -> None:
    durable.write(BrokenDisk(), folder / "a", b"x")
    os.chown(folder / "a", 65534, 65534)
    with pytest.raises(VaultFault, match="another user"):
        durable.read(folder / "a")
