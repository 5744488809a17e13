"""From a draft to a durable entry: the only part of the ledger on the path of a call, about six microseconds each.

An entry is numbered, encrypted and queued without a pause in between, so numbers follow the order of the queue; what
needs waiting (a day key, a new log) is waited for before, by writers in their order.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

from msgspec import Struct

from sekimori import __version__
from sekimori.errors import Fault
from sekimori.ledger import entry
from sekimori.ledger.commit import Group, GroupCommit
from sekimori.ledger.entry import (
    CLASSES,
    KEY_USED,
    LOG_INTEGRITY,
    PROGRESS,
    RUN_CLOSED,
    RUN_OPENED,
    SETTLED,
    WRITTEN,
    Aead,
    Leaf,
    Payload,
    RunOpened,
)
from sekimori.ledger.heads import Head, Mark
from sekimori.ledger.journal import item
from sekimori.ledger.protocols import DayKeys

ACTOR: Final = "sekimori"
"""Who writes the entries that nobody asked for: runs, and the end of interrupted pairs."""
DAY_MS: Final = 86_400_000
_DRAWN: Final = 512
"""Entries for which randomness is drawn at once."""
_SALTED: Final = entry.RANDOM + entry.SALT
_EACH: Final = _SALTED + entry.NONCE
_KNOWN: Final = 100_000
_ENDING: Final = frozenset({SETTLED, KEY_USED, PROGRESS, RUN_CLOSED})
"""Kinds of what has begun already. They are written however much waits: their effect has happened, and there are at
most as many as there are open pairs and runs."""


class Draft(Struct, gc=False):
    """An entry that is to be written."""

    kind: int
    """Number of entry.KINDS; must be the payload's own."""
    class_: int
    """Number of entry.CLASSES."""
    log: str
    """`operator` or the tenant's uid."""
    agent: str | None
    """The agent's uid."""
    actor: str
    """Who did it: an entry.Token such as `agent:<uid>`, `uid:0`, `stranger`, `sekimori`."""
    call: str | None
    """UUIDv7 of the call; see `Ledger.new_id`."""
    hop: int | None
    payload: Payload
    generation: int
    id: str | None = None
    """UUIDv7; made where None."""


class Writer:
    """Writes to the logs whose heads it is given; `ready` makes the head of a log, or checks it, before its first
    entry of this run."""

    def __init__(
        self,
        deployment: str,
        heads: dict[str, Head],
        *,
        keys: DayKeys,
        clock: Callable[[], int],
        ready: Callable[[str], Awaitable[None]],
        full: Callable[[], bool],
    ) -> None:
        self._deployment = deployment
        self._heads = heads
        self._keys = keys
        self._clock = clock
        self._ready = ready
        self._full = full
        self.commit: GroupCommit | None = None
        """Where entries are queued; none before recovery has read the journal."""
        self._ids = entry.Ids()
        self._random = b""
        self._at = 0
        self._today = (-1, "")
        self._known: set[str | None] = {None}
        self._call: str | None = None
        """The call whose id was checked last: its next entries need no look at it."""
        self._turns: dict[str, asyncio.Lock] = {}
        self._slow: dict[str, int] = {}
        """Writes to a log that wait for a key: later ones queue behind them, so that order is kept."""

    def new_id(self) -> str:
        return self._ids.next(self._clock(), self._draw()[: entry.RANDOM])

    def day(self, time_ms: int) -> str:
        """`YYYY-MM-DD` of a time, UTC."""
        number = time_ms // DAY_MS
        if self._today[0] != number:
            self._today = (number, time.strftime("%Y-%m-%d", time.gmtime(number * 86_400)))
        return self._today[1]

    async def write(self, drafts: Sequence[Draft]) -> list[str]:
        """Ids, once all are durable, in one commit. Raises Fault, ValueError for what is no entry; then none is."""
        try:
            queued = None if self._slow and any(draft.log in self._slow for draft in drafts) else self._queue(drafts)
            if queued is None:
                task = asyncio.ensure_future(self._write_slowly(drafts))
                task.add_done_callback(_seen)
                return await asyncio.shield(task)
            await queued.future
        except Fault:
            self._lose(drafts)
            raise
        return _ids(queued)

    async def _write_slowly(self, drafts: Sequence[Draft]) -> list[str]:
        """Where a key or a log is not at hand yet. Writers to one log keep their order."""
        logs = sorted({draft.log for draft in drafts})
        for log in logs:
            self._slow[log] = self._slow.get(log, 0) + 1
        try:
            async with AsyncExitStack() as turns:
                for log in logs:
                    await turns.enter_async_context(self._turns.setdefault(log, asyncio.Lock()))
                for _ in range(8):
                    queued = self._queue(drafts)
                    if queued is not None:
                        break
                    await self._prepare(drafts)
                else:
                    raise _unavailable()
        except Fault:
            self._lose(drafts)
            raise
        finally:
            for log in logs:
                self._slow[log] -= 1
                if not self._slow[log]:
                    del self._slow[log]
        await queued.future
        return _ids(queued)

    async def _prepare(self, drafts: Sequence[Draft]) -> None:
        """Have the heads and day keys that these need. Raises Fault with words of our own: those of a store name
        paths, and callers see these."""
        day = self.day(self._clock())
        try:
            for draft in drafts:
                if draft.log not in self._heads or not self._heads[draft.log].checked:
                    await self._ready(draft.log)
                for class_ in (draft.class_, LOG_INTEGRITY):
                    if self._keys.cached(draft.log, class_, day) is None:
                        await self._keys.day_key(draft.log, class_, day)
        except Fault as fault:
            raise _unavailable() from fault

    def _queue(self, drafts: Sequence[Draft]) -> Group | None:
        """Number, encrypt and queue, without a pause; None, with nothing changed, where a key or a log is missing."""
        assert self.commit is not None
        now = self._clock()
        day = self.day(now)
        cached = self._keys.cached
        ready: list[tuple[Head, Draft, str, Aead]] = []
        for draft in drafts:
            head = self._heads.get(draft.log)
            if head is None or not head.checked:
                return None
            if head.fault is not None:
                raise Fault("ledger_unavailable", head.fault.text, advice=head.fault.advice) from head.fault
            if not head.opened and all(each[0] is not head for each in ready):
                key = cached(draft.log, LOG_INTEGRITY, day)
                if key is None:
                    return None
                ready.append((head, self._opening(draft.log), key[0], key[1]))
            key = cached(draft.log, draft.class_, day)
            if key is None:
                return None
            ready.append((head, draft, key[0], key[1]))
        if self._full() and not all(draft.kind in _ENDING for draft in drafts):
            raise Fault(
                "ledger_unavailable",
                "Too much waits to be integrated into the ledger.",
                advice="The operator must see what `sekimori doctor` says of the ledger.",
                retry_after=5.0,
            )
        entries: list[bytes] = []
        marks: list[Mark] = []
        size = 0
        try:
            for head, draft, daykey, aead in ready:
                mark = self._encode(head, draft, daykey, aead, now)
                data = item(head.item, mark.index, mark.data, mark.ciphertext)
                size += len(data) + 4
                entries.append(data)
                head.queued(mark)
                marks.append(mark)
            group = Group(entries, size, marks, asyncio.get_running_loop().create_future())
            self.commit.put(group)
        except BaseException:
            for mark in reversed(marks):
                mark.head.failed(mark)
            raise
        return group

    def _encode(self, head: Head, draft: Draft, daykey: str, aead: Aead, now: int) -> Mark:
        """One entry under the log's next numbers. Raises ValueError where the draft is none."""
        payload = draft.payload
        written = WRITTEN.get(type(payload))
        plain = entry.payload_bytes(payload)
        if written is None or written[0] != draft.kind or draft.class_ not in CLASSES or len(plain) > entry.MAX_PAYLOAD:
            raise ValueError(f"no entry: kind {draft.kind}, class {draft.class_}, {len(plain)} bytes of payload")
        if draft.actor not in self._known or draft.agent not in self._known:
            self._learn(draft)
        call = draft.call
        if call is not self._call:
            if call is not None and not entry.is_uuid7(call):
                raise ValueError(f"{call!r} is no id of a call")
            self._call = call
        random = self._draw()
        id = draft.id
        if id is None:
            id = self._ids.next(now, random[: entry.RANDOM])
        elif not entry.is_uuid7(id):
            raise ValueError(f"{id!r} is no id of an entry")
        salt, nonce = random[entry.RANDOM : _SALTED], random[_SALTED:]
        committed, sealed = entry.close(aead, nonce, salt, plain, head.associated + id.encode())
        leaf = Leaf(
            draft.actor,
            draft.agent,
            call,
            draft.class_,
            committed,
            daykey,
            draft.generation,
            draft.hop,
            id,
            written[0],
            head.next_n,
            head.run,
            written[1],
            head.name,
            now,
            1,
        )
        head.classes.add(draft.class_)
        data = entry.leaf_bytes(leaf)
        return Mark(head, head.next_index, leaf, data, sealed, payload, len(data) + len(sealed))

    def _opening(self, log: str) -> Draft:
        payload = RunOpened(deployment=self._deployment, software=f"sekimori/{__version__}")
        return Draft(RUN_OPENED, LOG_INTEGRITY, log, None, ACTOR, None, None, payload, 0)

    def _lose(self, drafts: Sequence[Draft]) -> None:
        """Their writers were told that they failed: what they should have closed is the ledger's to close."""
        for draft in drafts:
            if draft.kind == SETTLED and draft.log in self._heads and draft.call is not None and draft.hop is not None:
                pair = self._heads[draft.log].pairs.get((draft.call, draft.hop))
                if pair is not None and not pair.settling:
                    pair.lost = True

    def _learn(self, draft: Draft) -> None:
        """Names are checked once, not once an entry."""
        for name in (draft.actor, draft.agent):
            if name is not None and not entry.is_token(name):
                raise ValueError(f"{name!r} cannot stand in a leaf")
        if len(self._known) > _KNOWN:
            self._known = {None}
        self._known |= {draft.actor, draft.agent}

    def _draw(self) -> bytes:
        """Fresh random bytes for one entry, never given twice."""
        at = self._at
        if at == len(self._random):
            self._random = os.urandom(_DRAWN * _EACH)
            at = 0
        self._at = at + _EACH
        return self._random[at : self._at]


def _unavailable() -> Fault:
    return Fault(
        "ledger_unavailable",
        "What the record needs (its key, its rows) is not available.",
        advice="The operator must see what `sekimori doctor` says.",
        retry_after=1.0,
    )


def _ids(group: Group) -> list[str]:
    return [mark.leaf.id for mark in group.marks if mark.leaf.kind != RUN_OPENED]


def _seen(task: asyncio.Task[list[str]]) -> None:
    """A writer that was cancelled does not look at what became of its entries."""
    if not task.cancelled():
        task.exception()
