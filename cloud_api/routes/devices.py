"""/v1/devices: door controllers; provisioning and retirement."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.clock import from_ms
from cloud_api.db.models import Device, DeviceFile, Door, Event
from cloud_api.events import add_cloud_event
from cloud_api.files import FIRMWARE, file_status
from cloud_api.idempotency import answers_secret
from cloud_api.paging import Cursor, Limit, Page, fetch_page
from cloud_api.provisioning import Wifi, provision
from cloud_api.registry import push_registry, registry_changed
from cloud_api.routes.context import Caller, CloudDep, own, resource_router
from cloud_api.routes.schemas import Body, DevicePath, DoorId, Drift, DriftUncertainty, Name, id_pattern

router = resource_router("devices")


class WifiIn(Body):
    """The network that the board joins."""

    ssid: Annotated[str, Field(max_length=32)] = "Latchwork"
    key: Annotated[str, Field(max_length=63)] = ""


class DeviceIn(Body):
    """A new device for a door."""

    door_id: DoorId
    name: Name = "Door controller"
    wifi: WifiIn = Field(default_factory=WifiIn)


class BrokerOut(BaseModel):
    """Where the device connects, and whom it expects there."""

    host: str
    port: int
    server_name: str
    pins: list[str]


class Bundle(BaseModel):
    """Everything a board needs to become this device. Shown once; it holds the device's root key."""

    device_id: str
    door_id: str
    site_id: str
    k_dev: str = Field(description="Root key, base64.")
    certificate: str = Field(description="DER, base64.")
    private_key: str = Field(description="PKCS #8 DER, base64.")
    ca: str = Field(description="DER, base64.")
    broker: BrokerOut
    wifi: dict[str, str]
    epoch: int
    config: str = Field(description="Sealed first configuration.")
    time: int = Field(description="Unix milliseconds; the first floor of the device's clock.")


class FileOut(BaseModel):
    """A file that the device should have."""

    kind: str = Field(examples=["users"])
    version: int
    reported_version: int | None = Field(description="What it has in force; null: it has not told.")
    status: str = Field(
        examples=["taken"],
        description="`taken`; `offered`; `delayed`: the device could not take it, and will be offered it again; `refused`: "
        "it never will take this version, and is not offered it any more.",
    )
    reason: str | None = Field(
        examples=["bad_mac"], description="Why it was refused last; null: it was not, or was taken since."
    )


class DeviceOut(BaseModel):
    """A device and its shadow: what it last said about itself."""

    id: str = Field(examples=["dev_8f14e45fceea167a"])
    door_id: str
    site_id: str
    name: str
    status: str = Field(examples=["active"], description="`active` or `retired`.")
    connected: bool = Field(description="It was heard, and is not known to have gone.")
    boot: int | None = Field(description="Boot epoch; null: it has never been seen.")
    firmware: str | None
    door_state: str | None
    last_seen_at: datetime | None
    journal_seq: int | None = Field(description="Last record in its journal; `verified_seq` is ours.")
    verified_seq: int
    config_version: int
    reported_config_version: int | None
    revocation_seq: int
    reported_revocation_seq: int | None
    epoch: int = Field(description="Key epoch that it should have: that of its door.")
    reported_epoch: int | None = Field(
        description="The only one whose keys it lets in; null: it has not told."
    )
    in_sync: bool = Field(description="It has the newest configuration, key epoch, tables and certificate.")
    config_refused: str | None = Field(
        description="Why it refused the last configuration that it was sent, and kept the one before; null: it did not. "
        "One that it will never take is not sent again; the next change makes another."
    )
    drift_ppm: Drift
    drift_uncertainty_ppm: DriftUncertainty
    files: list[FileOut] = Field(description="Tables and other files that it fetches piece by piece.")
    created_at: datetime


def _files(session: Session, row: Device) -> list[FileOut]:
    rows = session.scalars(select(DeviceFile).where(DeviceFile.device_id == row.id).order_by(DeviceFile.kind))
    return [
        FileOut(
            kind=f.kind,
            version=f.version,
            reported_version=f.reported,
            status=file_status(f),
            reason=f.reason,
        )
        for f in rows
    ]


def _show(session: Session, row: Device) -> DeviceOut:
    files = _files(session, row)
    epoch = session.execute(select(Door.epoch).where(Door.id == row.door_id)).scalar_one()
    return DeviceOut(
        id=row.id,
        door_id=row.door_id,
        site_id=row.site_id,
        name=row.name,
        status=row.status,
        connected=row.connected,
        boot=row.boot,
        firmware=row.firmware,
        door_state=row.door_state,
        last_seen_at=from_ms(row.last_seen_at) if row.last_seen_at else None,
        journal_seq=row.journal_seq,
        verified_seq=row.chain_seq,
        config_version=row.config_version,
        reported_config_version=row.reported_config,
        revocation_seq=row.revocation_seq,
        reported_revocation_seq=row.reported_revocation,
        config_refused=row.config_refused,
        drift_ppm=row.drift_ppm,
        drift_uncertainty_ppm=row.drift_uncertainty_ppm,
        epoch=epoch,
        reported_epoch=row.reported_epoch,
        in_sync=row.reported_config == row.config_version
        and row.reported_revocation == row.revocation_seq
        and row.reported_epoch == epoch
        and all(f.reported_version == f.version for f in files if f.kind != FIRMWARE),
        files=files,
        created_at=from_ms(row.created_at),
    )


def _facts(row: Device, token_id: str) -> dict[str, Any]:
    return {"site_id": row.site_id, "door_id": row.door_id, "device_id": row.id, "data": {"by": token_id}}


@router.post("/devices", status_code=201)
@answers_secret
async def create_device(body: DeviceIn, cloud: CloudDep, caller: Caller, response: Response) -> Bundle:
    """Create the device of a door and answer its provisioning bundle, once."""

    def work(session: Session) -> tuple[dict[str, Any], Event]:
        door = own(session, Door, body.door_id, caller)
        wifi = Wifi(body.wifi.ssid, body.wifi.key)
        row, bundle = provision(session, cloud.vault, cloud.authority, door, body.name, wifi)
        event = add_cloud_event(
            session, caller.organisation_id, "device_provisioned", **_facts(row, caller.token_id)
        )
        return bundle, event

    bundle, event = await cloud.db.write(work, durable=True)
    cloud.hub.publish([event])
    await push_registry(cloud, bundle["site_id"])
    response.headers["Location"] = f"/v1/devices/{bundle['device_id']}"
    return Bundle(**bundle)


@router.get("/devices")
async def list_devices(
    cloud: CloudDep,
    caller: Caller,
    site_id: Annotated[str | None, Query(pattern=id_pattern("site"))] = None,
    door_id: Annotated[str | None, Query(pattern=id_pattern("door"))] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DeviceOut]:
    """List devices, oldest first."""
    mine = select(Device).where(Device.organisation_id == caller.organisation_id)
    if site_id is not None:
        mine = mine.where(Device.site_id == site_id)
    if door_id is not None:
        mine = mine.where(Device.door_id == door_id)
    return await cloud.db.read(
        lambda session: fetch_page(session, mine, Device.ord, limit, cursor, lambda row: _show(session, row))
    )


@router.get("/devices/{id}")
async def get_device(device_id: DevicePath, cloud: CloudDep, caller: Caller) -> DeviceOut:
    """Read a device and its shadow."""
    return await cloud.db.read(lambda session: _show(session, own(session, Device, device_id, caller)))


@router.post("/devices/{id}/retire")
async def retire_device(device_id: DevicePath, cloud: CloudDep, caller: Caller) -> DeviceOut:
    """Retire a device: its gateway cuts its session and admits it no more. The door can get another one."""

    def work(session: Session) -> tuple[DeviceOut, list[Event]]:
        row = own(session, Device, device_id, caller)
        if row.status == "retired":
            return _show(session, row), []
        row.status, row.connected = "retired", False
        registry_changed(session, row.site_id)
        event = add_cloud_event(
            session, caller.organisation_id, "device_retired", **_facts(row, caller.token_id)
        )
        return _show(session, row), [event]

    device, events = await cloud.db.write(work, durable=True)
    cloud.fleet.forget(device_id)
    cloud.hub.publish(events)
    await push_registry(cloud, device.site_id)
    return device
