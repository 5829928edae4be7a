"""Who can be reached: a device counts as connected from its last word until its gateway, or the broker, says it is gone.

What nobody can reach is told at once (`device_offline`), instead of after a command's life.
"""

import asyncio
from collections.abc import Collection
from functools import partial

import structlog
from sqlalchemy import ColumnElement, select, true, update
from sqlalchemy.orm import Session

from cloud_api.db.database import StoreUnavailable
from cloud_api.db.models import Device, Gateway
from cloud_api.drops import Refused
from cloud_api.fleet import Line
from cloud_api.services import Cloud

RETRY_S = 1.0

log = structlog.get_logger(__name__)


async def heard(cloud: Cloud, site_id: str, device_id: str, at_ms: int) -> Line:
    """A message of this site is a device's word, which came at ``at_ms``. Raises Refused when it cannot be."""
    line = await cloud.fleet.device(device_id)
    if line is None or not line.active:
        raise Refused("unknown_device")
    if line.site_id != site_id:
        raise Refused("foreign_device")
    line.last_seen_at = max(at_ms, line.last_seen_at or 0)
    if not line.connected:
        line.connected = True
        line.push_again()  # a broker keeps nothing for a device that is away
    return line


def mark_away(session: Session, site_id: str, device_ids: Collection[str]) -> None:
    """A gateway says that these devices of its site hold no session."""
    _mark(session, (Device.site_id == site_id) & Device.id.in_(device_ids))


async def nobody_yet(cloud: Cloud) -> None:
    """Before our broker starts, nobody has a session with it."""
    await cloud.db.write(partial(_mark, which=true()))


async def follow(cloud: Cloud) -> None:
    """Worker: with a gateway's session its whole site is gone, but for whom its next session has told of already."""
    while True:
        for gateway_id, left_ms in (await cloud.doorkeeper.departed()).items():
            await _left(cloud, gateway_id, left_ms)


async def _left(cloud: Cloud, gateway_id: str, left_ms: int) -> None:
    """Try until the store takes it: nobody tells of it a second time."""
    while True:
        try:
            site_id = await cloud.db.read(partial(_site_of, gateway_id=gateway_id))
            if site_id is not None:
                cloud.fleet.site_away(site_id, left_ms)
                silent = (Device.site_id == site_id) & (Device.last_seen_at <= left_ms)
                await cloud.db.write(partial(_mark, which=silent))
            return
        except StoreUnavailable as error:
            cloud.metrics.worker_errors.labels("presence").inc()
            log.error("departure_not_stored", gateway_id=gateway_id, error=str(error)[:300])
            await asyncio.sleep(RETRY_S)


def _mark(session: Session, which: ColumnElement[bool]) -> None:
    session.execute(update(Device).where(which, Device.connected).values(connected=False))


def _site_of(session: Session, gateway_id: str) -> str | None:
    statement = select(Gateway.site_id).where(Gateway.id == gateway_id, Gateway.status == "active")
    return session.scalar(statement)
