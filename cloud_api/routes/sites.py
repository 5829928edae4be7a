"""/v1/sites: buildings."""

from datetime import datetime
from typing import Annotated

from fastapi import Response
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.clock import from_ms
from cloud_api.db.models import Site
from cloud_api.device_config import configuration_changed, push_configurations
from cloud_api.paging import Cursor, Limit, Page, fetch_page
from cloud_api.routes.context import Caller, CloudDep, identity, own, resource_router
from cloud_api.routes.schemas import Body, Name, SitePath

router = resource_router("sites")

Offset = Annotated[
    int,
    Field(
        ge=-720, le=840, examples=[60], description="Local time minus UTC in minutes; schedules follow it."
    ),
]


class SiteIn(Body):
    """A new site."""

    name: Name = Field(examples=["Harbour House"])
    utc_offset_minutes: Offset = 0


class SiteChange(Body):
    """What may change; absent fields stay."""

    name: Name | None = None
    utc_offset_minutes: Offset | None = None


class SiteOut(BaseModel):
    """A site."""

    id: str = Field(examples=["site_1f3870be274f6c49"])
    name: str
    utc_offset_minutes: int
    created_at: datetime


def _show(row: Site) -> SiteOut:
    return SiteOut(
        id=row.id,
        name=row.name,
        utc_offset_minutes=row.utc_offset_minutes,
        created_at=from_ms(row.created_at),
    )


@router.post("/sites", status_code=201)
async def create_site(body: SiteIn, cloud: CloudDep, caller: Caller, response: Response) -> SiteOut:
    """Create a site."""

    def work(session: Session) -> SiteOut:
        row = Site(**identity("site", caller), name=body.name, utc_offset_minutes=body.utc_offset_minutes)
        session.add(row)
        session.flush()
        return _show(row)

    site = await cloud.db.write(work)
    response.headers["Location"] = f"/v1/sites/{site.id}"
    return site


@router.get("/sites")
async def list_sites(
    cloud: CloudDep, caller: Caller, limit: Limit = 50, cursor: Cursor = None
) -> Page[SiteOut]:
    """List sites, oldest first."""
    mine = select(Site).where(Site.organisation_id == caller.organisation_id)
    return await cloud.db.read(lambda session: fetch_page(session, mine, Site.ord, limit, cursor, _show))


@router.get("/sites/{id}")
async def get_site(site_id: SitePath, cloud: CloudDep, caller: Caller) -> SiteOut:
    """Read a site."""
    return await cloud.db.read(lambda session: _show(own(session, Site, site_id, caller)))


@router.patch("/sites/{id}")
async def change_site(site_id: SitePath, body: SiteChange, cloud: CloudDep, caller: Caller) -> SiteOut:
    """Rename a site or change its time; its devices get the new time at once."""

    def work(session: Session) -> tuple[SiteOut, list[str]]:
        row = own(session, Site, site_id, caller)
        row.name = body.name if body.name is not None else row.name
        if body.utc_offset_minutes in (None, row.utc_offset_minutes):
            return _show(row), []
        row.utc_offset_minutes = body.utc_offset_minutes or 0
        return _show(row), configuration_changed(session, site_ids=[site_id])

    site, devices = await cloud.db.write(work)
    await push_configurations(cloud, devices)
    return site
