"""Vectors of the access decision."""

from typing import Any

from protocol import access as a
from protocol.credential import LOCKDOWN_OVERRIDE, NEVER, ONE_TIME, REMOTE_ONLY, Token
from protocol.handshake import ACTION_LOCK, ACTION_STATUS, ACTION_UNLOCK
from protocol.host.vectors.calendar import NIGHT, OFFICE
from protocol.host.vectors.case import CREDENTIAL, DOOR, NOW, TOKEN_BYTES, Vector, good
from protocol.host.vectors.credential import FROM, HERE_ONLY, UNLOCK_ONLY
from protocol.journal import (
    METHOD_BLE,
    METHOD_CARD,
    METHOD_KEY_SWITCH,
    METHOD_NONE,
    METHOD_PIN,
    METHOD_REMOTE,
    METHOD_REX,
)

_FACTS: dict[str, Any] = {
    "method": METHOD_BLE,
    "token": TOKEN_BYTES,
    "caveats": [],
    "action": ACTION_UNLOCK,
    "door": DOOR,
    "epoch": 1,
    "clock": [NOW, 2],
    "max_uncertainty": 60,
    "revoked": False,
    "min_generation": 2,
    "schedule": None,
    "lockdown": 0,
    "remembered": [],
}


def _flagged(flags: int = 0, schedule_id: int = 0) -> bytes:
    return Token(1, CREDENTIAL, 2, 0, NEVER, flags, schedule_id).encode()


def access() -> list[Vector]:
    def decided(name: str, status: int, **changes: object) -> Vector:
        return good(name, "decide", {**_FACTS, **changes}, status)

    scheduled = _flagged(schedule_id=1)
    flagged = _flagged(LOCKDOWN_OVERRIDE)
    return [
        decided("granted", a.STATUS_GRANTED),
        decided("granted_without_limits_or_clock", a.STATUS_GRANTED, token=_flagged(), clock=None),
        decided(
            "granted_in_its_schedule",
            a.STATUS_GRANTED,
            token=scheduled,
            schedule=OFFICE,
            clock=[NOW + 60, 2],
        ),
        decided("granted_with_caveats", a.STATUS_GRANTED, caveats=[FROM, HERE_ONLY, UNLOCK_ONLY]),
        decided("exit_button", a.STATUS_GRANTED, method=METHOD_REX, token=None),
        decided("command", a.STATUS_GRANTED, method=METHOD_REMOTE, token=None),
        decided("no_credential", a.STATUS_METHOD, token=None),
        decided("no_method", a.STATUS_METHOD, method=METHOD_NONE),
        decided("epoch", a.STATUS_EPOCH, epoch=2),
        decided("revoked", a.STATUS_REVOKED, revoked=True),
        decided("generation", a.STATUS_GENERATION, min_generation=3),
        decided("caveat_action", a.STATUS_CAVEAT, caveats=[UNLOCK_ONLY], action=ACTION_LOCK),
        decided("caveat_door", a.STATUS_CAVEAT, caveats=[HERE_ONLY], door=bytes(8)),
        decided("remote_only", a.STATUS_REMOTE_ONLY, token=_flagged(REMOTE_ONLY)),
        decided("one_time", a.STATUS_GRANTED, token=_flagged(ONE_TIME)),
        decided("one_time_spent", a.STATUS_SPENT, token=_flagged(ONE_TIME), remembered=["spent"]),
        decided("clock_unknown", a.STATUS_CLOCK, clock=None),
        decided("clock_uncertain", a.STATUS_CLOCK, clock=[NOW, 61]),
        decided("clock_uncertain_by_a_caveat", a.STATUS_CLOCK, token=_flagged(), caveats=[FROM], clock=None),
        decided("too_early", a.STATUS_WINDOW, clock=[NOW - 3599, 2]),
        decided("too_late", a.STATUS_WINDOW, clock=[NOW + 86_398, 2]),
        decided("outside_its_schedule", a.STATUS_SCHEDULE, token=scheduled, schedule=NIGHT),
        decided("schedule_that_the_door_lacks", a.STATUS_SCHEDULE, token=scheduled),
        decided("status_asked_by_a_revoked_key", a.STATUS_REVOKED, revoked=True, action=ACTION_STATUS),
        decided("key_switch", a.STATUS_GRANTED, method=METHOD_KEY_SWITCH, token=None, lockdown=2),
        decided("exit_button_in_lockdown", a.STATUS_GRANTED, method=METHOD_REX, token=None, lockdown=2),
        decided("command_in_lockdown", a.STATUS_MODE, method=METHOD_REMOTE, token=None, lockdown=1),
        decided("lockdown", a.STATUS_MODE, lockdown=1),
        decided("lockdown_and_a_flagged_key", a.STATUS_GRANTED, token=flagged, lockdown=1),
        decided("lockdown_of_all", a.STATUS_MODE, token=flagged, lockdown=2),
        decided("card", a.STATUS_GRANTED, method=METHOD_CARD),
        decided("unknown_card", a.STATUS_UNKNOWN, method=METHOD_CARD, token=None),
        decided("unknown_code", a.STATUS_UNKNOWN, method=METHOD_PIN, token=None),
        decided("code_in_a_lock_out", a.STATUS_LOCKED_OUT, method=METHOD_PIN, remembered=["locked_out"]),
        decided("came_in_just_now", a.STATUS_PASSBACK, method=METHOD_CARD, remembered=["inside"]),
        decided("first_of_many_reasons", a.STATUS_EPOCH, epoch=2, revoked=True, min_generation=3, clock=None),
    ]
