"""One Merkle log on disk: C2SP tiles, entry bundles and a checkpoint that only ever grows.

The checkpoint is the only thing that says how long the log is. Everything it covers is durable before it is published;
whatever lies beyond it was left by a crash, is derived again from the journal and overwritten. Blocking; one thread at
a time. After an exception the object is as it was before the call, and the call may be made again.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from sekimori.ledger import merkle, note, tiles
from sekimori.ledger.disk import Disk
from sekimori.ledger.note import Checkpoint, Key, Signer
from sekimori.ledger.tiles import CHECKPOINT, ENTRIES, WIDTH, Damaged, Fetch, Reader


def fetch(directory: Path) -> Fetch:
    """Reads a log's files from a directory."""

    def read(path: str) -> bytes | None:
        try:
            return (directory / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    return read


def files(directory: Path) -> list[str]:
    """Paths of all files of a log, for the verifier."""
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


class Log:
    """The log of one origin in one directory; nobody else may write there."""

    def __init__(self, directory: Path, key: Key, *, disk: Disk) -> None:
        """Loads what is there, which may be nothing. Raises Damaged where the files contradict the signed checkpoint
        or each other, OSError where they cannot be read."""
        self.origin = key.name
        self._directory = directory
        self._disk = disk
        self._fetch = fetch(directory)
        self.note: bytes | None = self._fetch(CHECKPOINT)
        """The published checkpoint."""
        self._attempted: set[bytes] = set()
        """Checkpoints whose publication failed: the last of them may be on disk all the same."""
        self.signed = 0
        """Size that the published checkpoint covers."""
        self._edges: list[list[bytes]] = [[]]
        """Hashes of the right-most, partial tile of each level."""
        self._bundle: list[bytes] = []
        """Entries of the right-most, partial bundle."""
        self.last: bytes | None = None
        """The newest entry."""
        self.size = 0
        """Entries appended, signed or not."""
        self._unsettled: set[Path] = set()
        self._filled: list[tuple[int, int]] = []
        """Tiles that became full since the last checkpoint: their partial forms may go once it is published."""
        if self.note is not None:
            self._load(self.note, key)

    def append(self, entries: list[bytes]) -> None:
        """Append entries, no further than to the end of the current bundle: 1 to `room` of them."""
        if not 0 < len(entries) <= self.room:
            raise ValueError(f"{len(entries)} entries do not fit the current bundle")
        bundle = self._bundle + entries
        edges = [list(edge) for edge in self._edges]
        edges[0] += [merkle.leaf_hash(entry) for entry in entries]
        filled: list[tuple[int, int]] = []
        if len(bundle) == WIDTH:
            self._put(ENTRIES, self.size // WIDTH, WIDTH, tiles.bundle(bundle))
            filled.append((ENTRIES, self.size // WIDTH))
            bundle = []
            for level in range(64):
                if len(edges[level]) < WIDTH:
                    break
                number = self.size >> 8 * (level + 1)
                self._put(level, number, WIDTH, b"".join(edges[level]))
                filled.append((level, number))
                if level + 1 == len(edges):
                    edges.append([])
                edges[level + 1].append(merkle.perfect(edges[level]))
                edges[level] = []
        self._bundle, self._edges = bundle, edges
        self.size += len(entries)
        self.last = entries[-1]
        self._filled += filled

    @property
    def room(self) -> int:
        """Entries that fit the current bundle."""
        return WIDTH - len(self._bundle)

    def root(self) -> bytes:
        """Root over all appended entries."""
        peaks: list[bytes] = []
        for edge in reversed(self._edges):
            for level, index in merkle.peaks(0, len(edge)):
                peaks.append(merkle.perfect(edge[index << level : (index + 1) << level]))
        return merkle.fold(peaks)

    def sign(self, signer: Signer) -> None:
        """Publish a checkpoint over all appended entries, if there are any that none covers yet.

        Never two of one size, and never one that does not begin with the last: every hash of `_edges` was loaded
        under a verified checkpoint or appended after it. Raises Damaged when the checkpoint on disk is not ours."""
        if self.size == self.signed:
            return
        if self._fetch(CHECKPOINT) not in {self.note, *self._attempted}:
            raise Damaged("the checkpoint was changed by somebody else")
        if self._bundle:
            self._put(ENTRIES, self.size // WIDTH, len(self._bundle), tiles.bundle(self._bundle))
        for level, edge in enumerate(self._edges):
            if edge:
                self._put(level, self.size >> 8 * (level + 1), len(edge), b"".join(edge))
        for directory in sorted(self._unsettled):
            self._disk.settle(directory)
            self._unsettled.discard(directory)
        text = Checkpoint(self.origin, self.size, self.root()).body()
        signed = note.sign(text, [signer])
        self._attempted.add(signed)
        self._disk.publish(self._directory / CHECKPOINT, signed)
        self.note, self.signed = signed, self.size
        self._attempted.clear()
        self._forget_partial()

    def _put(self, level: int, number: int, width: int, data: bytes) -> None:
        path = self._directory / tiles.path(level, number, width)
        self._disk.make(path.parent)
        self._unsettled.add(path.parent)
        self._disk.publish(path, data, settle=False)

    def _forget_partial(self) -> None:
        """Only tidiness: a partial tile beside its full one is a prefix of it, and the verifier checks that it is."""
        for level, number in self._filled:
            partial = self._directory / (tiles.path(level, number) + ".p")
            shutil.rmtree(partial, ignore_errors=True)
            self._unsettled.discard(partial)
        self._filled = []

    def _load(self, signed: bytes, key: Key) -> None:
        try:
            checkpoint = note.open_checkpoint(signed, key)
        except note.Invalid as error:
            raise Damaged(f"checkpoint: {error}") from None
        reader = Reader(self._fetch, checkpoint.size)
        if reader.root() != checkpoint.root:
            raise Damaged("the tiles do not lead to the root of the checkpoint")
        self.size = self.signed = checkpoint.size
        if not self.size:
            return
        levels = 1
        while self.size >> 8 * levels:
            levels += 1
        self._edges = [
            list(reader.hashes(level, have // WIDTH)) if have % WIDTH else []
            for level, have in ((level, self.size >> 8 * level) for level in range(levels))
        ]
        # The newest bundle is what the next checkpoint will cover again: it must be what this one covers.
        bundle = reader.hashes(ENTRIES, (self.size - 1) // WIDTH)
        if [merkle.leaf_hash(entry) for entry in bundle] != list(reader.hashes(0, (self.size - 1) // WIDTH)):
            raise Damaged("the newest entries are not those of the tree")
        self.last = bundle[-1]
        self._bundle = list(bundle) if self.size % WIDTH else []
