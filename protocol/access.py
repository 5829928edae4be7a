"""The access decision: one table of reasons to refuse, asked from top to bottom. What passes them all is granted."""

from protocol.clock import inside
from protocol.credential import LOCKDOWN_OVERRIDE, NEEDS_SECOND, NEVER, ONE_TIME, PASSBACK_EXEMPT, REMOTE_ONLY
from protocol.journal import METHOD_BLE, METHOD_CARD, METHOD_KEY_SWITCH, METHOD_PIN, METHOD_REMOTE, METHOD_REX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from protocol.clock import Interval
    from protocol.credential import Grant
    from protocol.schedule import WeeklySchedule

STATUS_GRANTED = 0
STATUS_METHOD = 1
STATUS_EPOCH = 2
STATUS_REVOKED = 3
STATUS_GENERATION = 4
STATUS_CAVEAT = 5
STATUS_REMOTE_ONLY = 6
STATUS_SPENT = 7
STATUS_CLOCK = 8
STATUS_WINDOW = 9
STATUS_SCHEDULE = 10
STATUS_MODE = 11
STATUS_PASSBACK = 12
STATUS_SECOND = 13
STATUS_UNKNOWN = 14
STATUS_LOCKED_OUT = 15
STATUS_NAMES = {
    STATUS_GRANTED: "granted",
    STATUS_METHOD: "method_unknown",
    STATUS_EPOCH: "key_epoch_over",
    STATUS_REVOKED: "revoked",
    STATUS_GENERATION: "generation_over",
    STATUS_CAVEAT: "caveat",
    STATUS_REMOTE_ONLY: "remote_only",
    STATUS_SPENT: "one_time_spent",
    STATUS_CLOCK: "clock_uncertain",
    STATUS_WINDOW: "outside_window",
    STATUS_SCHEDULE: "outside_schedule",
    STATUS_MODE: "door_mode",
    STATUS_PASSBACK: "anti_passback",
    STATUS_SECOND: "second_needed",
    STATUS_UNKNOWN: "unknown_credential",
    STATUS_LOCKED_OUT: "locked_out",
}


class Facts:
    """Everything that a decision depends on. `grant` is None for what needs no credential of its own, and for a card or
    PIN that is nobody's; `lockdown` is 0, 1 (LOCKDOWN_OVERRIDE still opens) or 2 (nothing does).

    What is set when it holds: `spent` (a one-time credential was used, or cannot be remembered), `inside` (its user went
    in not long ago), `second` (the first of two credentials was shown), `locked_out` (no code counts now).
    """

    def __init__(
        self,
        method: int,
        grant: "Optional[Grant]" = None,
        action: int = 0,
        door_id: bytes = b"",
        epoch: int = 0,
        clock: "Optional[Interval]" = None,
        max_uncertainty: int = 0,
        revoked: bool = False,
        min_generation: int = 0,
        schedule: "Optional[WeeklySchedule]" = None,
        lockdown: int = 0,
    ) -> None:
        self.spent = self.inside = self.second = self.locked_out = False
        self.method = method
        self.grant = grant
        self.action = action
        self.door_id = door_id
        self.epoch = epoch
        self.clock = clock
        self.max_uncertainty = max_uncertainty
        self.revoked = revoked
        self.min_generation = min_generation
        self.schedule = schedule
        self.lockdown = lockdown


def _uncertain(f: Facts, g: "Grant") -> bool:
    return g.time_limited and (f.clock is None or f.clock.u > f.max_uncertainty)


def _outside(f: Facts, g: "Grant") -> bool:
    limited = g.not_before > 0 or g.not_after != NEVER
    return limited and (f.clock is None or not inside(f.clock, g.not_before, g.not_after))


def _off_schedule(f: Facts, g: "Grant") -> bool:
    # A schedule that the door does not have allows nothing.
    if g.token.schedule_id == 0:
        return False
    return f.schedule is None or f.clock is None or not f.schedule.allows(f.clock)


_REFUSALS = (
    (STATUS_EPOCH, lambda f, g: g.token.epoch != f.epoch),
    (STATUS_REVOKED, lambda f, g: f.revoked),
    (STATUS_GENERATION, lambda f, g: g.token.generation < f.min_generation),
    (STATUS_CAVEAT, lambda f, g: not g.permits(f.door_id, f.action)),
    (STATUS_REMOTE_ONLY, lambda f, g: bool(g.token.flags & REMOTE_ONLY)),
    (STATUS_SPENT, lambda f, g: f.spent and g.token.flags & ONE_TIME),
    (STATUS_CLOCK, _uncertain),
    (STATUS_WINDOW, _outside),
    (STATUS_SCHEDULE, _off_schedule),
    (STATUS_MODE, lambda f, g: f.lockdown > (1 if g.token.flags & LOCKDOWN_OVERRIDE else 0)),
    (STATUS_PASSBACK, lambda f, g: f.inside and not g.token.flags & PASSBACK_EXEMPT),
    (STATUS_SECOND, lambda f, g: g.token.flags & NEEDS_SECOND and not f.second),
)


def decide(facts: Facts) -> int:
    """STATUS_GRANTED, or the first reason that refuses."""
    if facts.method in (METHOD_REX, METHOD_KEY_SWITCH):  # people get out, and a key in the cylinder turns
        return STATUS_GRANTED
    if facts.method == METHOD_REMOTE:
        return STATUS_MODE if facts.lockdown else STATUS_GRANTED
    grant = facts.grant
    if facts.method in (METHOD_CARD, METHOD_PIN):
        if facts.locked_out:
            return STATUS_LOCKED_OUT
        if grant is None:
            return STATUS_UNKNOWN
    elif facts.method != METHOD_BLE or grant is None:
        return STATUS_METHOD
    for status, refuses in _REFUSALS:
        if refuses(facts, grant):
            return status
    return STATUS_GRANTED
