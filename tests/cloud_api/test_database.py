"""Storage: both kinds of database behave alike, and the migrations make exactly the tables of the models."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from cloud_api.db.database import Database, open_database
from cloud_api.db.migrate import engine_for, migrate
from cloud_api.db.models import ActionAttempt, Base, Organisation


@pytest.fixture(params=["sqlite", "sqlite+aiosqlite"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    url = f"{request.param}:///{tmp_path}/cloud.db"
    migrate(url)
    opened = open_database(url)
    yield opened
    await opened.close()


def organisation(number: int) -> Organisation:
    return Organisation(id=f"org_{number:016x}", name=f"Organisation {number}", created_at=0)


def count(session: Session) -> int:
    return session.execute(select(func.count()).select_from(Organisation)).scalar_one()


def test_the_migrations_make_the_tables_of_the_models(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/cloud.db"
    migrate(url)
    engine = engine_for(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/cloud.db"
    assert migrate(url) == migrate(url) != ""


async def test_an_exception_rolls_back(database: Database) -> None:
    def work(session: Session) -> None:
        session.add(organisation(1))
        session.flush()
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(work)
    assert await database.read(count) == 0


async def test_parallel_writers_take_turns(database: Database) -> None:
    async def add(number: int) -> None:
        def work(session: Session) -> int:
            before = count(session)
            session.add(organisation(number))
            session.flush()
            return count(session) - before

        assert await database.write(work, durable=number % 2 == 0) == 1

    await asyncio.gather(*(add(n) for n in range(40)))
    assert await database.read(count) == 40


async def test_the_short_insert_stores_what_a_session_reads(database: Database) -> None:
    await database.write(lambda session: session.add(organisation(1)))
    values = {
        "id": "act_0000000000000001",
        "organisation_id": "org_0000000000000001",
        "created_at": 1,
        "type": "unlock",
        "door_id": "door_0000000000000001",
        "device_id": "dev_0000000000000001",
        "token_id": "tok_0000000000000001",
        "status": "pending",
        "seq": 1,
        "boot": 1,
        "expires_at": 2,
        "finished_at": None,
        "error": None,
        "result": None,
    }
    await database.insert(ActionAttempt, values)
    row = await database.read(lambda session: session.scalars(select(ActionAttempt)).one())
    assert {name: getattr(row, name) for name in values} == values
    with pytest.raises((IntegrityError, sqlite3.IntegrityError)):
        await database.insert(ActionAttempt, values)
    await database.insert(ActionAttempt, {**values, "id": "act_0000000000000002", "result": {"ok": True}})
    rows = await database.read(lambda session: session.scalars(select(ActionAttempt)).all())
    assert [r.result for r in rows] == [None, {"ok": True}]


async def test_work_that_its_caller_abandons_is_still_whole(tmp_path: Path) -> None:
    """A client that disconnects cancels its request; the transaction must end one way or the other."""
    url = f"sqlite:///{tmp_path}/cloud.db"
    migrate(url)
    database = open_database(url)
    started, go = threading.Event(), threading.Event()

    def work(session: Session) -> None:
        session.add(organisation(1))
        session.flush()
        started.set()
        go.wait(5)
        session.add(organisation(2))

    task = asyncio.create_task(database.write(work))
    assert await asyncio.to_thread(started.wait, 5)
    task.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await database.write(count) in (0, 2)
    await database.close()


async def test_a_durable_write_is_synchronous_full_and_the_store_is_in_wal_mode(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/cloud.db"
    migrate(url)
    database = open_database(url)

    def pragma(name: str) -> object:
        return lambda session: session.execute(text(f"PRAGMA {name}")).scalar_one()

    assert await database.write(pragma("synchronous"), durable=True) == 2  # type: ignore[arg-type]
    assert await database.write(pragma("synchronous")) == 1  # type: ignore[arg-type]
    assert await database.read(pragma("journal_mode")) == "wal"  # type: ignore[arg-type]
    with pytest.raises(OperationalError):
        await database.read(lambda session: session.execute(text("DELETE FROM organisations")))
    await database.close()
