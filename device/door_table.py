"""The door as one table: (state, input) -> (next state, actions). Pure; `door.py` drives it.

Fail-secure strike: energised means unlocked, and every state but RELEASED and OPENED is de-energised. An
input without an entry changes nothing.
"""

LOCKED = 0  # de-energised, leaf closed
RELEASED = 1  # energised, leaf closed
OPENED = 2  # energised, leaf open
OPEN = 3  # de-energised again, leaf still open
HELD = 4  # leaf open for too long
FORCED = 5  # leaf open and nobody had released it
STATE_NAMES = ("locked", "released", "opened", "open", "held", "forced")

GRANT = 0
RELOCK = 1  # operate time is over, or somebody locks
LEAF_OPENED = 2
LEAF_CLOSED = 3
HELD_TIME = 4  # the leaf was open for the policy's time after the strike locked again
INPUT_NAMES = ("grant", "relock", "leaf_opened", "leaf_closed", "held_time")

# Actions, a bit set.
ENERGISE = 1  # (again) for the whole operate time
DE_ENERGISE = 2
START_HELD = 4
STOP_HELD = 8
REPORT_OPENED = 16
REPORT_CLOSED = 32
REPORT_FORCED = 64
REPORT_HELD = 128

ENERGISED = (RELEASED, OPENED)
ALARMED = (HELD, FORCED)

TABLE = {
    (LOCKED, GRANT): (RELEASED, ENERGISE),
    (LOCKED, LEAF_OPENED): (FORCED, REPORT_FORCED),
    (RELEASED, GRANT): (RELEASED, ENERGISE),
    (RELEASED, RELOCK): (LOCKED, DE_ENERGISE),
    (RELEASED, LEAF_OPENED): (OPENED, REPORT_OPENED),
    (OPENED, GRANT): (OPENED, ENERGISE),
    (OPENED, RELOCK): (OPEN, DE_ENERGISE | START_HELD),
    (OPENED, LEAF_CLOSED): (LOCKED, DE_ENERGISE | REPORT_CLOSED),  # one entry per grant
    (OPEN, GRANT): (OPENED, ENERGISE | STOP_HELD),
    (OPEN, LEAF_CLOSED): (LOCKED, STOP_HELD | REPORT_CLOSED),
    (OPEN, HELD_TIME): (HELD, REPORT_HELD),
    (HELD, GRANT): (OPENED, ENERGISE),
    (HELD, LEAF_CLOSED): (LOCKED, REPORT_CLOSED),
    (FORCED, GRANT): (OPENED, ENERGISE),
    (FORCED, LEAF_CLOSED): (LOCKED, REPORT_CLOSED),
}


def step(state: int, event: int) -> "tuple[int, int]":
    """Next state and actions; an input that means nothing in `state` leaves it alone."""
    return TABLE.get((state, event), (state, 0))


def boot_state(leaf_open: bool) -> "tuple[int, int]":
    """State at boot: always de-energised. Who opened an open leaf is unknown, so it is not forced."""
    return (OPEN, START_HELD) if leaf_open else (LOCKED, 0)
