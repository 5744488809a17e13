"""Group commit: whoever waits while a commit is under way shares the next one. No timer, one thread.

The loop collects groups; the thread writes one frame of all that wait; one callback then tells the ledger, resumes
every waiter, and lets what they write at once join before the next frame begins.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final

from msgspec import Struct

from sekimori.errors import Fault
from sekimori.ledger.disk import why
from sekimori.ledger.journal import Journal

BATCH: Final = 1 << 20
"""Bytes after which a frame takes no further group."""
QUEUE: Final = 64 << 20
"""Bytes that may wait for the disk."""


_BOUNDS: Final = tuple(round(20e-6 * 1.25**step, 7) for step in range(50))


class Times:
    """How long commits took, in seconds: from the frame's first byte until it was durable."""

    __slots__ = ("counts", "total")
    bounds: Final = _BOUNDS
    """Upper bounds of the buckets, 20 µs to about 1 s; one more bucket is above them all."""

    def __init__(self) -> None:
        self.counts = [0] * (len(_BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(_BOUNDS, seconds)] += 1
        self.total += seconds


class Group(Struct, gc=False):
    """Entries that are durable together or not at all."""

    entries: list[bytes]
    size: int
    """Bytes, with four for each entry."""
    marks: Sequence[Any]
    """What the ledger remembers of each entry."""
    future: asyncio.Future[None]


class GroupCommit:
    """Owns the journal's thread. `durable(groups, segment)` and `failed(groups)` are called in the loop before the
    waiters resume; `failed` gets the groups of the failed frame and all that were queued behind it, in order."""

    def __init__(
        self,
        journal: Journal,
        *,
        durable: Callable[[list[Group], int], None],
        failed: Callable[[list[Group]], None],
    ) -> None:
        self._journal = journal
        self._durable = durable
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Group] = []
        self._queued = 0
        self._starting = False
        self._busy = False
        self._closed = False
        self._idle: asyncio.Future[None] | None = None
        self._work: SimpleQueue[list[Group] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="sekimori-journal", daemon=True)
        self._thread.start()
        self.times = Times()
        """Written by the journal's thread alone."""
        self.trouble: Fault | None = None
        """Why the last commit failed; None once one succeeds."""

    def put(self, group: Group) -> None:
        """Queue a group. Raises Fault, and then the group is not queued."""
        if self._closed:
            raise Fault("ledger_unavailable", "The ledger is closed.")
        if group.size > self._journal.largest:
            raise ValueError(f"a commit of {group.size} bytes; at most {self._journal.largest}")
        if self._queued + group.size > QUEUE:
            raise Fault(
                "ledger_unavailable",
                "Too much waits for the disk of the ledger.",
                advice="The operator must check why the disk is slow.",
                retry_after=1.0,
            )
        self._queued += group.size
        self._waiting.append(group)
        if not self._busy and not self._starting:
            self._starting = True
            self._loop.call_soon(self._start)

    async def close(self) -> None:
        """Wait for all that is queued, then end the thread. The journal is the caller's to close."""
        self._closed = True
        if self._busy or self._starting:
            self._idle = self._loop.create_future()
            await self._idle
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)

    def _start(self) -> None:
        self._starting = False
        if not self._waiting:
            if self._idle is not None and not self._idle.done():
                self._idle.set_result(None)
            return
        batch, size = self._waiting, self._queued
        if size > min(BATCH, self._journal.largest):
            size = 0
            for number, group in enumerate(batch):
                if number and size + group.size > min(BATCH, self._journal.largest):
                    batch, self._waiting = batch[:number], batch[number:]
                    break
                size += group.size
            else:
                self._waiting = []
        else:
            self._waiting = []
        self._queued -= size
        self._busy = True
        self._work.put(batch)

    def _run(self) -> None:
        while (batch := self._work.get()) is not None:
            segment, error = 0, None
            try:
                began = time.perf_counter()
                segment = self._journal.commit([entry for group in batch for entry in group.entries])
                self.times.add(time.perf_counter() - began)
            except BaseException as raised:  # noqa: BLE001  handed to every waiter below
                error = raised
            try:
                self._loop.call_soon_threadsafe(self._ended, batch, segment, error)
            except RuntimeError:
                return  # the loop is gone and with it everyone who waited

    def _ended(self, batch: list[Group], segment: int, error: BaseException | None) -> None:
        self._busy = False
        if error is not None:
            # Numbers of what is queued follow those of what failed: it fails too, so that no gap is left.
            batch = batch + self._waiting
            self._waiting = []
            self._queued = 0
        try:
            if error is None:
                self._durable(batch, segment)
            else:
                self._failed(batch)
        except BaseException as raised:  # noqa: BLE001  whoever waits must not be stranded, nor told that all is well
            error = raised
        if error is None:
            self.trouble = None
            for group in batch:
                if not group.future.done():
                    group.future.set_result(None)
        else:
            self.trouble = _fault(error)
            for group in batch:
                if not group.future.done():
                    group.future.set_exception(_fault(error))
                    group.future.exception()  # a writer that was cancelled does not look at it
        # After the waiters: what they write at once goes into the next frame.
        self._starting = True
        self._loop.call_soon(self._start)


def _fault(error: BaseException) -> Fault:
    if isinstance(error, OSError):
        text, advice = why(error)
        fault = Fault("ledger_unavailable", text, advice=advice, retry_after=5.0)
    else:
        fault = Fault("ledger_unavailable", "The ledger failed.", advice="The operator must restart the service.")
    fault.__cause__ = error
    return fault
