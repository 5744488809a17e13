"""The one place of mutations. Every change has the same shape, whoever asks and however:

    decide -> note what is begun -> record it -> commit -> publish -> record that it is done -> forget the note

`control/intents` keeps the note and settles what a crash left open. What takes rights away (revoke, freeze) bites
first and is recorded then; what gives rights is recorded first.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Final, Literal

import msgspec
from msgspec import Struct

from sekimori.control.current import Current, compiled, restored, scopes_of, stored
from sekimori.control.intents import Intent, Intents, KeyState, StoredDraft, to_its_end
from sekimori.db import ApiKeyRow, Database, Generation, Identity
from sekimori.dialects.stream import MOST_MINTED, kept_id
from sekimori.errors import Fault, Refused
from sekimori.identity import apikey, names
from sekimori.identity.authenticate import Credential, KeyIndex
from sekimori.ledger import entry
from sekimori.ledger.ledger import Ledger
from sekimori.policy import checks, documents
from sekimori.policy.documents import Change, Documents
from sekimori.policy.kinds import Agent, Key, owner_of
from sekimori.policy.problems import Invalid, Problem
from sekimori.policy.snapshot import included, uid_names
from sekimori.terms import OPERATOR, CredentialKind, Scope
from sekimori.upstream.objects import Objects
from sekimori.vault.embedded import KekRotation
from sekimori.vault.index import KeyInfo
from sekimori.vault.keys import Keys
from sekimori.vault.secret import Secret

SCOPES: Final[tuple[Scope, ...]] = ("read", "write", "admin")
LONGEST_LIFE_MS: Final = 10 * 366 * 86_400_000
"""An API key that expires later than in ten years was meant to say something else."""

MOST_CHANGES: Final = 20_000
"""Changes of one apply: its record is one commit of the journal."""
CHANGES_AN_ENTRY: Final = 500
"""Changes listed in one entry, whose payload is bounded."""
_PATH: Final = re.compile(r"(operator|clients/[a-z0-9-]{1,39})/[a-z0-9-]{1,39}\Z")

KeyAction = Literal["put", "rotated", "destroyed", "frozen", "unfrozen"]


class Applied(Struct, frozen=True):
    """What an apply came to. No changes: nothing was done."""

    generation: int
    changes: list[Change]
    warnings: list[Problem]
    revoked: list[str] = []
    """API keys of agents that are gone."""


class Issued(Struct, frozen=True):
    """A new API key. `key` is its text, shown this once and kept nowhere."""

    id: str
    key: str
    tenant: str
    agent: str
    scopes: list[Scope]
    expires_ms: int | None

    def __repr__(self) -> str:
        return f"Issued(id={self.id!r})"


class Unfit(Refused):
    """Documents that are refused, each problem with its place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
        super().__init__("document_invalid", f"The documents have {count}; nothing was changed.")
        self.problems = list(problems)
        self.detail = [msgspec.to_builtins(problem) for problem in problems]


class Changes:
    """All verbs that change something. One at a time; each is whole or not at all."""

    def __init__(
        self,
        database: Database,
        keys: Keys,
        ledger: Ledger,
        index: KeyIndex,
        current: Current,
        *,
        publish: Callable[[Current], None],
        now_ms: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._store = database.deployment
        self._keys = keys
        self._ledger = ledger
        self._index = index
        self._publish = publish
        self._now_ms = now_ms
        self._random = random
        self._intents = Intents(database.deployment, keys, ledger, now_ms)
        self._lock = asyncio.Lock()
        self.current = current

    # -- documents -------------------------------------------------------------------------------------------------

    def proposed(self, given: Documents, *, prune: bool) -> tuple[Documents, list[Change], list[Problem]]:
        """What applying `given` would make of the current set, what changes by it, and warnings.

        With `prune` the given documents are the whole set; without, those not named stay. Raises `Unfit`.
        """
        wanted = given if prune else self.current.documents.merged(given)
        try:
            warnings = checks.require(wanted)
        except Invalid as error:
            raise Unfit(error.problems) from error
        return wanted, documents.diff(self.current.documents, wanted), warnings

    @to_its_end
    async def apply(self, given: Documents, actor: str, *, prune: bool = False) -> Applied:
        """Make the next generation of `given`, all or nothing. No change is no generation.

        Raises `Unfit`; Fault where nothing was changed, or, as its text then says, where the change is in force
        and its record is still to be written.
        """
        async with self._one_change():
            wanted, changes, warnings = await asyncio.to_thread(self.proposed, given, prune=prune)
            if len(changes) > MOST_CHANGES:
                text = f"These are {len(changes)} changes; at most {MOST_CHANGES} are made at once."
                raise Refused("wrong_use", text, advice="Apply the documents in parts, tenant by tenant.")
            if not changes:
                return Applied(self.current.generation.number, [], warnings)
            return await self._apply(wanted, changes, warnings, actor)

    async def _apply(self, wanted: Documents, changes: list[Change], warnings: list[Problem], actor: str) -> Applied:
        now = self._now_ms()
        names_after = set(uid_names(wanted))
        live = self.current.live
        new = [Identity(self._uid(), name, now) for name in sorted(names_after - live.keys())]
        retired = [live[name] for name in sorted(live.keys() - names_after)]
        gone = {identity.uid for identity in retired}
        revoked = [key for key in await self._store.api_keys() if key.agent_uid in gone and key.revoked_ms is None]
        number = self.current.generation.number + 1
        generation = Generation(number, documents.digest(wanted), actor, now, stored(wanted))
        # Compiled before anything is noted: a set that cannot be published is not committed.
        kept = [identity for identity in live.values() if identity.uid not in gone]
        after = compiled(generation, wanted, [*kept, *new])
        uids = {**{name: identity.uid for name, identity in live.items()}, **after.uids}
        for identity in new:
            if identity.name.startswith("tenant/"):
                await self._database.tenant(identity.uid).create()

        call = self._ledger.new_id()
        draft = self._intents.drafts
        destroyed = [state for identity in retired if (state := await self._doomed(identity, uids)) is not None]
        before: list[StoredDraft] = []
        done: list[StoredDraft] = []
        undone: list[StoredDraft] = []
        digest = f"sha256:{generation.digest}"
        for log, listed in self._by_log(changes, uids):
            proposed = entry.Proposed(generation=number, changes=listed, digest=digest)
            applied = entry.Applied(generation=number, changes=listed, digest=digest)
            before += draft([log], actor, call, number, proposed)
            done += draft([log], actor, call, number, applied)
            undone += draft([log], actor, call, number, msgspec.structs.replace(applied, outcome="abandoned"))
        agents = {identity.uid: identity.name.rpartition("/")[2] for identity in retired}
        for key in revoked:
            payload = entry.ApiKeyRevoked(credential=key.id, agent=agents[key.agent_uid])
            done += draft((OPERATOR, key.tenant_uid), actor, call, number, payload, key.agent_uid)
        for state in destroyed:
            done += self._key_drafts("destroyed", state, actor, call, number)
        intent = Intent("apply", actor, before, done, undone, generation=number, destroyed=destroyed)
        async with self._intents.noted(intent):
            await self._intents.write(before)
            await self._store.commit(generation, new=new, retired=sorted(gone), revoked=[key.id for key in revoked])
            self._take(after, [key.id for key in revoked])
            for state in destroyed:
                await self._keys.destroy(state.owner_uid, state.path)
            await self._intents.write(done)
        return Applied(number, changes, warnings, [key.id for key in revoked])

    def _take(self, after: Current, revoked: Iterable[str]) -> None:
        """What was committed is in force: for the next decision, and for calls that are decided anew."""
        for id in revoked:
            self._revoke_in_memory(id)
        self.current = after
        self._publish(after)

    def _by_log(self, changes: Iterable[Change], uids: dict[str, str]) -> Iterator[tuple[str, list[entry.Change]]]:
        """The operator's log gets every change, a tenant's log those that touch it and no other's name.

        In pieces that fit an entry; those of one apply carry one call id.
        """
        found: dict[str, list[entry.Change]] = {OPERATOR: []}
        for change in changes:
            action: Literal["create", "change", "delete"] = "change" if change.action == "update" else change.action
            listed = entry.Change(action, change.kind, change.tenant, change.name)
            found[OPERATOR].append(listed)
            if change.tenant is not None:
                found.setdefault(uids[f"tenant/{change.tenant}"], []).append(listed)
        for log, all_listed in found.items():
            for start in range(0, len(all_listed), CHANGES_AN_ENTRY):
                yield log, all_listed[start : start + CHANGES_AN_ENTRY]

    async def _doomed(self, identity: Identity, uids: dict[str, str]) -> KeyState | None:
        """The stored secret of a key whose document goes: it goes too, for nothing could ever use or show it."""
        if not identity.name.startswith("key/"):
            return None
        path = identity.name.removeprefix("key/")
        owner = _owner_uid(path, uids)
        info = await self._keys.metadata(owner, path)
        if info is None or info.uid != identity.uid:
            return None
        return KeyState(owner, path, info.uid, info.version, info.frozen, present=False)

    # -- API keys --------------------------------------------------------------------------------------------------

    @to_its_end
    async def issue(
        self, tenant: str, agent: str, actor: str, *, scopes: Sequence[Scope] = (), expires_ms: int | None, note: str
    ) -> Issued:
        """A new API key for an agent. Raises Refused `not_found`, `wrong_use`; Fault, and then there is no key."""
        async with self._one_change():
            tenant_uid, agent_uid, allowed = self._agent(tenant, agent)
            wanted = tuple(scopes) or allowed
            for scope in wanted:
                if scope not in included(allowed):
                    raise Refused(
                        "wrong_use",
                        f"Agent {tenant}/{agent} may have no API key with the scope `{scope}`.",
                        advice="Add it to `scopes` of the agent's document.",
                    )
            now = self._now_ms()
            if expires_ms is not None and not now < expires_ms <= now + LONGEST_LIFE_MS:
                raise Refused("wrong_use", "The key would expire in the past or in over ten years.")
            if len(note) > 200 or not note.isprintable():
                raise Refused("wrong_use", "A note has at most 200 printable characters.")
            text = apikey.mint(self._random(apikey.RANDOM_BYTES))
            pepper = self._index.pepper
            row = ApiKeyRow(
                id=f"key-{self._uid()}",
                hash=pepper.hash(text.encode()),
                pepper=pepper.version,
                tenant_uid=tenant_uid,
                agent_uid=agent_uid,
                scopes=",".join(sorted(set(wanted))),
                note=note,
                created_ms=now,
                expires_ms=expires_ms,
                revoked_ms=None,
            )
            ordered = [scope for scope in SCOPES if scope in wanted]
            issued = entry.ApiKeyIssued(
                credential=row.id, agent=agent, scopes=ordered, expires_ms=expires_ms, note=note
            )
            revoked = entry.ApiKeyRevoked(credential=row.id, agent=agent)
            call, number, logs = self._ledger.new_id(), self.current.generation.number, (OPERATOR, tenant_uid)
            intent = Intent(
                "issue",
                actor,
                before=self._intents.drafts(logs, actor, call, number, issued, agent_uid),
                undone=self._intents.drafts(logs, actor, call, number, revoked, agent_uid),
                credential=row.id,
            )
            async with self._intents.noted(intent, lambda pending: self._store.add_api_key(row, pending)):
                await self._intents.write(intent.before)
            self._index.put(credential_of(row, tenant, agent))
            return Issued(row.id, text, tenant, agent, ordered, expires_ms)

    @to_its_end
    async def revoke(self, id: str, actor: str) -> bool:
        """Revoke an API key; True unless it was before. The next request with it is refused, recorded or not.

        Raises Refused `not_found`; Fault, whose text says whether the key is revoked all the same.
        """
        async with self._one_change(takes_away=True):
            row = next((key for key in await self._store.api_keys() if key.id == id), None)
            if row is None:
                # The id is not repeated: it may be a key that was pasted by mistake.
                raise Refused("not_found", "There is no API key of this id.", advice="See `sekimori apikey list`.")
            if row.revoked_ms is not None:
                return False
            self._revoke_in_memory(id)
            agent = self.current.agents.get(row.agent_uid, ("", row.agent_uid))[1]
            payload = entry.ApiKeyRevoked(credential=id, agent=agent)
            logs, number = (OPERATOR, row.tenant_uid), self.current.generation.number
            drafts = self._intents.drafts(logs, actor, self._ledger.new_id(), number, payload, row.agent_uid)
            intent = Intent("revoke", actor, done=drafts, credential=id)
            now = self._now_ms()
            try:
                async with self._intents.noted(intent, lambda pending: self._store.revoke_api_key(id, now, pending)):
                    await self._intents.write(drafts)
            except Fault as fault:
                text = f"This process refuses the key from now on, but: {fault.text}"
                raise Fault(fault.reason, text, advice=f"{fault.advice} Then repeat this, before a restart.") from fault
            return True

    def _revoke_in_memory(self, id: str) -> None:
        known = self._index.get(id)
        if known is not None:
            self._index.put(msgspec.structs.replace(known, revoked=True))

    def _agent(self, tenant: str, agent: str) -> tuple[str, str, tuple[Scope, ...]]:
        document = self.current.documents.get(("Agent", tenant, agent))
        if not isinstance(document, Agent):
            known = sorted(f"{t}/{a}" for t, a in self.current.agents.values())
            raise Refused(
                "not_found",
                f"There is no agent {tenant}/{agent}.",
                advice=f"There are {', '.join(known[:8])}." if known else "Apply an Agent document first.",
            )
        uids = self.current.uids
        return uids[f"tenant/{tenant}"], uids[f"agent/{tenant}/{agent}"], document.scopes

    # -- provider keys ---------------------------------------------------------------------------------------------

    @to_its_end
    async def key_put(self, path: str, secret: Secret, actor: str) -> KeyInfo:
        """Store the secret of a key that has a document. Raises Refused `not_found`, `conflict`, `wrong_use`."""
        async with self._one_change():
            owner, uid, info = await self._key(path)
            if info is not None and info.uid != uid:
                # Of a document that is gone; its destruction failed then, and is made up for now.
                await self._keys.destroy(owner, path)
            elif info is not None:
                raise Refused(
                    "conflict", f"There is a key at {path}.", advice=f"Replace it with `sekimori key rotate {path}`."
                )
            after = KeyState(owner, path, uid, 1, frozen=False)
            return await self._change_key(
                "put",
                after,
                actor,
                lambda: self._keys.put(owner, path, secret, actor, key_uid=uid, credential=self._credential(path)),
            )

    @to_its_end
    async def key_rotate(self, path: str, secret: Secret, actor: str) -> KeyInfo:
        """Store a new version; the old one serves no call that begins after this returns."""
        async with self._one_change():
            owner, _, info = await self._key(path)
            info = _there(path, info)
            after = KeyState(owner, path, info.uid, info.version + 1, info.frozen)
            return await self._change_key(
                "rotated",
                after,
                actor,
                lambda: self._keys.rotate(owner, path, secret, actor, credential=self._credential(path)),
            )

    async def key_freeze(self, path: str, actor: str) -> KeyInfo:
        """Stop lending a key; bites before it is recorded."""
        return await self._set_frozen(path, actor, frozen=True)

    async def key_unfreeze(self, path: str, actor: str) -> KeyInfo:
        return await self._set_frozen(path, actor, frozen=False)

    @to_its_end
    async def _set_frozen(self, path: str, actor: str, *, frozen: bool) -> KeyInfo:
        async with self._one_change(takes_away=frozen):
            owner, _, info = await self._key(path)
            info = _there(path, info)
            if info.frozen == frozen:
                return info
            after = KeyState(owner, path, info.uid, info.version, frozen)
            verb = self._keys.freeze if frozen else self._keys.unfreeze
            action: Literal["frozen", "unfrozen"] = "frozen" if frozen else "unfrozen"
            return await self._change_key(action, after, actor, lambda: verb(owner, path))

    # -- what providers keep -----------------------------------------------------------------------------------------

    @to_its_end
    async def objects_adopt(self, path: str, ids: Sequence[str], actor: str, objects: Objects) -> None:
        """Let a tenant's key name objects that were made elsewhere. The entry is the change: there is nothing else.

        Raises Refused `not_found`, `forbidden` for a key of the operator, `wrong_use` for what can be no id.
        """
        if not 0 < len(ids) <= MOST_MINTED or not all(kept_id(id) for id in ids):
            text = f"Name 1 to {MOST_MINTED} ids of visible ASCII characters."
            raise Refused("wrong_use", text, advice="As the provider lists them, e.g. `vs_68e1…`.")
        async with self._one_change():
            owner, uid, _ = await self._key(path)
            if owner == OPERATOR:
                text = "Tenants share the keys of the operator: what is kept with one would be everyone's."
                raise Refused("forbidden", text, advice="Name a key of a tenant.")
            payload = entry.ObjectsAdopted(key=path, key_uid=uid, ids=list(ids))
            number = self.current.generation.number
            drafts = self._intents.drafts((OPERATOR, owner), actor, self._ledger.new_id(), number, payload)
            objects.mint(owner, uid, ids)
            try:
                await self._intents.write(drafts)
            except Fault:
                objects.unmint(owner, uid, ids)
                raise

    async def _key(self, path: str) -> tuple[str, str, KeyInfo | None]:
        uid = self.current.uids.get(f"key/{path}")
        if uid is None:
            known = [name.removeprefix("key/") for name in self.current.uids if name.startswith("key/")]
            raise Refused(
                "not_found",
                # What has not the form of a path may be a secret in the wrong place: it is not repeated.
                f"There is no Key document for {path}." if _PATH.match(path) else "This is not the path of a key.",
                advice=f"There are {', '.join(sorted(known)[:8])}." if known else "Apply a Key document first.",
            )
        owner = _owner_uid(path, self.current.uids)
        return owner, uid, await self._keys.metadata(owner, path)

    def _credential(self, path: str) -> CredentialKind:
        """What the secret of a key is to be, by its document."""
        document = self.current.documents.get(("Key", owner_of(path) or "", path))
        return document.credential if isinstance(document, Key) else "api_key"

    async def _change_key(
        self, action: KeyAction, after: KeyState, actor: str, change: Callable[[], Awaitable[KeyInfo]]
    ) -> KeyInfo:
        number = self.current.generation.number
        drafts = self._key_drafts(action, after, actor, self._ledger.new_id(), number)
        async with self._intents.noted(Intent("key", actor, done=drafts, key=after)):
            info = await change()
            await self._intents.write(drafts)
        return info

    def _key_drafts(self, action: KeyAction, state: KeyState, actor: str, call: str, number: int) -> list[StoredDraft]:
        payload = entry.KeyChanged(action=action, path=state.path, key_uid=state.uid, version=state.version)
        return self._intents.drafts((OPERATOR, state.owner_uid), actor, call, number, payload)

    # -- key-encryption key ----------------------------------------------------------------------------------------

    @to_its_end
    async def kek_rotate(self, actor: str) -> KekRotation:
        """Re-wrap every tenant key with a new key-encryption key. Raises Refused `wrong_use` where only a person can
        write the new one; Fault, after which it is to be repeated."""
        async with self._one_change():
            number, call = self.current.generation.number, self._ledger.new_id()
            placeholder = entry.KekRotated(old=self._keys.kek_id, new="", rewrapped=0)
            drafts = self._intents.drafts([OPERATOR], actor, call, number, placeholder)
            intent = Intent("kek", actor, done=drafts, generation=number, kek=self._keys.kek_id)
            async with self._intents.noted(intent):
                rotation = await self._keys.rotate_kek()
                await self._intents.write(self._intents.told(intent, rotation.owners))
            return rotation

    # -- all ---------------------------------------------------------------------------------------------------------

    @to_its_end
    async def recover(self) -> int:
        """Settle what a crash left open; its number. Called when the home is opened, before anything is served."""
        async with self._lock:
            return await self._intents.settle()

    @asynccontextmanager
    async def _one_change(self, *, takes_away: bool = False) -> AsyncIterator[None]:
        """Alone, on a settled state; what is committed is what is in force when this is left.

        What takes rights away is not kept waiting by an earlier change that cannot be recorded yet.
        """
        async with self._lock:
            with suppress(Fault) if takes_away else nullcontext():
                await self._intents.settle()
            await self._reconcile()
            try:
                yield
            except BaseException:
                with suppress(Fault):  # the next change tries again
                    await asyncio.shield(self._reconcile())
                raise

    async def _reconcile(self) -> None:
        """Take the committed generation, where a commit failed to us and was made all the same."""
        generation = await self._store.generation()
        if generation.number != self.current.generation.number:
            current = restored(generation, await self._store.identities(), str(self._store.path))
            revoked = [key.id for key in await self._store.api_keys() if key.revoked_ms is not None]
            self._take(current, revoked)

    def _uid(self) -> str:
        return names.uid(self._random(names.UID_RANDOM_BYTES))


def credential_of(row: ApiKeyRow, tenant: str, agent: str) -> Credential:
    """An API key's row as the index holds it."""
    return Credential(
        id=row.id,
        tenant=tenant,
        tenant_uid=row.tenant_uid,
        agent=agent,
        agent_uid=row.agent_uid,
        scopes=scopes_of(row.scopes),
        hash=row.hash,
        pepper=row.pepper,
        expires_ms=row.expires_ms,
        revoked=row.revoked_ms is not None,
    )


def _owner_uid(path: str, uids: Mapping[str, str]) -> str:
    tenant = owner_of(path)
    return OPERATOR if tenant is None else uids[f"tenant/{tenant}"]


def _there(path: str, info: KeyInfo | None) -> KeyInfo:
    if info is None:
        raise Refused("not_found", f"The key {path} was never put.", advice=f"Put it with `sekimori key put {path}`.")
    return info
