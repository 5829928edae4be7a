"""Vectors of weekly schedules and of the access decision."""

from typing import Any

from protocol import access as a
from protocol.credential import LOCKDOWN_OVERRIDE, NEVER, ONE_TIME, REMOTE_ONLY, Token
from protocol.handshake import ACTION_LOCK, ACTION_STATUS, ACTION_UNLOCK
from protocol.host.vectors.case import CREDENTIAL, DOOR, NOW, TOKEN_BYTES, Vector, bad, good
from protocol.host.vectors.credential import FROM, HERE_ONLY, UNLOCK_ONLY
from protocol.journal import METHOD_BLE, METHOD_KEY_SWITCH, METHOD_NONE, METHOD_REMOTE, METHOD_REX

_MONDAY = NOW // 86_400 * 86_400 - 4 * 86_400  # NOW is a Friday
_HOUR = 3600
_DAY = 86_400
_OFFICE = [[31, 480, 1080]]  # Monday to Friday, 8:00 to 18:00
_NIGHT = [[1, 1320, 360]]  # Monday 22:00 to Tuesday 6:00


def schedule() -> list[Vector]:
    cases: list[tuple[str, list[list[int]], int, int, int, bool]] = [
        ("office_at_eight", _OFFICE, 0, 8 * _HOUR, 0, True),
        ("office_perhaps_before_eight", _OFFICE, 0, 8 * _HOUR, 1, False),
        ("office_in_its_last_second", _OFFICE, 0, 18 * _HOUR - 1, 0, True),
        ("office_at_six", _OFFICE, 0, 18 * _HOUR, 0, False),
        ("office_on_saturday", _OFFICE, 0, 5 * _DAY + 12 * _HOUR, 0, False),
        ("office_an_hour_east", _OFFICE, 60, 7 * _HOUR, 0, True),
        ("office_eight_hours_west", _OFFICE, -480, _DAY + 1 * _HOUR, 0, True),
        ("night_before_midnight", _NIGHT, 0, 23 * _HOUR, 5, True),
        ("night_over_midnight", _NIGHT, 0, _DAY, 5, True),
        ("night_after_midnight", _NIGHT, 0, _DAY + 5 * _HOUR, 5, True),
        ("night_is_over", _NIGHT, 0, _DAY + 6 * _HOUR, 0, False),
        ("night_of_sunday", _NIGHT, 0, 3 * _HOUR, 0, False),
        ("whole_day", [[1, 0, 1440]], 0, _DAY - 1, 0, True),
        ("whole_day_written_otherwise", [[1, 0, 0]], 0, _DAY - 1, 0, True),
        ("two_days_that_touch", [[1, 0, 1440], [2, 0, 1440]], 0, _DAY, 1, False),
        ("no_window", [], 0, 12 * _HOUR, 0, False),
        ("no_weekday", [[0, 0, 1440]], 0, 12 * _HOUR, 0, False),
    ]
    out = [
        good(name, "schedule", {"windows": windows, "tz": tz, "t": _MONDAY + t, "u": u}, allowed)
        for name, windows, tz, t, u, allowed in cases
    ]
    for name, window in (
        ("eighth_day", [128, 0, 1]),
        ("start_at_the_end", [1, 1440, 1]),
        ("end_after_the_day", [1, 0, 1441]),
        ("start_before_the_day", [1, -1, 1]),
    ):
        out.append(bad(name, "schedule", {"windows": [window], "tz": 0, "t": 0, "u": 0}, "schedule_window"))
    return out


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
            schedule=_OFFICE,
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
        decided("one_time", a.STATUS_UNSUPPORTED, token=_flagged(ONE_TIME)),
        decided("clock_unknown", a.STATUS_CLOCK, clock=None),
        decided("clock_uncertain", a.STATUS_CLOCK, clock=[NOW, 61]),
        decided("clock_uncertain_by_a_caveat", a.STATUS_CLOCK, token=_flagged(), caveats=[FROM], clock=None),
        decided("too_early", a.STATUS_WINDOW, clock=[NOW - 3599, 2]),
        decided("too_late", a.STATUS_WINDOW, clock=[NOW + 86_398, 2]),
        decided("outside_its_schedule", a.STATUS_SCHEDULE, token=scheduled, schedule=_NIGHT),
        decided("schedule_that_the_door_lacks", a.STATUS_SCHEDULE, token=scheduled),
        decided("status_asked_by_a_revoked_key", a.STATUS_REVOKED, revoked=True, action=ACTION_STATUS),
        decided("key_switch", a.STATUS_GRANTED, method=METHOD_KEY_SWITCH, token=None, lockdown=2),
        decided("exit_button_in_lockdown", a.STATUS_GRANTED, method=METHOD_REX, token=None, lockdown=2),
        decided("command_in_lockdown", a.STATUS_MODE, method=METHOD_REMOTE, token=None, lockdown=1),
        decided("lockdown", a.STATUS_MODE, lockdown=1),
        decided("lockdown_and_a_flagged_key", a.STATUS_GRANTED, token=flagged, lockdown=1),
        decided("lockdown_of_all", a.STATUS_MODE, token=flagged, lockdown=2),
        decided("first_of_many_reasons", a.STATUS_EPOCH, epoch=2, revoked=True, min_generation=3, clock=None),
    ]
