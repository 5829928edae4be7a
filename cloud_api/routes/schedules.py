"""/v1/schedules: weekly windows that keys can be tied to."""

from datetime import datetime
from typing import Annotated

from fastapi import Response
from pydantic import BaseModel, Field, model_validator
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloud_api.auth import Principal
from cloud_api.clock import from_ms
from cloud_api.db.models import Schedule
from cloud_api.device_config import MAX_SCHEDULES, MAX_WINDOWS, configuration_changed, push_configurations
from cloud_api.paging import Cursor, Limit, Page, fetch_page
from cloud_api.problems import Problem
from cloud_api.routes.context import Caller, CloudDep, identity, own, resource_router
from cloud_api.routes.holidays import Kinds
from cloud_api.routes.schemas import Body, Name, SchedulePath
from protocol.host.calendar_rows import bits

router = resource_router("schedules")


class Window(Body):
    """A part of a day, on some days of the week and of the site's holidays, in the site's local time."""

    days: Annotated[list[Annotated[int, Field(ge=1, le=7)]], Field(max_length=7)] = Field(
        description="ISO weekdays: 1 is Monday. None of them counts on a holiday.", examples=[[1, 2, 3, 4, 5]]
    )
    holiday_kinds: Kinds = Field(
        default=[], description="Holidays on which it opens: those with no other kind than these."
    )
    start_minute: Annotated[int, Field(ge=0, le=1439, examples=[480], description="Minutes after midnight.")]
    end_minute: Annotated[
        int,
        Field(
            ge=0, le=1440, examples=[1080], description="First minute outside; before the start: next day's."
        ),
    ]

    @model_validator(mode="after")
    def _not_empty(self) -> "Window":
        if self.end_minute == self.start_minute:
            raise ValueError("end_minute must differ from start_minute; a whole day is 0 to 1440")
        if not self.days and not self.holiday_kinds:
            raise ValueError("a window needs days or holiday_kinds")
        return self


class ScheduleIn(Body):
    """A new schedule."""

    name: Name = Field(examples=["Office hours"])
    windows: Annotated[list[Window], Field(min_length=1, max_length=MAX_WINDOWS)]


class ScheduleChange(Body):
    """What may change; absent fields stay."""

    name: Name | None = None
    windows: Annotated[list[Window], Field(min_length=1, max_length=MAX_WINDOWS)] | None = None


class ScheduleOut(BaseModel):
    """A schedule; `number` is what the tokens carry."""

    id: str = Field(examples=["sch_d3d9446802a44259"])
    number: int
    name: str
    windows: list[Window]
    created_at: datetime


def _pack(window: Window) -> list[int]:
    """A row of the table that the devices get, but for the schedule's number."""
    return [bits(window.days), bits(window.holiday_kinds), window.start_minute, window.end_minute]


def _unpack(packed: list[int]) -> Window:
    days, kinds = ([n for n in range(1, 9) if mask >> (n - 1) & 1] for mask in packed[:2])
    return Window(days=days, holiday_kinds=kinds, start_minute=packed[2], end_minute=packed[3])


def _show(row: Schedule) -> ScheduleOut:
    windows = [_unpack(w) for w in row.windows]
    return ScheduleOut(
        id=row.id, number=row.number, name=row.name, windows=windows, created_at=from_ms(row.created_at)
    )


def _room_for(session: Session, caller: Principal, windows: int, but: str = "") -> None:
    """409 unless the devices hold so many windows beside those of the other schedules."""
    others = select(Schedule.windows).where(
        Schedule.organisation_id == caller.organisation_id, Schedule.id != but
    )
    if windows + sum(map(len, session.scalars(others))) > MAX_WINDOWS:
        detail = f"The schedules of an organisation have at most {MAX_WINDOWS} windows."
        raise Problem(409, "too_many_windows", detail)


@router.post("/schedules", status_code=201)
async def create_schedule(
    body: ScheduleIn, cloud: CloudDep, caller: Caller, response: Response
) -> ScheduleOut:
    """Create a schedule. All devices of the organisation get it."""

    def work(session: Session) -> tuple[ScheduleOut, list[str]]:
        mine = Schedule.organisation_id == caller.organisation_id
        last = session.execute(select(func.max(Schedule.number)).where(mine)).scalar_one() or 0
        if last >= MAX_SCHEDULES:
            raise Problem(
                409, "too_many_schedules", f"An organisation has at most {MAX_SCHEDULES} schedules."
            )
        _room_for(session, caller, len(body.windows))
        row = Schedule(
            **identity("sch", caller),
            name=body.name,
            number=last + 1,
            windows=[_pack(w) for w in body.windows],
        )
        session.add(row)
        session.flush()
        return _show(row), configuration_changed(session, organisation_id=caller.organisation_id)

    schedule, devices = await cloud.db.write(work)
    await push_configurations(cloud, devices)
    response.headers["Location"] = f"/v1/schedules/{schedule.id}"
    return schedule


@router.get("/schedules")
async def list_schedules(
    cloud: CloudDep, caller: Caller, limit: Limit = 50, cursor: Cursor = None
) -> Page[ScheduleOut]:
    """List schedules, oldest first."""
    mine = select(Schedule).where(Schedule.organisation_id == caller.organisation_id)
    return await cloud.db.read(lambda session: fetch_page(session, mine, Schedule.ord, limit, cursor, _show))


@router.get("/schedules/{id}")
async def get_schedule(schedule_id: SchedulePath, cloud: CloudDep, caller: Caller) -> ScheduleOut:
    """Read a schedule."""
    return await cloud.db.read(lambda session: _show(own(session, Schedule, schedule_id, caller)))


@router.patch("/schedules/{id}")
async def change_schedule(
    schedule_id: SchedulePath, body: ScheduleChange, cloud: CloudDep, caller: Caller
) -> ScheduleOut:
    """Rename a schedule or replace its windows. Keys that are tied to it, on phones too, follow as soon as a door has heard."""

    def work(session: Session) -> tuple[ScheduleOut, list[str]]:
        row = own(session, Schedule, schedule_id, caller)
        row.name = body.name if body.name is not None else row.name
        before = row.windows
        if body.windows is not None:
            _room_for(session, caller, len(body.windows), but=row.id)
            row.windows = [_pack(w) for w in body.windows]
        session.flush()
        changed = row.windows != before
        devices = configuration_changed(session, organisation_id=caller.organisation_id) if changed else []
        return _show(row), devices

    schedule, devices = await cloud.db.write(work)
    await push_configurations(cloud, devices)
    return schedule
