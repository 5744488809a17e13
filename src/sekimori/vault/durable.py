"""Files that only their owner can read, and writes that are there whole or not at all.

A write is: a temporary file beside the target (mode 0600), its bytes on disk, a rename over the target, the folder
on disk. Whoever crashes in between leaves the old file and at most a temporary one, whose name begins with a dot and
which nobody reads. `Disk` is the seam where tests break each of these steps.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import Final

from sekimori.errors import Fault

LARGEST: Final = 4 * 1024 * 1024
"""Bytes of any file of the vault; more is not one of ours."""


class VaultFault(Fault):
    """The store cannot prove that it serves the right secret. Text and advice are for the operator: they name paths.

    What a caller sees is made by `keys.lend`, which names none.
    """

    def __init__(self, text: str, advice: str) -> None:
        super().__init__("key_unavailable", text, advice=advice)


class Disk:
    """The steps of a durable write, each of which may raise OSError."""

    def create(self, path: Path, data: bytes) -> None:
        """Make a file that must not exist yet, mode 0600, and bring its bytes to disk."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)  # whatever the umask took or an ACL gave
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def sync(self, descriptor: int) -> None:
        """Bring what was written, or the names in a folder, to disk."""
        os.fsync(descriptor)

    def overwrite(self, path: Path, data: bytes) -> None:
        """Write over the first bytes of a file in place and bring them to disk."""
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, data, 0)
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        source.rename(target)

    def remove(self, path: Path) -> None:
        path.unlink()

    def make_folder(self, path: Path) -> None:
        """Make a folder that must not exist yet, mode 0700."""
        path.mkdir(mode=0o700)
        path.chmod(0o700)

    def remove_folder(self, path: Path) -> None:
        path.rmdir()

    def sync_folder(self, path: Path) -> None:
        """Bring the names in a folder to disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)


def write(disk: Disk, path: Path, data: bytes) -> None:
    """Replace a file's content; on return it is durable. Raises VaultFault, after which either content may be there."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()  # of a write that did not end
        disk.create(temporary, data)
        disk.rename(temporary, path)
        disk.sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):  # the fault below says what is wrong with the disk
            temporary.unlink()
        raise unwritable(path, error) from error


def sweep(folder: Path) -> None:
    """Remove the temporary files of writes that a crash ended. Raises VaultFault."""
    for temporary in folder.glob(".*.new"):
        try:
            temporary.unlink()
        except OSError as error:
            raise unwritable(temporary, error) from error


def remove(disk: Disk, path: Path) -> None:
    """Remove a file for good; no error where it is not there. Raises VaultFault."""
    try:
        with contextlib.suppress(FileNotFoundError):
            disk.remove(path)
        disk.sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error


def make_folder(disk: Disk, path: Path) -> None:
    """Make a folder, mode 0700, durably; its parent exists. One that is there is checked. Raises VaultFault."""
    try:
        with contextlib.suppress(FileExistsError):
            disk.make_folder(path)
        disk.sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    check_folder(path)


def read(path: Path, *, follow: bool = False) -> bytes:
    """A file's content, if it is a plain file of ours that nobody else can read or write.

    `follow` accepts a symbolic link (mounted key files are links); the file it names is checked all the same.
    Raises FileNotFoundError, or VaultFault naming the fix.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise VaultFault(f"{path} is a symbolic link.", f"Put the file itself there: `cp -L {path} …`.") from error
        raise VaultFault(
            f"{path} cannot be read: {error.strerror}.", "Run as the user who owns it, and check the disk."
        ) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise VaultFault(f"{path} is not a plain file.", "Restore it from a backup.")
        _check_private(path, status, "600")
        if status.st_size > LARGEST:
            raise VaultFault(f"{path} is larger than any file of the vault.", "Restore it from a backup.")
        pieces = []
        while piece := os.read(descriptor, 1 << 20):
            pieces.append(piece)
        return b"".join(pieces)
    except OSError as error:
        raise VaultFault(
            f"{path} cannot be read: {error.strerror}.", "Check the disk; restore from a backup."
        ) from error
    finally:
        os.close(descriptor)


def check_folder(path: Path) -> None:
    """Raises FileNotFoundError, or VaultFault where a folder is not ours alone."""
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise VaultFault(f"{path} is not a folder.", "Restore it from a backup; a link is not followed.")
    _check_private(path, status, "700")


def _check_private(path: Path, status: os.stat_result, mode: str) -> None:
    if status.st_uid != os.geteuid():
        raise VaultFault(
            f"{path} belongs to another user (uid {status.st_uid}).",
            f"Run as that user, or give it to this one: `chown {os.geteuid()} {path}`.",
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise VaultFault(
            f"{path} can be used by other users (mode {stat.S_IMODE(status.st_mode):o}).",
            f"Run `chmod {mode} {path}`; if others had access to it, rotate what it protects.",
        )


def unwritable(path: Path, error: OSError) -> VaultFault:
    """The fault for a failed write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return VaultFault(f"{path} cannot be written: the disk is full.", f"Free space at {path.parent}, then repeat.")
    return VaultFault(
        f"{path} cannot be written: {error.strerror or type(error).__name__}.",
        "Check that the disk is healthy and that this user may write there, then repeat.",
    )
