"""The audit log: how an event is shown, found and added.

An event's id is its place in the log, so it is also its cursor: `after=evt_…` means "everything newer than
this".
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from cloud_api.clock import from_ms, from_s, now_ms
from cloud_api.db.models import Event
from cloud_api.paging import bad_cursor

CLOUD = "cloud"  # source of what the cloud itself did

_PREFIX = "evt_"
_MAX = 2**63 - 1


class EventOut(BaseModel):
    """One entry of the audit log."""

    id: str = Field(
        examples=["evt_000000000000002a"], description="Also the cursor of the log and of the stream."
    )
    type: str = Field(examples=["access_granted"])
    source: str = Field(
        examples=["dev_8f14e45fceea167a"], description="Who recorded it: a device, a gateway, or the cloud."
    )
    seq: int | None = Field(
        examples=[7], description="Number in the source's own journal; with source, exactly once."
    )
    time: datetime | None = Field(
        description="When it happened, by the source's clock; null: it did not know the time."
    )
    uncertainty_s: int | None = Field(examples=[1], description="`time` is right within this many seconds.")
    received_at: datetime
    site_id: str | None
    door_id: str | None
    device_id: str | None
    user_id: str | None
    key_id: str | None
    method: str | None = Field(examples=["ble"], description="How access was asked for.")
    status: str | None = Field(examples=["granted"], description="What the door decided.")
    data: dict[str, Any] = Field(
        examples=[{"boot": 3, "value": 6, "cause": "brown_out"}],
        description="More, by type. Of a `boot`, `cause` is its value by name.",
    )


def event_id(order: int) -> str:
    """The public id of a place in the log."""
    return f"{_PREFIX}{order:016x}"


def event_order(cursor: str) -> int:
    """The place that an event id names; raises the 422 problem."""
    digits = cursor.removeprefix(_PREFIX)
    if len(digits) != 16 or len(cursor) != 20 or any(c not in "0123456789abcdef" for c in digits):
        raise bad_cursor()
    order = int(digits, 16)
    if order > _MAX:
        raise bad_cursor()
    return order


def show_event(event: Event) -> EventOut:
    """The public form of a stored event."""
    return EventOut(
        id=event_id(event.ord),
        type=event.type,
        source=event.source,
        seq=event.seq,
        time=from_s(event.time) if event.time else None,
        uncertainty_s=event.uncertainty,
        received_at=from_ms(event.received_at),
        site_id=event.site_id,
        door_id=event.door_id,
        device_id=event.device_id,
        user_id=event.user_id,
        key_id=event.key_id,
        method=event.method,
        status=event.status,
        data=event.data,
    )


def add_cloud_event(session: Session, organisation_id: str, kind: str, **fields: Any) -> Event:
    """Record what the cloud did, in the transaction that does it; `data` and the *_id fields as keywords."""
    now = now_ms()
    values = {"source": CLOUD, "data": {}, "time": now // 1000, "uncertainty": 0, **fields}
    event = Event(organisation_id=organisation_id, type=kind, received_at=now, **values)
    session.add(event)
    session.flush()
    return event
