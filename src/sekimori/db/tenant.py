"""One tenant's own rows (and the operator's own): payloads of its log, cursors of followers, usage by day, objects that
providers keep.

A `TenantStore` is made for one uid and can name no other file; the file says whose it is, and one that was put in
another's place is refused. There is no method that takes SQL or a table's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, Literal, TypeVar

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import Insert, insert

from sekimori.db.files import Files, Kind, meta_table
from sekimori.errors import Fault
from sekimori.ledger.entry import Row

T = TypeVar("T")

_metadata = sa.MetaData()
_meta = meta_table(_metadata)
_entry = sa.Table(
    "entry",
    _metadata,
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("id", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("call", sa.LargeBinary),
    sa.Column("kind", sa.Integer, nullable=False),
    sa.Column("class", sa.Integer, nullable=False),
    sa.Column("time_ms", sa.Integer, nullable=False),
    sa.Column("daykey", sa.Text, nullable=False),
    sa.Column("ciphertext", sa.LargeBinary),
)
_cursor = sa.Table(
    "cursor",
    _metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
)
_BY: Final = ("day", "agent", "key", "provider", "model", "currency")
_SUMS: Final = ("uses", "answered", "input", "output", "cached", "cache_write", "reasoning", "estimated")
_COSTS: Final = ("cost_nano", "unpriced")
_usage = sa.Table(
    "usage",
    _metadata,
    *(sa.Column(name, sa.Text, primary_key=True, nullable=False) for name in _BY),
    *(sa.Column(name, sa.Integer, nullable=False) for name in (*_SUMS, *_COSTS)),
)
_FOR: Final = ("end_user", "session", "tags")
_usage_for = sa.Table(
    "usage_for",
    _metadata,
    *(sa.Column(name, sa.Text, primary_key=True, nullable=False) for name in (*_BY, *_FOR)),
    *(sa.Column(name, sa.Integer, nullable=False) for name in (*_SUMS, *_COSTS)),
)
"""Those of the sums in `usage` whose calls said whom or what they are for; each use stands in one row at most."""

_object = sa.Table(
    "object",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True, nullable=False),
    sa.Column("key_uid", sa.Text, primary_key=True, nullable=False),
    sa.Column("minted_ms", sa.Integer, nullable=False),
    sa.Column("call", sa.LargeBinary, nullable=False),
    sa.Column("hop", sa.Integer, nullable=False),
    sa.Column("model", sa.Text, nullable=False, server_default=""),
    sa.Column("open", sa.Text, nullable=False, server_default=""),
)
sa.Index("object_age", _object.c.minted_ms)
sa.Index("object_open", _object.c.call, sqlite_where=_object.c.key_uid == "")
OBJECTS: Final = "objects"
"""The follower that writes them."""


KIND: Final = Kind(_metadata, _meta, {}, added=(_usage_for, _object), grown=(_object.c.model, _object.c.open))

By = Literal["day", "agent", "key", "provider", "model", "currency", "end_user", "session", "tags"]


class UsageRow(Struct, frozen=True):
    """What was used, summed. The first nine say of what; empty where a report sums over it."""

    day: str = ""
    """`YYYY-MM-DD`, UTC."""
    agent: str = ""
    """The agent's uid."""
    key: str = ""
    """Path of the provider key."""
    provider: str = ""
    model: str = ""
    currency: str = ""
    end_user: str = ""
    session: str = ""
    tags: str = ""
    """All cost tags of a use, sorted, with commas between them: a use is in one row, however many tags it has."""
    uses: int = 0
    """Hops for which the key was lent."""
    answered: int = 0
    """Of these, answered whole."""
    input: int = 0
    """Tokens, of which `cached` were read from the provider's cache."""
    output: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    estimated: int = 0
    """Uses whose tokens are our estimate, because the provider's figures never came."""
    cost_nano: int = 0
    """10^-9 of `currency`, of the uses that have a price."""
    unpriced: int = 0
    """Uses without a known price: their cost is not in `cost_nano`."""


class ObjectRow(Struct, frozen=True):
    """An object that a provider keeps for the tenant."""

    id: str
    """The provider's own."""
    key_uid: str
    """Of the key that it was minted with; empty while only the first of its call's two entries was followed."""
    minted_ms: int
    call: str
    """Canonical UUID."""
    hop: int
    model: str = ""
    """`provider/model` that made it; empty where nobody knows (it was adopted, or minted by an earlier release)."""
    open: str = ""
    """What was estimated for work that goes on (upstream/objects has the form); empty where nothing is."""


class Late(Struct, frozen=True):
    """What the second of a call's two entries says of objects whose first an earlier slice ended with."""

    call: str
    hop: int
    key_uid: str
    model: str
    began: str = ""
    """The one of them that is `open`."""
    open: str = ""


class TenantStore:
    """Raises `Fault('home_damaged' | 'store_unavailable')` from every method; see `Files.run`."""

    def __init__(self, files: Files, path: Path, uid: str) -> None:
        self._files = files
        self.path = path
        self.uid = uid

    async def create(self) -> None:
        """Make the file if there is none; durable before a generation names the tenant."""
        await self._files.create(self.path, KIND, self.uid, {})

    async def check(self) -> None:
        """Read the file whole. Raises `Fault('home_damaged')`."""
        await self._files.check(self.path, KIND, self.uid)

    async def put_entries(self, rows: Sequence[Row]) -> None:
        """Store payloads; a position that is there already stays as it is."""
        if rows:
            await self._run(lambda connection: _put(connection, rows))

    async def entries(self, start: int, end: int) -> list[Row]:
        """Rows with start <= index < end, by index."""
        query = sa.select(_entry).where(_entry.c.position >= start, _entry.c.position < end).order_by(_entry.c.position)
        return await self._run(
            lambda connection: [
                Row(
                    index=position,
                    id=_text(id),
                    call=None if call is None else _text(call),
                    kind=kind,
                    class_=class_,
                    time=time_ms,
                    daykey=daykey,
                    ciphertext=ciphertext,
                )
                for position, id, call, kind, class_, time_ms, daykey, ciphertext in connection.execute(query)
            ]
        )

    async def find_entry(self, id: str) -> int | None:
        """Position of the entry of this id (a UUID in its canonical form)."""
        query = sa.select(_entry.c.position).where(_entry.c.id == _bytes(id))
        return await self._run(lambda connection: connection.execute(query).scalar())

    async def cursor(self, name: str) -> int:
        """The first position that the follower of this name has not taken."""
        query = sa.select(_cursor.c.position).where(_cursor.c.name == name)
        return await self._run(lambda connection: connection.execute(query).scalar() or 0)

    async def add_usage(self, name: str, start: int, end: int, rows: Iterable[UsageRow]) -> None:
        """Add `rows` to the sums and move the cursor `name` from `start` to `end`, in one transaction.

        Raises `Fault('internal')`, changing nothing, where the cursor is not at `start`: nothing is counted twice.
        """
        rows = list(rows)
        values = [tuple(getattr(row, field) for field in _USAGE) for row in rows]
        said = [row for row in rows if row.end_user or row.session or row.tags]
        values_for = [tuple(getattr(row, field) for field in _USAGE_FOR) for row in said]

        def work(connection: sa.Connection) -> None:
            _move_cursor(connection, name, start, end)
            if values:
                connection.exec_driver_sql(_ADD, values)
            if values_for:
                connection.exec_driver_sql(_ADD_FOR, values_for)

        await self._run(work)

    async def put_objects(
        self,
        start: int,
        end: int,
        minted: Sequence[ObjectRow],
        keys: Sequence[Late],
        horizon_ms: int,
        closed: Sequence[tuple[str, str]] = (),
        gone: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Add objects, complete those of earlier slices by `keys`, close and delete those of these (id, key uid),
        forget those minted before `horizon_ms`, and move the cursor `objects`, in one transaction. Raises as
        `add_usage`."""
        rows = [(one.id, one.key_uid, one.minted_ms, _bytes(one.call), one.hop, one.model, one.open) for one in minted]

        def work(connection: sa.Connection) -> None:
            _move_cursor(connection, OBJECTS, start, end)
            for one in keys:
                opened = sa.case((_object.c.id == one.began, one.open), else_="")
                late = sa.update(_object).prefix_with("OR REPLACE")
                late = late.values(key_uid=one.key_uid, model=one.model, open=opened)
                late = late.where(_object.c.call == _bytes(one.call), _object.c.hop == one.hop, _object.c.key_uid == "")
                connection.execute(late)
            if rows:
                connection.exec_driver_sql(_PUT_OBJECT, rows)
            for id, key_uid in closed:
                this = (_object.c.id == id, _object.c.key_uid == key_uid)
                connection.execute(sa.update(_object).values(open="").where(*this))
            for id, key_uid in gone:
                connection.execute(sa.delete(_object).where(_object.c.id == id, _object.c.key_uid == key_uid))
            connection.execute(sa.delete(_object).where(_object.c.minted_ms < horizon_ms))

        await self._run(work)

    async def objects(self, ids: Sequence[str]) -> tuple[int, list[ObjectRow]]:
        """(the cursor `objects`, rows of these ids). Rows without a key are not told."""
        query = sa.select(_object).where(_object.c.id.in_(ids), _object.c.key_uid != "")
        cursor = sa.select(_cursor.c.position).where(_cursor.c.name == OBJECTS)

        def work(connection: sa.Connection) -> tuple[int, list[ObjectRow]]:
            found = connection.execute(query)
            rows = [
                ObjectRow(id, key, ms, _text(call), hop, model, open_) for id, key, ms, call, hop, model, open_ in found
            ]
            return connection.execute(cursor).scalar() or 0, rows

        return await self._run(work)

    async def usage(self, by: Sequence[By], since: str, until: str, tag: str = "") -> list[UsageRow]:
        """Sums of the days from `since` to `until` inclusive, by the named columns and the currency, in their order.

        `tag`: only uses that carry this cost tag.
        """
        source = _source(any(name in _FOR for name in by), tag)
        columns = [source.c[name] for name in dict.fromkeys((*by, "currency"))]
        sums = [sa.func.sum(source.c[name]).label(name) for name in (*_SUMS, *_COSTS)]
        query = sa.select(*columns, *sums).where(source.c.day >= since, source.c.day <= until)
        query = query.group_by(*columns).having(sa.func.sum(source.c.uses) != 0).order_by(*columns)
        return await self._run(lambda connection: [UsageRow(**row) for row in connection.execute(query).mappings()])

    async def used(self, name: str, since: str) -> tuple[int, list[UsageRow]]:
        """(position of the follower `name`, its sums from a day on by day, agent, key and tags), as of one moment."""
        source = _source(True, "")
        columns = [source.c[column] for column in ("day", "agent", "key", "tags")]
        sums = [sa.func.sum(source.c[column]).label(column) for column in (*_SUMS, *_COSTS)]
        query = sa.select(*columns, *sums).where(source.c.day >= since).group_by(*columns)
        at = sa.select(_cursor.c.position).where(_cursor.c.name == name)

        def work(connection: sa.Connection) -> tuple[int, list[UsageRow]]:
            rows = [UsageRow(**row) for row in connection.execute(query).mappings()]
            return connection.execute(at).scalar() or 0, rows

        return await self._run(work)

    async def _run(self, work: Callable[[sa.Connection], T]) -> T:
        return await self._files.run(self.path, KIND, self.uid, work)


def _source(labelled: bool, tag: str) -> sa.FromClause:
    """The rows that a report sums. With labels: every use once, those that said nothing under empty labels."""
    if tag:
        inside = sa.literal(",") + _usage_for.c.tags + sa.literal(",")
        return sa.select(_usage_for).where(sa.func.instr(inside, f",{tag},") > 0).subquery()
    if not labelled:
        return _usage
    figures = (*_SUMS, *_COSTS)
    empty = [sa.literal("").label(name) for name in _FOR]
    whole = sa.select(*(_usage.c[name] for name in _BY), *empty, *(_usage.c[name] for name in figures))
    # What said something leaves the row of what did not.
    less = sa.select(
        *(_usage_for.c[name] for name in _BY), *empty, *((-_usage_for.c[name]).label(name) for name in figures)
    )
    own = sa.select(*(_usage_for.c[name] for name in (*_BY, *_FOR, *figures)))
    return sa.union_all(whole, less, own).subquery()


def _compiled(statement: Insert) -> str:
    """Handed to the driver as text: these run for every slice of every log, and to build a statement anew costs more
    in Python than SQLite takes to run it. Values come in the order of the table's columns."""
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="qmark")))


def _add(table: sa.Table, of: tuple[str, ...]) -> str:
    added = insert(table)
    summed = {field: table.c[field] + added.excluded[field] for field in (*_SUMS, *_COSTS)}
    return _compiled(added.on_conflict_do_update(index_elements=list(of), set_=summed))


def _move() -> str:
    moved = insert(_cursor)
    return _compiled(
        moved.on_conflict_do_update(index_elements=["name"], set_={"position": moved.excluded["position"]})
    )


def _put_object() -> str:
    """What is only said to exist, by a person, keeps what is known of how it was made."""
    put, was = insert(_object), _object.c
    new = put.excluded
    none: sa.ColumnElement[str] = sa.literal_column("''")
    same = {name: sa.case((new.model == none, was[name]), else_=new[name]) for name in ("model", "open")}
    moved = {name: new[name] for name in ("minted_ms", "call", "hop")}
    return _compiled(put.on_conflict_do_update(index_elements=["id", "key_uid"], set_=same | moved))


_PUT_OBJECT: Final = _put_object()
_PUT: Final = _compiled(insert(_entry).on_conflict_do_nothing(index_elements=["position"]))
_ADD: Final = _add(_usage, _BY)
_ADD_FOR: Final = _add(_usage_for, (*_BY, *_FOR))
_MOVE: Final = _move()
_USAGE: Final = (*_BY, *_SUMS, *_COSTS)
_USAGE_FOR: Final = (*_BY, *_FOR, *_SUMS, *_COSTS)


def _put(connection: sa.Connection, rows: Sequence[Row]) -> None:
    calls: dict[str | None, bytes | None] = {None: None}  # the entries of a call stand together
    values = []
    for row in rows:
        call = calls.get(row.call)
        if call is None and row.call is not None:
            call = calls[row.call] = _bytes(row.call)
        values.append((row.index, _bytes(row.id), call, row.kind, row.class_, row.time, row.daykey, row.ciphertext))
    connection.exec_driver_sql(_PUT, values)


def _move_cursor(connection: sa.Connection, name: str, start: int, end: int) -> None:
    """Raises `Fault('internal')` where the cursor is not at `start`: then nothing may be taken a second time."""
    at = connection.execute(sa.select(_cursor.c.position).where(_cursor.c.name == name)).scalar() or 0
    if at != start:
        raise Fault("internal", f"The cursor {name} is at {at}, not at {start}.", advice="Restart the server.")
    connection.exec_driver_sql(_MOVE, (name, end))


def _bytes(uuid: str) -> bytes:
    return bytes.fromhex(uuid.replace("-", ""))


def _text(uuid: bytes) -> str:
    text = uuid.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
