"""Turns proven records, holes, broken records and gateways' notes into rows of the audit log."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.chains import Delivery, Proven
from cloud_api.clock import now_ms
from cloud_api.db.models import Device, Event, Gateway, Key, User
from cloud_api.device_config import config_refused
from cloud_api.events import add_cloud_event
from cloud_api.files import file_refused, file_taken
from cloud_api.fleet import Line
from protocol.access import STATUS_NAMES
from protocol.host.boot_causes import boot_cause
from protocol.host.cloud_messages import AuditEvent
from protocol.host.refusals import REFUSALS, is_final, refusal_name
from protocol.ids import id_from_bytes
from protocol.journal import (
    EVENT_BOOT,
    EVENT_CONFIG_REFUSED,
    EVENT_NAMES,
    EVENT_TRANSFER_REFUSED,
    EVENT_TRANSFER_TAKEN,
    METHOD_CARD,
    METHOD_NAMES,
    METHOD_PIN,
    Record,
)

MAX_DATA = 4096  # a gateway's note, as text
TIME_UNKNOWN = 0xFFFF  # uncertainty of a record whose device did not know the time
# What a gateway reports under a device's own name would look as if the device had said it.
GATEWAY_PREFIX = "gateway_"


def add_record(session: Session, line: Line, proven: Proven) -> Event:
    """A journal record as an event; its subject is the credential id that the door saw, or the user of a card or PIN."""
    record = proven.record
    by_user = record.method in (METHOD_CARD, METHOD_PIN)
    key = None if by_user else _key(session, line, record.subject)
    user_id = _user_id(session, line, record.subject) if by_user else None
    credential = None if by_user else _credential(record.subject)
    told = _told(session, line, record)
    event = Event(
        organisation_id=line.organisation_id,
        site_id=line.site_id,
        door_id=line.door_id,
        device_id=line.device_id,
        user_id=key.user_id if key else user_id,
        key_id=key.id if key else None,
        source=line.device_id,
        seq=record.seq,
        type=EVENT_NAMES.get(record.type, f"event_{record.type}"),
        time=record.time if record.uncertainty != TIME_UNKNOWN else None,
        uncertainty=record.uncertainty if record.uncertainty != TIME_UNKNOWN else None,
        received_at=now_ms(),
        method=METHOD_NAMES.get(record.method, f"method_{record.method}") if record.method else None,
        status=_status(record),
        data={"boot": record.boot, "value": record.value, "credential_id": credential, **told},
        record=proven.raw,
    )
    session.add(event)
    if record.type == EVENT_TRANSFER_TAKEN:
        file_taken(session, line.device_id, bytes(record.subject), record.value)
    return event


def _status(record: Record) -> str | None:
    if record.type in REFUSALS:
        return refusal_name(record.status)
    return STATUS_NAMES.get(record.status, f"status_{record.status}") if record.method else None


def _told(session: Session, line: Line, record: Record) -> dict[str, object]:
    """What the value of some types says, in words."""
    if record.type == EVENT_BOOT:
        return {"cause": boot_cause(record.value)}
    return _refusal(session, line, record) if record.type in REFUSALS else {}


def _refusal(session: Session, line: Line, record: Record) -> dict[str, object]:
    """Note what the device will not take; returns whether that is for good, and of which file it speaks."""
    told: dict[str, object] = {"final": is_final(record.status)}
    if record.type == EVENT_CONFIG_REFUSED:
        config_refused(session, line, record.status, record.value)
    if record.type == EVENT_TRANSFER_REFUSED:
        told["file"] = file_refused(session, line.device_id, bytes(record.subject), record.status)
    return told


def _credential(subject: bytes) -> str | None:
    return bytes(subject).hex() if any(subject) else None


def _user_id(session: Session, line: Line, subject: bytes) -> str | None:
    named = User.id == id_from_bytes("user", subject), User.organisation_id == line.organisation_id
    return session.scalar(select(User.id).where(*named))


def _key(session: Session, line: Line, subject: bytes) -> Key | None:
    if not any(subject):
        return None
    statement = select(Key).where(
        Key.credential_id == bytes(subject), Key.organisation_id == line.organisation_id
    )
    return session.scalar(statement)


def _about(
    session: Session, line: Line, kind: str, source: str, seq: int, data: dict[str, object]
) -> Event | None:
    """An event about a device's chain, once: the same finding comes with every repetition of the message."""
    if session.scalar(select(Event.ord).where(Event.source == source, Event.seq == seq)) is not None:
        return None
    place = {"site_id": line.site_id, "door_id": line.door_id, "device_id": line.device_id}
    return add_cloud_event(session, line.organisation_id, kind, source=source, seq=seq, data=data, **place)


def add_gap(session: Session, line: Line, delivery: Delivery) -> Event | None:
    """Records that never came, and that the device says it had."""
    if delivery.gap is None:
        return None
    first, last = delivery.gap
    source = "gap_" + line.device_id.removeprefix("dev_")
    return _about(session, line, "chain_gap", source, first, {"first": first, "last": last})


def add_broken(session: Session, line: Line, delivery: Delivery) -> Event | None:
    """A record that the device has not written, or not like this."""
    if delivery.broken is None:
        return None
    seq, raw, reason = delivery.broken
    source = "brk_" + line.device_id.removeprefix("dev_")
    return _about(
        session, line, "chain_broken", source, seq, {"seq": seq, "reason": reason, "record": raw.hex()}
    )


def _device_of_site(session: Session, gateway: Gateway, named: object) -> Device | None:
    if not isinstance(named, str):
        return None
    return session.scalar(select(Device).where(Device.id == named, Device.site_id == gateway.site_id))


def add_audit(session: Session, gateway: Gateway, item: AuditEvent) -> Event:
    """What a gateway has seen itself. Its word is not sealed by a device: the type says so."""
    data = item.data if len(str(item.data)) <= MAX_DATA else {"truncated": True}
    device = _device_of_site(session, gateway, data.get("device_id", data.get("who")))
    event = Event(
        organisation_id=gateway.organisation_id,
        site_id=gateway.site_id,
        source=gateway.id,
        seq=item.seq,
        type=item.type if item.type.startswith(GATEWAY_PREFIX) else GATEWAY_PREFIX + item.type,
        time=item.t or None,
        uncertainty=0,
        received_at=now_ms(),
        data={**data, "gateway_id": gateway.id},
        device_id=device.id if device else None,
        door_id=device.door_id if device else None,
    )
    session.add(event)
    return event
