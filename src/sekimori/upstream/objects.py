"""Objects that providers keep for a tenant, and with which key each was made: a follower of the ledger.

A response that is stored, a conversation, a file, a container: whoever names its id has the provider go on from it. The
provider tells accounts apart, not our tenants, and not the keys of one account. So an id is good for a tenant, with a
key, where a call of that tenant with that key brought it back through us, and else it does not exist.

What was made elsewhere, with the provider's own tools, exists once a person has adopted it, by name and for one key.

What a call mints stands in its `Settled`, which is durable before the reply ends; from then on it is known here, first
in memory, then, once the entry was followed, in the tenant's own rows. A look-up reads the rows of the tenant that asks
and of no other: an id of another tenant and one that nobody has cannot be told apart by anything that is done here.

Beside the key it is known with which model an object was made, so that a call which names nothing but the object can be
decided on; and of a response that the provider still works on, what its use was estimated to be (`Open`), until the
call that fetches its end tells it: `end` lets that happen once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct

from sekimori.db import Database, Late, ObjectRow
from sekimori.errors import Fault
from sekimori.ledger.entry import KeyUsed, ObjectsAdopted, Settled
from sekimori.ledger.protocols import Recorded
from sekimori.terms import OPERATOR, Tags, Usage

KEPT_MS: Final = 90 * 86_400_000
"""How long an id is known after it was minted: as long as the entry that says so is kept by default."""
MOST_FRESH: Final = 100_000
"""Ids in memory that were not followed yet. One beyond them is known once it was."""
MOST_CACHED: Final = 4096
MOST_LOOKING: Final = 64
"""Calls of one tenant that may wait at once for what an object was made with: they hold no place in a bound yet."""
READ_SECONDS: Final = 5.0
"""How long a call waits for the rows of its tenant."""
SAVED_EVERY: Final = 4096
"""Entries without an object after which the cursor is saved all the same: what a crash has read again."""


class Open(Struct, frozen=True, gc=False):
    """What was estimated for work that goes on after its call: the usage and cost of that call's `KeyUsed`."""

    usage: Usage
    nano: int | None
    """10^-9 USD; None where no price was known."""
    agent: str
    """Uid of the agent that had it begun."""
    time: int
    """When it was recorded, in milliseconds since 1970."""
    tags: Tags | None = None


class Made(Struct, frozen=True, gc=False):
    """How an object was made."""

    key_uid: str
    model: str = ""
    """`provider/model`, by the provider's name for it; empty where nobody knows."""
    open: Open | None = None
    """What is estimated of its use; None where that is known."""


_NOTHING: Final[Mapping[str, Made]] = {}
_open: Final = msgspec.json.Decoder(Open)
_encode: Final = msgspec.json.Encoder().encode


class Objects:
    """One instance a home. As the ledger's `Follower` it takes every log; calls mint and look up."""

    name = "objects"

    def __init__(
        self,
        database: Database,
        now_ms: Callable[[], int],
        *,
        begun: Mapping[str, int],
        catch_up: Callable[[], Awaitable[None]],
    ) -> None:
        """`begun` is the size of each log when the home was opened: what a former run minted stands before it.
        `catch_up` feeds the followers with all that is durable."""
        self._database = database
        self._now_ms = now_ms
        self._begun = begun
        self._catch_up = catch_up
        self._fresh: dict[tuple[str, str], dict[str, Made]] = {}
        """(tenant uid, id) -> by the uids of the keys it was minted with, until the entry was followed."""
        self._gone: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        """(tenant uid, id, key uid) that the provider keeps no more. Kept for longer than it takes to follow that, so
        that a look-up which began before cannot bring it back."""
        self._ended: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        """The same of those that were `open` and whose end was told."""
        self._looking: dict[str, int] = {}
        """Tenant uid -> calls that wait in `made`."""
        self._cached: OrderedDict[tuple[str, str], tuple[ObjectRow, ...]] = OrderedDict()
        self._at: dict[str, int] = {}
        """Log -> first entry that was not taken."""
        self._saved: dict[str, int] = {}
        """The same as the rows say it: behind where nothing came that is worth a transaction."""
        self._followed: set[str] = set()
        """Logs of which this process has taken entries."""
        self._halves: dict[tuple[str, str, int], list[str]] = {}
        """(log, call, hop) -> ids whose `Settled` was taken and whose `KeyUsed` is still to come."""

    # -- for calls ---------------------------------------------------------------------------------------------------

    def mint(
        self,
        tenant: str,
        key_uid: str,
        ids: Iterable[str],
        model: str = "",
        began: str = "",
        open_: Open | None = None,
    ) -> None:
        """The provider keeps these from now on, made with `provider/model`; works on the one that `began`. Call before
        their `Settled` is written, so that it cannot be followed first; `unmint` where that fails."""
        for id in ids:
            if len(self._fresh) < MOST_FRESH:
                made = Made(key_uid, model, open_ if id == began else None)
                known = self._fresh.setdefault((tenant, id), {})
                if model or key_uid not in known:  # who adopts it does not know better how it was made
                    known[key_uid] = made
            self._cached.pop((tenant, id), None)
            self._gone.pop((tenant, id, key_uid), None)
            if id == began:
                self._ended.pop((tenant, id, key_uid), None)

    def unmint(self, tenant: str, key_uid: str, ids: Iterable[str]) -> None:
        """What could not be recorded does not exist."""
        for id in ids:
            self._forget(tenant, id, key_uid)

    def end(self, tenant: str, key_uid: str, id: str) -> bool:
        """The end of an open object is about to be told. False where that was done before: then it must not be."""
        return _note(self._ended, (tenant, id, key_uid))

    def delete(self, tenant: str, key_uid: str, id: str) -> None:
        """The provider keeps it no more."""
        _note(self._gone, (tenant, id, key_uid))

    def undo(self, tenant: str, key_uid: str, ended: str, deleted: str) -> None:
        """What `end` and `delete` said could not be recorded."""
        self._ended.pop((tenant, ended, key_uid), None)
        self._gone.pop((tenant, deleted, key_uid), None)

    async def made(self, tenant: str, id: str) -> list[Made]:
        """How an object that exists for the tenant was made: once for each key that made one with this id, where it is
        known with which model. Raises Fault as `keys_of`, and `overloaded`."""
        waiting = self._looking.get(tenant, 0)
        if waiting >= MOST_LOOKING:
            raise Fault("overloaded", "Too many calls of this tenant look for what a provider keeps.", retry_after=1.0)
        self._looking[tenant] = waiting + 1
        try:
            found = await self._look(tenant, [id])
        finally:
            left = self._looking.pop(tenant) - 1
            if left:
                self._looking[tenant] = left
        return [made for made in found.get(id, _NOTHING).values() if made.model]

    async def keys_of(self, tenant: str, ids: Sequence[str]) -> dict[str, frozenset[str]]:
        """Of each id that exists for the tenant, the uids of the keys that it exists for.

        At most one look into memory and one read of the tenant's own rows, whatever is asked for. Raises Fault
        `policy_unavailable` where they cannot be read, or do not tell yet what a former run minted.
        """
        return {id: frozenset(made) for id, made in (await self._look(tenant, ids)).items()}

    async def _look(self, tenant: str, ids: Sequence[str]) -> dict[str, dict[str, Made]]:
        """See `keys_of`: id -> uid of a key -> what was made with it."""
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await self._found(tenant, ids)
        except (TimeoutError, Fault) as error:
            raise Fault(
                "policy_unavailable",
                "What the provider keeps for this tenant cannot be looked up at the moment.",
                advice="Retry; if it stays so, the operator must see `sekimori doctor`.",
                retry_after=1.0,
            ) from error

    async def _found(self, tenant: str, ids: Sequence[str]) -> dict[str, dict[str, Made]]:
        horizon = self._now_ms() - KEPT_MS
        found = {id: dict(self._fresh.get((tenant, id), _NOTHING)) for id in ids}
        rows = [row for id in ids for row in self._cached.get((tenant, id), ())]
        unread = sorted(found.keys() - {row.id for row in rows})
        if unread:
            cursor, read = await self._database.tenant(tenant).objects(unread)
            if max(cursor, self._at.get(tenant, 0)) < self._begun.get(tenant, 0):
                await self._catch_up()
                if self._at.get(tenant, 0) < self._begun.get(tenant, 0):
                    raise Fault("policy_unavailable", "The record of a former run was not followed to its end.")
                _, read = await self._database.tenant(tenant).objects(unread)
            self._cache(tenant, read)
            rows += read
        for row in rows:
            if row.minted_ms >= horizon:
                made = Made(row.key_uid, row.model, _open.decode(row.open) if row.open else None)
                if not found[row.id].setdefault(row.key_uid, made).model:
                    found[row.id][row.key_uid] = made
        if self._gone:
            for id, keys in found.items():
                for key_uid in [key_uid for key_uid in keys if (tenant, id, key_uid) in self._gone]:
                    del keys[key_uid]
        return {id: keys for id, keys in found.items() if keys}

    def _cache(self, tenant: str, rows: Iterable[ObjectRow]) -> None:
        """Only what exists is kept in memory: a caller who names what does not fills nothing."""
        for row in rows:
            at = (tenant, row.id)
            self._cached[at] = (*(old for old in self._cached.get(at, ()) if old.key_uid != row.key_uid), row)
            self._cached.move_to_end(at)
        while len(self._cached) > MOST_CACHED:
            self._cached.popitem(last=False)

    def _forget(self, tenant: str, id: str, key_uid: str) -> None:
        known = self._fresh.get((tenant, id))
        if known is not None and known.pop(key_uid, None) is not None and not known:
            del self._fresh[tenant, id]

    # -- as a follower -----------------------------------------------------------------------------------------------

    async def cursor(self, log: str) -> int:
        if log not in self._at:
            self._at[log] = self._saved[log] = await self._database.tenant(log).cursor(self.name)
        return self._at[log]

    async def take(self, log: str, entries: Sequence[Recorded]) -> None:
        """Consecutive entries from the cursor on.

        A slice without an object leaves the cursor unsaved: to take it again changes nothing. Raises Fault.
        """
        if not entries:
            return
        end = entries[-1].index + 1
        rows, late, closed, gone = _said(entries)
        # A hop whose `Settled` an earlier slice ended with is rare; most that begin a slice had nothing to say.
        late = [one for one in late if log not in self._followed or (log, one.call, one.hop) in self._halves]
        self._followed.add(log)
        if rows or late or closed or gone or end - self._saved.get(log, 0) >= SAVED_EVERY:
            start = self._saved.get(log, 0)
            horizon = self._now_ms() - KEPT_MS
            await self._database.tenant(log).put_objects(start, end, rows, late, horizon, closed, gone)
            self._saved[log] = end
        self._at[log] = end
        for row in rows:
            self._cached.pop((log, row.id), None)
            if row.key_uid:
                self._forget(log, row.id, row.key_uid)
            else:
                self._halves.setdefault((log, row.call, row.hop), []).append(row.id)
        for one in late:
            for id in self._halves.pop((log, one.call, one.hop), ()):
                self._cached.pop((log, id), None)
                self._forget(log, id, one.key_uid)
        for id, _ in (*closed, *gone):
            self._cached.pop((log, id), None)

    async def flush(self) -> None:
        """Save the cursors, once nothing more is fed: the next run begins where this one ended."""
        for log, end in self._at.items():
            start = self._saved.get(log, 0)
            if start < end:
                with suppress(Fault):  # then they are taken again, which changes nothing
                    await self._database.tenant(log).put_objects(start, end, (), (), 0)
                    self._saved[log] = end


def _note(noted: OrderedDict[tuple[str, str, str], None], what: tuple[str, str, str]) -> bool:
    """Whether it is new."""
    if what in noted:
        return False
    noted[what] = None
    if len(noted) > MOST_FRESH:
        noted.popitem(last=False)
    return True


def _said(
    entries: Sequence[Recorded],
) -> tuple[list[ObjectRow], list[Late], list[tuple[str, str]], list[tuple[str, str]]]:
    """Objects of these entries; what completes those whose `Settled` stands before them; and the (id, key uid) of those
    whose end was told, and of those that are gone.

    A hop's `Settled` says what was minted and the `KeyUsed` behind it with which key and model; a slice may end
    between.
    """
    minted: dict[tuple[str, int], tuple[int, list[str]]] = {}
    keys: dict[tuple[str, int], Late] = {}
    late: list[Late] = []
    settled: set[tuple[str, int]] = set()
    adopted: list[ObjectRow] = []
    closed: list[tuple[str, str]] = []
    gone: list[tuple[str, str]] = []
    for entry in entries:
        said, call, hop = entry.payload, entry.leaf.call, entry.leaf.hop
        if type(said) is ObjectsAdopted and entry.log != OPERATOR and call is not None:
            adopted += [ObjectRow(id, said.key_uid, entry.leaf.time, call, 0) for id in said.ids]
        if call is None or hop is None:
            continue
        if type(said) is Settled:
            settled.add((call, hop))
            if said.minted:
                minted[call, hop] = entry.leaf.time, said.minted
        elif type(said) is KeyUsed:
            if (call, hop) in minted:
                keys[call, hop] = _late(entry, said, call, hop)
            elif (call, hop) not in settled:
                late.append(_late(entry, said, call, hop))
            if said.corrects is not None:
                closed.append((said.corrects.id, said.key_uid))
            if said.deleted:
                gone.append((said.deleted, said.key_uid))
    rows = []
    for (call, hop), (time, ids) in minted.items():
        with_ = keys.get((call, hop)) or Late(call, hop, "", "")
        rows += [
            ObjectRow(id, with_.key_uid, time, call, hop, with_.model, with_.open if id == with_.began else "")
            for id in ids
        ]
    return rows + adopted, late, closed, gone


def _late(entry: Recorded, used: KeyUsed, call: str, hop: int) -> Late:
    began = ""
    if used.began and used.usage is not None:
        open_ = Open(used.usage, used.cost_nano, entry.leaf.agent or "", entry.leaf.time, used.tags)
        began = _encode(open_).decode()
    return Late(call, hop, used.key_uid, f"{used.provider}/{used.model}", used.began, began)
