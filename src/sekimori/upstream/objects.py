"""Objects that providers keep for a tenant, and with which key each was made: a follower of the ledger.

A response that is stored, a conversation, a file, a container: whoever names its id has the provider go on from it. The
provider tells accounts apart, not our tenants, and not the keys of one account. So an id is good for a tenant, with a
key, where a call of that tenant with that key brought it back through us, and else it does not exist.

What was made elsewhere, with the provider's own tools, exists once a person has adopted it, by name and for one key.

What a call mints stands in its `Settled`, which is durable before the reply ends; from then on it is known here, first
in memory, then, once the entry was followed, in the tenant's own rows. A look-up reads the rows of the tenant that asks
and of no other: an id of another tenant and one that nobody has cannot be told apart by anything that is done here.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from sekimori.db import Database, ObjectRow
from sekimori.errors import Fault
from sekimori.ledger.entry import KeyUsed, ObjectsAdopted, Settled
from sekimori.ledger.protocols import Recorded
from sekimori.terms import OPERATOR

KEPT_MS: Final = 90 * 86_400_000
"""How long an id is known after it was minted: as long as the entry that says so is kept by default."""
MOST_FRESH: Final = 100_000
"""Ids in memory that were not followed yet. One beyond them is known once it was."""
MOST_CACHED: Final = 4096
READ_SECONDS: Final = 5.0
"""How long a call waits for the rows of its tenant."""
SAVED_EVERY: Final = 4096
"""Entries without an object after which the cursor is saved all the same: what a crash has read again."""

_NONE: Final[frozenset[str]] = frozenset()


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
        self._fresh: dict[tuple[str, str], frozenset[str]] = {}
        """(tenant uid, id) -> uids of the keys it was minted with, until the entry was followed."""
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

    def mint(self, tenant: str, key_uid: str, ids: Iterable[str]) -> None:
        """The provider keeps these from now on. Call before their `Settled` is written, so that it cannot be followed
        first; `unmint` where that fails."""
        for id in ids:
            if len(self._fresh) < MOST_FRESH:
                self._fresh[tenant, id] = self._fresh.get((tenant, id), _NONE) | {key_uid}
            self._cached.pop((tenant, id), None)

    def unmint(self, tenant: str, key_uid: str, ids: Iterable[str]) -> None:
        """What could not be recorded does not exist."""
        for id in ids:
            self._forget(tenant, id, key_uid)

    async def keys_of(self, tenant: str, ids: Sequence[str]) -> dict[str, frozenset[str]]:
        """Of each id that exists for the tenant, the uids of the keys that it exists for.

        At most one look into memory and one read of the tenant's own rows, whatever is asked for. Raises Fault
        `policy_unavailable` where they cannot be read, or do not tell yet what a former run minted.
        """
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await self._keys_of(tenant, ids)
        except (TimeoutError, Fault) as error:
            raise Fault(
                "policy_unavailable",
                "What the provider keeps for this tenant cannot be looked up at the moment.",
                advice="Retry; if it stays so, the operator must see `sekimori doctor`.",
                retry_after=1.0,
            ) from error

    async def _keys_of(self, tenant: str, ids: Sequence[str]) -> dict[str, frozenset[str]]:
        horizon = self._now_ms() - KEPT_MS
        found = {id: self._fresh.get((tenant, id), _NONE) for id in ids}
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
                found[row.id] |= {row.key_uid}
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
        left = self._fresh.get((tenant, id), _NONE) - {key_uid}
        if left:
            self._fresh[tenant, id] = left
        else:
            self._fresh.pop((tenant, id), None)

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
        rows, late = _found(entries)
        # A hop whose `Settled` an earlier slice ended with is rare; most that begin a slice had nothing to say.
        late = [one for one in late if log not in self._followed or (log, one[0], one[1]) in self._halves]
        self._followed.add(log)
        if rows or late or end - self._saved.get(log, 0) >= SAVED_EVERY:
            start = self._saved.get(log, 0)
            horizon = self._now_ms() - KEPT_MS
            await self._database.tenant(log).put_objects(start, end, rows, late, horizon)
            self._saved[log] = end
        self._at[log] = end
        for row in rows:
            self._cached.pop((log, row.id), None)
            if row.key_uid:
                self._forget(log, row.id, row.key_uid)
            else:
                self._halves.setdefault((log, row.call, row.hop), []).append(row.id)
        for call, hop, key_uid in late:
            for id in self._halves.pop((log, call, hop), ()):
                self._cached.pop((log, id), None)
                self._forget(log, id, key_uid)

    async def flush(self) -> None:
        """Save the cursors, once nothing more is fed: the next run begins where this one ended."""
        for log, end in self._at.items():
            start = self._saved.get(log, 0)
            if start < end:
                with suppress(Fault):  # then they are taken again, which changes nothing
                    await self._database.tenant(log).put_objects(start, end, (), (), 0)
                    self._saved[log] = end


def _found(entries: Sequence[Recorded]) -> tuple[list[ObjectRow], list[tuple[str, int, str]]]:
    """Objects of these entries, and the keys of hops whose `Settled` stands before them.

    A hop's `Settled` says what was minted and the `KeyUsed` behind it with which key; a slice may end between.
    """
    minted: dict[tuple[str, int], tuple[int, list[str]]] = {}
    keys: dict[tuple[str, int], str] = {}
    late: list[tuple[str, int, str]] = []
    settled: set[tuple[str, int]] = set()
    adopted: list[ObjectRow] = []
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
                keys[call, hop] = said.key_uid
            elif (call, hop) not in settled:
                late.append((call, hop, said.key_uid))
    rows = [
        ObjectRow(id, keys.get((call, hop), ""), time, call, hop)
        for (call, hop), (time, ids) in minted.items()
        for id in ids
    ]
    return rows + adopted, late
