"""SQLite files: opened on demand, each used by one thread at a time, checked before they are believed.

SQLAlchemy Core without its async layer, on a few threads of our own (docs/decisions/0006-sql-on-own-threads.md): a
thousand tenants are neither a thousand threads nor a thousand open files, and a transaction is one hop, not one per
statement. Nothing here is on the path of a call.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateColumn

from sekimori.errors import Fault

APPLICATION_ID: Final = 0x53454B49  # "SEKI" in the file's header: another program's database is not taken for ours
SCHEMA: Final = 1
WHOLE_CHECK_BYTES: Final = 64 << 20
"""Files up to this size are checked whole when first opened; larger ones by `sekimori doctor`."""

T = TypeVar("T")
Work = Callable[[sa.Connection], T]


def made(path: Path) -> bool:
    """Whether a database of ours stands there (the header names it once it was closed or checkpointed)."""
    try:
        with path.open("rb") as file:
            return file.read(72)[68:] == APPLICATION_ID.to_bytes(4, "big")
    except FileNotFoundError:
        return False


def meta_table(metadata: sa.MetaData) -> sa.Table:
    """Every file says what it is in this table; `owner` is a tenant's uid, `operator` or `deployment`."""
    return sa.Table(
        "meta", metadata, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False)
    )


class Kind:
    """What a file is made of and how it is recognised."""

    def __init__(
        self,
        metadata: sa.MetaData,
        meta: sa.Table,
        guards: dict[str, str],
        added: tuple[sa.Table, ...] = (),
        grown: tuple[sa.Column[Any], ...] = (),
    ) -> None:
        self.metadata = metadata
        self.meta = meta
        self.guards = guards
        self.added = added
        """Tables that files of the first release lack. A file gets them when it is opened; that changes nothing that
        was there, so it stays of the same schema and an older version still reads it."""
        self.grown = grown
        """Columns that tables of earlier releases lack, each with a default: a file gets them likewise."""


class Files:
    """The open SQLite files of one home, the least recently used closed first."""

    def __init__(self, *, open_files: int = 64, threads: int = 4) -> None:
        self._bound = open_files
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sqlite")
        self._files: OrderedDict[Path, _File] = OrderedDict()
        self._checked: set[Path] = set()

    async def create(
        self, path: Path, kind: Kind, owner: str, values: dict[str, str], first: Work[object] | None = None
    ) -> bool:
        """Make a file with its first rows, in one transaction; False where there is a whole one, which stays."""
        return await self._run(path, _create(path, kind, owner, values, first), None, make=True)

    async def run(self, path: Path, kind: Kind, owner: str, work: Work[T]) -> T:
        """Run `work` in one transaction, committed durably when this returns and rolled back when it raises.

        Raises `Fault('home_damaged')` for a file that is missing, damaged or another's, `Fault('store_unavailable')`
        where the disk or a lock is in the way.
        """
        whole = path not in self._checked
        answer = await self._run(path, work, _check(path, kind, owner, whole), make=False)
        self._checked.add(path)
        return answer

    async def check(self, path: Path, kind: Kind, owner: str) -> None:
        """Read one file whole. Raises `Fault('home_damaged')`."""
        await self.run(path, kind, owner, lambda connection: _whole(connection, path))

    async def close(self) -> None:
        while self._files:
            _, file = self._files.popitem()
            await file.close(self._pool)
        self._pool.shutdown(wait=False)

    async def _run(self, path: Path, work: Work[T], check: Work[None] | None, *, make: bool) -> T:
        file = self._files.get(path)
        if file is None:
            file = self._files[path] = _File(path)
        self._files.move_to_end(path)
        file.users += 1
        try:
            return await file.run(self._pool, work, check, make)
        finally:
            file.users -= 1
            if len(self._files) > self._bound:
                idle = next((old for old, one in self._files.items() if not one.users), None)
                if idle is not None:
                    await self._files.pop(idle).close(self._pool)


class _File:
    """One SQLite file and its connection."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.users = 0
        self._lock = asyncio.Lock()
        self._connection: sa.Connection | None = None

    async def run(self, pool: ThreadPoolExecutor, work: Work[T], check: Work[None] | None, make: bool) -> T:
        async with self._lock:
            future = asyncio.get_running_loop().run_in_executor(pool, self._work, work, check, make)
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                # The thread still uses the connection: the lock is not let go before it has ended.
                while not future.done():
                    try:
                        await asyncio.wait([future])
                    except asyncio.CancelledError:
                        continue
                if not future.cancelled():
                    future.exception()
                raise

    async def close(self, pool: ThreadPoolExecutor) -> None:
        async with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                await asyncio.get_running_loop().run_in_executor(pool, _shut, connection)

    def _work(self, work: Work[T], check: Work[None] | None, make: bool) -> T:
        try:
            if self._connection is None:
                self._connection = self._connect(make, check)
            with self._connection.begin():
                return work(self._connection)
        except sa.exc.IntegrityError:
            raise
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            connection, self._connection = self._connection, None
            if connection is not None:
                _shut(connection)
            raise _fault(self.path, error.orig if isinstance(error, sa.exc.DBAPIError) else error) from error

    def _connect(self, make: bool, check: Work[None] | None) -> sa.Connection:
        _secure(self.path, make)
        engine = sa.create_engine("sqlite://", creator=lambda: _driver(self.path), poolclass=NullPool)
        # The driver begins nothing by itself (isolation_level=None); a transaction takes the write lock at once.
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        connection = engine.connect()
        try:
            if check is not None:
                with connection.begin():
                    check(connection)
        except BaseException:
            _shut(connection)
            raise
        return connection


def _shut(connection: sa.Connection) -> None:
    try:
        connection.close()
    except sa.exc.DBAPIError:
        connection.invalidate()


def _driver(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw", uri=True, check_same_thread=False, isolation_level=None, timeout=5.0
    )
    try:
        for pragma in (
            # Payloads are half a kilobyte to one: on pages of 4 KiB they cost twice the time of these. The second
            # figure keeps the write-ahead log at the usual 4 MiB.
            "page_size=16384",
            "wal_autocheckpoint=256",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "trusted_schema=OFF",
            "cell_size_check=ON",
            "cache_size=-512",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _secure(path: Path, make: bool) -> None:
    """0600 and ours, or refused: SQLite gives its WAL and shared-memory files the mode of the main file."""
    if make and not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    try:
        status = path.lstat()
    except FileNotFoundError as error:
        raise Fault(
            "home_damaged", f"{path} is missing.", advice="Restore it from a backup; it is never made anew."
        ) from error
    except OSError as error:
        raise Fault("store_unavailable", f"{path} cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        raise Fault("home_damaged", f"{path} is not a plain file of yours.", advice=f"Run `chown $(id -u) {path}`.")
    if status.st_mode & 0o077:
        raise Fault("home_damaged", f"{path} can be read by others.", advice=f"Run `chmod 600 {path}`.")


def _fault(path: Path, error: BaseException | None) -> Fault:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(path, str(error))
    if code == sqlite3.SQLITE_FULL:
        return Fault("store_unavailable", f"{path}: the disk is full.", advice="Free space; nothing was changed.")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Fault(
            "store_unavailable",
            f"{path} is locked by another program.",
            advice="Close what has it open (a database shell, a backup) and try again.",
        )
    if code == sqlite3.SQLITE_ERROR:
        # SQL that does not fit the schema: a table was lost or altered, or it is our own mistake.
        return _damaged(path, str(error))
    return Fault(
        "store_unavailable", f"{path} cannot be used: {error}.", advice="Look at the disk (`dmesg`, `df`), then retry."
    )


def _damaged(path: Path, what: str) -> Fault:
    return Fault(
        "home_damaged",
        f"{path} is damaged: {what}.",
        advice=f"Stop the server, keep a copy of {path.name}* aside, and restore {path.name} from a backup.",
    )


def _create(path: Path, kind: Kind, owner: str, values: dict[str, str], first: Work[object] | None) -> Work[bool]:
    def work(connection: sa.Connection) -> bool:
        application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
        tables = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
        if application == APPLICATION_ID:
            _check(path, kind, owner, False)(connection)
            return False
        if tables:
            raise _damaged(path, "it is not a Sekimori database")
        kind.metadata.create_all(connection)
        for name, body in kind.guards.items():
            connection.exec_driver_sql(f"CREATE TRIGGER {name} {body}")
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")
        rows = {"owner": owner, **values}
        connection.execute(sa.insert(kind.meta), [{"name": name, "value": value} for name, value in rows.items()])
        if first is not None:
            first(connection)
        return True

    return work


def _check(path: Path, kind: Kind, owner: str, whole: bool) -> Work[None]:
    def work(connection: sa.Connection) -> None:
        application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
        schema = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if application != APPLICATION_ID:
            raise _damaged(path, "it is not a Sekimori database")
        if schema != SCHEMA:
            raise Fault(
                "home_damaged",
                f"{path} has schema {schema}; this version reads {SCHEMA}.",
                advice="Use the version of Sekimori that wrote it.",
            )
        if whole and path.stat().st_size <= WHOLE_CHECK_BYTES:
            _whole(connection, path)
        found = connection.execute(sa.select(kind.meta.c.value).where(kind.meta.c.name == "owner")).scalar()
        if found != owner:
            raise _damaged(path, f"it belongs to {found!r}, not to {owner!r}")
        for table in kind.added:
            table.create(connection, checkfirst=True)
        for column in kind.grown:
            _grow(connection, column)

    return work


def _grow(connection: sa.Connection, column: sa.Column[Any]) -> None:
    """Add a column to its table where the file lacks it."""
    name = column.table.name
    known = {row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({name})")}
    if column.name not in known:
        definition = CreateColumn(column).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {definition}")


def _whole(connection: sa.Connection, path: Path) -> None:
    answer = str(connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one())
    if answer != "ok":
        raise _damaged(path, answer.splitlines()[0])
