"""The only user of the SQL driver: one SQLite file for the deployment, one for every tenant.

**Isolation.** Nothing here hands out a connection. A `TenantStore` is made for one uid and can name no other file.
**Durability.** WAL with `synchronous=FULL`: when a method that writes returns, its transaction is on disk; when it
raises, nothing of it is. Each method is one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sekimori.db.deployment import ApiKeyRow, DeploymentStore, Generation, Identity, Pending
from sekimori.db.files import Files
from sekimori.db.tenant import By, Late, ObjectRow, TenantStore, UsageRow
from sekimori.identity.names import is_uid
from sekimori.ledger.entry import Row
from sekimori.terms import OPERATOR

__all__ = [
    "ApiKeyRow",
    "By",
    "Database",
    "DeploymentStore",
    "Generation",
    "Identity",
    "Late",
    "ObjectRow",
    "Pending",
    "Rows",
    "TenantStore",
    "UsageRow",
]


class Database:
    """The stores of one home. `close` when done."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._files = Files()
        self.deployment = DeploymentStore(self._files, home / "deployment.sqlite")

    def tenant(self, uid: str) -> TenantStore:
        """The store of one tenant's uid, or of `operator`. Raises ValueError for anything else: it becomes a path."""
        if uid != OPERATOR and not is_uid(uid):
            raise ValueError("not a tenant's uid")
        return TenantStore(self._files, self._home / "tenants" / f"{uid}.sqlite", uid)

    async def close(self) -> None:
        await self._files.close()


class Rows:
    """The ledger's `Rows`: the payloads of a log live in its owner's own file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, log: str, rows: Sequence[Row]) -> None:
        await self._database.tenant(log).put_entries(rows)

    async def get(self, log: str, start: int, end: int) -> list[Row]:
        return await self._database.tenant(log).entries(start, end)

    async def find(self, log: str, id: str) -> int | None:
        return await self._database.tenant(log).find_entry(id)
