"""/v1/doors: leaves in walls, their policy, and the remote unlock."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query, Response
from pydantic import ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.auth import Principal
from cloud_api.clock import from_ms
from cloud_api.commands import LOCK, MODE, UNLOCK, AttemptOut, command
from cloud_api.db.models import Device, Door, Event, Schedule, Site
from cloud_api.device_config import configuration_changed, push_configurations
from cloud_api.events import add_cloud_event
from cloud_api.keys import FIRST_EPOCH, rotate
from cloud_api.paging import Cursor, Limit, Page, fetch_page
from cloud_api.routes.context import Caller, CloudDep, identity, own, resource_router
from cloud_api.routes.door_policy import DEFAULTS, DoorPolicy, put, shown
from cloud_api.routes.schemas import Body, DoorPath, Drift, DriftUncertainty, Name, SiteId, id_pattern
from cloud_api.services import Cloud

router = resource_router("doors")


class DoorIn(Body, DoorPolicy):
    """A new door."""

    site_id: SiteId
    name: Name = Field(examples=["Front door"])


def _without_defaults(schema: dict[str, Any]) -> None:
    """In a change an absent field stays as it is."""
    for field in schema["properties"].values():
        field.pop("default", None)


class DoorChange(Body, DoorPolicy):
    """What may change; absent fields stay."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    name: Name = ""


class ModeIn(Body):
    """A mode of a door."""

    mode: Literal["normal", "unlocked", "lockdown", "lockdown_all", "evacuation"] = Field(
        description="`normal`: locked, or released by its schedule. `unlocked`, `evacuation`: released, until another mode or"
        " a loss of power. `lockdown`: opens only to keys with `lockdown_override`, and to the exit button; "
        "`lockdown_all`: to no key. Both outlast a loss of power."
    )


class DoorOut(DoorPolicy):
    """A door."""

    id: str = Field(examples=["door_c9f0f895fb98ab91"])
    site_id: str
    name: str
    epoch: int = Field(description="Key epoch: keys are minted for this one.")
    reported_epoch: int | None = Field(
        description="The only one that its device lets in; null: it has not told. Until it is `epoch`, the device has not"
        " heard of a rotation, and the keys from before it open."
    )
    drift_ppm: Drift
    drift_uncertainty_ppm: DriftUncertainty
    created_at: datetime


def _show(session: Session, row: Door) -> DoorOut:
    device = session.scalar(select(Device).where(Device.door_id == row.id, Device.status == "active"))
    return DoorOut(
        id=row.id,
        site_id=row.site_id,
        name=row.name,
        **shown(row),
        epoch=row.epoch,
        reported_epoch=device.reported_epoch if device else None,
        drift_ppm=device.drift_ppm if device else None,
        drift_uncertainty_ppm=device.drift_uncertainty_ppm if device else None,
        created_at=from_ms(row.created_at),
    )


def _own_schedule(session: Session, fields: dict[str, Any], caller: Principal) -> None:
    """404 for a schedule of somebody else."""
    if fields.get("unlock_schedule_id") is not None:
        own(session, Schedule, fields["unlock_schedule_id"], caller)


@router.post("/doors", status_code=201)
async def create_door(body: DoorIn, cloud: CloudDep, caller: Caller, response: Response) -> DoorOut:
    """Create a door at a site."""

    def work(session: Session) -> DoorOut:
        own(session, Site, body.site_id, caller)
        policy = body.model_dump(include=set(DEFAULTS))
        _own_schedule(session, policy, caller)
        row = Door(**identity("door", caller), site_id=body.site_id, name=body.name, epoch=FIRST_EPOCH)
        put(row, policy)
        session.add(row)
        session.flush()
        return _show(session, row)

    door = await cloud.db.write(work)
    response.headers["Location"] = f"/v1/doors/{door.id}"
    return door


@router.get("/doors")
async def list_doors(
    cloud: CloudDep,
    caller: Caller,
    site_id: Annotated[str | None, Query(pattern=id_pattern("site"))] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DoorOut]:
    """List doors, oldest first."""
    mine = select(Door).where(Door.organisation_id == caller.organisation_id)
    if site_id is not None:
        mine = mine.where(Door.site_id == site_id)
    return await cloud.db.read(
        lambda session: fetch_page(session, mine, Door.ord, limit, cursor, lambda row: _show(session, row))
    )


@router.get("/doors/{id}")
async def get_door(door_id: DoorPath, cloud: CloudDep, caller: Caller) -> DoorOut:
    """Read a door."""
    return await cloud.db.read(lambda session: _show(session, own(session, Door, door_id, caller)))


@router.patch("/doors/{id}")
async def change_door(door_id: DoorPath, body: DoorChange, cloud: CloudDep, caller: Caller) -> DoorOut:
    """Rename a door or change its policy; its device gets the policy at once, or when it is next seen."""

    def work(session: Session) -> tuple[DoorOut, list[str]]:
        row = own(session, Door, door_id, caller)
        fields = body.model_dump(exclude_unset=True)
        row.name = fields.pop("name", row.name)
        _own_schedule(session, fields, caller)
        before = shown(row)
        put(row, before | fields)
        changed = shown(row) != before
        session.flush()
        devices = configuration_changed(session, door_ids=[door_id]) if changed else []
        return _show(session, row), devices

    door, devices = await cloud.db.write(work)
    await push_configurations(cloud, devices)
    return door


@router.post("/doors/{id}/rotate-keys")
async def rotate_keys(door_id: DoorPath, cloud: CloudDep, caller: Caller) -> DoorOut:
    """End every key of a door at once, also those on phones and in backups that nobody knows of. PINs and cards go on.

    There is no overlap. From now on keys are minted for the next epoch: each phone that comes for its bundle again (`POST
    /v1/keys/{id}/mobile`) has a key that opens again. The device gets the epoch at once, or when it is next seen, and from
    then on refuses every other key (`key_epoch_over`). Until then (`reported_epoch`) only the keys from before open it, so a
    phone should keep the old one until the new one has opened.
    """

    def work(session: Session) -> tuple[DoorOut, list[str], Event]:
        row = own(session, Door, door_id, caller)
        devices = rotate(session, row)
        facts = {"site_id": row.site_id, "door_id": row.id, "device_id": devices[0]}
        data = {"by": caller.token_id, "epoch": row.epoch}
        event = add_cloud_event(session, caller.organisation_id, "door_keys_rotated", **facts, data=data)
        return _show(session, row), devices, event

    door, devices, event = await cloud.db.write(work, durable=True)
    cloud.hub.publish([event])
    await push_configurations(cloud, devices)
    return door


@router.post("/doors/{id}/unlock", status_code=202)
async def unlock_door(door_id: DoorPath, cloud: CloudDep, caller: Caller, response: Response) -> AttemptOut:
    """Ask a door to open.

    The answer is an *action attempt*, never a claim that the door moved: poll it (`GET
    /v1/action_attempts/{id}?wait=5`) until it is `succeeded` (the device proved that it acted), `failed`
    (with the reason), or `expired`. A command that has not arrived by `expires_at` never opens the door.
    """
    return await _attempt(cloud, caller, door_id, response, UNLOCK)


@router.post("/doors/{id}/lock", status_code=202)
async def lock_door(door_id: DoorPath, cloud: CloudDep, caller: Caller, response: Response) -> AttemptOut:
    """End a release at once. A door that its mode, its schedule or a fire holds released stays so, and the attempt fails with
    `refused_door_mode`.
    """
    return await _attempt(cloud, caller, door_id, response, LOCK)


@router.post("/doors/{id}/mode", status_code=202)
async def set_mode(
    door_id: DoorPath, body: ModeIn, cloud: CloudDep, caller: Caller, response: Response
) -> AttemptOut:
    """Put a door into a mode: lock a building down, hold a door open, and back to normal.

    As an unlock it is an attempt, which says how it ended. It is one door: for a building send one for each.
    """
    return await _attempt(cloud, caller, door_id, response, MODE, mode=body.mode)


async def _attempt(
    cloud: Cloud, caller: Principal, door_id: str, response: Response, operation: str, **args: str
) -> AttemptOut:
    attempt = await command(cloud, caller, door_id, operation, args)
    response.headers["Location"] = f"/v1/action_attempts/{attempt.id}"
    return attempt
