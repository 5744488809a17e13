"""What an open home lacks or suffers from, and the fix: the inner half of `sekimori doctor`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Literal

from msgspec import Struct

from sekimori.control.home import Home
from sekimori.errors import Fault
from sekimori.ledger.entry import Applied
from sekimori.policy.kinds import Agent, Key, Provider, Route, Tenant, owner_of
from sekimori.terms import OPERATOR

SLICE: Final = 256
State = Literal["ok", "note", "missing", "fault"]


class Finding(Struct, frozen=True):
    """One thing that was looked at."""

    state: State
    """`note`: works, but is likely not meant. `missing`: not set up. `fault`: broken."""
    what: str
    text: str
    fix: str = ""

    @property
    def exit_status(self) -> int:
        return {"ok": 0, "note": 0, "missing": 1, "fault": 3}[self.state]


async def examine(home: Home) -> list[Finding]:
    return [finding async for finding in _examine(home)]


async def _examine(home: Home) -> AsyncIterator[Finding]:
    current = home.current
    yield Finding("ok", "deployment", f"{home.name}, generation {current.generation.number}")
    yield await _databases(home)
    yield Finding("ok", "vault", f"opens with {home.keys.kek_id}")
    if (unfinished := home.keys.rotation_fault) is not None:
        yield Finding("fault", "vault", f"a key rotation is unfinished: {unfinished.text}", unfinished.advice)
    for what, fault in home.ledger.troubles.items():
        yield Finding("fault", f"ledger {what}", fault.text, fault.advice)
    if not home.ledger.troubles:
        yield Finding("ok", "ledger", f"{len(home.ledger.logs())} logs; `sekimori ledger verify` looks at every byte")
    if open_changes := await home.database.deployment.pending():
        text = f"{len(open_changes)} changes are not recorded to their end yet"
        yield Finding("fault", "changes", text, "They are with the next change, once the ledger can be written.")
    yield await _recorded(home)
    for finding in _documents(home):
        yield finding
    async for finding in _keys(home):
        yield finding


async def _recorded(home: Home) -> Finding:
    """Whether the documents in force are those whose digest the ledger has: the database alone could be rewritten."""
    generation = home.current.generation
    await home.ledger.integrate()
    end = home.ledger.size(OPERATOR)
    while generation.number and end > 0:
        start = max(0, end - SLICE)
        for one in reversed(await home.ledger.entries(OPERATOR, start, end)):
            said = one.payload
            if isinstance(said, Applied) and said.outcome == "applied" and said.generation == generation.number:
                if said.digest == f"sha256:{generation.digest}":
                    return Finding(
                        "ok", "record", f"generation {generation.number} is what the ledger says was applied"
                    )
                text = f"generation {generation.number} is not what the ledger says was applied"
                fix = "Somebody changed the database by hand: restore it from a backup, and find out who."
                return Finding("fault", "record", text, fix)
        end = start
    if generation.number:
        return Finding("fault", "record", f"generation {generation.number} is not in the operator's log", "See above.")
    return Finding("ok", "record", "nothing was applied yet")


async def _databases(home: Home) -> Finding:
    try:
        await home.database.deployment.check()
        for uid in (OPERATOR, *await home.tenants()):
            await home.database.tenant(uid).check()
    except Fault as fault:
        return Finding("fault", "database", fault.text, fault.advice)
    return Finding("ok", "database", "every file was read whole and is sound")


def _documents(home: Home) -> list[Finding]:
    found = list(home.current.documents)
    wanted = ((Tenant, "tenant"), (Agent, "agent"), (Provider, "provider"), (Key, "key"), (Route, "route"))
    absent = [name for kind, name in wanted if not any(isinstance(one, kind) for one in found)]
    if absent:
        text = f"there is no {', no '.join(absent)}"
        return [
            Finding("missing", "documents", text, "Write documents (docs/resources.md) and `sekimori apply -f FILE`.")
        ]
    return [Finding("ok", "documents", f"{len(found)} in force")]


async def _keys(home: Home) -> AsyncIterator[Finding]:
    current = home.current
    uids = current.uids
    for document in current.documents:
        if isinstance(document, Key):
            tenant = owner_of(document.path)
            owner = OPERATOR if tenant is None else uids[f"tenant/{tenant}"]
            info = await home.keys.metadata(owner, document.path)
            if info is None or info.uid != uids[f"key/{document.path}"]:
                fix = f"`sekimori key put {document.path}` reads it from standard input."
                yield Finding("missing", f"key {document.path}", "its secret was never put", fix)
            elif info.frozen:
                fix = f"`sekimori key unfreeze {document.path}` when it may be used again."
                yield Finding("note", f"key {document.path}", "is frozen", fix)
    now = home.now_ms()
    usable = {
        key.agent_uid
        for key in await home.database.deployment.api_keys()
        if key.revoked_ms is None and (key.expires_ms is None or key.expires_ms > now)
    }
    for uid, (tenant, agent) in sorted(current.agents.items(), key=lambda item: item[1]):
        if uid not in usable:
            fix = f"`sekimori apikey issue {tenant} {agent}`."
            yield Finding("missing", f"agent {tenant}/{agent}", "has no API key in force", fix)
