"""/v1/packages: signed firmware, and which device is offered which."""

import hashlib
from datetime import datetime
from typing import Annotated

from fastapi import Body as BodyParam
from fastapi import Response
from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloud_api.clock import from_ms
from cloud_api.db.models import Device, DeviceFile, Event, Package
from cloud_api.events import add_cloud_event
from cloud_api.files import FIRMWARE, put_package
from cloud_api.packages import check_package
from cloud_api.paging import Cursor, Limit, Page, fetch_page
from cloud_api.problems import Location, Problem
from cloud_api.routes.context import Caller, CloudDep, identity, own, resource_router
from cloud_api.routes.schemas import Body, DevicePath, PackageId, PackagePath
from cloud_api.transfers import push_offers
from protocol.errors import Malformed

router = resource_router("packages")

MAX_PACKAGES = 100  # of an organisation: together 12 MiB


class PackageOut(BaseModel):
    """What a package says of itself."""

    id: str = Field(examples=["pkg_e4da3b7fbbce2345"])
    product: str
    version: int
    floor: int = Field(description="Who runs this version takes no older one than that.")
    size: int = Field(description="Bytes of the whole file.")
    sha256: str
    created_at: datetime


class UpdateIn(Body):
    """Which package a device should run."""

    package_id: PackageId


def _show(row: Package) -> PackageOut:
    return PackageOut(
        id=row.id,
        product=row.product,
        version=row.version,
        floor=row.floor,
        size=row.size,
        sha256=row.sha256.hex(),
        created_at=from_ms(row.created_at),
    )


@router.post("/packages", status_code=201)
async def create_package(
    body: Annotated[bytes, BodyParam(media_type="application/octet-stream")],
    cloud: CloudDep,
    caller: Caller,
    response: Response,
) -> PackageOut:
    """Upload a package file, as `latchwork package` signs it: the body is the file, at most 126,976 bytes.

    Its form, its size and the digest of its image are checked. Its signature is not: boards do that, with a key
    that they hold themselves.
    """
    try:
        manifest = check_package(body)
    except Malformed as error:
        place = Location(pointer="/body", detail=error.reason)
        raise Problem(422, "invalid_request", "This is not a firmware package.", errors=[place]) from None

    def work(session: Session) -> tuple[PackageOut, Event]:
        mine = select(func.count()).where(Package.organisation_id == caller.organisation_id)
        if session.execute(mine).scalar_one() >= MAX_PACKAGES:
            raise Problem(409, "too_many_packages", f"An organisation has at most {MAX_PACKAGES} packages.")
        row = Package(
            **identity("pkg", caller),
            product=manifest.product,
            version=manifest.version,
            floor=manifest.floor,
            sha256=hashlib.sha256(body).digest(),
            size=len(body),
            data=body,
        )
        session.add(row)
        session.flush()
        data = {"by": caller.token_id, "package": row.id, "version": row.version}
        return _show(row), add_cloud_event(session, caller.organisation_id, "package_created", data=data)

    package, event = await cloud.db.write(work)
    cloud.hub.publish([event])
    response.headers["Location"] = f"/v1/packages/{package.id}"
    return package


@router.get("/packages")
async def list_packages(
    cloud: CloudDep, caller: Caller, limit: Limit = 50, cursor: Cursor = None
) -> Page[PackageOut]:
    """List packages, oldest first."""
    mine = select(Package).where(Package.organisation_id == caller.organisation_id)
    return await cloud.db.read(lambda session: fetch_page(session, mine, Package.ord, limit, cursor, _show))


@router.get("/packages/{id}")
async def get_package(package_id: PackagePath, cloud: CloudDep, caller: Caller) -> PackageOut:
    """Read a package."""
    return await cloud.db.read(lambda session: _show(own(session, Package, package_id, caller)))


@router.post("/devices/{id}/update", status_code=202)
async def update_device(device_id: DevicePath, body: UpdateIn, cloud: CloudDep, caller: Caller) -> PackageOut:
    """Offer a device a package. What comes of it is in the audit log: `update_activated`, then `update_confirmed` or
    `update_rolled_back`; `transfer_refused` if the board does not take it. Why is in its `status` and in the `files` of a device.
    """

    def work(session: Session) -> tuple[PackageOut, Event]:
        device = own(session, Device, device_id, caller)
        package = own(session, Package, body.package_id, caller)
        if device.status != "active":
            raise Problem(409, "device_retired", "A retired device takes no updates.")
        now = session.get(DeviceFile, (device.id, FIRMWARE))
        if now is not None and now.reported is not None and package.version <= now.reported:
            detail = f"The device has taken version {now.reported}: give the package a higher one."
            raise Problem(409, "package_older", detail)
        put_package(session, device.id, package)
        place = {"site_id": device.site_id, "door_id": device.door_id, "device_id": device.id}
        data = {"by": caller.token_id, "package": package.id, "version": package.version}
        event = add_cloud_event(session, caller.organisation_id, "update_offered", data=data, **place)
        return _show(package), event

    package, event = await cloud.db.write(work)
    cloud.hub.publish([event])
    push_offers(cloud, [device_id])
    return package
