"""The deployment's own rows: generations of documents, names and their uids, API keys, changes under way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import sqlalchemy as sa
from msgspec import Struct

from sekimori.db.files import Files, Kind, made, meta_table
from sekimori.errors import Fault

T = TypeVar("T")

_metadata = sa.MetaData()
_meta = meta_table(_metadata)
_generation = sa.Table(
    "generation",
    _metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("time_ms", sa.Integer, nullable=False),
    sa.Column("documents", sa.LargeBinary, nullable=False),
)
_switch = sa.Table(
    "switch",
    _metadata,
    sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("generation", sa.Integer, sa.ForeignKey("generation.number"), nullable=False),
    sa.CheckConstraint("one = 1"),
)
_identity = sa.Table(
    "identity",
    _metadata,
    sa.Column("uid", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("created_ms", sa.Integer, nullable=False),
    sa.Column("retired_ms", sa.Integer),
)
sa.Index("identity_name", _identity.c.name, unique=True, sqlite_where=_identity.c.retired_ms.is_(None))
_apikey = sa.Table(
    "apikey",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("pepper", sa.Integer, nullable=False),
    sa.Column("tenant_uid", sa.Text, sa.ForeignKey("identity.uid"), nullable=False),
    sa.Column("agent_uid", sa.Text, sa.ForeignKey("identity.uid"), nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("created_ms", sa.Integer, nullable=False),
    sa.Column("expires_ms", sa.Integer),
    sa.Column("revoked_ms", sa.Integer),
)
_pending = sa.Table(
    "pending",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

# What is written once stays: a bug elsewhere cannot rewrite a generation, reuse a uid or revive a revoked key.
_GUARDS: Final = {
    "generation_fixed": "BEFORE UPDATE ON generation BEGIN SELECT RAISE(ABORT, 'a generation is immutable'); END",
    "generation_kept": "BEFORE DELETE ON generation BEGIN SELECT RAISE(ABORT, 'a generation is kept'); END",
    "identity_kept": "BEFORE DELETE ON identity BEGIN SELECT RAISE(ABORT, 'a uid is never reused'); END",
    "identity_fixed": "BEFORE UPDATE OF uid, name, created_ms ON identity "
    "BEGIN SELECT RAISE(ABORT, 'a uid is never reused'); END",
    "identity_retired": "BEFORE UPDATE ON identity WHEN OLD.retired_ms IS NOT NULL "
    "BEGIN SELECT RAISE(ABORT, 'a retired uid stays retired'); END",
    "apikey_kept": "BEFORE DELETE ON apikey BEGIN SELECT RAISE(ABORT, 'an API key is revoked, not deleted'); END",
    "apikey_revoked": "BEFORE UPDATE ON apikey WHEN OLD.revoked_ms IS NOT NULL "
    "BEGIN SELECT RAISE(ABORT, 'a revoked key stays revoked'); END",
    "apikey_fixed": "BEFORE UPDATE OF id, hash, pepper, tenant_uid, agent_uid, scopes, created_ms, expires_ms "
    "ON apikey BEGIN SELECT RAISE(ABORT, 'an API key is not edited'); END",
}

KIND: Final = Kind(_metadata, _meta, _GUARDS)
OWNER: Final = "deployment"


class Generation(Struct, frozen=True):
    """One immutable set of documents."""

    number: int
    digest: str
    actor: str
    time_ms: int
    documents: bytes


class Identity(Struct, frozen=True):
    """A uid and the name it stands for; a name that is freed and taken again gets another uid."""

    uid: str
    name: str
    """`tenant/T`, `agent/T/A` or `key/PATH`, as policy.snapshot.uid_name spells them."""
    created_ms: int
    retired_ms: int | None = None


class ApiKeyRow(Struct, frozen=True):
    """An issued API key; only the keyed hash of its text is here."""

    id: str
    hash: bytes
    pepper: int
    tenant_uid: str
    agent_uid: str
    scopes: str
    """Comma-separated, sorted."""
    note: str
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None


class Pending(Struct, frozen=True):
    """A change that was begun and not yet recorded to its end; recovery finishes or abandons it."""

    id: str
    body: bytes


class DeploymentStore:
    """Raises `Fault('home_damaged' | 'store_unavailable')` from every method; see `Files.run`."""

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self.path = path

    async def create(self, name: str, documents: bytes, digest: str, actor: str, time_ms: int) -> bool:
        """Make the file with generation 0, whole or not at all; False where there is one, which stays."""

        def first(connection: sa.Connection) -> None:
            connection.execute(sa.insert(_generation), _row(Generation(0, digest, actor, time_ms, documents)))
            connection.execute(sa.insert(_switch), {"one": 1, "generation": 0})

        values = {"deployment": name, "created_ms": str(time_ms)}
        return await self._files.create(self.path, KIND, OWNER, values, first)

    @property
    def made(self) -> bool:
        """Whether the file was made, as far as a look at it tells."""
        return made(self.path)

    async def check(self) -> None:
        await self._files.check(self.path, KIND, OWNER)

    async def deployment(self) -> str:
        """The deployment's name, fixed by `init`."""
        return await self._run(
            lambda connection: str(
                connection.execute(sa.select(_meta.c.value).where(_meta.c.name == "deployment")).scalar_one()
            )
        )

    async def generation(self, number: int | None = None) -> Generation:
        """The committed generation, or the one with that number. Raises `Fault('home_damaged')` if there is none."""
        which = sa.select(_switch.c.generation).scalar_subquery() if number is None else sa.literal(number)
        query = sa.select(_generation).where(_generation.c.number == which)
        row = await self._run(lambda connection: connection.execute(query).one_or_none())
        if row is None:
            raise Fault(
                "home_damaged",
                f"{self.path} has no generation {'committed' if number is None else number}.",
                advice=f"Restore {self.path.name} from a backup.",
            )
        return Generation(row.number, row.digest, row.actor, row.time_ms, bytes(row.documents))

    async def commit(
        self, generation: Generation, *, new: Sequence[Identity], retired: Sequence[str], revoked: Sequence[str]
    ) -> None:
        """Make `generation` the committed one, with its identities, in one transaction.

        `retired` are uids, `revoked` ids of API keys. Raises `Fault('internal')` unless the generation follows the
        committed one.
        """

        def work(connection: sa.Connection) -> None:
            current = connection.execute(sa.select(_switch.c.generation)).scalar_one()
            if generation.number != current + 1:
                text = f"Generation {generation.number} does not follow {current}."
                raise Fault("internal", text, advice="Restart the server.")
            connection.execute(sa.insert(_generation), _row(generation))
            if retired:
                changed = connection.execute(
                    sa.update(_identity).where(_identity.c.uid.in_(retired)).values(retired_ms=generation.time_ms)
                )
                assert changed.rowcount == len(retired)
            if new:
                connection.execute(sa.insert(_identity), [_row(one) for one in new])
            if revoked:
                keys = sa.update(_apikey).where(_apikey.c.id.in_(revoked), _apikey.c.revoked_ms.is_(None))
                connection.execute(keys.values(revoked_ms=generation.time_ms))
            connection.execute(sa.update(_switch).values(generation=generation.number))

        await self._run(work)

    async def identities(self) -> list[Identity]:
        """All there ever were, oldest first; at most one of each name is not retired."""
        columns = [_identity.c[name] for name in Identity.__struct_fields__]
        query = sa.select(*columns).order_by(_identity.c.created_ms, _identity.c.uid)
        return await self._run(lambda connection: [Identity(*row) for row in connection.execute(query)])

    async def api_keys(self) -> list[ApiKeyRow]:
        """All ever issued, oldest first."""
        columns = [_apikey.c[name] for name in ApiKeyRow.__struct_fields__]
        query = sa.select(*columns).order_by(_apikey.c.created_ms, _apikey.c.id)
        return await self._run(lambda connection: [ApiKeyRow(*row) for row in connection.execute(query)])

    async def add_api_key(self, key: ApiKeyRow, pending: Pending) -> None:
        """Insert a key together with the change that is to be recorded."""

        def work(connection: sa.Connection) -> None:
            connection.execute(sa.insert(_apikey), _row(key))
            connection.execute(sa.insert(_pending), _row(pending))

        await self._run(work)

    async def revoke_api_key(self, id: str, time_ms: int, pending: Pending | None) -> None:
        """Revoke a key that is not revoked yet, together with the change that is to be recorded."""

        def work(connection: sa.Connection) -> None:
            one = sa.update(_apikey).where(_apikey.c.id == id, _apikey.c.revoked_ms.is_(None))
            connection.execute(one.values(revoked_ms=time_ms))
            if pending is not None:
                connection.execute(sa.insert(_pending), _row(pending))

        await self._run(work)

    async def begin(self, pending: Pending) -> None:
        """Note, durably, a change that is about to be made."""
        await self._run(lambda connection: connection.execute(sa.insert(_pending), _row(pending)) and None)

    async def end(self, id: str) -> None:
        """The change is recorded to its end."""
        await self._run(lambda connection: connection.execute(sa.delete(_pending).where(_pending.c.id == id)) and None)

    async def pending(self) -> list[Pending]:
        """Changes begun and not ended, in the order in which they began."""
        query = sa.select(_pending.c.id, _pending.c.body).order_by(_pending.c.id)
        return await self._run(lambda connection: [Pending(*row) for row in connection.execute(query)])

    async def _run(self, work: Callable[[sa.Connection], T]) -> T:
        return await self._files.run(self.path, KIND, OWNER, work)


def _row(struct: Struct) -> dict[str, object]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}
