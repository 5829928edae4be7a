"""/v1/events: the audit log."""

from typing import Annotated, Literal

from fastapi import Query
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.db.models import Event
from cloud_api.events import EventOut, event_id, event_order, show_event
from cloud_api.paging import Limit, Page
from cloud_api.problems import not_found
from cloud_api.routes.context import Caller, CloudDep, resource_router
from cloud_api.routes.schemas import EventPath, id_pattern

router = resource_router("events")

EventCursor = Annotated[
    str | None, Query(pattern=id_pattern("evt"), description="An event's id: continue after it.")
]


@router.get("/events")
async def list_events(
    cloud: CloudDep,
    caller: Caller,
    site_id: Annotated[str | None, Query(pattern=id_pattern("site"))] = None,
    door_id: Annotated[str | None, Query(pattern=id_pattern("door"))] = None,
    device_id: Annotated[str | None, Query(pattern=id_pattern("dev"))] = None,
    user_id: Annotated[str | None, Query(pattern=id_pattern("user"))] = None,
    type: Annotated[str | None, Query(pattern="^[a-z0-9_]{1,64}$", examples=["door_forced"])] = None,
    order: Literal["asc", "desc"] = "asc",
    limit: Limit = 50,
    cursor: EventCursor = None,
) -> Page[EventOut]:
    """Read the log, oldest first or newest first. `next_cursor` is the last event's id; it also continues the
    live stream.
    """
    statement = select(Event).where(Event.organisation_id == caller.organisation_id)
    filters = {
        "site_id": site_id,
        "door_id": door_id,
        "device_id": device_id,
        "user_id": user_id,
        "type": type,
    }
    for column, value in filters.items():
        if value is not None:
            statement = statement.where(getattr(Event, column) == value)
    if cursor is not None:
        place = event_order(cursor)
        statement = statement.where(Event.ord > place if order == "asc" else Event.ord < place)
    statement = statement.order_by(Event.ord if order == "asc" else Event.ord.desc()).limit(limit + 1)

    def work(session: Session) -> Page[EventOut]:
        rows = session.scalars(statement).all()
        shown = rows[:limit]
        more = len(rows) > limit
        return Page(
            items=[show_event(r) for r in shown], next_cursor=event_id(shown[-1].ord) if more else None
        )

    return await cloud.db.read(work)


@router.get("/events/{id}")
async def get_event(wanted: EventPath, cloud: CloudDep, caller: Caller) -> EventOut:
    """Read one event."""

    def work(session: Session) -> EventOut:
        row = session.get(Event, event_order(wanted))
        if row is None or row.organisation_id != caller.organisation_id:
            raise not_found("event")
        return show_event(row)

    return await cloud.db.read(work)
