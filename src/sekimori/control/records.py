"""Reading the record: entries, proofs, and whether the logs hold. The ledger is brought up to date first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from sekimori.control.arguments import Logs, Show
from sekimori.control.home import Home
from sekimori.control.owner import Progress
from sekimori.db import Rows
from sekimori.errors import Refused
from sekimori.ledger import entry
from sekimori.ledger.log import fetch
from sekimori.ledger.note import Key
from sekimori.ledger.protocols import Recorded
from sekimori.ledger.verify import verify_log
from sekimori.terms import OPERATOR

MOST: Final = 1000
"""Entries shown at once."""


class EntryView(Struct, frozen=True):
    """An entry as people read it."""

    log: str
    """`operator` or the tenant's slug."""
    index: int
    kind: str
    class_: str
    leaf: Any
    payload: Any
    """None where it cannot be shown; `state` says why."""
    state: str


class LogView(Struct, frozen=True):
    """What verifying one log came to."""

    log: str
    ok: bool
    origin: str
    size: int
    runs: int
    root: str
    payloads: dict[str, int]
    """How many payloads are present, purged, missing, altered or of an unknown schema."""
    problems: list[str]


async def verify(home: Home, args: Logs, actor: str, progress: Progress) -> list[LogView]:
    """Derive every log anew from its files, and compare payloads with what the leaves committed to."""
    await home.ledger.integrate()
    views = []
    for uid, name in (await _logs(home, args.log)).items():
        signer = await home.keys.signer(entry.origin(home.name, uid))
        directory = home.settings.home / "ledger" / uid
        report = await verify_log(
            fetch(directory),
            Key(signer.name, signer.public),
            files=_files(directory),
            rows=Rows(home.database),
            keys=home.keys,
            live=True,
            progress=lambda done, total, name=name: progress(f"{name}: {done} of {total} entries"),  # type: ignore[misc]
        )
        trouble = home.ledger.troubles.get(uid)
        problems = [*report.problems, *([trouble.text] if trouble is not None and not report.problems else [])]
        views.append(
            LogView(
                log=name,
                ok=not problems,
                origin=report.origin,
                size=report.size,
                runs=report.runs,
                root=report.root.hex(),
                payloads=report.payloads,
                problems=problems,
            )
        )
    return views


def _files(directory: Path) -> Iterator[str]:
    return (str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


async def show(home: Home, args: Show, actor: str, progress: Progress) -> list[EntryView]:
    """One entry by its id, or the newest of a log, oldest first."""
    await home.ledger.integrate()
    if args.record:
        uid, name, index = await _find(home, args)
        return [_view(name, one) for one in await home.ledger.entries(uid, index, index + 1)]
    if not 1 <= args.last <= MOST:
        raise Refused("wrong_use", f"At most {MOST} entries are shown at once.", advice="Give a smaller `--last`.")
    [(uid, name)] = (await _logs(home, args.log or OPERATOR)).items()
    size = home.ledger.size(uid)
    return [_view(name, one) for one in await home.ledger.entries(uid, max(0, size - args.last), size)]


async def proof(home: Home, args: Show, actor: str, progress: Progress) -> dict[str, object]:
    """The C2SP tlog-proof of an entry, and what is needed to check it offline."""
    await home.ledger.integrate()
    uid, name, index = await _find(home, args)
    text = await home.ledger.proof(uid, args.record)
    signer = await home.keys.signer(entry.origin(home.name, uid))
    [recorded] = await home.ledger.entries(uid, index, index + 1)
    return {
        "log": name,
        "index": index,
        "leaf": entry.leaf_bytes(recorded.leaf).decode(),
        "key": str(Key(signer.name, signer.public)),
        "proof": text,
    }


def _view(name: str, one: Recorded) -> EntryView:
    class_ = entry.CLASSES.get(one.leaf.class_)
    return EntryView(
        log=name,
        index=one.index,
        kind=entry.KINDS.get(one.leaf.kind, str(one.leaf.kind)),
        class_=class_.name if class_ is not None else str(one.leaf.class_),
        leaf=msgspec.to_builtins(one.leaf),
        payload=None if one.payload is None else msgspec.to_builtins(one.payload),
        state=one.state,
    )


async def _logs(home: Home, wanted: str) -> dict[str, str]:
    """Uid -> name of the logs there are, or of the one named by slug, uid or `operator`."""
    names = {OPERATOR: OPERATOR, **await home.tenants()}
    there = {uid: names.get(uid, uid) for uid in home.ledger.logs()}
    if not wanted:
        return there
    found = {uid: name for uid, name in there.items() if wanted in (uid, name)}
    if len(found) != 1:
        raise Refused(
            "not_found",
            f"There is no log `{wanted[:40]}`." if not found else f"`{wanted[:40]}` names several logs.",
            advice=f"There are {', '.join(sorted(there.values())[:8])}; or name it by its uid."
            if there
            else "Nothing has been recorded yet; the first change or call begins a log.",
        )
    return found


async def _find(home: Home, args: Show) -> tuple[str, str, int]:
    if entry.is_uuid7(args.record) is None:
        raise Refused(
            "wrong_use",
            "This is not the id of an entry.",
            advice="Take it from the reply header `x-sekimori-record`, or from `sekimori ledger show`.",
        )
    for uid, name in (await _logs(home, args.log)).items():
        index = await home.ledger.find(uid, args.record)
        if index is not None:
            return uid, name, index
    raise Refused("not_found", f"There is no entry {args.record}.", advice="`sekimori ledger show` lists the newest.")
