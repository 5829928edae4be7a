"""PINs and cards: how they are kept, what a door has room for, and the table that its device gets."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cloud_api.clock import now_s
from cloud_api.db.models import Credential, CredentialDoor, Device, Schedule
from cloud_api.fleet import PURPOSE_K_DEV
from cloud_api.problems import Problem
from cloud_api.secrets import Vault
from protocol.host.tables import User, users_table
from protocol.table import MAX_USERS

PIN = "pin"
CARD = "card"
PURPOSE = "credential"


def add_credential(
    session: Session, vault: Vault, row: Credential, secret: bytes, door_ids: Sequence[str]
) -> None:
    """Store a new credential with its doors; 409 where one is full, or has the same PIN or card already."""
    _forget_ended(session, door_ids)
    for door_id in door_ids:
        if (
            session.execute(select(func.count()).select_from(_at(door_id).subquery())).scalar_one()
            >= MAX_USERS
        ):
            detail = f"A door holds {MAX_USERS} PINs and cards; {door_id} has that many."
            raise Problem(409, "door_full", detail)
    row.secret = vault.seal(PURPOSE, row.id, secret)
    session.add(row)
    session.flush()
    try:
        for door_id in door_ids:
            mark = vault.fingerprint(f"{row.type}/{door_id}", secret)
            session.add(CredentialDoor(credential_ord=row.ord, door_id=door_id, fingerprint=mark))
        session.flush()
    except IntegrityError:
        detail = "Another credential at one of these doors is the same: a door could not tell them apart."
        raise Problem(409, "credential_taken", detail) from None


def end_credential(session: Session, row: Credential, now: int) -> None:
    """Take a credential back; its PIN or card can be given to somebody again."""
    row.revoked_at = now
    mine = CredentialDoor.credential_ord == row.ord
    session.execute(update(CredentialDoor).where(mine).values(fingerprint=None))


def doors_of(session: Session, row: Credential) -> list[str]:
    """The doors of a credential."""
    statement = select(CredentialDoor.door_id).where(CredentialDoor.credential_ord == row.ord)
    return list(session.scalars(statement.order_by(CredentialDoor.door_id)))


def door_has_credentials(session: Session, door_id: str) -> bool:
    """Whether a device of this door needs a table."""
    return session.scalar(_at(door_id).limit(1)) is not None


def build_users(session: Session, vault: Vault, device: Device, version: int) -> bytes:
    """The table of users of a device: the same for the same credentials and version."""
    numbers = {s.id: s.number for s in session.scalars(select(Schedule).where(_of(device)))}
    pins, cards = {}, {}
    for row in session.scalars(_at(device.door_id)):
        user = User(
            row.user_id,
            row.flags,
            numbers[row.schedule_id] if row.schedule_id else 0,
            row.not_before,
            row.not_after,
        )
        secret = vault.open(PURPOSE, row.id, row.secret)
        if row.type == PIN:
            pins[secret.decode()] = user
        else:
            cards[secret] = user
    k_dev = vault.open(PURPOSE_K_DEV, device.id, device.k_dev)
    return users_table(k_dev, device.id, version, pins=pins, cards=cards)


def _of(device: Device) -> ColumnElement[bool]:
    return Schedule.organisation_id == device.organisation_id


def _at(door_id: str) -> Select[Credential]:
    """Credentials that open a door, or will."""
    statement = select(Credential).join(CredentialDoor, CredentialDoor.credential_ord == Credential.ord)
    good = Credential.revoked_at.is_(None) & (Credential.not_after > now_s())
    return statement.where(CredentialDoor.door_id == door_id, good)


def _forget_ended(session: Session, door_ids: Sequence[str]) -> None:
    """The PIN of a credential that has expired may be given to somebody again."""
    ended = select(Credential.ord).where(Credential.not_after <= now_s())
    where = CredentialDoor.door_id.in_(door_ids) & CredentialDoor.credential_ord.in_(ended)
    session.execute(update(CredentialDoor).where(where).values(fingerprint=None))
