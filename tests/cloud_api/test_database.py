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

from cloud_api.db.database import Database, StoreUnavailable, open_database
from cloud_api.db.migrate import engine_for, migrate
from cloud_api.db.models import ActionAttempt, Base, Organisation, Schedule, Site
from cloud_api.time_zones import posix_rule
from protocol.timezone import TimeZone


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


async def test_a_store_that_another_process_holds_is_told_as_such(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_api.db.database.BUSY_MS", 50)  # of connections that are made from now on
    holder = sqlite3.connect(tmp_path / "cloud.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    row = {"id": "org_1", "name": "First", "created_at": 0}
    for work in (
        database.write(lambda session: session.add(organisation(1))),
        database.insert(Organisation, row),
    ):
        with pytest.raises(StoreUnavailable, match="locked"):
            await work
    holder.execute("ROLLBACK")
    await database.write(lambda session: session.add(organisation(1)))
    await database.insert(Organisation, row)
    assert await database.read(count) == 2
    holder.close()


@pytest.mark.parametrize("kind", ["sqlite", "sqlite+aiosqlite"])
async def test_a_store_that_cannot_be_reached_is_told_as_such(kind: str, tmp_path: Path) -> None:
    database = open_database(f"{kind}:///{tmp_path}/absent/cloud.db")
    with pytest.raises(StoreUnavailable, match="unable to open"):
        await database.read(count)
    await database.close()


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
        "type": "mode",
        "args": {"mode": "lockdown"},
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


@pytest.mark.parametrize(
    ("minutes", "time_zone", "tz"),
    [
        (0, "Etc/UTC", "UTC0"),
        (60, "Etc/GMT-1", "<+01>-1"),
        (-300, "Etc/GMT+5", "<-05>5"),
        (330, "<+0530>-5:30", "<+0530>-5:30"),
        (-570, "<-0930>9:30", "<-0930>9:30"),
    ],
)
def test_a_site_at_a_fixed_offset_keeps_its_time(
    tmp_path: Path, minutes: int, time_zone: str, tz: str
) -> None:
    """A store of before time zones, with a schedule of before holidays, is opened by the newest cloud."""
    url = f"sqlite:///{tmp_path}/cloud.db"
    migrate(url, "0001")
    with sqlite3.connect(tmp_path / "cloud.db") as db:
        db.execute("INSERT INTO organisations (id, name, created_at) VALUES ('org_1', 'Before', 0)")
        db.execute(
            "INSERT INTO sites (id, organisation_id, created_at, name, utc_offset_minutes, registry_version) "
            "VALUES ('site_1', 'org_1', 0, 'Before', ?, 0)",
            (minutes,),
        )
        db.execute(
            "INSERT INTO schedules (id, organisation_id, created_at, name, number, windows) "
            "VALUES ('sch_1', 'org_1', 0, 'Before', 1, '[[31, 480, 1080]]')"
        )
    migrate(url)
    engine = engine_for(url)
    with Session(engine) as session:
        site = session.scalars(select(Site)).one()
        assert (site.time_zone, site.tz, site.holidays) == (time_zone, tz, [])
        assert TimeZone(site.tz).offset_at(0) == 60 * minutes
        assert time_zone == tz or posix_rule(time_zone) == tz
        assert session.scalars(select(Schedule.windows)).one() == [[31, 0, 480, 1080]]
    engine.dispose()
