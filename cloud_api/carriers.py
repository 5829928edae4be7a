"""Phones that carry a door's list of revocations to it: which phone may have it, and what it gets.

A phone has no API token. It proves a key of the door: Authorization: Carrier <token>.<caveats>.<unix seconds>.<MAC>, all but
the seconds in hex, the MAC by `protocol.host.carry.carrier_key`. What it gets it cannot open, change, or use elsewhere.
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.clock import now_s
from cloud_api.db.models import Device, DeviceFile, Door, Key, KeyDoor, User
from cloud_api.files import REVOCATIONS, File, put_file
from cloud_api.fleet import PURPOSE_K_DEV
from cloud_api.problems import Problem, not_found, unauthorised
from cloud_api.revocations import build_revocations
from cloud_api.secrets import Vault
from protocol.credential import Grant, attenuate, decode_token, mint, split_caveats
from protocol.errors import ProtocolError
from protocol.handshake import ACTION_UNLOCK
from protocol.host.carry import PROOF_LIFE_S, carrier_key
from protocol.ids import id_bytes
from protocol.keys import constant_equal, credential_root, epoch_key

SCHEME = "Carrier"
MAX_PROOF = 256  # characters
CARRY_PER_S = 10.0  # of a door, for all its phones
CARRY_BURST = 50.0


@dataclass(frozen=True)
class Proof:
    """What a phone shows; nothing of it is checked yet."""

    token: bytes
    caveats: list[bytes]
    at: int
    mac: str


def parse_proof(text: str) -> Proof:
    """The Carrier credentials; raises the 401 problem."""
    try:
        token, caveats, at, mac = text.split(".")
        if len(text) > MAX_PROOF or not text.isascii() or not at.isdecimal():
            raise ValueError(text)
        return Proof(bytes.fromhex(token), split_caveats(bytes.fromhex(caveats)), int(at), mac)
    except (ValueError, ProtocolError):
        raise refused() from None


def refused() -> Problem:
    """One answer for every reason, so that neither doors nor keys can be probed."""
    return unauthorised(
        "This is no proof of a key that opens this door now. Check the phone's clock, and the scheme."
    )


def check_proof(session: Session, vault: Vault, door_id: str, proof: Proof) -> None:
    """The phone holds a key of this door that has neither ended nor been revoked; raises the 401 problem."""
    device = session.scalar(select(Device).where(Device.door_id == door_id, Device.status == "active"))
    if device is None or abs(now_s() - proof.at) > PROOF_LIFE_S:
        raise refused()
    try:
        token = decode_token(proof.token)
    except ProtocolError:
        raise refused() from None
    epoch = session.execute(select(Door.epoch).where(Door.id == door_id)).scalar_one()
    k_dev = vault.open(PURPOSE_K_DEV, device.id, device.k_dev)
    key = mint(epoch_key(credential_root(k_dev), token.epoch), proof.token)
    for caveat in proof.caveats:
        key = attenuate(key, caveat)
    fits = constant_equal(proof.mac.encode(), carrier_key(key, door_id, proof.at).encode())
    grant = Grant(token, proof.caveats)
    opens = grant.permits(id_bytes(door_id), ACTION_UNLOCK)
    over = token.epoch != epoch or now_s() >= grant.not_after
    known = _is_known(session, door_id, token.credential_id, token.generation)
    if over or not (fits and opens and known):
        raise refused()


def _is_known(session: Session, door_id: str, credential_id: bytes, generation: int) -> bool:
    statement = (
        select(Key.ord)
        .join(KeyDoor, KeyDoor.key_ord == Key.ord)
        .join(User, User.id == Key.user_id)
        .where(KeyDoor.door_id == door_id, Key.credential_id == credential_id, Key.revoked_at.is_(None))
        .where(User.generation <= generation)
    )
    return session.scalar(statement) is not None


def _device(session: Session, device_id: str) -> Device:
    return session.execute(select(Device).where(Device.id == device_id)).scalar_one()


def stored(session: Session, device_id: str) -> File | None:
    """The newest list of a device as it was built; None: it has not been. 404 if nothing was ever revoked there."""
    device = _device(session, device_id)
    if not device.revocation_seq:
        raise not_found("revocation at this door")
    row = session.get(DeviceFile, (device_id, REVOCATIONS))
    return File(REVOCATIONS, row.version, row.data) if row is not None and row.data is not None else None


def build(session: Session, vault: Vault, device_id: str) -> File:
    """The same, built and stored if it is not. From then on the device's gateway brings it the list as a table too."""
    found = stored(session, device_id)
    if found is not None:
        return found
    device = _device(session, device_id)
    row = session.get(DeviceFile, (device_id, REVOCATIONS))
    version = row.version if row is not None else device.revocation_seq
    data = build_revocations(session, vault, device, version)
    put_file(session, device_id, REVOCATIONS, version, data)
    return File(REVOCATIONS, version, data)
