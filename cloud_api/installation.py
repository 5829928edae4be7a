"""Makes a cloud's folder: authority, keys, database, first organisation and its token."""

import secrets
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.authority import Authority, create_authority
from cloud_api.clock import now_ms
from cloud_api.db.migrate import engine_for, migrate
from cloud_api.db.models import ApiToken, Organisation
from cloud_api.secrets import KEY_SIZE, new_token, random_id, token_digest, write_private
from cloud_api.settings import Folder, Settings


class InstallError(Exception):
    """The folder cannot be made or used; the text says what to do."""


def create(root: Path, organisation: str, host: str, database: str) -> dict[str, object]:
    """Make the folder; returns what `init --json` prints."""
    folder = Folder(root)
    if folder.root.exists() and any(folder.root.iterdir()):
        raise InstallError(f"{folder.root} is not empty: choose another folder, or serve the one you have")
    folder.root.mkdir(parents=True, mode=0o700, exist_ok=True)
    settings = Settings(host=host, database=database)
    write_private(folder.kek, secrets.token_bytes(KEY_SIZE))
    create_authority(folder, host)
    migrate(folder.database_url(settings))
    # Last: a folder without it is not a cloud, so an interrupted `init` is not taken for one.
    folder.save(settings)
    return {**add_token(root, organisation, "init", create=True), **describe(folder)}


def describe(folder: Folder) -> dict[str, object]:
    """What a client needs to know of this cloud before it can trust it."""
    authority = Authority(folder)
    return {
        "directory": str(folder.root),
        "ca": authority.ca_pem,
        "ca_file": str(folder.ca),
        "pins": authority.https_pins,
        "broker_pins": authority.broker_pins,
    }


def add_token(root: Path, organisation: str, name: str, *, create: bool) -> dict[str, object]:
    """A token for an organisation, found by its id or name, or created."""
    folder = open_folder(root)
    token = new_token()
    engine = engine_for(folder.database_url(folder.load()))
    try:
        with Session(engine) as session, session.begin():
            row = _organisation(session, organisation, create)
            api_token = ApiToken(
                id=random_id("tok"),
                organisation_id=row.id,
                created_at=now_ms(),
                name=name,
                digest=token_digest(token),
            )
            session.add(api_token)
            return {"organisation_id": row.id, "token_id": api_token.id, "token": token}
    finally:
        engine.dispose()


def open_folder(root: Path) -> Folder:
    """A folder that `create` has made."""
    folder = Folder(root)
    if not folder.settings.exists():
        raise InstallError(
            f"{folder.root} is not a cloud's folder: make one with `latchwork-cloud init --dir {root}`"
        )
    return folder


def _organisation(session: Session, wanted: str, create: bool) -> Organisation:
    matches = session.scalars(
        select(Organisation).where((Organisation.id == wanted) | (Organisation.name == wanted)).limit(2)
    ).all()
    if len(matches) > 1:
        raise InstallError(f"several organisations are called {wanted!r}: use the id")
    if matches:
        return matches[0]
    if not create:
        raise InstallError(f"no organisation {wanted!r}: add --create to make it")
    row = Organisation(id=random_id("org"), name=wanted, created_at=now_ms())
    session.add(row)
    session.flush()
    return row
