"""/v1/organisations: the caller's own tenant."""

from datetime import datetime

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.clock import from_ms
from cloud_api.db.models import Organisation
from cloud_api.paging import Cursor, Limit, Page, fetch_page
from cloud_api.routes.context import Caller, CloudDep, resource_router

router = resource_router("organisations")


class OrganisationOut(BaseModel):
    """A tenant."""

    id: str = Field(examples=["org_5f93f983524def3d"])
    name: str = Field(examples=["Harbour House"])
    created_at: datetime


def _show(row: Organisation) -> OrganisationOut:
    return OrganisationOut(id=row.id, name=row.name, created_at=from_ms(row.created_at))


@router.get("/organisations")
async def list_organisations(
    cloud: CloudDep, caller: Caller, limit: Limit = 50, cursor: Cursor = None
) -> Page[OrganisationOut]:
    """List the organisations that the token may see: its own."""

    def work(session: Session) -> Page[OrganisationOut]:
        statement = select(Organisation).where(Organisation.id == caller.organisation_id)
        return fetch_page(session, statement, Organisation.ord, limit, cursor, _show)

    return await cloud.db.read(work)
