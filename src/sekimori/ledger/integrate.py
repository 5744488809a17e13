"""From the journal into the logs: payloads to the owners' rows, leaves into tiles, checkpoints; followers are fed.

All of it is off the path of a call, in slices of a few bundles, each blocking the event loop for about a millisecond
at most. A slice that fails is tried again in the next pass; a log that is damaged stops alone, the others go on.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Coroutine, Iterable
from itertools import islice
from pathlib import Path
from typing import Final

from sekimori.errors import Fault
from sekimori.ledger import read
from sekimori.ledger.commit import Group
from sekimori.ledger.disk import Disk, why
from sekimori.ledger.heads import CARRIED, Head, Mark
from sekimori.ledger.journal import Journal, item
from sekimori.ledger.log import Log
from sekimori.ledger.note import Key
from sekimori.ledger.protocols import DayKeys, Follower, Rows
from sekimori.ledger.read import Run
from sekimori.ledger.tiles import WIDTH, Damaged

LOADED: Final = 32
"""Logs whose right edge stays in memory between checkpoints; the others are loaded, and so checked, when they grow."""
SLICE: Final = 4 * WIDTH
"""Entries of a slice: a transaction, of the rows and of each follower, costs a millisecond however little it holds."""
LONG_SLICE: Final = 4 * SLICE
"""Of a slice while as many wait. On a busy event loop each step of a slice waits its turn, however much it holds: only
longer slices catch up with writers who keep the loop busy."""
BACKLOG: Final = 64 << 20
"""Bytes that may wait for integration; beyond it nothing is written, for memory is bounded."""


class Integrator:
    """Owns everything behind the journal. One pass at a time."""

    def __init__(
        self, directory: Path, journal: Journal, *, rows: Rows, keys: DayKeys, disk: Disk, due: int, run: Run
    ) -> None:
        self._directory = directory
        self._journal = journal
        self._rows = rows
        self._keys = keys
        self._disk = disk
        self._due_at = max(due, WIDTH)
        self._run = run
        self._one = asyncio.Lock()
        self._loaded: OrderedDict[str, Head] = OrderedDict()
        self._segments: dict[int, dict[str, int]] = {}
        """Journal segment -> log -> highest index it holds."""
        self._due: dict[str, Head] = {}
        self._followers: list[Follower] = []
        self._cursors: dict[tuple[str, str], int] = {}
        self.kick = asyncio.Event()
        """Set when a log has enough waiting for a pass."""
        self.backlog = 0
        self._said: dict[str, Fault] = {}
        """The troubles of the pass under way; shown once it has looked at everything."""
        self.troubles = self._said
        """What the last pass could not do, by log, or by `<follower> of <log>`; empty when all is well."""

    def journalled(self, groups: Iterable[Group], segment: int) -> None:
        """Entries became durable."""
        places = self._segments.setdefault(segment, {})
        for group in groups:
            for mark in group.marks:
                self.waiting(mark, segment, places)

    def waiting(self, mark: Mark, segment: int, places: dict[str, int]) -> None:
        head = mark.head
        head.durable(mark, segment)
        places[head.name] = mark.index
        self.backlog += mark.size
        if len(head.pending) >= self._due_at:
            self._due[head.name] = head
            self.kick.set()

    def seen(self, segment: int) -> dict[str, int]:
        """The places of a segment, for recovery to fill."""
        return self._segments.setdefault(segment, {})

    def register(self, follower: Follower) -> None:
        self._followers.append(follower)

    async def load(self, head: Head) -> Log:
        """The log of a head, from disk where it is not in memory. Raises Fault where it is damaged."""
        if head.log is None:
            key = Key(head.signer.name, head.signer.public)
            try:
                log: Log = await self._run(_load, self._directory / head.name, key, self._disk)
                if head.note is not None and log.note != head.note:
                    raise Damaged("the checkpoint was changed by somebody else")
            except Damaged as error:
                raise read.damaged(head.name, error) from error
            head.log, head.signed, head.note = log, log.signed, log.note
        self._loaded[head.name] = head
        self._loaded.move_to_end(head.name)
        return head.log

    async def run(self, heads: Collection[Head], *, sign: bool) -> None:
        """One pass: full bundles of the logs that are due, or everything and a checkpoint over it.

        What fails goes to `troubles`, by log, and is tried again by the next pass that signs. A caller that is
        cancelled stops waiting; the pass goes on to its end, for half a slice would be in the tree and still wait."""
        await asyncio.shield(asyncio.ensure_future(self._pass(heads, sign)))

    async def idle(self) -> None:
        """Wait for the pass that is under way."""
        async with self._one:
            pass

    async def _pass(self, heads: Collection[Head], sign: bool) -> None:
        async with self._one:
            if sign:
                self._said = {}
                due = [head for head in heads if head.pending or (head.log is not None and head.log.size > head.signed)]
                lagging = [head for head in heads if self._lags(head)]
            else:
                due, lagging = [head for head in self._due.values() if head.name not in self.troubles], []
            self._due.clear()
            self.kick.clear()
            for head in lagging:
                await self._guarded(head.name, self._catch_up(head))
            for head in due:
                if head.fault is None:
                    await self._guarded(head.name, self._grow(head, sign))
            if sign:
                await self._guarded("journal", self._tidy(heads))
                for name in list(self._loaded)[:-LOADED]:
                    self._unload(self._loaded[name])
                self.troubles = self._said

    async def _guarded(self, name: str, deed: Coroutine[None, None, None]) -> None:
        try:
            await deed
        except Fault as fault:
            self._said[name] = fault
        except Damaged as error:
            self._said[name] = read.damaged(name, error)
        except OSError as error:
            text, advice = why(error)
            self._said[name] = Fault("ledger_unavailable", text, advice=advice)
            self._said[name].__cause__ = error

    async def _grow(self, head: Head, sign: bool) -> None:
        log = await self.load(head)
        while head.pending:
            # Whole bundles, and what is left over only where a checkpoint is to cover it.
            waiting = len(head.pending)
            count = min(log.room + (SLICE if waiting < LONG_SLICE else LONG_SLICE) - WIDTH, waiting)
            if not sign:
                count -= (log.size + count) % WIDTH
                if count <= 0:
                    break
            marks = list(islice(head.pending, count))
            if marks[0].index != log.size:
                raise Damaged(f"the tree has {log.size} entries, and entry {marks[0].index} waits")
            # Payloads first: once the tree has an entry, its payload must not be missing.
            await self._rows.put(head.name, [mark.row() for mark in marks])
            before = log.size
            try:
                await self._run(_append, log, [mark.data for mark in marks])
            finally:
                # A bundle that is in the tree waits no more, also where the next one failed.
                for _ in range(log.size - before):
                    self.backlog -= head.pending.popleft().size
            await self._feed(head, marks)
        if sign and log.size > log.signed:
            await self._run(log.sign, head.signer)
            head.signed, head.note = log.signed, log.note

    async def _feed(self, head: Head, marks: list[Mark]) -> None:
        """Hand a slice to the followers that have taken all before it; the others catch up in the next signing pass."""
        for follower in self._followers:
            at = (follower.name, head.name)
            try:
                cursor = self._cursors.get(at)
                if cursor is None:
                    cursor = self._cursors[at] = await follower.cursor(head.name)
                if not marks[0].index <= cursor <= marks[-1].index:
                    continue
                fresh = marks[cursor - marks[0].index :]
                if any(mark.payload is None for mark in fresh):
                    pairs = [(mark.leaf, mark.ciphertext) for mark in fresh]
                    given = await read.recorded(head.name, head.origin, cursor, pairs, self._keys)
                else:
                    given = [mark.recorded() for mark in fresh]
                await follower.take(head.name, given)
                self._cursors[at] = marks[-1].index + 1
            except Exception as error:  # noqa: BLE001  a follower must not stop the ledger; it is said, and given them again
                self._cursors.pop(at, None)
                self._said[f"{follower.name} of {head.name}"] = _behind(error)

    def _lags(self, head: Head) -> bool:
        return any(self._cursors.get((follower.name, head.name), -1) < head.signed for follower in self._followers)

    async def _catch_up(self, head: Head) -> None:
        """Give followers, from disk, what they have not taken yet."""
        size = head.signed if head.log is None else max(head.signed, head.log.size // WIDTH * WIDTH)
        for follower in self._followers:
            at = (follower.name, head.name)
            try:
                cursor = self._cursors.get(at)
                if cursor is None:
                    cursor = await follower.cursor(head.name)
                while cursor < size:
                    end = min(cursor + read.SLICE, size)
                    given = await read.entries(
                        self._directory / head.name,
                        head.name,
                        head.origin,
                        cursor,
                        end,
                        rows=self._rows,
                        keys=self._keys,
                        run=self._run,
                    )
                    await follower.take(head.name, given)
                    cursor = end
                self._cursors[at] = cursor
            except Exception as error:  # noqa: BLE001  as in _feed
                self._cursors.pop(at, None)
                self._said[f"{follower.name} of {head.name}"] = _behind(error)

    async def _tidy(self, heads: Collection[Head]) -> None:
        """Drop journal segments that checkpoints cover. Followers read from the logs: none of them needs a segment.
        An open pair outlives its segment in the journal's file of them, written before the segment goes; what closes
        the pair later stands in a segment that is kept until that file is written anew."""
        signed = {head.name: head.signed for head in heads}
        keep = self._journal.oldest
        while keep < self._journal.current:
            if any(signed.get(log, 0) <= index for log, index in self._segments.get(keep, {}).items()):
                break
            keep += 1
        if keep == self._journal.oldest:
            return
        open_pairs = [
            (head, pair)
            for head in heads
            for pair in head.pairs.values()
            if pair.segment is not None and pair.segment < keep
        ]
        marks = [(head.item, pair.decided) for head, pair in open_pairs]
        items = [item(name, mark.index, mark.data, mark.ciphertext) for name, mark in marks]
        await self._run(self._journal.carry, items)
        for _, pair in open_pairs:
            pair.segment = CARRIED
        await self._run(self._journal.drop, keep)
        for number in [number for number in self._segments if number < keep]:
            del self._segments[number]

    def _unload(self, head: Head) -> None:
        """Only what a checkpoint covers can be loaded again."""
        if head.log is not None and head.log.size == head.signed:
            head.log = None
            del self._loaded[head.name]


def _append(log: Log, entries: list[bytes]) -> None:
    start = 0
    while start < len(entries):
        end = start + log.room
        log.append(entries[start:end])
        start = end


def _load(directory: Path, key: Key, disk: Disk) -> Log:
    return Log(directory, key, disk=disk)


def _behind(error: Exception) -> Fault:
    fault = Fault("internal", "A reader of the ledger is behind.", advice="The operator must see the service's log.")
    fault.__cause__ = error
    return fault
