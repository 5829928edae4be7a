"""Brings a database to the newest schema; safe to run at every start."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url

MIGRATIONS = Path(__file__).parent / "migrations"
# Migrations run on the plain driver: they are over before the event loop serves anything.
_SYNC_DRIVERS = {"sqlite+aiosqlite": "sqlite", "postgresql+asyncpg": "postgresql+psycopg"}


def engine_for(url: str) -> Engine:
    """A blocking engine for a store that may be named by its asyncio driver."""
    parsed = make_url(url)
    return create_engine(parsed.set(drivername=_SYNC_DRIVERS.get(parsed.drivername, parsed.drivername)))


def migrate(url: str, revision: str = "head") -> str:
    """Upgrade to the newest revision, or to that one, and return its name."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = engine_for(url)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision() or ""
    finally:
        engine.dispose()
