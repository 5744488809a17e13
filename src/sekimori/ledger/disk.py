"""What the ledger asks of a disk: seven deeds, each durable when it returns. Tests put a broken one in its place."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

SECTOR: Final = 512
"""A disk writes at least this much or nothing; frames begin on its multiples so that none shares one with another."""
_CHUNK: Final = 1 << 20


class Disk:
    """The real one. Raises OSError; after that nobody knows what of the deed is on disk."""

    def prewrite(self, path: Path, size: int) -> None:
        """Make `path`, `size` bytes of zeros, so that later writes into it change no metadata."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            for start in range(0, size, _CHUNK):
                _whole(descriptor, bytes(min(_CHUNK, size - start)), start)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.settle(path.parent)

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        """Put `data` at `offset` of a prewritten file."""
        _whole(descriptor, data, offset, _DSYNC)
        if not _DSYNC:
            os.fdatasync(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Within one directory."""
        old.rename(new)
        self.settle(new.parent)

    def publish(self, path: Path, data: bytes, *, settle: bool = True) -> None:
        """Make or replace `path`: its readers see the old bytes or the new ones, also after a loss of power.

        With `settle=False` the name itself may still be lost: settle its directory before anything relies on it."""
        temporary = path.with_name(path.name + ".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _whole(descriptor, data, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.rename(path)
        if settle:
            self.settle(path.parent)

    def remove(self, path: Path) -> None:
        """Where it is there."""
        path.unlink(missing_ok=True)
        self.settle(path.parent)

    def make(self, directory: Path) -> None:
        """A directory that only its owner can read, with its parents."""
        if not directory.is_dir():
            self.make(directory.parent)
            directory.mkdir(mode=0o700, exist_ok=True)
            self.settle(directory.parent)

    def settle(self, directory: Path) -> None:
        """Make the names in a directory durable."""
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def why(error: OSError) -> tuple[str, str]:
    """(what happened, what the operator must do), neither naming a path."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            "The disk of the ledger is full.",
            "The operator must free space on the volume of the home; then calls go on.",
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return (
            "The ledger's files cannot be written.",
            "The operator must make the home writable for the service (see `sekimori doctor`); then calls go on.",
        )
    return (
        "The disk of the ledger fails.",
        "The operator must check the disk (kernel log, SMART) and then run `sekimori ledger verify`.",
    )


_DSYNC: Final[int] = getattr(os, "RWF_DSYNC", 0)


def _whole(descriptor: int, data: bytes, offset: int, flags: int = 0) -> None:
    """A short write is not an error by itself: write on, and let the disk say why it stopped."""
    view = memoryview(data)
    while view:
        written = os.pwritev(descriptor, [view], offset, flags)
        if written <= 0:
            raise OSError(errno.EIO, "the disk wrote nothing")
        view = view[written:]
        offset += written
