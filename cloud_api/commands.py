"""Action attempts: a sealed command for one device, and how the attempt ends.

    pending → succeeded   the device's sealed result says so
            → failed      the device refused, or the command certainly did not go out
            → expired     nothing was heard until the command could no longer act

A command is published once, right after its attempt is committed, and never again: not by a retry, not after
a restart. It carries the boot epoch of the device's last state, a sequence number and its expiry, all under
the seal.
"""

import asyncio
import time
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from pydantic import BaseModel, Field
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from cloud_api.auth import Principal
from cloud_api.clock import from_ms, now_ms
from cloud_api.db.models import ActionAttempt, Door, Event
from cloud_api.events import add_cloud_event
from cloud_api.fleet import Line
from cloud_api.mqtt import Unreachable
from cloud_api.problems import Problem, not_found
from cloud_api.secrets import random_id
from cloud_api.services import Cloud
from cloud_api.settings import RESULT_GRACE_S, SILENT_AFTER_S
from protocol.command import OPERATIONS, build_command
from protocol.envelope import LABEL_COMMAND, seal
from protocol.host.cloud_messages import Sealed
from protocol.topics import site_down

log = structlog.get_logger(__name__)

UNLOCK, LOCK, MODE = OPERATIONS
PENDING, SUCCEEDED, FAILED, EXPIRED = "pending", "succeeded", "failed", "expired"

# Why an attempt did not succeed. A device's own refusal is `refused_` and its status.
NEVER_BOOTED = "device_never_booted"
OFFLINE = "device_offline"
BROKER = "broker_unreachable"
NO_RESULT = "no_result"


class AttemptOut(BaseModel):
    """One try to make a device do something."""

    id: str = Field(examples=["act_1679091c5a880faf"])
    type: str = Field(examples=["unlock"], description="`unlock`, `lock` or `mode`.")
    args: dict[str, Any] = Field(examples=[{}], description="Of `mode`, which.")
    status: str = Field(examples=["pending"], description="`pending`, `succeeded`, `failed` or `expired`.")
    door_id: str
    device_id: str
    error: str | None = Field(examples=["device_offline"], description="Why it did not succeed.")
    result: dict[str, Any] | None = Field(description="What the device reported under its seal.")
    created_at: datetime
    expires_at: datetime = Field(description="After this instant the command can no longer open the door.")
    finished_at: datetime | None


def show_attempt(row: ActionAttempt) -> AttemptOut:
    """The public form of an attempt."""
    return AttemptOut(
        id=row.id,
        type=row.type,
        args=row.args or {},
        status=row.status,
        door_id=row.door_id,
        device_id=row.device_id,
        error=row.error,
        result=row.result,
        created_at=from_ms(row.created_at),
        expires_at=from_ms(row.expires_at),
        finished_at=from_ms(row.finished_at) if row.finished_at else None,
    )


async def command(
    cloud: Cloud, caller: Principal, door_id: str, operation: str, args: dict[str, Any]
) -> AttemptOut:
    """Start an attempt; `operation` and `args` are those of the device's command. 404 for a door of another organisation, 409
    for a door without a device.
    """
    started = time.perf_counter()
    line = await cloud.fleet.door(door_id)
    if line is None or line.organisation_id != caller.organisation_id:
        raise await cloud.db.read(lambda session: _no_line(session, caller, door_id))
    attempt = await _new_attempt(cloud, caller, line, operation, args)
    values = {c.key: getattr(attempt, c.key) for c in ActionAttempt.__table__.columns if c.key != "ord"}
    if attempt.status != PENDING:
        events = await cloud.db.write(lambda session: _store_finished(session, line, attempt))
        shown = show_attempt(attempt)
        _announce(cloud, shown, events)
        return shown
    envelope = seal(line.command_key, LABEL_COMMAND, _payload(attempt))
    topic = site_down(line.shard, line.site_id, "command")
    message = Sealed(d=line.device_id, e=envelope).encode()
    await cloud.db.insert(ActionAttempt, values)
    cloud.background(_publish(cloud, line, attempt.id, topic, message, started))
    await asyncio.sleep(0)  # its first step puts the command on the socket: the answer is built after that
    cloud.expiry.set()
    return show_attempt(attempt)


def _no_line(session: Session, caller: Principal, door_id: str) -> Problem:
    mine = select(Door.id).where(Door.id == door_id, Door.organisation_id == caller.organisation_id)
    if session.scalar(mine) is None:
        return not_found("door")
    return Problem(409, "door_without_device", "The door has no device yet: provision one.")


async def _new_attempt(
    cloud: Cloud, caller: Principal, line: Line, operation: str, args: dict[str, Any]
) -> ActionAttempt:
    now = now_ms()
    error = _cannot_reach(cloud, line, now)
    return ActionAttempt(
        id=random_id("act"),
        organisation_id=line.organisation_id,
        created_at=now,
        type=operation,
        args=args,
        door_id=line.door_id,
        device_id=line.device_id,
        token_id=caller.token_id,
        status=FAILED if error else PENDING,
        seq=0 if error else await cloud.fleet.next_seq(line),
        boot=line.boot or 0,
        expires_at=(now // 1000 + cloud.settings.unlock_life_s) * 1000,
        finished_at=now if error else None,
        error=error,
        result=None,
    )


def _cannot_reach(cloud: Cloud, line: Line, now: int) -> str | None:
    if line.boot is None:
        return NEVER_BOOTED
    if not line.connected or (line.last_seen_at or 0) < now - SILENT_AFTER_S * 1000:
        return OFFLINE
    return None if cloud.link.connected.is_set() else BROKER


def _payload(attempt: ActionAttempt) -> dict[str, Any]:
    expires_s = attempt.expires_at // 1000
    return build_command(
        attempt.id, attempt.device_id, attempt.boot, attempt.seq, expires_s, attempt.type, attempt.args or {}
    )


async def _publish(
    cloud: Cloud, line: Line, attempt_id: str, topic: str, message: bytes, started: float
) -> None:
    try:
        sending = cloud.link.send(topic, message)
        cloud.metrics.command_seal.observe(time.perf_counter() - started)
        await sending
    except Unreachable as error:
        log.warning("command_not_published", attempt_id=attempt_id, error=str(error))
        # If it may have gone out, the door may move: the attempt stays open for the device's result.
        if not error.sent:
            await finish(cloud, line, attempt_id, FAILED, BROKER, None)


async def finish(
    cloud: Cloud, line: Line, attempt_id: str, status: str, error: str | None, result: dict[str, Any] | None
) -> bool:
    """End a pending attempt; False if it was over already. The audit event commits with it."""

    end = {"status": status, "error": error, "result": result, "finished_at": now_ms()}

    def work(session: Session) -> tuple[AttemptOut, list[Event]] | None:
        statement = update(ActionAttempt).where(
            ActionAttempt.id == attempt_id,
            ActionAttempt.device_id == line.device_id,
            ActionAttempt.status == PENDING,
        )
        row = session.scalar(statement.values(end).returning(ActionAttempt))
        return (show_attempt(row), [_attempt_event(session, line, row)]) if row else None

    ended = await cloud.db.write(work)
    if ended is None:
        return False
    attempt, events = ended
    if status == SUCCEEDED:
        cloud.metrics.attempt_seconds.observe(time.time() - attempt.created_at.timestamp())
    _announce(cloud, attempt, events)
    return True


def _store_finished(session: Session, line: Line, attempt: ActionAttempt) -> list[Event]:
    session.add(attempt)
    session.flush()
    return [_attempt_event(session, line, attempt)]


def _attempt_event(session: Session, line: Line, row: ActionAttempt) -> Event:
    return add_cloud_event(
        session,
        row.organisation_id,
        f"{row.type}_{row.status}",
        site_id=line.site_id,
        door_id=row.door_id,
        device_id=row.device_id,
        method="remote",
        status=row.status,
        data={"attempt_id": row.id, "error": row.error, "by": row.token_id, **(row.args or {})},
    )


def _announce(cloud: Cloud, attempt: AttemptOut, events: list[Event]) -> None:
    cloud.metrics.attempts.labels(attempt.status).inc()
    cloud.waiters.wake(attempt.id, attempt)
    cloud.hub.publish(events)


async def wait_attempt(cloud: Cloud, caller: Principal, attempt_id: str, wait_s: float) -> AttemptOut:
    """Read an attempt; while it is pending, wait up to `wait_s` for its end."""

    def work(session: Session) -> AttemptOut:
        row = session.scalar(
            select(ActionAttempt).where(
                ActionAttempt.id == attempt_id, ActionAttempt.organisation_id == caller.organisation_id
            )
        )
        if row is None:
            raise not_found("action attempt")
        return show_attempt(row)

    with cloud.waiters.watch(attempt_id) as ended:
        attempt = await cloud.db.read(work)
        if attempt.status != PENDING or wait_s <= 0:
            return attempt
        await asyncio.wait([ended], timeout=wait_s)
        return ended.result() if ended.done() else attempt


def _due(session: Session) -> list[tuple[str, str]]:
    before = now_ms() - int(RESULT_GRACE_S * 1000)
    statement = select(ActionAttempt.id, ActionAttempt.device_id).where(
        ActionAttempt.status == PENDING, ActionAttempt.expires_at <= before
    )
    return [(row.id, row.device_id) for row in session.execute(statement)]


def _next_expiry(session: Session) -> int | None:
    statement = select(func.min(ActionAttempt.expires_at)).where(ActionAttempt.status == PENDING)
    return session.execute(statement).scalar_one()


async def expire(cloud: Cloud) -> None:
    """Worker: end the attempts whose command can no longer act, also those that an earlier process left
    behind.
    """
    while True:
        for attempt_id, device_id in await cloud.db.read(_due):
            line = await cloud.fleet.device(device_id)
            if line is not None:
                await finish(cloud, line, attempt_id, EXPIRED, NO_RESULT, None)
            else:
                await cloud.db.write(partial(_drop, attempt_id=attempt_id))
        cloud.expiry.clear()
        earliest = await cloud.db.read(_next_expiry)
        if earliest is None:
            await cloud.expiry.wait()
            continue
        # Nothing new can become due before the earliest one: a new attempt ends later.
        await asyncio.sleep(max(0.05, earliest / 1000 + RESULT_GRACE_S - time.time()))


def _drop(session: Session, attempt_id: str) -> None:
    """End an attempt of a device that was retired meanwhile."""
    session.execute(
        update(ActionAttempt)
        .where(ActionAttempt.id == attempt_id, ActionAttempt.status == PENDING)
        .values(status=EXPIRED, error=NO_RESULT, finished_at=now_ms())
    )
