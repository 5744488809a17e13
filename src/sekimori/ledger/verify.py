"""Is a log what its signed checkpoint says, whole and unaltered? From its files and a public key alone.

Everything is derived again from the entries and compared byte for byte: every tile, the root, every run and pair, and,
for whoever has them, every payload against what its leaf committed to. So any single bit that changed in a bundle, a
tile or the checkpoint is found, and named. What this cannot say: that something was never recorded.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Final

from msgspec import Struct, field

from sekimori.ledger import entry, merkle, note, tiles
from sekimori.ledger.entry import DECIDED, KEY_USED, PROGRESS, RUN_CLOSED, RUN_OPENED, SETTLED, Leaf, Row, State
from sekimori.ledger.note import Checkpoint, Key
from sekimori.ledger.protocols import DayKeys, Rows
from sekimori.ledger.tiles import CHECKPOINT, ENTRIES, WIDTH, Damaged, Fetch

MOST: Final = 1000
"""Problems that are listed; a log with more is no better for a longer list."""
_PROOF: Final = "c2sp.org/tlog-proof@v1"
_NUMBER: Final = re.compile(r"(0|[1-9][0-9]{0,15})\Z").match

Progress = Callable[[int, int], None]
"""(entries looked at, entries in all)."""


class Report(Struct):
    """What was found. The log is sound when `problems` is empty."""

    origin: str
    size: int = 0
    root: bytes = merkle.EMPTY
    runs: int = 0
    running: bool = False
    """The newest run is still open: a process is writing, or one died and nobody recovered yet."""
    open_pairs: int = 0
    payloads: dict[str, int] = field(default_factory=dict)
    """How many payloads are in which entry.State; `sealed` where no keys were given to look."""
    problems: list[str] = field(default_factory=list)

    def problem(self, text: str) -> None:
        if len(self.problems) < MOST:
            self.problems.append(text)


async def verify_log(
    fetch: Fetch,
    key: Key,
    *,
    files: Iterable[str] = (),
    rows: Rows | None = None,
    keys: DayKeys | None = None,
    live: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Verify a log. Gives way to other tasks after each bundle, a few milliseconds.

    `files` are the paths that exist below the log's prefix, so that those which this size does not need are looked at
    too. `rows` and `keys` come together. `live` says that its process is at work: its run may be open and tiles may
    lie ahead of the checkpoint. Never raises on what the files say; OSError where they cannot be read."""
    report = Report(key.name)
    signed = fetch(CHECKPOINT)
    if signed is None:
        report.problem("checkpoint: missing")
        return report
    try:
        checkpoint = note.open_checkpoint(signed, key)
    except note.Invalid as error:
        report.problem(f"checkpoint: {error}")
        return report
    report.size, report.root = checkpoint.size, checkpoint.root
    tree = _Tree(fetch, checkpoint.size, files, report, live=live)
    runs = Runs(key.name.partition("/")[2], report)
    for number in range(-(-checkpoint.size // WIDTH)):
        leaves = tree.bundle(number)
        for index, leaf in leaves:
            runs.take(index, leaf)
        await asyncio.sleep(0)
        if rows is not None and keys is not None:
            await _payloads(key.name, leaves, rows, keys, report)
        else:
            report.payloads["sealed"] = report.payloads.get("sealed", 0) + len(leaves)
        if progress is not None:
            progress(min((number + 1) * WIDTH, checkpoint.size), checkpoint.size)
        await asyncio.sleep(0)
    tree.finish(checkpoint)
    runs.finish(live=live)
    return report


def verify_proof(proof: bytes, leaf: bytes, key: Key) -> Checkpoint:
    """That these bytes are an entry of the log, by a C2SP tlog-proof. Raises note.Invalid or merkle.Invalid."""
    head, separator, signed = proof.partition(b"\n\n")
    lines = head.decode("utf-8", "replace").split("\n")
    if not separator or lines[0] != _PROOF:
        raise note.Invalid("not a tlog-proof")
    if len(lines) > 1 and lines[1].startswith("extra "):
        del lines[1]
    name, _, number = lines[1].partition(" ") if len(lines) > 1 else ("", "", "")
    if name != "index" or _NUMBER(number) is None:
        raise note.Invalid("proof has no index")
    hashes = [note.base64_of(line) for line in lines[2:]]
    checkpoint = note.open_checkpoint(signed, key)
    merkle.verify_inclusion(int(number), checkpoint.size, merkle.leaf_hash(leaf), hashes, checkpoint.root)
    return checkpoint


class Runs:
    """The order of entries: runs gap-free, opened and closed, pairs whole, ids once."""

    def __init__(self, log: str, report: Report) -> None:
        self._log = log
        self._report = report
        self._ids: set[int] = set()
        self._seen: set[str] = set()
        self._run: str | None = None
        self._n = 0
        self._decided: set[tuple[str, int]] = set()
        self._open: dict[tuple[str, int], int] = {}

    def take(self, index: int, leaf: Leaf) -> None:
        """The next entry."""
        wrong = self._report.problem
        id = int(leaf.id.replace("-", ""), 16)
        if id in self._ids:
            wrong(f"entry {index}: its id was used before")
        self._ids.add(id)
        if leaf.tenant != self._log:
            wrong(f"entry {index}: is of {leaf.tenant}, in the log of {self._log}")
        if leaf.kind == RUN_OPENED:
            if self._run is not None:
                wrong(f"entry {index}: a run opens before {self._run} is closed")
            if leaf.run in self._seen:
                wrong(f"entry {index}: run {leaf.run} opens twice")
            self._begin(leaf.run)
        elif leaf.run != self._run:
            wrong(f"entry {index}: belongs to run {leaf.run}, which is not open")
            if leaf.run not in self._seen:
                self._begin(leaf.run)
                self._n = leaf.n
        if leaf.n != self._n:
            wrong(f"entry {index}: is number {leaf.n} of its run; {self._n} comes next")
            self._n = leaf.n
        self._n += 1
        self._pair(index, leaf)
        if leaf.kind == RUN_CLOSED:
            if self._open:
                first = min(self._open.values())
                wrong(f"entry {index}: closes a run with {len(self._open)} open pairs, the first of entry {first}")
            self._run = None
            self._open.clear()
            self._decided.clear()

    def finish(self, *, live: bool) -> None:
        """There is no further entry."""
        self._report.running = self._run is not None
        self._report.open_pairs = len(self._open)
        if self._run is not None and not live:
            self._report.problem(f"run {self._run} is not closed: entries may be missing at the end")

    def _begin(self, run: str) -> None:
        self._run, self._n = run, 0
        self._seen.add(run)
        self._report.runs += 1

    def _pair(self, index: int, leaf: Leaf) -> None:
        if leaf.kind not in (DECIDED, SETTLED, KEY_USED, PROGRESS):
            return
        if leaf.call is None or leaf.hop is None:
            self._report.problem(f"entry {index}: names no call and hop")
            return
        hop = (leaf.call, leaf.hop)
        if leaf.kind == DECIDED:
            if hop in self._decided:
                self._report.problem(f"entry {index}: decides a hop twice")
            self._decided.add(hop)
            self._open[hop] = index
        elif leaf.kind == SETTLED:
            if self._open.pop(hop, None) is None:
                self._report.problem(f"entry {index}: settles what is not open")
        elif hop not in self._decided:
            self._report.problem(f"entry {index}: is of a hop that was not decided")


class _Tree:
    """Derives every tile from the entries and compares it with the file."""

    def __init__(self, fetch: Fetch, size: int, files: Iterable[str], report: Report, *, live: bool) -> None:
        self._fetch = fetch
        self._size = size
        self._report = report
        self._live = live
        self._levels: list[list[bytes]] = [[]]
        """Hashes of the tile under way at each level."""
        self._numbers: list[int] = [0]
        self._widths: dict[tuple[int, int], list[int]] = {}
        """Partial files there are of each tile."""
        self._beyond: list[str] = []
        for path in files:
            place = tiles.parse_path(path)
            if place is not None:
                level, number, width = place
                have = size if level == ENTRIES else size >> 8 * level
                if number * WIDTH + width > have and (width == WIDTH or number * WIDTH >= have):
                    self._beyond.append(path)
                elif width < WIDTH:
                    self._widths.setdefault((level, number), []).append(width)
            elif path != CHECKPOINT and not path.endswith(".new"):
                report.problem(f"{path}: is no file of a log")

    def bundle(self, number: int) -> list[tuple[int, Leaf]]:
        """The leaves of a bundle; its hashes join the tree."""
        width = min(self._size - number * WIDTH, WIDTH)
        try:
            entries = self._entries(number, width)
        except Damaged as error:
            self._report.problem(str(error))
            entries = []
        hashes = [merkle.leaf_hash(each) for each in entries]
        if entries:
            whole = tiles.bundle(entries)
            self._compare(ENTRIES, number, width, whole, accumulate((2 + len(each) for each in entries), initial=0))
        else:
            # Without the entries the tile can still show whether the rest of the tree is sound.
            hashes = self._hashes(number, width)
        self._push(0, hashes)
        found: list[tuple[int, Leaf]] = []
        for index, each in enumerate(entries, number * WIDTH):
            try:
                found.append((index, entry.parse_leaf(each)))
            except entry.Malformed as error:
                self._report.problem(f"entry {index}: {error}")
        return found

    def finish(self, checkpoint: Checkpoint) -> None:
        """Compare the right edge and the root."""
        peaks: list[bytes] = []
        for level in range(len(self._levels)):
            if self._levels[level]:
                self._tile(level)
        for hashes in reversed(self._levels):
            for height, index in merkle.peaks(0, len(hashes)):
                peaks.append(merkle.perfect(hashes[index << height : (index + 1) << height]))
        if merkle.fold(peaks) != checkpoint.root:
            self._report.problem("checkpoint: the entries do not lead to its root")
        if self._beyond and not self._live:
            self._report.problem(f"{self._beyond[0]}: lies beyond the checkpoint ({len(self._beyond)} such files)")

    def _push(self, level: int, hashes: list[bytes]) -> None:
        if level == len(self._levels):
            self._levels.append([])
            self._numbers.append(0)
        self._levels[level] += hashes
        if len(self._levels[level]) == WIDTH:
            self._tile(level)
            root = merkle.perfect(self._levels[level])
            self._levels[level] = []
            self._numbers[level] += 1
            self._push(level + 1, [root])

    def _tile(self, level: int) -> None:
        hashes = self._levels[level]
        ends = range(0, (len(hashes) + 1) * merkle.HASH, merkle.HASH)
        self._compare(level, self._numbers[level], len(hashes), b"".join(hashes), ends)

    def _compare(self, level: int, number: int, width: int, expected: bytes, ends: Iterable[int]) -> None:
        """A tile's file, and every partial one beside it, against what it must be."""
        lengths = list(ends)
        path = tiles.path(level, number, width)
        data = self._fetch(path)
        if data is None and width < WIDTH:
            data = self._fetch(tiles.path(level, number))
            data = None if data is None else data[: len(expected)]
        if data is None:
            self._report.problem(f"{path}: missing")
        elif data != expected:
            self._report.problem(f"{path}: is not what the entries give")
        for partial in self._widths.get((level, number), ()):
            if partial != width:
                path = tiles.path(level, number, partial)
                data = self._fetch(path)
                known = lengths[min(partial, width)]
                # A partial tile may go at any moment in favour of the full one; a wider one may lie ahead.
                if data is not None and (data[:known] != expected[:known] or (partial < width and len(data) != known)):
                    self._report.problem(f"{path}: is not what the entries give")
                elif partial > width:
                    self._beyond.append(path)

    def _entries(self, number: int, width: int) -> list[bytes]:
        return tiles.Reader(self._fetch, self._size).hashes(ENTRIES, number)[:width]

    def _hashes(self, number: int, width: int) -> list[bytes]:
        try:
            return tiles.Reader(self._fetch, self._size).hashes(0, number)
        except Damaged as error:
            self._report.problem(str(error))
            return [merkle.EMPTY] * width


async def _payloads(origin: str, leaves: list[tuple[int, Leaf]], rows: Rows, keys: DayKeys, report: Report) -> None:
    if not leaves:
        return
    log = origin.partition("/")[2]
    aeads: dict[str, entry.Aead | None] = {}
    kept = {row.index: row for row in await rows.get(log, leaves[0][0], leaves[-1][0] + 1)}
    for index, leaf in leaves:
        if leaf.daykey not in aeads:
            aeads[leaf.daykey] = await keys.open_day_key(log, leaf.daykey)
        row = kept.get(index)
        state: State
        state, _ = entry.disclose(origin, leaf, None if row is None else row.ciphertext, aeads[leaf.daykey])
        report.payloads[state] = report.payloads.get(state, 0) + 1
        if state == "altered":
            report.problem(f"entry {index}: its payload is not what the leaf committed to")
        elif state == "missing":
            report.problem(f"entry {index}: its payload is gone, and its key is not")
        if row is not None and not _fits(row, leaf):
            report.problem(f"entry {index}: its row says something else than its leaf")


def _fits(row: Row, leaf: Leaf) -> bool:
    said = (row.id, row.call, row.kind, row.class_, row.time, row.daykey)
    return said == (leaf.id, leaf.call, leaf.kind, leaf.class_, leaf.time, leaf.daykey)
