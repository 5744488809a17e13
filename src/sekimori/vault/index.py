"""What an owner has: the index of its provider keys. Pure.

The store holds it as one encrypted file: not because paths are secret, but so that a `frozen` that somebody changed
on disk does not open.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from sekimori.errors import Refused
from sekimori.identity import names
from sekimori.terms import OPERATOR


class KeyInfo(Struct, frozen=True):
    """What may be said of a provider key. Never the key."""

    path: str
    """`operator/<name>` or `clients/<tenant>/<name>`."""
    uid: str
    owner_uid: str
    version: int
    """From 1; each rotation adds one."""
    created_ms: int
    changed_ms: int
    """When this version was put."""
    by: str
    """Who put this version."""
    frozen: bool


class Index(Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of one owner."""

    keys: tuple[KeyInfo, ...] = ()
    destroyed: tuple[str, ...] = ()
    """Uids that were in use and never will be again."""


def by_uid(index: Index, uid: str) -> KeyInfo | None:
    """The key of a uid; None where there is none, or it is destroyed."""
    return next((info for info in index.keys if info.uid == uid), None)


def at(index: Index, path: str) -> KeyInfo:
    """The key at a path. Raises Refused `not_found`."""
    for info in index.keys:
        if info.path == path:
            return info
    raise Refused("not_found", f"There is no key at {path}.", advice=f"Run `sekimori key put {path}`.")


def replaced(index: Index, after: KeyInfo) -> Index:
    """The index with what is now said of one key."""
    keys = tuple(after if info.uid == after.uid else info for info in index.keys)
    return msgspec.structs.replace(index, keys=keys)


def check_path(owner_uid: str, path: str) -> None:
    """Raises Refused `wrong_use` unless the path is of a form that this kind of owner has."""
    parts = path.split("/")
    operators = len(parts) == 2 and parts[0] == OPERATOR
    clients = len(parts) == 3 and parts[0] == "clients" and names.is_slug(parts[1])
    if not (operators or clients) or (owner_uid == OPERATOR) != operators:
        raise Refused(
            "wrong_use", f"`{path}` is not a key's path.", advice="Write operator/NAME or clients/TENANT/NAME."
        )
    wrong = names.slug_fault(parts[-1])
    if wrong is not None:
        raise Refused("wrong_use", f"`{path}` does not end in a key's name.", advice=wrong)
