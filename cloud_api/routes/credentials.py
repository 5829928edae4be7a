"""/v1/credentials: PINs and cards of users, which doors look up in a table of their own."""

import re
from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import Query, Response
from pydantic import AfterValidator, BaseModel, Field, model_validator
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.auth import Principal
from cloud_api.clock import from_ms, from_s, now_ms, now_s
from cloud_api.credentials import CARD, PIN, add_credential, doors_of, end_credential
from cloud_api.db.models import Credential, Door, Event, Schedule, User
from cloud_api.events import add_cloud_event
from cloud_api.files import USERS, file_changed
from cloud_api.paging import Cursor, Limit, Page, fetch_page
from cloud_api.problems import Location, Problem
from cloud_api.routes.context import Caller, CloudDep, identity, own, resource_router
from cloud_api.routes.schemas import (
    Body,
    CredentialPath,
    DoorId,
    Instant,
    Name,
    ScheduleId,
    UserId,
    id_pattern,
)
from cloud_api.transfers import push_offers
from protocol.credential import DURESS, EXTENDED_TIME, NEEDS_SECOND, NEVER, ONE_TIME, PASSBACK_EXEMPT
from protocol.host.cards import check_card
from protocol.wiegand import card

router = resource_router("credentials")

MAX_DOORS = 100
_PIN = re.compile(r"^[0-9]{4,8}$")
_FLAGS = {
    "one_time": ONE_TIME,
    "duress": DURESS,
    "needs_second": NEEDS_SECOND,
    "extended_time": EXTENDED_TIME,
    "passback_exempt": PASSBACK_EXEMPT,
}


class CardIn(Body):
    """A card, as it is printed on it or in its order."""

    bits: Annotated[int, Field(description="Length of its format: 26, 34 or 37.", examples=[26])]
    facility: Annotated[
        int | None, Field(ge=0, description="Absent: the format has none.", examples=[12])
    ] = None
    number: Annotated[int, Field(ge=0, examples=[3456])]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_card(self.bits, self.number, self.facility)
        return self


class Terms(BaseModel):
    """What a credential does beside opening."""

    one_time: bool = Field(default=False, description="Each door takes it once.")
    duress: bool = Field(default=False, description="Opens, and raises a silent alarm.")
    needs_second: bool = Field(
        default=False, description="Only together with the user's other one, PIN or card."
    )
    extended_time: bool = Field(default=False, description="The door stays released for longer.")
    passback_exempt: bool = Field(default=False, description="Timed anti-passback does not hold it up.")


def _digits(value: str | None) -> str | None:
    if value is not None and not _PIN.fullmatch(value):
        raise ValueError(
            "must be 4 to 8 of the digits 0 to 9: keypads take no others, and guessers try shorter ones"
        )
    return value


class CredentialIn(Body, Terms):
    """A new PIN or card: exactly one of `pin`, `card` and `card_raw`."""

    user_id: UserId
    door_ids: Annotated[list[DoorId], Field(min_length=1, max_length=MAX_DOORS)]
    name: Name = "Credential"
    pin: Annotated[
        str | None,
        AfterValidator(_digits),
        Field(description="4 to 8 digits; never shown again.", json_schema_extra={"pattern": _PIN.pattern}),
    ] = None
    card: CardIn | None = None
    card_raw: Annotated[
        str | None,
        Field(pattern=r"^[0-9a-f]{16}$", description="The 8 bytes that a reader of ours makes of it."),
    ] = None
    not_before: Annotated[Instant | None, Field(description="Absent: at once.")] = None
    not_after: Annotated[
        Instant | None, Field(description="First instant at which it no longer opens; absent: never ends.")
    ] = None
    schedule_id: Annotated[ScheduleId | None, Field(description="Weekly windows in which it opens.")] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.pin, self.card, self.card_raw)) != 1:
            raise ValueError("give exactly one of pin, card and card_raw")
        return self

    def secret(self) -> tuple[str, bytes]:
        """(type, what is typed or shown)."""
        if self.pin is not None:
            return PIN, self.pin.encode()
        if self.card is None:
            return CARD, bytes.fromhex(self.card_raw or "")
        facility = -1 if self.card.facility is None else self.card.facility
        return CARD, card(self.card.bits, self.card.number, facility)


class CredentialOut(Terms):
    """A credential, without what is typed or shown."""

    id: str = Field(examples=["cred_e4da3b7fbbce2345"])
    user_id: str
    door_ids: list[str]
    name: str
    type: str = Field(examples=["pin"], description="`pin` or `card`.")
    not_before: datetime | None
    not_after: datetime | None
    schedule_id: str | None
    status: str = Field(examples=["active"], description="`active`, `expired` or `revoked`.")
    created_at: datetime
    revoked_at: datetime | None


def _status(row: Credential) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.not_after <= now_s() else "active"


def _show(session: Session, row: Credential) -> CredentialOut:
    return CredentialOut(
        id=row.id,
        user_id=row.user_id,
        door_ids=doors_of(session, row),
        name=row.name,
        type=row.type,
        not_before=from_s(row.not_before) if row.not_before else None,
        not_after=from_s(row.not_after) if row.not_after != NEVER else None,
        schedule_id=row.schedule_id,
        status=_status(row),
        created_at=from_ms(row.created_at),
        revoked_at=from_ms(row.revoked_at) if row.revoked_at else None,
        **{name: bool(row.flags & flag) for name, flag in _FLAGS.items()},
    )


def _event(session: Session, kind: str, row: Credential, caller: Principal) -> Event:
    data: dict[str, Any] = {"by": caller.token_id, "credential": row.id, "credential_type": row.type}
    return add_cloud_event(session, caller.organisation_id, kind, user_id=row.user_id, data=data)


def _window(body: CredentialIn) -> tuple[int, int]:
    begin = int(body.not_before.timestamp()) if body.not_before else 0
    end = int(body.not_after.timestamp()) if body.not_after else NEVER
    if end <= begin:
        place = Location(pointer="/body/not_after", detail="must be later than not_before")
        raise Problem(422, "invalid_request", "The credential would never open anything.", errors=[place])
    return begin, end


@router.post("/credentials", status_code=201)
async def create_credential(
    body: CredentialIn, cloud: CloudDep, caller: Caller, response: Response
) -> CredentialOut:
    """Give a user a PIN or a card. The doors get new tables at once, of many changes in a row one every quarter of a second;
    a door that is offline, when it is back.

    A PIN or card that another credential has at one of the doors is refused (`credential_taken`), and so is one
    more than a door has room for (`door_full`).
    """
    begin, end = _window(body)
    kind, secret = body.secret()

    def work(session: Session) -> tuple[CredentialOut, list[str], Event]:
        user = own(session, User, body.user_id, caller)
        doors = sorted({own(session, Door, door_id, caller).id for door_id in body.door_ids})
        if body.schedule_id is not None:
            own(session, Schedule, body.schedule_id, caller)
        row = Credential(
            **identity("cred", caller),
            user_id=user.id,
            name=body.name,
            type=kind,
            not_before=begin,
            not_after=end,
            flags=sum(flag for name, flag in _FLAGS.items() if getattr(body, name)),
            schedule_id=body.schedule_id,
        )
        add_credential(session, cloud.vault, row, secret, doors)
        devices = file_changed(session, USERS, doors)
        return _show(session, row), devices, _event(session, "credential_created", row, caller)

    credential, devices, event = await cloud.db.write(work)
    cloud.hub.publish([event])
    push_offers(cloud, devices)
    response.headers["Location"] = f"/v1/credentials/{credential.id}"
    return credential


@router.get("/credentials")
async def list_credentials(
    cloud: CloudDep,
    caller: Caller,
    user_id: Annotated[str | None, Query(pattern=id_pattern("user"))] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[CredentialOut]:
    """List PINs and cards, oldest first, without what is typed or shown."""
    mine = select(Credential).where(Credential.organisation_id == caller.organisation_id)
    if user_id is not None:
        mine = mine.where(Credential.user_id == user_id)

    def work(session: Session) -> Page[CredentialOut]:
        return fetch_page(session, mine, Credential.ord, limit, cursor, lambda row: _show(session, row))

    return await cloud.db.read(work)


@router.get("/credentials/{id}")
async def get_credential(credential_id: CredentialPath, cloud: CloudDep, caller: Caller) -> CredentialOut:
    """Read a credential."""
    return await cloud.db.read(
        lambda session: _show(session, own(session, Credential, credential_id, caller))
    )


@router.post("/credentials/{id}/revoke")
async def revoke_credential(credential_id: CredentialPath, cloud: CloudDep, caller: Caller) -> CredentialOut:
    """Take a PIN or card back. Its doors get new tables as when it was made.

    Repeating it changes nothing.
    """

    def work(session: Session) -> tuple[CredentialOut, list[str], list[Event]]:
        row = own(session, Credential, credential_id, caller)
        if row.revoked_at is not None:
            return _show(session, row), [], []
        end_credential(session, row, now_ms())
        devices = file_changed(session, USERS, doors_of(session, row))
        return _show(session, row), devices, [_event(session, "credential_revoked", row, caller)]

    credential, devices, events = await cloud.db.write(work, durable=True)
    cloud.hub.publish(events)
    push_offers(cloud, devices)
    return credential
