"""Files that devices should have: tables, certificates, packages. One of each kind; its version only rises.

A change makes the next version and no bytes. They are made when it is first offered, from one snapshot of the store
with the version and what it is made of, and stay as they are for that version.

A version that its device refused for good is not offered any more. One that it could not take just now is, at first
after the hour in which the board itself declines it, then less and less often.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from cloud_api.clock import now_ms
from cloud_api.db.models import Device, DeviceFile, Package
from cloud_api.secrets import Vault
from protocol.host.refusals import is_final, refusal_name
from protocol.transfer import ID_SIZE

USERS = "users"
REVOCATIONS = "revocations"
CERTIFICATE = "certificate"
FIRMWARE = "firmware"

RETRY_MS = 3_600_000
MAX_RETRY_MS = 4 * RETRY_MS  # a list of revocations must not wait for a day because a gateway damaged it
NEVER_MS = 1 << 62

TAKEN, OFFERED, DELAYED, REFUSED = "taken", "offered", "delayed", "refused"

Builder = Callable[[Session, Vault, Device, int], bytes]


@dataclass(frozen=True)
class File:
    """One version of a file."""

    kind: str
    version: int
    data: bytes
    fresh: bool = False  # built just now


def file_changed(session: Session, kind: str, door_ids: Sequence[str]) -> list[str]:
    """What the file of this kind is made of has changed at these doors; returns their devices."""
    where = (Device.status == "active") & Device.door_id.in_(door_ids)
    device_ids = list(session.scalars(select(Device.id).where(where)))
    for device_id in device_ids:
        row = session.get(DeviceFile, (device_id, kind))
        put_file(session, device_id, kind, row.version + 1 if row else 1, None)
    return device_ids


def put_file(session: Session, device_id: str, kind: str, version: int, data: bytes | None) -> None:
    """The device should have this version; without data it is built when it is offered."""
    row = session.get(DeviceFile, (device_id, kind))
    if row is None:
        row = DeviceFile(device_id=device_id, kind=kind)
        session.add(row)
    row.version, row.data, row.package_id = version, data, None
    _clear(row)
    row.sha256 = hashlib.sha256(data).digest() if data is not None else None
    session.flush()


def put_package(session: Session, device_id: str, package: Package) -> None:
    """The device should run this package; its bytes are stored once for all devices."""
    put_file(session, device_id, FIRMWARE, package.version, None)
    row = session.get_one(DeviceFile, (device_id, FIRMWARE))
    row.package_id, row.sha256 = package.id, package.sha256


def wanted_files(
    session: Session, vault: Vault, device_id: str, builders: Mapping[str, Builder]
) -> list[File]:
    """What the device lacks and may be offered now, whole. Only reads: `keep_built` stores what is `fresh`."""
    device = session.scalar(select(Device).where(Device.id == device_id, Device.status == "active"))
    if device is None:
        return []
    files = []
    wanted = select(DeviceFile).where(DeviceFile.device_id == device_id, _due()).order_by(DeviceFile.kind)
    for row in session.scalars(wanted):
        data = _bytes(session, row)
        fresh = data is None
        if data is None:
            data = builders[row.kind](session, vault, device, row.version)
        files.append(File(row.kind, row.version, data, fresh))
    return files


def keep_built(session: Session, device_id: str, files: Sequence[File]) -> list[File]:
    """Store what was built; returns what is still wanted: the first that was built for a version is that version."""
    kept = []
    for file in files:
        row = session.get_one(DeviceFile, (device_id, file.kind))
        if row.version != file.version:
            continue
        if row.data is None and row.package_id is None:
            put_file(session, device_id, file.kind, file.version, file.data)
        kept.append(File(file.kind, file.version, _bytes(session, row) or file.data))
    return kept


def find_file(session: Session, device_id: str, transfer_id: bytes) -> bytes | None:
    """The bytes of a file that this active device should have, by the beginning of its digest."""
    statement = select(DeviceFile).join(Device, Device.id == DeviceFile.device_id)
    for row in session.scalars(statement.where(DeviceFile.device_id == device_id, Device.status == "active")):
        if row.sha256 and row.sha256[:ID_SIZE] == transfer_id:
            return _bytes(session, row)
    return None


def _bytes(session: Session, row: DeviceFile) -> bytes | None:
    if row.package_id is None:
        return row.data
    return session.scalar(select(Package.data).where(Package.id == row.package_id))


def reported_files(session: Session, device_id: str, versions: Mapping[str, int]) -> bool:
    """Note what the device says that it has; returns whether it lacks something that it may be offered now."""
    rows = list(session.scalars(select(DeviceFile).where(DeviceFile.device_id == device_id)))
    for row in rows:
        row.reported = versions.get(row.kind, row.reported)
        if row.reported == row.version:
            _clear(row)
    return any(row.reported != row.version and row.offer_after <= now_ms() for row in rows)


def file_taken(session: Session, device_id: str, transfer_id: bytes, version: int) -> None:
    """Its journal says that it took this file: what a package leaves behind, for the state tells of tables only."""
    row = _named(session, device_id, transfer_id)
    if row is not None and row.version == version:
        row.reported = version
        _clear(row)


def file_refused(session: Session, device_id: str, transfer_id: bytes, code: int) -> str | None:
    """Its journal says that it refused this file, and why; returns the kind of one that it should still have."""
    row = _named(session, device_id, transfer_id)
    if row is None:
        return None
    row.reason = refusal_name(code)
    delay = min(RETRY_MS << row.refusals, MAX_RETRY_MS)
    row.refusals += 1
    row.offer_after = NEVER_MS if is_final(code) else max(row.offer_after, now_ms() + delay)
    return row.kind


def file_status(row: DeviceFile) -> str:
    """TAKEN: the device has it; OFFERED; DELAYED: it could not take it, and will be offered it again; REFUSED: for good."""
    if row.reported == row.version:
        return TAKEN
    if row.offer_after == NEVER_MS:
        return REFUSED
    return DELAYED if row.offer_after > now_ms() else OFFERED


def _named(session: Session, device_id: str, transfer_id: bytes) -> DeviceFile | None:
    for row in session.scalars(select(DeviceFile).where(DeviceFile.device_id == device_id)):
        if row.sha256 and row.sha256[:ID_SIZE] == transfer_id:
            return row
    return None


def _clear(row: DeviceFile) -> None:
    row.reason, row.refusals, row.offer_after = None, 0, 0


def lagging_files(session: Session, limit: int) -> list[str]:
    """Some of the connected devices that lack what they may be offered now, in no order: one that takes nothing
    must not be in the way of the others for ever.
    """
    behind = Device.id.in_(select(DeviceFile.device_id).where(_due()))
    statement = select(Device.id).where(Device.status == "active", Device.connected, behind)
    return list(session.scalars(statement.order_by(func.random()).limit(limit)))


def _due() -> ColumnElement[bool]:
    behind = or_(DeviceFile.reported.is_(None), DeviceFile.reported != DeviceFile.version)
    return behind & (DeviceFile.offer_after <= now_ms())
