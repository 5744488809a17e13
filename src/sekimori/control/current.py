"""The committed generation as the process holds it: documents, uids, and the snapshot the gateway decides on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from sekimori.db import Generation, Identity
from sekimori.errors import Fault
from sekimori.identity.authenticate import Credential
from sekimori.policy import documents
from sekimori.policy.documents import Documents
from sekimori.policy.kinds import Agent
from sekimori.policy.snapshot import Snapshot, compile
from sekimori.terms import Scope

_BETWEEN: Final = b"\n"  # never in the JSON of a document


class Current(Struct, frozen=True):
    """One generation, whole; replaced as one."""

    generation: Generation
    documents: Documents
    live: Mapping[str, Identity]
    """By name: `tenant/T`, `agent/T/A`, `key/PATH`."""
    snapshot: Snapshot

    @property
    def uids(self) -> dict[str, str]:
        return {name: identity.uid for name, identity in self.live.items()}

    @property
    def agents(self) -> dict[str, tuple[str, str]]:
        """Uid of each agent -> (tenant, agent)."""
        return {
            self.live[f"agent/{one.tenant}/{one.name}"].uid: (one.tenant, one.name)
            for one in self.documents
            if isinstance(one, Agent)
        }


def stored(wanted: Documents) -> bytes:
    """The documents as the deployment's file keeps them: canonical JSON, one a line."""
    return _BETWEEN.join(documents.encode(document) for document in wanted)


def compiled(generation: Generation, wanted: Documents, identities: Iterable[Identity]) -> Current:
    """Raises `Fault('policy_unavailable')` where a uid is missing or stands for two things."""
    live = {identity.name: identity for identity in identities if identity.retired_ms is None}
    uids = {name: identity.uid for name, identity in live.items()}
    return Current(generation, wanted, live, compile(wanted, uids, generation.number))


def restored(generation: Generation, identities: Iterable[Identity], file: str) -> Current:
    """The generation as it was stored. Raises `Fault('home_damaged')` where it is not what its digest says."""
    try:
        lines = generation.documents.split(_BETWEEN) if generation.documents else []
        wanted = Documents(documents.decode(line) for line in lines)
    except ValueError as error:
        raise _damaged(generation, file, str(error)) from error
    if documents.digest(wanted) != generation.digest:
        raise _damaged(generation, file, "its digest differs")
    return compiled(generation, wanted, identities)


def _damaged(generation: Generation, file: str, why: str) -> Fault:
    return Fault(
        "home_damaged",
        f"{file}: generation {generation.number} cannot be read: {why}.",
        advice="Restore the file from a backup, or use the version of Sekimori that wrote it.",
    )


def scopes_of(text: str) -> frozenset[Scope]:
    """The scopes of an API key's row."""
    return frozenset(scope for scope in ("read", "write", "admin") if scope in text.split(","))


__all__ = ["Credential", "Current", "compiled", "restored", "scopes_of", "stored"]
