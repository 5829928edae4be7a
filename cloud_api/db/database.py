"""Transactions: a piece of work on a Session, run whole, off the event loop.

Work is a plain function of a Session; it must not wait for anything but the database. Two ways to run it:

- `SqliteDatabase`: one writer thread (SQLite has one writer anyway, so waiting is a fair queue instead of
SQLITE_BUSY) and a few
  reader threads. A transaction costs one thread hop. Measured here: 1.07 ms for one INSERT through aiosqlite,
  where every cursor call is a hop; 0.2 ms this way.
- `AsyncDatabase`: SQLAlchemy's asyncio engine, for server databases (`postgresql+asyncpg://`); also runs on
`sqlite+aiosqlite://`.

Durability: `write(..., durable=True)` returns after an fsync of the log (SQLite: synchronous=FULL). Without
it a power cut of the
*machine* may lose the last commits, a crash of the process may not (synchronous=NORMAL).
"""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy import Engine, Table, create_engine, event, insert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import PoolProxiedConnection, QueuePool
from sqlalchemy.sql.compiler import SQLCompiler

T = TypeVar("T")
Work = Callable[[Session], T]

READERS = 3
READ = "BEGIN"
WRITE = "BEGIN IMMEDIATE"  # takes the write lock at once: a deferred one may fail halfway with SQLITE_BUSY
BUSY_MS = 5000  # another process (the command line) may hold the write lock this long


# What may pass, with no fault of the work: a full disk, a lock that another process holds, a lost connection.
_PASSING = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
}


class StoreUnavailable(SQLAlchemyError):
    """The store takes no work now; the same may succeed later."""


class Database(Protocol):
    """What the rest of the cloud sees of storage. Each operation raises StoreUnavailable."""

    async def read(self, work: Work[T]) -> T:
        """Run `work` in a transaction that must not write."""

    async def write(self, work: Work[T], *, durable: bool = False) -> T:
        """Run `work` and commit; an exception rolls back."""

    async def insert(self, table: type[DeclarativeBase], values: dict[str, Any]) -> None:
        """Add and commit one row, in the shortest way there is: an unlock waits for it."""

    async def close(self) -> None:
        """Finish what runs and let go of the files."""


def open_database(url: str) -> Database:
    """Open the store that `url` names; it must be migrated already."""
    name = make_url(url).drivername
    return SqliteDatabase(url) if name in ("sqlite", "sqlite+pysqlite") else AsyncDatabase(url)


def sqlite_engine(url: str, synchronous: str, begin: str, size: int = 1) -> Engine:
    """An engine whose transactions really begin with `begin` (the driver would begin late, and deferred)."""
    engine = create_engine(url, poolclass=QueuePool, pool_size=size, max_overflow=0)

    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout={BUSY_MS}",
            "journal_mode=WAL",
            f"synchronous={synchronous}",
            "foreign_keys=ON",
            f"query_only={'ON' if begin == READ else 'OFF'}",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


@dataclass(frozen=True)
class _Insert:
    sql: str
    columns: Sequence[str]


def _bound(value: Any) -> Any:
    """JSON columns as their type would bind them; everything else is a driver's type already."""
    return json.dumps(value) if isinstance(value, (dict, list)) else value


class SqliteDatabase:
    """SQLite in WAL mode: one writer thread, a few readers."""

    def __init__(self, url: str) -> None:
        self._reads = sqlite_engine(url, "NORMAL", READ, READERS)
        self._fast = sqlite_engine(url, "NORMAL", WRITE, size=2)
        self._durable = sqlite_engine(url, "FULL", WRITE)
        self._reader = ThreadPoolExecutor(READERS, "db-read")
        self._writer = ThreadPoolExecutor(1, "db-write")
        self._inserts: dict[type[DeclarativeBase], _Insert] = {}
        self._raw: PoolProxiedConnection | None = None

    async def read(self, work: Work[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._run, self._reads, work)

    async def write(self, work: Work[T], *, durable: bool = False) -> T:
        engine = self._durable if durable else self._fast
        # Shielded: a client that goes away must not leave us unsure whether its work was committed.
        future = asyncio.get_running_loop().run_in_executor(self._writer, self._run, engine, work)
        return await asyncio.shield(future)

    @staticmethod
    def _run(engine: Engine, work: Work[T]) -> T:
        with _told(), Session(engine, expire_on_commit=False) as session, session.begin():
            return work(session)

    async def insert(self, table: type[DeclarativeBase], values: dict[str, Any]) -> None:
        statement = self._insert_into(table)
        parameters = [_bound(values[name]) for name in statement.columns]
        await asyncio.get_running_loop().run_in_executor(
            self._writer, self._run_insert, statement.sql, parameters
        )

    def _insert_into(self, table: type[DeclarativeBase]) -> "_Insert":
        """The statement is compiled once per table: a Session costs 0.3 ms here, the driver alone 0.02."""
        if table not in self._inserts:
            columns = [c.name for c in table.__table__.columns if c.name != "ord"]
            compiled = insert(cast(Table, table.__table__)).compile(
                dialect=self._fast.dialect, column_keys=columns
            )
            assert isinstance(compiled, SQLCompiler)
            self._inserts[table] = _Insert(str(compiled), compiled.positiontup or columns)
        return self._inserts[table]

    def _run_insert(self, sql: str, parameters: list[Any]) -> None:
        with _told():
            if self._raw is None:
                self._raw = self._fast.raw_connection()
            connection = self._raw.driver_connection
            assert connection is not None
            connection.execute(WRITE)
            try:
                connection.execute(sql, parameters)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # some errors of SQLite have rolled back already
                    connection.execute("ROLLBACK")
                raise

    async def close(self) -> None:
        await asyncio.to_thread(self._shut)

    def _shut(self) -> None:
        for pool in (self._writer, self._reader):
            pool.shutdown(wait=True)
        if self._raw is not None:
            self._raw.close()
        for engine in (self._reads, self._fast, self._durable):
            engine.dispose()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what may pass into StoreUnavailable."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if (
            getattr(cause, "sqlite_errorcode", 0) & 0xFF not in _PASSING
        ):  # of an extended code the primary one
            raise
        raise StoreUnavailable(str(cause)) from error


class AsyncDatabase:
    """A server database through SQLAlchemy's asyncio engine; every commit is durable."""

    def __init__(self, url: str) -> None:
        self._engine = create_async_engine(url)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        # The stream's cursor is the order of commits: writers take turns here, and only here.
        self._turn = asyncio.Lock()

    async def read(self, work: Work[T]) -> T:
        async with _reached(), self._sessions() as session:
            return await session.run_sync(work)

    async def write(self, work: Work[T], *, durable: bool = False) -> T:
        async with self._turn, _reached(), self._sessions() as session, session.begin():
            return await session.run_sync(work)

    async def insert(self, table: type[DeclarativeBase], values: dict[str, Any]) -> None:
        await self.write(lambda session: session.execute(insert(cast(Table, table.__table__)), values))

    async def close(self) -> None:
        await self._engine.dispose()


@contextlib.asynccontextmanager
async def _reached() -> AsyncIterator[None]:
    """Turn what a server says that cannot work, or does not answer, into StoreUnavailable."""
    try:
        with _told():
            yield
    except OSError as error:  # no connection
        raise StoreUnavailable(str(error) or repr(error)) from error
    except (OperationalError, InterfaceError) as error:
        raise StoreUnavailable(str(error.orig)) from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise StoreUnavailable(str(error.orig)) from error
