"""The door as one table: (state, input) -> next state, and what the door does in each state. Pure; `door.py` drives it.

It speaks of released and secured; which of them takes current follows from the lock, and is the driver's. The table with
names is drawn in docs/firmware.md.
"""

STATE_NAMES = (
    "locked",
    "released",
    "opened",
    "open",
    "warning",
    "held",
    "forced",
    "relocking",
    "shunted",
    "unlocked",
    "unlocked_open",
)

GRANT = 0  # somebody may pass
RELOCK = 1  # ends a pulse, but not a mode
LEAF_OPENED = 2
LEAF_CLOSED = 3
TIME = 4  # the time of the state is over
SHUNT = 5  # somebody opens mechanically from inside
HOLD = 6  # a mode or a fire releases until SECURE
SECURE = 7

# What a state does: bits of its trait.
RELEASED = 1
TIMER = 14  # twice the place of its time in the driver's; 0: none
FORCED = 16
HELD = 32
WARNING = 64
TRAITS = b"\x00\x03\x03\x04\x46\x20\x10\x09\x02\x01\x01"

# Numbers of the door's policy in the driver's order: name, default, highest.
POLICY = (
    "held_s 30 86400 "  # leaf open, lock secured
    "warn_s 10 3600 "  # the last of these seconds beep
    "extended_s 20 300 "  # operate time of credentials with EXTENDED_TIME
    "relock_ms 0 60000 "  # from the closed leaf to the secured lock
    "jam_s 3 60 "  # for the bolt to follow
    "silence_s 60 3600 "  # an alarm sounds for so long
    "fire_releases 0 1 "  # a fail-secure lock too; a fail-safe one is always released
    "free_egress 0 1"  # the exit contact releases nothing, it tells that the leaf will open
)

_LETTERS = "LROPWHFCSUV"
# A row for each state, a place for each input; a dot changes nothing.
_NEXT = (
    "R.F..SU."  # locked
    "RLO.L.UL"  # released
    "OP.CP.VP"  # opened: one entry for each grant
    "O..LW.V."  # open
    "O..LH.V."  # warning
    "O..L..V."  # held
    "O..L..V."  # forced
    "RLP.L.UL"  # relocking: who opens now needs no grant, and gets no more time
    "R.P.LSU."  # shunted
    "..V....L"  # unlocked
    "...U...P"  # unlocked, leaf open
)


def step(state: int, event: int) -> int:
    """The next state; -1: the input means nothing in `state`."""
    return _LETTERS.find(_NEXT[state * 8 + event])


def boot_state(leaf_open: int) -> int:
    """State at boot: always secured. Who opened an open leaf is unknown, so it is not forced."""
    return 3 if leaf_open else 0
