"""The verbs: name, arguments, what they do. One table for every caller: the socket, and a command that opens the home.

Arguments are structs, so what comes over the socket is checked like what comes from the command line. Answers are
structs too and travel as JSON. Who asks is the uid the kernel names; today the home's own user and root may do all.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct, structs

from sekimori.control import records
from sekimori.control.arguments import (
    Adopt,
    Args,
    EgressCheck,
    Explain,
    File,
    Files,
    Issue,
    Listing,
    Logs,
    Nothing,
    Path,
    Put,
    Revoke,
    Show,
    Usage,
)
from sekimori.control.changes import Applied, Issued, Unfit
from sekimori.control.examine import examine
from sekimori.control.home import Home
from sekimori.control.owner import Progress
from sekimori.db import By
from sekimori.errors import Fault, Refusal, Refused
from sekimori.meter import usage_report
from sekimori.policy import documents, egress
from sekimori.policy.documents import Change, Documents, Invalid, Problem
from sekimori.policy.explain import Explanation, explain, table_of
from sekimori.policy.kinds import Key
from sekimori.policy.snapshot import Snapshot
from sekimori.terms import OPERATOR
from sekimori.vault.index import KeyInfo
from sekimori.vault.secret import Secret


class ChangeView(Struct, frozen=True):
    """A change as people read it."""

    action: str
    kind: str
    tenant: str | None
    name: str
    text: str
    """As `diff` prints it."""


class Difference(Struct, frozen=True):
    generation: int
    """The committed one before, or the new one after an apply."""
    changes: list[ChangeView]
    warnings: list[Problem]
    revoked: list[str] = []


class ApiKeyView(Struct, frozen=True):
    """An API key as lists show it; never its text or hash."""

    id: str
    tenant: str
    agent: str
    scopes: list[str]
    state: str
    """`active`, `expired` or `revoked`."""
    created_ms: int
    expires_ms: int | None
    note: str


class KeyView(Struct, frozen=True):
    """A provider key as lists show it."""

    path: str
    provider: str
    state: str
    """`missing` (its document is there, its secret was never put), `ready` or `frozen`."""
    version: int
    changed_ms: int | None
    note: str


Handler = Callable[[Home, Any, str, Progress], Awaitable[object]]


async def answer(home: Home, verb: str, args: Raw | bytes, uid: int, progress: Progress) -> object:
    """Do what `verb` says for the process user `uid`. Raises Refusal, and nothing else."""
    entry = VERBS.get(verb)
    if entry is None:
        raise Refused("wrong_use", f"This server has no verb `{verb[:40]}`.", advice="Use the same version.")
    shape, handler = entry
    try:
        given = msgspec.json.decode(args, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("wrong_use", f"`{verb}`: {str(error).split(' - at ')[0]}.") from error
    try:
        result = await handler(home, given, f"uid:{uid}", progress)
    except Refusal as refusal:
        home.log.info("verb", verb=verb, uid=uid, reason=refusal.reason)
        raise
    except Exception as error:
        home.log.exception("verb.failed", error, verb=verb, uid=uid)
        text = f"`sekimori {verb}` failed unexpectedly: {type(error).__name__}."
        raise Fault("internal", text, advice="The log says where; nothing was said to be done.") from error
    home.log.info("verb", verb=verb, uid=uid)
    return result


def read(files: Sequence[File]) -> Documents:
    """The documents of some files. Raises `Unfit` with every problem of all of them."""
    located: list[documents.Located] = []
    problems: list[Problem] = []
    for file in files:
        try:
            located += documents.parse(file.data, file.name)
        except Invalid as error:
            problems += error.problems
    if not problems:
        try:
            return Documents(located)
        except Invalid as error:
            problems += error.problems
    raise Unfit(problems)


def _views(changes: Sequence[Change]) -> list[ChangeView]:
    return [ChangeView(one.action, one.kind, one.tenant, one.name, str(one)) for one in changes]


async def check(home: Home, args: Files, actor: str, progress: Progress) -> Difference:
    # Beside the event loop, which answers calls meanwhile: thousands of documents take a good part of a second.
    given = await asyncio.to_thread(read, args.files)
    _, changes, warnings = await asyncio.to_thread(home.changes.proposed, given, prune=args.prune)
    return Difference(home.current.generation.number, _views(changes), warnings)


async def apply(home: Home, args: Files, actor: str, progress: Progress) -> Difference:
    given = await asyncio.to_thread(read, args.files)
    done: Applied = await home.changes.apply(given, actor, prune=args.prune)
    return Difference(done.generation, _views(done.changes), done.warnings, done.revoked)


async def export(home: Home, args: Nothing, actor: str, progress: Progress) -> dict[str, object]:
    current = home.current
    text = await asyncio.to_thread(documents.export, current.documents)
    return {"generation": current.generation.number, "text": text}


async def key_put(home: Home, args: Put, actor: str, progress: Progress) -> KeyInfo:
    return await home.changes.key_put(args.path, Secret(args.secret), actor)


async def key_rotate(home: Home, args: Put, actor: str, progress: Progress) -> KeyInfo:
    return await home.changes.key_rotate(args.path, Secret(args.secret), actor)


async def key_freeze(home: Home, args: Path, actor: str, progress: Progress) -> KeyInfo:
    return await home.changes.key_freeze(args.path, actor)


async def key_unfreeze(home: Home, args: Path, actor: str, progress: Progress) -> KeyInfo:
    return await home.changes.key_unfreeze(args.path, actor)


async def key_list(home: Home, args: Listing, actor: str, progress: Progress) -> list[KeyView]:
    current = home.current
    uids = current.uids
    if args.tenant:
        _tenant_uid(home, args.tenant)
    views = []
    for document in current.documents:
        if not isinstance(document, Key):
            continue
        tenant = document.path.split("/")[1] if document.path.startswith("clients/") else ""
        if args.tenant and tenant != args.tenant:
            continue
        owner = uids[f"tenant/{tenant}"] if tenant else OPERATOR
        info = await home.keys.metadata(owner, document.path)
        if info is None or info.uid != uids[f"key/{document.path}"]:
            views.append(KeyView(document.path, document.provider, "missing", 0, None, document.note))
        else:
            state = "frozen" if info.frozen else "ready"
            views.append(KeyView(document.path, document.provider, state, info.version, info.changed_ms, document.note))
    return views


async def apikey_issue(home: Home, args: Issue, actor: str, progress: Progress) -> Issued:
    expires = home.now_ms() + duration_ms(args.expires_in) if args.expires_in else None
    return await home.changes.issue(
        args.tenant, args.agent, actor, scopes=args.scopes, expires_ms=expires, note=args.note
    )


async def apikey_list(home: Home, args: Listing, actor: str, progress: Progress) -> list[ApiKeyView]:
    wanted = _tenant_uid(home, args.tenant) if args.tenant else None
    agents = home.current.agents
    now = home.now_ms()
    views = []
    for row in await home.database.deployment.api_keys():
        if wanted is not None and row.tenant_uid != wanted:
            continue
        tenant, agent = agents.get(row.agent_uid, (row.tenant_uid, row.agent_uid))
        expired = row.expires_ms is not None and row.expires_ms <= now
        state = "revoked" if row.revoked_ms is not None else "expired" if expired else "active"
        views.append(
            ApiKeyView(row.id, tenant, agent, row.scopes.split(","), state, row.created_ms, row.expires_ms, row.note)
        )
    return views


async def apikey_revoke(home: Home, args: Revoke, actor: str, progress: Progress) -> dict[str, object]:
    return {"id": args.id, "revoked": await home.changes.revoke(args.id, actor)}


async def route_explain(home: Home, args: Explain, actor: str, progress: Progress) -> Explanation:
    told = explained(home.snapshot, args)
    tenant = home.snapshot.uid(f"tenant/{args.tenant}")
    if not home.served or tenant is None:
        return told
    return structs.replace(told, resting=tuple(home.health.shown(tenant, told.routes, time.monotonic())))


def explained(snapshot: Snapshot, args: Explain) -> Explanation:
    return explain(
        snapshot,
        args.tenant,
        args.agent,
        dialect=args.dialect,
        model=args.model,
        operation=args.operation,
        needs=frozenset(args.needs),
        scopes=frozenset(args.scopes),
    )


async def object_adopt(home: Home, args: Adopt, actor: str, progress: Progress) -> dict[str, object]:
    await home.changes.objects_adopt(args.path, args.ids, actor, home.objects)
    return {"path": args.path, "ids": args.ids}


async def egress_check(home: Home, args: EgressCheck, actor: str, progress: Progress) -> list[egress.Verdict]:
    """What the list that counts for an agent says of each URL."""
    policy = table_of(home.snapshot, args.tenant, args.agent).egress
    return [egress.judge(url, policy) for url in args.urls]


_COLUMNS: Final[dict[str, By]] = {"tag": "tags", "user": "end_user"}
"""What a report is asked by -> the column of that, where they differ."""


async def usage(home: Home, args: Usage, actor: str, progress: Progress) -> list[usage_report.Line]:
    """Up to what is recorded now: the log is integrated and followed first."""
    await home.ledger.integrate()
    tenants = await home.tenants()
    if args.tenant:
        uid = _tenant_uid(home, args.tenant)
        tenants = {uid: tenants[uid]}
    by: list[By] = [_COLUMNS.get(name, name) for name in args.by]  # type: ignore[arg-type]
    agents = await home.agent_names()
    return await usage_report.report(
        home.database, tenants, agents, by=by, since=args.since, until=args.until, tag=args.tag
    )


async def kek_rotate(home: Home, args: Nothing, actor: str, progress: Progress) -> object:
    progress("re-wrapping tenant keys")
    return await home.changes.kek_rotate(actor)


async def doctor(home: Home, args: Nothing, actor: str, progress: Progress) -> dict[str, object]:
    progress("reading every database whole")
    return {"served": home.served, "findings": await examine(home)}


def duration_ms(text: str) -> int:
    """`90d`, `12h` or `30m` in milliseconds. Raises Refused `wrong_use`."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", text)
    if found is None:
        raise Refused("wrong_use", f"`{text[:40]}` is not a span of time.", advice="Write `90d`, `12h` or `30m`.")
    return int(found[1]) * {"m": 60_000, "h": 3_600_000, "d": 86_400_000}[found[2]]


def _tenant_uid(home: Home, slug: str) -> str:
    uid = home.current.uids.get(f"tenant/{slug}")
    if uid is None:
        known = sorted(name.removeprefix("tenant/") for name in home.current.live if name.startswith("tenant/"))
        raise Refused(
            "not_found",
            f"There is no tenant `{slug[:40]}`.",
            advice=f"There are {', '.join(known[:8])}." if known else "Apply a Tenant document first.",
        )
    return uid


VERBS: Final[dict[str, tuple[type[Args], Handler]]] = {
    "check": (Files, check),
    "diff": (Files, check),
    "apply": (Files, apply),
    "export": (Nothing, export),
    "key put": (Put, key_put),
    "key rotate": (Put, key_rotate),
    "key freeze": (Path, key_freeze),
    "key unfreeze": (Path, key_unfreeze),
    "key list": (Listing, key_list),
    "apikey issue": (Issue, apikey_issue),
    "apikey list": (Listing, apikey_list),
    "apikey revoke": (Revoke, apikey_revoke),
    "route explain": (Explain, route_explain),
    "policy explain": (Explain, route_explain),
    "object adopt": (Adopt, object_adopt),
    "egress check": (EgressCheck, egress_check),
    "usage": (Usage, usage),
    "ledger verify": (Logs, records.verify),
    "ledger show": (Show, records.show),
    "ledger proof": (Show, records.proof),
    "kek rotate": (Nothing, kek_rotate),
    "doctor": (Nothing, doctor),
}
