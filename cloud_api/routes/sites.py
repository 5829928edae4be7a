"""/v1/sites: buildings."""

from datetime import datetime
from typing import Annotated

from fastapi import Response
from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.clock import from_ms
from cloud_api.db.models import Site
from cloud_api.device_config import MAX_HOLIDAYS, configuration_changed, push_configurations
from cloud_api.paging import Cursor, Limit, Page, fetch_page
from cloud_api.routes.context import Caller, CloudDep, identity, own, resource_router
from cloud_api.routes.holidays import Holiday
from cloud_api.routes.schemas import Body, Name, SitePath
from cloud_api.time_zones import posix_rule, usable_zone

router = resource_router("sites")

TimeZoneName = Annotated[
    str,
    Field(
        max_length=64,
        examples=["Europe/Berlin"],
        description="Of the IANA database; schedules and holidays follow its local time.",
    ),
    AfterValidator(usable_zone),
]
Holidays = Annotated[
    list[Holiday],
    Field(
        max_length=MAX_HOLIDAYS,
        description="Schedules are closed then, but for windows that name their kind.",
    ),
]


class SiteIn(Body):
    """A new site."""

    name: Name = Field(examples=["Harbour House"])
    time_zone: TimeZoneName = "UTC"
    holidays: Holidays = Field(default=[])


class SiteChange(Body):
    """What may change; absent fields stay."""

    name: Name | None = None
    time_zone: TimeZoneName | None = None
    holidays: Holidays | None = None


class SiteOut(BaseModel):
    """A site."""

    id: str = Field(examples=["site_1f3870be274f6c49"])
    name: str
    time_zone: str
    holidays: list[Holiday]
    created_at: datetime


def _show(row: Site) -> SiteOut:
    return SiteOut(
        id=row.id,
        name=row.name,
        time_zone=row.time_zone,
        holidays=[Holiday.model_validate(holiday) for holiday in row.holidays],
        created_at=from_ms(row.created_at),
    )


@router.post("/sites", status_code=201)
async def create_site(body: SiteIn, cloud: CloudDep, caller: Caller, response: Response) -> SiteOut:
    """Create a site."""

    def work(session: Session) -> SiteOut:
        row = Site(
            **identity("site", caller),
            name=body.name,
            time_zone=body.time_zone,
            tz=posix_rule(body.time_zone),
            holidays=[holiday.model_dump(mode="json") for holiday in body.holidays],
        )
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
    """Rename a site, or change its time zone or all its holidays; its devices follow at once."""

    def work(session: Session) -> tuple[SiteOut, list[str]]:
        row = own(session, Site, site_id, caller)
        row.name = body.name if body.name is not None else row.name
        before = row.tz, row.holidays
        if body.time_zone is not None:
            row.time_zone, row.tz = body.time_zone, posix_rule(body.time_zone)
        if body.holidays is not None:
            row.holidays = [holiday.model_dump(mode="json") for holiday in body.holidays]
        if (row.tz, row.holidays) == before:
            return _show(row), []
        return _show(row), configuration_changed(session, site_ids=[site_id])

    site, devices = await cloud.db.write(work)
    await push_configurations(cloud, devices)
    return site
