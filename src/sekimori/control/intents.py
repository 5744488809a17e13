"""Changes under way, so that a crash between commit and record leaves neither a lie nor a gap.

Before a change makes anything durable elsewhere, it is noted in the deployment's file, with the entries that will say
how it ended. `settle` asks what was committed and writes exactly those that are missing: a change that took effect is
recorded, one that did not is recorded as abandoned, or leaves nothing where nothing was said yet.

    note -> before -> commit -> done -> forget
       |       |        |        |
       nothing undone   done     done (those missing)        <- what recovery writes after a crash at this point
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import msgspec
from msgspec import Raw, Struct

from sekimori.db import DeploymentStore, Pending
from sekimori.errors import Fault
from sekimori.ledger import entry
from sekimori.ledger.entry import CONFIGURATION, Payload
from sekimori.ledger.ledger import Draft, Ledger
from sekimori.vault.keys import Keys

T = TypeVar("T")
P = ParamSpec("P")


async def whole(deed: Coroutine[Any, Any, T]) -> T:
    """The result of `deed`, which is brought to its end even if whoever awaits this is cancelled meanwhile."""
    task = asyncio.ensure_future(deed)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # who wanted to know has left; what is open is found by the next change
        raise


def to_its_end(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """A method that, once begun, is not cut off by its caller's leaving; the caller is let go when it has ended."""

    @wraps(method)
    async def begun(*arguments: P.args, **named: P.kwargs) -> T:
        return await whole(method(*arguments, **named))

    return begun


class StoredDraft(Struct, frozen=True):
    """An entry that is still to be written, as it waits in the deployment's file. Its id is decided."""

    id: str
    log: str
    kind: int
    schema: int
    agent: str | None
    actor: str
    call: str
    generation: int
    payload: Raw


class KeyState(Struct, frozen=True):
    """How a provider key stands once the change is made."""

    owner_uid: str
    path: str
    uid: str
    version: int
    frozen: bool
    present: bool = True


class Intent(Struct, frozen=True, omit_defaults=True):
    """A change under way: what shows that it was committed, and what is then to be written."""

    what: Literal["apply", "issue", "revoke", "key", "kek"]
    actor: str
    before: list[StoredDraft] = []
    """Written before the commit."""
    done: list[StoredDraft] = []
    """Written after it."""
    undone: list[StoredDraft] = []
    """Written instead where it was not committed, although `before` is in the log."""
    generation: int = 0
    credential: str = ""
    key: KeyState | None = None
    destroyed: list[KeyState] = []
    """Keys whose documents go with this generation; their secrets are destroyed after the commit."""
    kek: str = ""
    """Id of the key-encryption key before a rotation."""


class Intents:
    """Notes changes and settles those that a crash or a full disk left open."""

    def __init__(self, store: DeploymentStore, keys: Keys, ledger: Ledger, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._keys = keys
        self._ledger = ledger
        self._now_ms = now_ms
        self._open = True

    def drafts(
        self,
        logs: Iterable[str],
        actor: str,
        call: str,
        generation: int,
        payload: Payload,
        agent: str | None = None,
    ) -> list[StoredDraft]:
        """The same entry for each of these logs (a change that touches one tenant stands in its log and ours)."""
        kind, schema = entry.WRITTEN[type(payload)]
        raw = Raw(entry.payload_bytes(payload))
        return [
            StoredDraft(self._ledger.new_id(), log, kind, schema, agent, actor, call, generation, raw)
            for log in dict.fromkeys(logs)
        ]

    async def write(self, drafts: Sequence[StoredDraft]) -> None:
        """All durable in one commit, or Fault."""
        if drafts:
            # A writer that is cancelled stops waiting and its entries are written all the same. Whoever settles next
            # would not find them yet and write them again, and an id that comes twice breaks a log for good.
            await whole(self._ledger.write(*(_draft(one) for one in drafts)))

    @asynccontextmanager
    async def noted(
        self, intent: Intent, begin: Callable[[Pending], Awaitable[None]] | None = None
    ) -> AsyncIterator[None]:
        """Note `intent`, run the block, forget it. `begin` stores the note together with the commit itself.

        If the block fails, what can be settled is settled at once. Raises Fault, whose text says where the change is
        in force although it was not recorded yet.
        """
        pending = Pending(self._ledger.new_id(), msgspec.json.encode(intent))
        self._open = True  # until it is forgotten: whatever happens, the next change looks for what is open
        await (begin or self._store.begin)(pending)
        try:
            yield
            if intent.what == "issue":
                # A key whose note is still there is revoked by whoever settles it: it must not be shown then.
                await self._forget(pending.id)
        except Exception as error:
            try:
                committed = await self._settle(pending.id, intent)
            except Fault:
                committed = await self._committed(intent)
            if committed and isinstance(error, Fault):
                raise Fault(
                    error.reason,
                    f"The change is in force, but something after it failed: {error.text}",
                    advice=f"{error.advice} It is recorded as soon as the ledger can be written.".strip(),
                ) from error
            raise
        if intent.what != "issue":
            with suppress(Fault):  # all is said and done; the next change finds nothing missing and forgets it
                await self._forget(pending.id)

    async def _forget(self, id: str) -> None:
        await self._store.end(id)
        self._open = False

    async def settle(self) -> int:
        """Settle every change that is open; their number. Cheap where none is.

        Raises Fault where one cannot be settled yet (a full disk, a damaged log); the others are settled all the same.
        """
        if not self._open:
            return 0
        found = await self._store.pending()
        fault: Fault | None = None
        for pending in found:
            try:
                intent = msgspec.json.decode(pending.body, type=Intent)
            except msgspec.MsgspecError as error:
                raise Fault(
                    "home_damaged",
                    f"{self._store.path}: a change under way cannot be read.",
                    advice="Use the version of Sekimori that began it, or restore the file from a backup.",
                ) from error
            try:
                await self._settle(pending.id, intent)
            except Fault as raised:
                fault = raised
        if fault is not None:
            raise fault
        self._open = False
        return len(found)

    async def _settle(self, id: str, intent: Intent) -> bool:
        committed = await self._committed(intent)
        await self._up_to_date(intent)
        if committed:
            for state in intent.destroyed:
                info = await self._keys.metadata(state.owner_uid, state.path)
                if info is not None and info.uid == state.uid:
                    await self._keys.destroy(state.owner_uid, state.path)
            wanted = self.told(intent)
        else:
            if intent.what == "issue":
                await self._store.revoke_api_key(intent.credential, self._now_ms(), None)
            said = [one for one in intent.before if await self._ledger.find(one.log, one.id) is not None]
            wanted = intent.undone if said else []
        await self.write([one for one in wanted if await self._ledger.find(one.log, one.id) is None])
        await self._store.end(id)
        return committed

    async def _up_to_date(self, intent: Intent) -> None:
        """Ids are looked up in integrated entries. Raises Fault where a log cannot be integrated now: what is not
        found in it may be in the journal, and must not be written a second time."""
        await self._ledger.integrate()
        troubles = self._ledger.troubles
        for draft in (*intent.before, *intent.done, *intent.undone):
            if draft.log in troubles:
                raise troubles[draft.log]

    async def _committed(self, intent: Intent) -> bool:
        match intent.what:
            case "apply":
                return (await self._store.generation()).number >= intent.generation
            case "revoke":
                return True  # noted in the transaction that revokes
            case "issue":
                return False  # nobody has seen the key: it was to be shown after this
            case "key":
                wanted = intent.key
                assert wanted is not None
                info = await self._keys.metadata(wanted.owner_uid, wanted.path)
                return info is not None and (info.uid, info.version, info.frozen) == (
                    wanted.uid,
                    wanted.version,
                    wanted.frozen,
                )
            case "kek":
                return self._keys.kek_id != intent.kek

    def told(self, intent: Intent, rewrapped: int = 0) -> list[StoredDraft]:
        """The entries that say `intent` is done. The id of a new key-encryption key is known only now."""
        if intent.what != "kek":
            return intent.done
        payload = entry.KekRotated(old=intent.kek, new=self._keys.kek_id, rewrapped=rewrapped)
        return [msgspec.structs.replace(one, payload=Raw(entry.payload_bytes(payload))) for one in intent.done]


def _draft(one: StoredDraft) -> Draft:
    payload = entry.parse_payload(one.kind, one.schema, bytes(one.payload))
    assert payload is not None
    return Draft(
        kind=one.kind,
        class_=CONFIGURATION,
        log=one.log,
        agent=one.agent,
        actor=one.actor,
        call=one.call,
        hop=None,
        payload=payload,
        generation=one.generation,
        id=one.id,
    )
