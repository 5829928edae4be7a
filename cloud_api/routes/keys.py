"""/v1/keys: who may open which doors, when; phone bundles; revocation."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.auth import Principal
from cloud_api.clock import from_ms, from_s, now_ms, now_s
from cloud_api.db.models import Door, Event, Key, KeyDoor, Schedule, User
from cloud_api.device_config import push_configurations
from cloud_api.events import add_cloud_event
from cloud_api.idempotency import answers_secret
from cloud_api.keys import mint_bundle, new_credential_id
from cloud_api.paging import Cursor, Limit, Page, fetch_page
from cloud_api.problems import Location, Problem
from cloud_api.revocations import key_revoked, overfull_doors
from cloud_api.routes.context import Caller, CloudDep, identity, own, resource_router
from cloud_api.routes.schemas import Body, DoorId, Instant, KeyPath, Name, ScheduleId, UserId, id_pattern
from cloud_api.transfers import push_offers
from protocol.credential import DURESS, EXTENDED_TIME, LOCKDOWN_OVERRIDE, NEVER, ONE_TIME

router = resource_router("keys")

MAX_DOORS = 100
_FLAGS = {
    "one_time": ONE_TIME,
    "duress": DURESS,
    "lockdown_override": LOCKDOWN_OVERRIDE,
    "extended_time": EXTENDED_TIME,
}


class Terms(BaseModel):
    """What a key does beside opening."""

    one_time: bool = Field(default=False, description="Opens each of its doors once.")
    duress: bool = Field(default=False, description="Opens, and raises a silent alarm.")
    lockdown_override: bool = Field(default=False, description="Opens also in the mode `lockdown`.")
    extended_time: bool = Field(default=False, description="The door stays released for `extended_s`.")


class KeyIn(Body, Terms):
    """A new key."""

    user_id: UserId
    door_ids: Annotated[list[DoorId], Field(min_length=1, max_length=MAX_DOORS)]
    name: Name = "Key"
    not_before: Annotated[Instant | None, Field(description="Absent: at once.")] = None
    not_after: Annotated[
        Instant | None, Field(description="First instant at which it no longer opens; absent: never ends.")
    ] = None
    schedule_id: Annotated[ScheduleId | None, Field(description="Weekly windows in which it opens.")] = None


class KeyOut(Terms):
    """A key, without what opens doors."""

    id: str = Field(examples=["key_e4da3b7fbbce2345"])
    user_id: str
    door_ids: list[str]
    name: str
    not_before: datetime | None
    not_after: datetime | None
    schedule_id: str | None
    status: str = Field(examples=["active"], description="`active`, `expired` or `revoked`.")
    credential_id: str = Field(examples=["45c48cce00000001"], description="As the door's journal shows it.")
    created_at: datetime
    revoked_at: datetime | None


class MobileDoor(BaseModel):
    """One door of a phone bundle."""

    door_id: str
    name: str
    token: str = Field(description="26 bytes, hex.")
    key: str = Field(description="K_cred, 32 bytes, hex. Keep it in the phone's key store.")
    caveats: list[str] = Field(description="Hex; empty for the holder's own key.")


class MobileBundle(BaseModel):
    """What a phone needs to open the doors of a key with no network."""

    key_id: str
    user_id: str
    doors: list[MobileDoor]


def _status(row: Key) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.not_after <= now_s() else "active"


def _show(row: Key, door_ids: list[str]) -> KeyOut:
    return KeyOut(
        id=row.id,
        user_id=row.user_id,
        door_ids=door_ids,
        name=row.name,
        not_before=from_s(row.not_before) if row.not_before else None,
        not_after=from_s(row.not_after) if row.not_after != NEVER else None,
        schedule_id=row.schedule_id,
        status=_status(row),
        credential_id=row.credential_id.hex(),
        created_at=from_ms(row.created_at),
        revoked_at=from_ms(row.revoked_at) if row.revoked_at else None,
        **{name: bool(row.flags & flag) for name, flag in _FLAGS.items()},
    )


def _doors_of(session: Session, row: Key) -> list[str]:
    statement = select(KeyDoor.door_id).where(KeyDoor.key_ord == row.ord).order_by(KeyDoor.door_id)
    return list(session.scalars(statement))


def _facts(row: Key, caller: Principal) -> dict[str, Any]:
    return {"key_id": row.id, "user_id": row.user_id, "data": {"by": caller.token_id}}


def _window(body: KeyIn) -> tuple[int, int]:
    begin = int(body.not_before.timestamp()) if body.not_before else 0
    end = int(body.not_after.timestamp()) if body.not_after else NEVER
    if end <= begin:
        place = Location(pointer="/body/not_after", detail="must be later than not_before")
        raise Problem(422, "invalid_request", "The key would never open anything.", errors=[place])
    return begin, end


@router.post("/keys", status_code=201)
async def create_key(body: KeyIn, cloud: CloudDep, caller: Caller, response: Response) -> KeyOut:
    """Give a user a key. Nothing is sent to the doors: they recognise it by its MAC."""
    begin, end = _window(body)

    def work(session: Session) -> tuple[KeyOut, Event]:
        user = own(session, User, body.user_id, caller)
        doors = sorted({own(session, Door, door_id, caller).id for door_id in body.door_ids})
        if body.schedule_id is not None:
            own(session, Schedule, body.schedule_id, caller)
        row = Key(
            **identity("key", caller),
            user_id=user.id,
            name=body.name,
            credential_id=new_credential_id(session, user),
            generation=user.generation,
            not_before=begin,
            not_after=end,
            flags=sum(flag for name, flag in _FLAGS.items() if getattr(body, name)),
            schedule_id=body.schedule_id,
        )
        session.add(row)
        session.flush()
        session.add_all(KeyDoor(key_ord=row.ord, door_id=door_id) for door_id in doors)
        return _show(row, doors), add_cloud_event(
            session, caller.organisation_id, "key_created", **_facts(row, caller)
        )

    key, event = await cloud.db.write(work)
    cloud.hub.publish([event])
    response.headers["Location"] = f"/v1/keys/{key.id}"
    return key


@router.get("/keys")
async def list_keys(
    cloud: CloudDep,
    caller: Caller,
    user_id: Annotated[str | None, Query(pattern=id_pattern("user"))] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[KeyOut]:
    """List keys, oldest first."""
    mine = select(Key).where(Key.organisation_id == caller.organisation_id)
    if user_id is not None:
        mine = mine.where(Key.user_id == user_id)

    def work(session: Session) -> Page[KeyOut]:
        return fetch_page(
            session, mine, Key.ord, limit, cursor, lambda row: _show(row, _doors_of(session, row))
        )

    return await cloud.db.read(work)


@router.get("/keys/{id}")
async def get_key(key_id: KeyPath, cloud: CloudDep, caller: Caller) -> KeyOut:
    """Read a key."""

    def work(session: Session) -> KeyOut:
        row = own(session, Key, key_id, caller)
        return _show(row, _doors_of(session, row))

    return await cloud.db.read(work)


@router.post("/keys/{id}/mobile")
@answers_secret
async def mint_mobile(key_id: KeyPath, cloud: CloudDep, caller: Caller) -> MobileBundle:
    """Mint the key for a phone. Whoever has the answer can open the doors: send it over pinned TLS only, and
    log nothing of it.
    """

    def work(session: Session) -> tuple[MobileBundle, Event]:
        row = own(session, Key, key_id, caller)
        doors = [
            MobileDoor(door_id=d.door_id, name=d.name, token=d.token.hex(), key=d.key.hex(), caveats=[])
            for d in mint_bundle(session, cloud.vault, row)
        ]
        event = add_cloud_event(session, caller.organisation_id, "key_minted", **_facts(row, caller))
        return MobileBundle(key_id=row.id, user_id=row.user_id, doors=doors), event

    bundle, event = await cloud.db.write(work)
    cloud.hub.publish([event])
    return bundle


@router.post("/keys/{id}/revoke")
async def revoke_key(key_id: KeyPath, cloud: CloudDep, caller: Caller) -> KeyOut:
    """Take a key back. Its doors get a new revocation list at once; a door that is offline, with the next
    fresh carrier.

    Repeating it changes nothing.
    """

    def work(session: Session) -> tuple[KeyOut, list[str], list[Event]]:
        row = own(session, Key, key_id, caller)
        doors = _doors_of(session, row)
        if row.revoked_at is not None:
            return _show(row, doors), [], []
        row.revoked_at = now_ms()
        session.flush()
        devices = key_revoked(session, row, doors)
        events = [add_cloud_event(session, caller.organisation_id, "key_revoked", **_facts(row, caller))]
        for door_id in overfull_doors(session, doors):
            facts = {**_facts(row, caller), "door_id": door_id}
            events.append(add_cloud_event(session, caller.organisation_id, "revocation_overflow", **facts))
        return _show(row, doors), devices, events

    key, devices, events = await cloud.db.write(work, durable=True)
    cloud.hub.publish(events)
    await push_configurations(cloud, devices)
    push_offers(cloud, devices)
    return key
