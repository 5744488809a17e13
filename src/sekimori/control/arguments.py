"""Arguments of the verbs, apart from what carries them out: who only asks an owner loads nothing else."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from sekimori.terms import Dialect, Operation, Scope

By = Literal["day", "agent", "key", "provider", "model", "tag", "user", "session"]


class Args(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Arguments of a verb."""


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of documents, read by the caller: the owner may not see the caller's folder."""

    name: str
    data: bytes


class Files(Args, frozen=True):
    files: tuple[File, ...]
    prune: bool = False
    """The files are the whole set: what they do not name is deleted."""


class Nothing(Args, frozen=True):
    pass


class Path(Args, frozen=True):
    path: str


class Put(Args, frozen=True):
    path: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Put(path={self.path!r}, secret=[secret])"


class Issue(Args, frozen=True):
    tenant: str
    agent: str
    scopes: tuple[Scope, ...] = ()
    expires_in: str = ""
    """`90d`, `12h`, `30m`; empty for never."""
    note: str = ""


class Revoke(Args, frozen=True):
    id: str


class Listing(Args, frozen=True):
    tenant: str = ""


class Explain(Args, frozen=True):
    tenant: str
    agent: str
    model: str
    dialect: Dialect = "openai"
    operation: Operation = "chat"
    needs: tuple[str, ...] = ()
    scopes: tuple[Scope, ...] = ("write",)


class Usage(Args, frozen=True):
    by: tuple[By, ...] = ()
    tenant: str = ""
    since: str = ""
    until: str = "9999-12-31"
    tag: str = ""
    """Only calls that carry this cost tag."""


class Adopt(Args, frozen=True):
    path: str
    ids: tuple[str, ...]


class EgressCheck(Args, frozen=True):
    urls: tuple[str, ...]
    tenant: str
    agent: str


class Logs(Args, frozen=True):
    log: str = ""
    """`operator`, a tenant's slug, or the uid of one that is gone; empty for all."""


class Show(Args, frozen=True):
    record: str = ""
    log: str = ""
    last: int = 20
