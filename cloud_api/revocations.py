"""What a door must refuse: a list in its configuration, and a table where that is too short.

The configuration has the revocations that were first, so that none that was ever told is taken back by one that comes
later; the table has all of them. What is only in the table is not in force until the device has fetched it.
"""

from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from cloud_api.clock import now_s
from cloud_api.db.models import Device, DeviceFile, Key, KeyDoor, User
from cloud_api.files import REVOCATIONS, put_file
from cloud_api.fleet import PURPOSE_K_DEV
from cloud_api.secrets import Vault
from protocol.host.tables import MAX_CREDENTIALS, revocations_table
from protocol.table import MAX_REVOCATIONS

log = structlog.get_logger(__name__)

# In the configuration.
MAX_REVOKED = 64
MAX_GENERATIONS = 64
MAX_TABLE_GENERATIONS = MAX_REVOCATIONS - MAX_CREDENTIALS


def key_revoked(session: Session, key: Key, door_ids: Sequence[str]) -> list[str]:
    """Raise the revocation sequence at the doors of a key; returns the devices that must hear of it."""
    _collapse(session, key, door_ids)
    statement = update(Device).where(Device.status == "active", Device.door_id.in_(door_ids))
    statement = statement.values(
        config_version=Device.config_version + 1, revocation_seq=Device.revocation_seq + 1
    )
    told = session.execute(statement.returning(Device.id, Device.door_id, Device.revocation_seq)).all()
    for device in told:
        if _needs_table(session, device.id, device.door_id):
            put_file(session, device.id, REVOCATIONS, device.revocation_seq, None)
    return [device.id for device in told]


def _needs_table(session: Session, device_id: str, door_id: str) -> bool:
    return (
        session.get(DeviceFile, (device_id, REVOCATIONS)) is not None
        or len(_credentials(session, door_id)) > MAX_REVOKED
        or len(_generations(session, door_id)) > MAX_GENERATIONS
    )


def _collapse(session: Session, key: Key, door_ids: Sequence[str]) -> None:
    """When a door's table is full, the user's whole generation is revoked: too much, never too little."""
    for door_id in door_ids:
        if len(_credentials(session, door_id)) > MAX_CREDENTIALS:
            user = session.execute(select(User).where(User.id == key.user_id)).scalar_one()
            user.generation = max(user.generation, key.generation + 1)
            session.flush()
            log.warning("revocation_list_full", door_id=door_id, user_id=user.id, generation=user.generation)


def overfull_doors(session: Session, door_ids: Sequence[str]) -> list[str]:
    """Doors that must refuse more than fits their table: the newest revocations are not in it."""
    return [
        door_id
        for door_id in door_ids
        if len(_credentials(session, door_id)) > MAX_CREDENTIALS
        or len(_generations(session, door_id)) > MAX_TABLE_GENERATIONS
    ]


def revocation_lists(session: Session, door_id: str) -> dict[str, Any]:
    """`rev` of a door's configuration, but for its sequence."""
    return {
        "creds": [credential.hex() for credential in _credentials(session, door_id)[:MAX_REVOKED]],
        "gens": {subject.hex(): n for subject, n in _generations(session, door_id)[:MAX_GENERATIONS]},
    }


def build_revocations(session: Session, vault: Vault, device: Device, version: int) -> bytes:
    """The table of revocations of a device."""
    k_dev = vault.open(PURPOSE_K_DEV, device.id, device.k_dev)
    credentials = _credentials(session, device.door_id)[:MAX_CREDENTIALS]
    generations = dict(_generations(session, device.door_id)[:MAX_TABLE_GENERATIONS])
    return revocations_table(k_dev, device.id, version, credentials, generations)


def _revoked_at(door_id: str) -> ColumnElement[bool]:
    return (KeyDoor.door_id == door_id) & Key.revoked_at.is_not(None) & (Key.not_after > now_s())


def _credentials(session: Session, door_id: str) -> list[bytes]:
    """Revoked credentials of a door that their user's generation does not cover, the first revoked first."""
    statement = (
        select(Key.credential_id)
        .join(KeyDoor, KeyDoor.key_ord == Key.ord)
        .join(User, User.id == Key.user_id)
        .where(_revoked_at(door_id), User.generation <= Key.generation)
        .order_by(Key.revoked_at, Key.ord)
        .limit(MAX_CREDENTIALS + 1)
    )
    return list(session.scalars(statement))


def _generations(session: Session, door_id: str) -> list[tuple[bytes, int]]:
    """Users of a door with keys of an older generation than theirs, newest key first."""
    statement = (
        select(User.subject, User.generation)
        .join(Key, Key.user_id == User.id)
        .join(KeyDoor, KeyDoor.key_ord == Key.ord)
        .where(KeyDoor.door_id == door_id, User.generation > Key.generation, Key.not_after > now_s())
        .group_by(User.ord)
        .order_by(func.max(Key.ord).desc())
        .limit(MAX_TABLE_GENERATIONS + 1)
    )
    return [(row.subject, row.generation) for row in session.execute(statement)]
