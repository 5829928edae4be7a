"""Makes a device's identity: K_dev, a key pair, a certificate, and the bundle that goes to the board once.

K_dev and the private key are in the answer and nowhere else in clear: K_dev is stored sealed, the private key
not at all.
"""

import base64
import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloud_api.authority import Authority
from cloud_api.chains import store_chain
from cloud_api.clock import now_ms
from cloud_api.credentials import door_has_credentials
from cloud_api.db.models import Device, Door, Gateway
from cloud_api.device_config import build_configuration
from cloud_api.files import USERS, file_changed
from cloud_api.fleet import PURPOSE_K_DEV
from cloud_api.keys import FIRST_EPOCH
from cloud_api.problems import Problem
from cloud_api.registry import registry_changed
from cloud_api.secrets import Vault, random_id
from protocol.envelope import LABEL_CONFIG, seal
from protocol.host.cloud_messages import MAX_DEVICES
from protocol.journal import initial_state
from protocol.keys import KEY_SIZE, config_key, journal_key


@dataclass(frozen=True)
class Wifi:
    """The network that the board joins."""

    ssid: str
    key: str


def active_gateway(session: Session, site_id: str) -> Gateway:
    """The gateway of a site; 409 if none is enrolled yet."""
    gateway = session.scalar(select(Gateway).where(Gateway.site_id == site_id, Gateway.status == "active"))
    if gateway is None:
        raise Problem(
            409, "site_without_gateway", "Enrol a gateway at the site first: devices connect to it."
        )
    return gateway


def provision(
    session: Session, vault: Vault, authority: Authority, door: Door, name: str, wifi: Wifi
) -> tuple[Device, dict[str, Any]]:
    """Create the device of a door; returns the row and the bundle."""
    gateway = active_gateway(session, door.site_id)
    _check_room(session, door)
    device_id = random_id("dev")
    k_dev = secrets.token_bytes(KEY_SIZE)
    identity = authority.new_client(device_id)
    device = Device(
        id=device_id,
        organisation_id=door.organisation_id,
        created_at=now_ms(),
        site_id=door.site_id,
        door_id=door.id,
        name=name,
        status="active",
        pin=identity.pin,
        spki=identity.spki,
        certificate_ends=identity.ends,
        k_dev=vault.seal(PURPOSE_K_DEV, device_id, k_dev),
        command_seq=0,
        config_version=1,
        revocation_seq=0,
        chain_seq=0,
        chain=store_chain(vault, device_id, initial_state(journal_key(k_dev))),
    )
    door.epoch = FIRST_EPOCH  # of a new K_dev: no key of the device before fits it, whatever its epoch
    session.add(device)
    session.flush()
    registry_changed(session, door.site_id)
    if door_has_credentials(session, door.id):
        file_changed(session, USERS, [door.id])
    config = seal(config_key(k_dev), LABEL_CONFIG, build_configuration(session, device))
    return device, {
        **_place(device, gateway),
        "k_dev": _b64(k_dev),
        "certificate": _b64(identity.certificate),
        "private_key": _b64(identity.private_key),
        "ca": _b64(authority.ca_der),
        "wifi": {"ssid": wifi.ssid, "key": wifi.key},
        "epoch": door.epoch,
        "config": config,
        "time": now_ms(),
    }


def _check_room(session: Session, door: Door) -> None:
    """409 if the door has a device, or its site as many as a registry holds."""
    taken = select(Device.id).where(Device.door_id == door.id, Device.status == "active")
    if session.scalar(taken) is not None:
        raise Problem(409, "door_has_device", "The door has a device: retire it first.")
    listed = select(func.count()).select_from(Device).where(Device.site_id == door.site_id)
    if session.execute(listed).scalar_one() >= MAX_DEVICES:
        detail = (
            f"A gateway's registry holds {MAX_DEVICES} devices, retired ones included: make another site."
        )
        raise Problem(409, "site_full", detail)


def _place(device: Device, gateway: Gateway) -> dict[str, Any]:
    """Who the board is, and whom it connects to."""
    return {
        "device_id": device.id,
        "door_id": device.door_id,
        "site_id": device.site_id,
        "broker": {
            "host": gateway.host,
            "port": gateway.port,
            "server_name": "localhost",
            "pins": [gateway.broker_pin, gateway.backup_broker_pin],
        },
    }


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
