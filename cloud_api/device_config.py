"""Configuration of the devices: built from the store, sealed, pushed, and pushed again until the device
reports it.

What a device should have is a version (`config_version`, `revocation_seq`) in its row; what it has is what it
reports. `converge` closes the difference, so a push that is lost in an outage needs no queue. A version that the
device refused for good is not pushed again.
"""

import asyncio
import binascii
import time
from collections.abc import Sequence
from datetime import date
from typing import Any

import structlog
from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from cloud_api.db.models import Device, Door, Gateway, Schedule, Site
from cloud_api.files import lagging_files
from cloud_api.fleet import NEVER_PUSHED, Line
from cloud_api.mqtt import Unreachable
from cloud_api.revocations import revocation_lists
from cloud_api.services import Cloud
from cloud_api.transfers import push_offer
from protocol.envelope import LABEL_CONFIG, seal
from protocol.host.calendar_rows import bits, holiday_row, window_row
from protocol.host.cloud_messages import Sealed
from protocol.host.refusals import is_final
from protocol.topics import site_down

log = structlog.get_logger(__name__)

# Together these make a sealed configuration that a board can open again and again beside its session, in 160 KiB.
MAX_SCHEDULES = 16
MAX_WINDOWS = 64  # of all schedules together
MAX_HOLIDAYS = 32
# Devices that a request itself serves; the rest is left to `converge`.
PUSH_AT_ONCE = 8
PUSH_AGAIN_S = 10.0
CONVERGE_EVERY_S = 30.0
CONVERGE_BATCH = 32  # after which those come first for whom something has changed
MAX_LAGGING = 100_000
OFFER_BATCH, OFFERS_AT_ONCE = 200, 16


def configuration_changed(
    session: Session,
    *,
    organisation_id: str | None = None,
    site_ids: Sequence[str] = (),
    door_ids: Sequence[str] = (),
) -> list[str]:
    """Raise the wanted version of the active devices so chosen; returns their ids."""
    where: ColumnElement[bool] = or_(
        Device.organisation_id == organisation_id, Device.site_id.in_(site_ids), Device.door_id.in_(door_ids)
    )
    statement = update(Device).where(Device.status == "active", where)
    return list(
        session.scalars(statement.values(config_version=Device.config_version + 1).returning(Device.id))
    )


def build_configuration(session: Session, device: Device) -> dict[str, Any]:
    """The payload of a device's configuration, from what the store holds now."""
    door = session.execute(select(Door).where(Door.id == device.door_id)).scalar_one()
    site = session.execute(select(Site).where(Site.id == device.site_id)).scalar_one()
    schedules = session.scalars(select(Schedule).where(Schedule.organisation_id == device.organisation_id))
    gateway = select(Gateway).where(Gateway.site_id == device.site_id, Gateway.status == "active")
    broker = session.scalar(gateway)
    return {
        "dev": device.id,
        "ver": device.config_version,
        "rev": {"seq": device.revocation_seq, **revocation_lists(session, device.door_id)},
        "epoch": door.epoch,
        "schedules": "".join(window_row(s.number, *window) for s in schedules for window in s.windows),
        "holidays": "".join(_holiday_row(holiday) for holiday in site.holidays),
        "tz": site.tz,
        "policy": _policy(session, door),
        **({"cards": door.policy["card_formats"]} if "card_formats" in door.policy else {}),
        **({"pins": [broker.broker_pin, broker.backup_broker_pin]} if broker else {}),
    }


def _policy(session: Session, door: Door) -> dict[str, Any]:
    """As the device reads it; what is not in it has the device's default."""
    policy = {"max_u_s": door.max_u_s, "open_s": door.open_s, "held_s": door.held_s}
    for name, value in door.policy.items():
        match name:
            case "unlock_schedule_id":
                number = select(Schedule.number).where(Schedule.id == value)
                policy["unlock_schedule"] = session.execute(number).scalar_one()
            case "wrong_codes":
                policy["codes"] = value
            case "card_formats":
                pass  # of the readers, not of the door
            case _:
                policy[name] = int(value)
    return policy


def _holiday_row(holiday: dict[str, Any]) -> str:
    first, last = date.fromisoformat(holiday["first"]), date.fromisoformat(holiday["last"])
    return holiday_row(first, last, bits(holiday["kinds"]), every_year=holiday["every_year"])


async def push_configurations(cloud: Cloud, device_ids: Sequence[str]) -> None:
    """Send their configuration to these devices; what cannot be sent now is sent by `converge`."""
    for device_id in device_ids[:PUSH_AT_ONCE]:
        await push_configuration(cloud, device_id)
    if len(device_ids) > PUSH_AT_ONCE:
        cloud.converge.set()


async def push_configuration(cloud: Cloud, device_id: str) -> bool:
    """Send one device its configuration; False if the broker cannot be reached."""
    line = await cloud.fleet.device(device_id)
    if line is None or not line.active:
        return True

    def work(session: Session) -> dict[str, Any]:
        device = session.execute(select(Device).where(Device.id == device_id)).scalar_one()
        return build_configuration(session, device)

    payload = await cloud.db.read(work)
    message = Sealed(d=device_id, e=seal(line.config_key, LABEL_CONFIG, payload))
    line.config_pushed = payload["ver"], binascii.crc32(message.e.encode())
    line.config_pushed_at = time.monotonic()
    try:
        await cloud.link.publish(site_down(line.shard, line.site_id, "config"), message.encode())
    except Unreachable as error:
        line.config_pushed_at = NEVER_PUSHED
        log.info("config_push_failed", device_id=device_id, error=str(error))
        return False
    return True


def config_refused(session: Session, line: Line, code: int, checksum: int) -> None:
    """Its journal says that it refused a configuration with this CRC-32: ours, or one that somebody else made."""
    if line.config_pushed is None or not is_final(code) or line.config_pushed[1] != checksum:
        return
    version, _ = line.config_pushed
    session.execute(update(Device).where(Device.id == line.device_id).values(refused_config=version))


def _lagging(session: Session) -> list[tuple[str, int]]:
    """Active devices that report less than they should have, with the version that they should have; the last heard first."""
    behind = or_(
        Device.reported_config < Device.config_version, Device.reported_revocation < Device.revocation_seq
    )
    may = or_(Device.refused_config.is_(None), Device.refused_config != Device.config_version)
    statement = select(Device.id, Device.config_version).where(Device.status == "active", behind, may)
    rows = session.execute(statement.order_by(Device.last_seen_at.desc()).limit(MAX_LAGGING))
    return [(row.id, row.config_version) for row in rows]


async def converge(cloud: Cloud) -> None:
    """Worker: push to every device that reports an older configuration than it should have."""
    while True:
        try:
            async with asyncio.timeout(CONVERGE_EVERY_S):
                await cloud.converge.wait()
        except TimeoutError:
            pass  # the regular round
        cloud.converge.clear()
        cloud.offers.set()
        while cloud.link.connected.is_set() and await _push_some(cloud):
            pass


async def _push_some(cloud: Cloud) -> int:
    """Push to the first of those for whom it is time, and leave it there: what has changed meanwhile comes first. Returns how
    many, and 0 if the broker takes no more: its return is another round.
    """
    pushed = 0
    for device_id, version in await cloud.db.read(_lagging):
        line = await cloud.fleet.device(device_id)
        if line is None or not line.active or not _is_due(line, version):
            continue
        if not await push_configuration(cloud, device_id):
            return 0
        pushed += 1
        if pushed == CONVERGE_BATCH:
            break
    return pushed


def _is_due(line: Line, version: int) -> bool:
    """Whether this version was not pushed a moment ago."""
    if line.config_pushed is None or line.config_pushed[0] < version:
        return True
    return time.monotonic() - line.config_pushed_at > PUSH_AGAIN_S


async def offer_files(cloud: Cloud) -> None:
    """Worker: offer every connected device what it lacks. Beside the configurations, which must not wait for it."""
    slots = asyncio.Semaphore(OFFERS_AT_ONCE)

    async def one(device_id: str) -> None:
        async with slots:
            await push_offer(cloud, device_id)

    while True:
        await cloud.offers.wait()
        cloud.offers.clear()
        if cloud.link.connected.is_set():
            lagging = await cloud.db.read(lambda session: lagging_files(session, OFFER_BATCH))
            async with asyncio.TaskGroup() as group:
                for device_id in lagging:
                    group.create_task(one(device_id))
