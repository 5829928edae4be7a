"""A site's registry: the devices that its gateway admits, with the pins of their keys. Always sent whole."""

from typing import Literal

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cloud_api.db.models import Device, Site
from cloud_api.mqtt import Unreachable
from cloud_api.services import Cloud
from protocol.host.cloud_messages import Registry, RegistryEntry
from protocol.topics import shard_of, site_down

log = structlog.get_logger(__name__)

_ON_WIRE: dict[str, Literal["active", "revoked"]] = {"active": "active", "retired": "revoked"}


def registry_changed(session: Session, site_id: str) -> None:
    """Raise the version, in the transaction that changes a device."""
    session.execute(update(Site).where(Site.id == site_id).values(registry_version=Site.registry_version + 1))


def build_registry(session: Session, site_id: str) -> Registry:
    """The whole list. Retired devices stay on it: the gateway then knows whom it turns away."""
    version = session.execute(select(Site.registry_version).where(Site.id == site_id)).scalar_one()
    columns = select(Device.id, Device.pin, Device.status)  # not whole rows: this is done at each change
    devices = session.execute(columns.where(Device.site_id == site_id).order_by(Device.ord))
    entries = (RegistryEntry(id=d.id, pins=(d.pin,), status=_ON_WIRE[d.status]) for d in devices)
    return Registry(ver=version, devices=tuple(entries))


async def push_registry(cloud: Cloud, site_id: str) -> None:
    """Send a gateway its registry; a gateway that is away asks for it when it comes back."""
    registry = await cloud.db.read(lambda session: build_registry(session, site_id))
    try:
        await cloud.link.publish(site_down(shard_of(site_id), site_id, "registry"), registry.encode())
    except Unreachable as error:
        log.info("registry_push_failed", site_id=site_id, error=str(error))
