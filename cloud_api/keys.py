"""Keys: minting the token of each door for a phone, and ending all of a door at once by its key epoch.

credential id = subject 4 (of the user) | serial 4 (of the key). A key has the same credential id at all its
doors; what differs is the MAC key: each door's device has its own K_epoch, so a phone's bundle holds one
K_cred per door.
"""

import secrets
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.clock import now_s
from cloud_api.db.models import Device, Door, Key, KeyDoor, Schedule, User
from cloud_api.device_config import configuration_changed
from cloud_api.fleet import PURPOSE_K_DEV
from cloud_api.problems import Problem
from cloud_api.secrets import Vault
from protocol.credential import Token, mint
from protocol.keys import credential_root, epoch_key

FIRST_EPOCH = 1
LAST_EPOCH = 255  # one byte of a token
SUBJECT_SIZE = 4
SERIAL_SIZE = 4


@dataclass(frozen=True)
class MintedDoor:
    """What a phone needs to open one door."""

    door_id: str
    name: str
    token: bytes
    key: bytes


def rotate(session: Session, door: Door) -> list[str]:
    """End every key of a door: only tokens of the next epoch open it. Returns the device to push to; 409 without a device,
    or after the last epoch.
    """
    if session.scalar(select(Device.ord).where(Device.door_id == door.id, Device.status == "active")) is None:
        raise Problem(409, "door_without_device", "The door has no device yet: provision one.")
    if door.epoch >= LAST_EPOCH:
        detail = (
            f"Key epoch {LAST_EPOCH} is the last. Retire the door's device, create a device for the door again and provision"
            " the board with it: that replaces its root key, ends all keys, and begins at epoch 1."
        )
        raise Problem(409, "key_epochs_used_up", detail)
    door.epoch += 1
    session.flush()
    return configuration_changed(session, door_ids=[door.id])


def new_subject(session: Session, organisation_id: str) -> bytes:
    """A subject that no user of the organisation has."""
    while True:
        subject = secrets.token_bytes(SUBJECT_SIZE)
        taken = select(User.ord).where(User.organisation_id == organisation_id, User.subject == subject)
        if session.scalar(taken) is None:
            return subject


def new_credential_id(session: Session, user: User) -> bytes:
    """A credential id of this user that no key has or ever had."""
    while True:
        credential_id = user.subject + secrets.token_bytes(SERIAL_SIZE)
        if session.scalar(select(Key.ord).where(Key.credential_id == credential_id)) is None:
            return credential_id


def mint_bundle(session: Session, vault: Vault, key: Key) -> list[MintedDoor]:
    """Token and K_cred for every door of the key that has a device; 409 if the key cannot open anything."""
    if key.revoked_at is not None:
        raise Problem(409, "key_revoked", "This key was revoked.")
    if key.not_after <= now_s():
        raise Problem(409, "key_expired", "This key's not_after has passed.")
    rows = session.execute(
        select(Door, Device)
        .join(KeyDoor, KeyDoor.door_id == Door.id)
        .join(Device, (Device.door_id == Door.id) & (Device.status == "active"))
        .where(KeyDoor.key_ord == key.ord)
        .order_by(Door.ord)
    ).all()
    if not rows:
        raise Problem(409, "door_without_device", "None of the key's doors has a device yet.")
    schedule = _schedule_number(session, key)
    return [_mint_door(vault, key, schedule, door, device) for door, device in rows]


def _schedule_number(session: Session, key: Key) -> int:
    if key.schedule_id is None:
        return 0
    return session.execute(select(Schedule.number).where(Schedule.id == key.schedule_id)).scalar_one()


def _mint_door(vault: Vault, key: Key, schedule: int, door: Door, device: Device) -> MintedDoor:
    token = Token(
        epoch=door.epoch,
        credential_id=key.credential_id,
        generation=key.generation,
        not_before=key.not_before,
        not_after=key.not_after,
        flags=key.flags,
        schedule_id=schedule,
    ).encode()
    k_dev = vault.open(PURPOSE_K_DEV, device.id, device.k_dev)
    return MintedDoor(door.id, door.name, token, mint(epoch_key(credential_root(k_dev), door.epoch), token))
