"""Renews the certificates of devices in time, each for the key that the device has: only a board knows its private key."""

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.authority import Authority
from cloud_api.clock import now_s
from cloud_api.db.models import Device
from cloud_api.files import CERTIFICATE, put_file
from cloud_api.services import Cloud

log = structlog.get_logger(__name__)

RENEW_BEFORE_S = 30 * 24 * 3600
BATCH = 500  # in one transaction


async def renew_certificates(cloud: Cloud) -> None:
    """Make what is due, and have it offered. Devices whose key we were never told are left alone."""
    while True:
        renewed = await cloud.db.write(lambda session: _renew(session, cloud.authority))
        if renewed:
            log.info("certificates_renewed", count=renewed)
            cloud.converge.set()
        if renewed < BATCH:
            return


def _renew(session: Session, authority: Authority) -> int:
    due = (Device.certificate_ends < now_s() + RENEW_BEFORE_S) & Device.spki.is_not(None)
    devices = list(session.scalars(select(Device).where(Device.status == "active", due).limit(BATCH)))
    for device in devices:
        assert device.spki is not None
        certificate, ends = authority.renew_client(device.spki, device.id)
        put_file(session, device.id, CERTIFICATE, ends, certificate)
        device.certificate_ends = ends
    return len(devices)
