"""The access decision: any one reason refuses, the first one is named, and two methods need no credential."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import access as a
from protocol import credential, journal
from protocol.clock import Interval
from protocol.credential import CAVEAT_ACTIONS, NEEDS_SECOND, ONE_TIME, REMOTE_ONLY, Grant, Token, caveat
from protocol.handshake import ACTION_UNLOCK
from protocol.host.calendar_rows import window_row
from protocol.schedule import WeeklySchedule
from protocol.timezone import TimeZone

DOOR = bytes(range(8))
NOW = 1_700_000_000
ALWAYS = WeeklySchedule(1, bytes.fromhex(window_row(1, 127, 0, 0, 1440)), b"", TimeZone())
NEVER_OPEN = WeeklySchedule(1, b"", b"", TimeZone())

# One change of the facts for each reason, in the order in which the door asks.
REASONS = {
    a.STATUS_EPOCH: {"epoch": 2},
    a.STATUS_REVOKED: {"revoked": True},
    a.STATUS_GENERATION: {"min_generation": 6},
    a.STATUS_CAVEAT: {"caveats": [caveat(CAVEAT_ACTIONS, bytes(1))]},
    a.STATUS_REMOTE_ONLY: {"flags": REMOTE_ONLY},
    a.STATUS_SPENT: {"flags": ONE_TIME, "spent": True},
    a.STATUS_CLOCK: {"max_uncertainty": 1},
    a.STATUS_WINDOW: {"not_after": NOW},
    a.STATUS_SCHEDULE: {"schedule": NEVER_OPEN},
    a.STATUS_MODE: {"lockdown": 1},
    a.STATUS_PASSBACK: {"inside": True},
    a.STATUS_SECOND: {"flags": NEEDS_SECOND},
}
# What the door remembers; false unless it is set.
REMEMBERED = ("spent", "inside", "second", "locked_out")
CREDENTIALS = (journal.METHOD_BLE, journal.METHOD_CARD, journal.METHOD_PIN)


def _facts(**changes):
    token = Token(
        changes.pop("token_epoch", 1),
        bytes(8),
        generation=5,
        not_before=changes.pop("not_before", NOW - 60),
        not_after=changes.pop("not_after", NOW + 60),
        flags=changes.pop("flags", 0),
        schedule_id=changes.pop("schedule_id", 1),
    )
    grant = Grant(token, changes.pop("caveats", []))
    facts = {
        "method": journal.METHOD_BLE,
        "grant": grant if changes.pop("known", True) else None,
        "action": ACTION_UNLOCK,
        "door_id": DOOR,
        "epoch": 1,
        "clock": Interval(NOW, 2),
        "max_uncertainty": 2,
        "min_generation": 5,
        "schedule": ALWAYS,
    }
    remembered = {name: changes.pop(name, False) for name in REMEMBERED}
    made = a.Facts(**{**facts, **changes})
    for name, value in remembered.items():
        setattr(made, name, value)
    return made


def _merged(reasons):
    changes = {}
    for reason in reasons:
        for name, value in REASONS[reason].items():
            changes[name] = changes.get(name, 0) | value if name == "flags" else value
    return changes


def test_no_reason_to_refuse_is_a_grant():
    assert a.decide(_facts()) == a.STATUS_GRANTED


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_alone_refuses_and_is_named(reason):
    assert a.decide(_facts(**_merged([reason]))) == reason


def test_of_several_reasons_the_first_is_named():
    for size in range(2, len(REASONS) + 1):
        for reasons in itertools.combinations(REASONS, size):
            assert a.decide(_facts(**_merged(reasons))) == reasons[0]


def _expected(made):
    """The decision on a credential as SPEC.md tells it, written without a look at the code."""
    if made.method == journal.METHOD_PIN and made.locked_out:
        return "locked_out"
    grant = made.grant
    if grant is None:
        return "method_unknown" if made.method == journal.METHOD_BLE else "unknown_credential"
    token, flags = grant.token, grant.token.flags
    once, remote, override, second, exempt = (bool(flags & bit) for bit in (2, 1, 8, 32, 64))
    limited = grant.not_before > 0 or grant.not_after != 0xFFFFFFFF
    u = made.clock.u if made.clock else 10**9
    first, last = (made.clock.t - u, made.clock.t + u) if made.clock else (0, 0)
    holds = {
        "key_epoch_over": token.epoch != made.epoch,
        "revoked": made.revoked,
        "generation_over": token.generation < made.min_generation,
        "caveat": not grant.actions >> made.action & 1,
        "remote_only": remote,
        "one_time_spent": once and made.spent,
        "clock_uncertain": (limited or token.schedule_id != 0) and u > made.max_uncertainty,
        "outside_window": limited and not (grant.not_before <= first and last < grant.not_after),
        "outside_schedule": token.schedule_id != 0 and made.schedule is NEVER_OPEN,
        "door_mode": made.lockdown == 2 or (made.lockdown == 1 and not override),
        "anti_passback": made.inside and not exempt,
        "second_needed": second and not made.second,
    }
    return next((name for name, refuses in holds.items() if refuses), "granted")


def _mostly(usual, *others):
    """The usual value more often than not: a reason is only seen where none before it refuses."""
    return st.sampled_from((*[usual] * 6, *others))


@settings(max_examples=2000, deadline=None)
@given(
    st.builds(
        _facts,
        method=st.sampled_from(CREDENTIALS),
        token_epoch=_mostly(1, 2),
        not_before=_mostly(NOW - 60, 0, NOW),
        not_after=_mostly(NOW + 60, NOW, credential.NEVER),
        flags=st.one_of(st.sampled_from((0, 2, 8, 32, 64, 96)), st.integers(0, 127)),
        schedule_id=st.integers(0, 1),
        caveats=_mostly([], [caveat(CAVEAT_ACTIONS, bytes(1))]),
        clock=_mostly(Interval(NOW, 2), None, Interval(NOW + 59, 1), Interval(NOW, 3)),
        revoked=_mostly(False, True),
        min_generation=_mostly(5, 0, 6),
        schedule=_mostly(ALWAYS, NEVER_OPEN),
        lockdown=_mostly(0, 1, 2),
        known=_mostly(True, False),
        **{name: st.booleans() for name in REMEMBERED},
    )
)
def test_every_credential_is_decided_as_the_oracle_says(made):
    if made.method != journal.METHOD_PIN:
        made.locked_out = False
    assert a.STATUS_NAMES[a.decide(made)] == _expected(made)


@pytest.mark.parametrize("method", [journal.METHOD_CARD, journal.METHOD_PIN])
def test_a_card_or_code_that_is_nobodys_is_unknown_and_one_that_is_locked_out_is_not_looked_at(method):
    assert a.decide(a.Facts(method)) == a.STATUS_UNKNOWN
    for known in (False, True):
        assert a.decide(_facts(method=method, known=known, locked_out=True)) == a.STATUS_LOCKED_OUT


def test_the_reasons_are_asked_in_the_order_of_their_numbers():
    assert list(REASONS) == sorted(REASONS)
    others = {a.STATUS_GRANTED, a.STATUS_METHOD, a.STATUS_UNKNOWN, a.STATUS_LOCKED_OUT}
    assert {*others, *REASONS} == set(a.STATUS_NAMES)
    assert len(set(a.STATUS_NAMES.values())) == len(a.STATUS_NAMES)


WITHOUT = (journal.METHOD_REX, journal.METHOD_REMOTE, journal.METHOD_KEY_SWITCH)


@given(st.sets(st.sampled_from(sorted(REASONS))), st.sampled_from(WITHOUT))
def test_exit_button_key_switch_and_command_need_no_credential(reasons, method):
    closed = method == journal.METHOD_REMOTE and a.STATUS_MODE in reasons
    expected = a.STATUS_MODE if closed else a.STATUS_GRANTED
    assert a.decide(_facts(method=method, **_merged(reasons))) == expected
    assert a.decide(a.Facts(method)) == a.STATUS_GRANTED


@pytest.mark.parametrize("method", [journal.METHOD_REX, journal.METHOD_KEY_SWITCH])
@pytest.mark.parametrize("lockdown", [1, 2])
def test_a_lockdown_keeps_nobody_in(method, lockdown):
    assert a.decide(a.Facts(method, lockdown=lockdown)) == a.STATUS_GRANTED


@given(st.integers(0, credential.KNOWN_FLAGS & ~REMOTE_ONLY & ~ONE_TIME), st.integers(0, 2))
def test_only_a_flagged_key_opens_in_a_lockdown_and_none_in_one_for_all(flags, lockdown):
    flags &= ~REMOTE_ONLY & ~ONE_TIME
    opens = lockdown == 0 or (lockdown == 1 and bool(flags & credential.LOCKDOWN_OVERRIDE))
    expected = a.STATUS_GRANTED if opens else a.STATUS_MODE
    assert a.decide(_facts(flags=flags, lockdown=lockdown)) == expected


@given(st.integers(-1, 300).filter(lambda m: m not in (*WITHOUT, journal.METHOD_CARD, journal.METHOD_PIN)))
def test_nothing_else_opens_without_a_credential(method):
    assert a.decide(a.Facts(method)) == a.STATUS_METHOD


@pytest.mark.parametrize("method", [journal.METHOD_NONE, 99, 255])
def test_an_unknown_method_does_not_open_with_one(method):
    assert a.decide(_facts(method=method)) == a.STATUS_METHOD


def test_a_time_limit_needs_a_clock_and_no_limit_needs_none():
    assert a.decide(_facts(clock=None)) == a.STATUS_CLOCK
    free = Grant(Token(1, bytes(8), generation=5), [])
    assert a.decide(_facts(grant=free, clock=None)) == a.STATUS_GRANTED
    scheduled = Grant(Token(1, bytes(8), generation=5, schedule_id=1), [])
    assert a.decide(_facts(grant=scheduled, clock=None)) == a.STATUS_CLOCK


def test_a_schedule_that_the_door_does_not_have_allows_nothing():
    assert a.decide(_facts(schedule=None)) == a.STATUS_SCHEDULE


@given(t=st.integers(NOW - 70, NOW + 70), u=st.integers(0, 70))
def test_a_window_holds_the_whole_interval_or_does_not_hold(t, u):
    status = a.decide(_facts(clock=Interval(t, u), max_uncertainty=100))
    certain = t - u >= NOW - 60 and t + u < NOW + 60
    assert status == (a.STATUS_GRANTED if certain else a.STATUS_WINDOW)
