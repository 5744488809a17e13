"""The ledger of a home: one journal for durability, one Merkle log per tenant and one for the operator.

`write` returns once its entries are durable in the journal. Behind it, in slices, the entries become leaves of their
logs, and each log that grew signs a checkpoint; that delay is bounded by `checkpoint_seconds`.

A process's stay with a home is a *run*: in every log it writes to, its entries are numbered from 0 without a gap, the
first is `RunOpened`, the last `RunClosed`. Where a process died, the next one closes its run, and its open pairs as
`interrupted`, before it writes anything of its own.
"""

from __future__ import annotations

import asyncio
import fcntl
import inspect
import os
import re
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Literal

from sekimori.errors import Fault
from sekimori.ledger import entry, read
from sekimori.ledger.commit import Group, GroupCommit, Times
from sekimori.ledger.disk import Disk, why
from sekimori.ledger.entry import (
    KEY_ACCESS,
    KEY_USED,
    LOG_INTEGRITY,
    RUN_CLOSED,
    RUN_OPENED,
    SETTLED,
    Decided,
    KeyUsed,
    RunClosed,
    Settled,
)
from sekimori.ledger.heads import Head, Pair
from sekimori.ledger.integrate import BACKLOG, Integrator
from sekimori.ledger.journal import SEGMENT, Damaged, Journal
from sekimori.ledger.log import fetch, files
from sekimori.ledger.note import Key
from sekimori.ledger.protocols import DayKeys, Follower, Recorded, Rows, Signer
from sekimori.ledger.recover import replay
from sekimori.ledger.tiles import Damaged as LogDamaged
from sekimori.ledger.verify import Progress, Report, verify_log
from sekimori.ledger.writer import ACTOR, DAY_MS, Draft, Writer

_LOG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}\Z").match
_AHEAD_MS: Final = 600_000
"""How long before midnight the keys of the next day are made."""
_AT_ONCE: Final = 128
"""Pairs closed in one commit."""

__all__ = ["DayKeys", "Draft", "Follower", "Ledger", "Recorded", "Rows", "Signer"]


class Ledger:
    """Open with `await Ledger.open(...)`, end with `await ledger.close()`. One per home: a lock keeps others out."""

    def __init__(
        self,
        home: Path,
        deployment: str,
        *,
        keys: DayKeys,
        signer: Callable[[str], Signer | Awaitable[Signer]],
        rows: Rows,
        clock: Callable[[], int],
        checkpoint_seconds: float,
        integrate_entries: int,
        segment_bytes: int,
        disk: Disk,
        ahead: bool,
    ) -> None:
        """Not for callers: see `open`."""
        self._home = home
        self._directory = home / "ledger"
        self._deployment = deployment
        self._keys = keys
        self._signer = signer
        self._rows = rows
        self._clock = clock
        self._period = checkpoint_seconds
        self._disk = disk
        self._heads: dict[str, Head] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sekimori-ledger")
        self._journal = Journal(home / "journal", disk=disk, segment_bytes=segment_bytes, ahead=ahead)
        self._integrator = Integrator(
            self._directory,
            self._journal,
            rows=rows,
            keys=keys,
            disk=disk,
            due=integrate_entries,
            run=self._in_thread,
        )
        self._writer = Writer(
            deployment,
            self._heads,
            keys=keys,
            clock=clock,
            ready=self._ready,
            full=lambda: self._integrator.backlog > BACKLOG,
        )
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._lock = -1
        self.run = self._writer.new_id()
        """Id of this process's run."""

    @classmethod
    async def open(
        cls,
        home: Path,
        deployment: str,
        *,
        keys: DayKeys,
        signer: Callable[[str], Signer | Awaitable[Signer]],
        rows: Rows,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        checkpoint_seconds: float = 5.0,
        integrate_entries: int = 1024,
        segment_bytes: int = SEGMENT,
        disk: Disk | None = None,
        ahead: bool = True,
    ) -> Ledger:
        """Recover and be ready. `clock` gives milliseconds since 1970; `signer` gives who signs for an origin.

        `ahead` lets the journal prepare its next segment beside the commits. Raises Fault `ledger_unavailable` where
        the journal is damaged, the disk fails or another process holds the home. A damaged log does not keep the
        others from working: see `troubles`."""
        ledger = cls(
            home,
            deployment,
            keys=keys,
            signer=signer,
            rows=rows,
            clock=clock,
            checkpoint_seconds=checkpoint_seconds,
            integrate_entries=integrate_entries,
            segment_bytes=segment_bytes,
            disk=disk or Disk(),
            ahead=ahead,
        )
        try:
            await ledger._open()
        except BaseException as error:
            await ledger._release()
            if isinstance(error, OSError):
                text, advice = why(error)
                raise Fault("ledger_unavailable", text, advice=advice) from error
            if isinstance(error, Damaged):
                raise Fault(
                    "ledger_unavailable",
                    "The journal of the ledger is damaged.",
                    advice=f"The operator must restore the home's journal and ledger from one backup: {error}.",
                ) from error
            raise
        return ledger

    # -- writing -----------------------------------------------------------------------------------------------------

    def new_id(self) -> str:
        """A UUIDv7, strictly increasing: for a call, or for an entry whose id must be known before it is written."""
        return self._writer.new_id()

    async def write(self, *drafts: Draft) -> list[str]:
        """Ids of the entries, once all are durable, in one commit: all or none.

        Raises Fault: then none of them counts, and what should follow them must not happen; ValueError for a draft
        that is no entry. A `Settled` that met a Fault must not be written again: the ledger itself closes its pair as
        `interrupted` when it can. A writer that is cancelled stops waiting; its entries are written all the same."""
        if self._closing:
            raise Fault("draining", "The service is shutting down.", retry_after=5.0)
        if self._task is None or self._task.done():
            raise Fault("ledger_unavailable", "The ledger stopped.", advice="The operator must restart the service.")
        for draft in drafts:
            if draft.kind in (RUN_OPENED, RUN_CLOSED):
                raise ValueError("runs are the ledger's own to open and close")
        return await self._writer.write(drafts)

    def is_open(self, log: str, call: str, hop: int) -> bool:
        """Whether a `Decided` still waits for its `Settled`."""
        head = self._heads.get(log)
        pair = None if head is None else head.pairs.get((call, hop))
        return pair is not None and not pair.settling

    async def integrate(self) -> None:
        """Bring every log, its checkpoint and the followers up to what is durable now; see `troubles` after it."""
        await self._integrator.run(list(self._heads.values()), sign=True)

    @property
    def troubles(self) -> dict[str, Fault]:
        """What is wrong, by log, `journal`, or `<follower> of <log>`; empty when all is well."""
        found = {name: head.fault for name, head in self._heads.items() if head.fault is not None}
        if self._writer.commit is not None and self._writer.commit.trouble is not None:
            found["journal"] = self._writer.commit.trouble
        return {**self._integrator.troubles, **found}

    @property
    def commit_times(self) -> Times:
        """How long this process's commits took."""
        return Times() if self._writer.commit is None else self._writer.commit.times

    async def close(self) -> None:
        """Close open pairs as interrupted, close the run in each log it wrote to, integrate, sign; then let go.

        Raises Fault where that could not be recorded; the home is let go all the same, and the next `open` does it."""
        if self._closing:
            return
        self._closing = True
        fault: Fault | None = None
        try:
            await self._stop()
            for head in list(self._heads.values()):
                try:
                    await self._close_run(head, "close")
                except Fault as raised:
                    fault = raised
            await self.integrate()
        finally:
            await self._release()
        if fault is not None:
            raise fault

    # -- reading -----------------------------------------------------------------------------------------------------

    def register(self, follower: Follower) -> None:
        """Feed a follower from its cursor on, from now on. A slow one slows integration: keep `take` short."""
        self._integrator.register(follower)

    def logs(self) -> list[str]:
        """Names of all logs."""
        return sorted(self._heads)

    def size(self, log: str) -> int:
        """Entries of a log that its checkpoint covers; 0 where there is no such log."""
        head = self._heads.get(log)
        return 0 if head is None else head.signed

    def checkpoint(self, log: str) -> bytes | None:
        """The current signed checkpoint, a C2SP note; None before the first."""
        head = self._heads.get(log)
        return None if head is None else head.note

    async def entries(self, log: str, start: int, end: int) -> list[Recorded]:
        """Entries with start <= index < end, as far as the checkpoint reaches. Raises Fault where they are damaged."""
        head = self._heads.get(log)
        end = min(end, self.size(log))
        if head is None or not 0 <= start < end:
            return []
        return await read.entries(
            self._directory / log, log, head.origin, start, end, rows=self._rows, keys=self._keys, run=self._in_thread
        )

    async def find(self, log: str, id: str) -> int | None:
        """Index of an entry that the checkpoint covers."""
        if log not in self._heads:
            return None
        index = await self._rows.find(log, id)
        return index if index is not None and index < self.size(log) else None

    async def proof(self, log: str, id: str) -> str | None:
        """The C2SP tlog-proof of an entry under the current checkpoint; None where that covers no such entry."""
        index = await self.find(log, id)
        head = self._heads.get(log)
        if index is None or head is None or head.note is None:
            return None
        try:
            text: str = await self._in_thread(read.proof, self._directory / log, index, head.signed, head.note)
        except LogDamaged as error:
            raise read.damaged(log, error) from error
        return text

    async def verify(self, log: str, *, progress: Progress | None = None) -> Report:
        """Verify a log from its files, while it is written to, payloads included. See ledger/verify.

        Raises ValueError where there is no such log, OSError where its files cannot be read."""
        head = self._heads.get(log)
        if head is None:
            raise ValueError(f"there is no log {log!r}")
        directory = self._directory / log
        return await verify_log(
            fetch(directory),
            Key(head.signer.name, head.signer.public),
            files=await self._in_thread(files, directory),
            rows=self._rows,
            keys=self._keys,
            live=True,
            progress=progress,
        )

    # -- opening and closing -----------------------------------------------------------------------------------------

    async def _open(self) -> None:
        await self._in_thread(self._take_lock)
        for path in sorted(self._directory.iterdir()):
            if path.is_dir() and _LOG(path.name):
                await self._find_log(path.name)
        await replay(self._journal, self._integrator, self._heads, self._head, self._in_thread)
        for head in self._heads.values():
            await self._check_end(head)
        self._writer.commit = GroupCommit(self._journal, durable=self._durable, failed=self._failed)
        for head in list(self._heads.values()):
            try:
                await self._close_run(head, "recovery")
            except Fault as fault:
                if self._writer.commit.trouble is not None:
                    raise
                head.fault = read.unreadable(head.name, fault)  # the other logs can go on
            head.run, head.next_n, head.opened = self.run, 0, False
        await self.integrate()
        self._task = asyncio.create_task(self._work(), name="sekimori-ledger")

    async def _check_end(self, head: Head) -> None:
        """Rows are written after the journal: one beyond its end means that journal and log are older than they were.

        To go on from there would be to sign a second history of entries that were signed before."""
        try:
            beyond = head.fault is None and await self._rows.get(head.name, head.next_index, head.next_index + 1)
        except Fault:
            return  # a store that cannot be read is met again, and told, when entries are integrated
        if beyond:
            head.fault = read.damaged(head.name, LogDamaged(f"its rows go on after entry {head.next_index}"))

    async def _find_log(self, name: str) -> None:
        head = self._heads[name] = await self._head(name)
        try:
            log = await self._integrator.load(head)
            if log.last is not None:
                leaf = entry.parse_leaf(log.last)
                head.run, head.next_n, head.opened = leaf.run, leaf.n + 1, leaf.kind != RUN_CLOSED
            head.next_index = log.size
        except entry.Malformed as error:
            head.fault = read.damaged(name, error)
        except Fault as fault:
            head.fault = fault

    async def _head(self, name: str) -> Head:
        origin = entry.origin(self._deployment, name)
        signer = self._signer(origin)
        return Head(name, origin, await signer if inspect.isawaitable(signer) else signer, self.run)

    async def _ready(self, name: str) -> None:
        """Before the first entry of this run in a log. Raises ValueError where the name is none of a log.

        Payloads reach the rows before their leaves reach the tree, so rows may only be ahead of it where the journal
        is too. Otherwise the tree was lost or is an older one: going on would contradict what was signed before."""
        if not _LOG(name):
            raise ValueError(f"{name!r} names no log")
        head = self._heads.get(name) or await self._head(name)
        if await self._rows.get(name, head.next_index, head.next_index + 1):
            head.fault = read.damaged(name, LogDamaged(f"its rows go on after the tree's {head.next_index} entries"))
        head.checked = True
        self._heads[name] = head

    async def _close_run(self, head: Head, by: Literal["close", "recovery"]) -> None:
        if not head.opened or head.fault is not None:
            return
        pairs = head.open_pairs()
        await self._interrupt(head, pairs)
        payload = RunClosed(by=by, interrupted=len(pairs))
        await self._writer.write([Draft(RUN_CLOSED, LOG_INTEGRITY, head.name, None, ACTOR, None, None, payload, 0)])

    async def _interrupt(self, head: Head, pairs: list[Pair]) -> None:
        """Close pairs whose end nobody recorded, and record that their keys may have been used."""
        for first in range(0, len(pairs), _AT_ONCE):
            drafts: list[Draft] = []
            for pair in pairs[first : first + _AT_ONCE]:
                leaf, payload = pair.decided.leaf, pair.decided.payload
                if payload is None:
                    aead = await self._keys.open_day_key(head.name, leaf.daykey)
                    _, payload = entry.disclose(head.origin, leaf, pair.decided.ciphertext, aead)

                def draft(kind: int, class_: int, said: Settled | KeyUsed, leaf: entry.Leaf = leaf) -> Draft:
                    return Draft(kind, class_, head.name, leaf.agent, ACTOR, leaf.call, leaf.hop, said, leaf.generation)

                # Nobody knows what it used: all that was reserved for it, where a bound on tokens or money applied.
                decided = payload if isinstance(payload, Decided) else None
                reserved = None if decided is None else decided.reserved
                nano = None if decided is None else decided.reserved_nano
                settled = Settled(outcome="interrupted", usage=reserved, cost_nano=nano)
                drafts.append(draft(SETTLED, leaf.class_, settled))
                if decided is not None:
                    used = KeyUsed(
                        key=decided.key,
                        key_uid=decided.key_uid,
                        key_version=None,
                        provider=decided.provider,
                        model=decided.provider_model,
                        usage=reserved,
                        cost_nano=nano,
                        outcome="interrupted",
                        tags=decided.tags,
                    )
                    drafts.append(draft(KEY_USED, KEY_ACCESS, used))
            await self._writer.write(drafts)

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _release(self) -> None:
        await self._stop()
        await self._integrator.idle()
        if self._writer.commit is not None:
            await self._writer.commit.close()
        await self._in_thread(self._journal.close)
        self._pool.shutdown()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _take_lock(self) -> None:
        for directory in (self._home / "journal", self._directory):
            self._disk.make(directory)
        self._lock = os.open(self._home / "journal" / "lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Fault(
                "ledger_unavailable",
                "Another process holds this home.",
                advice="Use it through its socket, or stop it first.",
            ) from None

    # -- behind the journal ------------------------------------------------------------------------------------------

    def _durable(self, groups: list[Group], segment: int) -> None:
        self._integrator.journalled(groups, segment)

    def _failed(self, groups: list[Group]) -> None:
        for group in reversed(groups):
            for mark in reversed(group.marks):
                mark.head.failed(mark)

    async def _work(self) -> None:
        """Integrate when a log has much waiting, sign when the period is over. If this ends, `write` refuses."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._period
        while True:
            try:
                async with asyncio.timeout_at(due):
                    await self._integrator.kick.wait()
            except TimeoutError:
                await self._close_lost()
                await self._make_tomorrows_keys()
                await self.integrate()
                due = loop.time() + self._period
            else:
                await self._integrator.run(list(self._heads.values()), sign=False)

    async def _close_lost(self) -> None:
        for head in list(self._heads.values()):
            lost = [pair for pair in head.open_pairs() if pair.lost]
            if lost:
                try:
                    await self._interrupt(head, lost)
                except Fault as fault:
                    self._integrator.troubles[head.name] = fault

    async def _make_tomorrows_keys(self) -> None:
        """So that midnight is not a moment when every tenant waits for new keys."""
        now = self._clock()
        if now % DAY_MS < DAY_MS - _AHEAD_MS:
            return
        tomorrow = time.strftime("%Y-%m-%d", time.gmtime((now // DAY_MS + 1) * 86_400))
        for head in list(self._heads.values()):
            try:
                for class_ in head.classes if head.opened else ():
                    if self._keys.cached(head.name, class_, tomorrow) is None:
                        await self._keys.day_key(head.name, class_, tomorrow)
            except Fault as fault:
                self._integrator.troubles[head.name] = fault

    async def _in_thread(self, deed: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, deed, *arguments)
