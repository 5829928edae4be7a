"""The policy of a door: the fields of `/v1/doors` that become its device's configuration."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from cloud_api.db.models import Door
from cloud_api.routes.schemas import ScheduleId
from protocol.errors import Malformed
from protocol.wiegand import MAX_BITS, MAX_FORMATS, STANDARD, formats

# Of all card formats of a door, as JSON: they share a configuration with its lists, which is 5.5 KiB at most.
MAX_FORMATS_TEXT = 400


def _formats(value: list[list[int]]) -> list[list[int]]:
    try:
        formats(value)
    except Malformed:
        raise ValueError(
            "must be formats of different lengths, each 9 to 64 bits: [bits, facility width] for the usual parities; or bits, "
            "facility shift, facility width, number shift, number width, and (odd, mask) for each parity, so that fields and"
            " parities share no bit and leave none over"
        ) from None
    if len(json.dumps(value)) > MAX_FORMATS_TEXT:
        raise ValueError(f"must be at most {MAX_FORMATS_TEXT} characters together, written as JSON")
    return value


class DoorPolicy(BaseModel):
    """What a door is told beside who may open it."""

    open_s: float = Field(default=5.0, ge=0.5, le=60, description="How long a grant releases the lock.")
    extended_s: int = Field(
        default=20, ge=1, le=300, description="The same, of keys and credentials with `extended_time`."
    )
    relock_ms: int = Field(
        default=0, ge=0, le=60_000, description="From the leaf that closes to the lock that secures."
    )
    jam_s: int = Field(default=3, ge=1, le=60, description="A bolt that has not followed by then is jammed.")
    held_s: int = Field(default=30, ge=1, le=3600, description="Open for longer raises `door_held`.")
    warn_s: int = Field(default=10, ge=0, le=3600, description="So many seconds before that it beeps.")
    silence_s: int = Field(default=60, ge=0, le=3600, description="An alarm sounds for so long.")
    fire_releases: bool = Field(
        default=False,
        description="The fire input releases a fail-secure lock too. A fail-safe one it always does.",
    )
    free_egress: bool = Field(
        default=False,
        description="The hardware lets people out: the exit contact tells only that the leaf will open.",
    )
    way_out: bool = Field(default=False, description="The device's reader is on the way out.")
    passback_s: int = Field(
        default=0, ge=0, le=86_400, description="Nobody comes in twice within this time; 0: no anti-passback."
    )
    wrong_codes: int = Field(default=5, ge=1, le=100, description="Wrong PINs before the keypad locks out.")
    max_u_s: int = Field(
        default=300,
        ge=1,
        le=86_400,
        description="A door less sure of the time than this refuses time-limited keys.",
    )
    card_formats: Annotated[
        list[Annotated[list[int], Field(max_length=5 + 2 * MAX_BITS)]],
        Field(max_length=MAX_FORMATS),
        AfterValidator(_formats),
    ] = Field(
        default=[list(usual) for usual in STANDARD],
        description="Of Wiegand and OSDP cards, one for each length: `[bits, facility width]` for the usual parities, or"
        " every field and parity as the protocol's specification has it.",
    )
    unlock_schedule_id: ScheduleId | None = Field(
        default=None,
        description="The door is held released in its windows, while it is sure of the time; null: never.",
    )


DEFAULTS = DoorPolicy().model_dump()
# Those that have a column of their own; the others are in `policy`, if they are not the default.
_COLUMNS = {"open_s", "held_s", "max_u_s"}


def shown(row: Door) -> dict[str, Any]:
    """Every field of the policy in force."""
    return {**DEFAULTS, **row.policy, **{name: getattr(row, name) for name in _COLUMNS}}


def put(row: Door, policy: dict[str, Any]) -> None:
    """Make this the policy of a row; every field is given."""
    for name in _COLUMNS:
        setattr(row, name, policy[name])
    others = DEFAULTS.keys() - _COLUMNS
    row.policy = {name: policy[name] for name in sorted(others) if policy[name] != DEFAULTS[name]}
