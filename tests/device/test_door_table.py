"""The door's table: every state and input has its entry or is a documented no-op, and what must hold over any sequence."""

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device import door_table as t
from hil.door_chart import INPUT_NAMES, NOTHING, PAGE, TRAIT_NAMES, chart, drawn
from protocol import command
from tests.device.on_vm import ROOT

STATES = {name: number for number, name in enumerate(t.STATE_NAMES)}
INPUTS = {name: number for number, name in enumerate(INPUT_NAMES)}
RELEASED, FORCED, HELD, WARNING, TIMER = t.RELEASED, t.FORCED, t.HELD, t.WARNING, t.TIMER
SEQUENCES = st.lists(st.sampled_from(INPUT_NAMES), max_size=60)


def named(state, event):
    """Name of the next state, or None."""
    after = t.step(STATES[state], INPUTS[event])
    return t.STATE_NAMES[after] if after >= 0 else None


def trait(state):
    return t.TRAITS[STATES[state]]


def walk(leaf_open, inputs):
    """(state, input, state after) of each step that does something; impossible moves of the leaf are left out."""
    state = t.STATE_NAMES[t.boot_state(leaf_open)]
    for event in inputs:
        if event in ("leaf_opened", "leaf_closed"):
            if leaf_open == (event == "leaf_opened"):
                continue
            leaf_open = not leaf_open
        after = named(state, event) or state
        yield state, event, after, leaf_open
        state = after


# The same door, said otherwise: three facts and the rules that move them, with no state of the table.
class Oracle:
    def __init__(self, leaf_open):
        self.leaf_open = leaf_open
        self.lock = "secured"  # or "pulse", "closing", "free"
        self.opening = "legitimate" if leaf_open else None  # or "forced"; None: closed
        self.waited = 0  # times that ran out since the open leaf was secured
        self.expected = False  # somebody opens from inside

    def step(self, event):
        getattr(self, event)()
        if self.lock != "secured":
            self.waited, self.expected = 0, False
            self.opening = "legitimate" if self.leaf_open else None

    def grant(self):
        if self.lock != "free":
            self.lock = "pulse"

    def relock(self):
        if self.lock != "free":
            self.lock = "secured"

    def leaf_opened(self):
        self.leaf_open = True
        legitimate = self.lock != "secured" or self.expected
        self.opening, self.waited, self.expected = "legitimate" if legitimate else "forced", 0, False
        if self.lock == "closing":
            self.lock = "secured"

    def leaf_closed(self):
        self.leaf_open, self.opening, self.waited = False, None, 0
        if self.lock == "pulse":
            self.lock = "closing"

    def time(self):
        self.expected = False
        if self.lock in ("pulse", "closing"):
            self.lock = "secured"
        elif self.lock == "secured" and self.opening == "legitimate":
            self.waited = min(2, self.waited + 1)

    def shunt(self):
        if self.lock == "secured" and not self.leaf_open:
            self.expected = True

    def hold(self):
        self.lock = "free"

    def secure(self):
        self.lock = "secured"

    @property
    def name(self):
        if self.lock == "free":
            return "unlocked_open" if self.leaf_open else "unlocked"
        if self.lock == "closing":
            return "relocking"
        if self.lock == "pulse":
            return "opened" if self.leaf_open else "released"
        if self.opening == "forced":
            return "forced"
        if self.leaf_open:
            return ("open", "warning", "held")[self.waited]
        return "shunted" if self.expected else "locked"


@settings(max_examples=400)
@given(st.booleans(), SEQUENCES)
def test_the_table_and_an_independent_oracle_agree_on_every_walk(leaf_open, inputs):
    oracle = Oracle(leaf_open)
    for _, event, after, _ in walk(leaf_open, inputs):
        oracle.step(event)
        assert after == oracle.name


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", INPUTS)
def test_every_state_and_input_has_an_entry_or_is_a_documented_no_op(state, event):
    assert (named(state, event) is None) == ((state, event) in NOTHING)
    if (state, event) in NOTHING:
        assert NOTHING[state, event] in chart()


def test_every_state_is_reached_and_none_is_a_trap():
    for begin in STATES:
        reached, new = set(), {begin}
        while new:
            reached |= new
            new = {named(s, e) for s in new for e in INPUTS} - reached - {None}
        assert reached == set(STATES)


@given(st.booleans(), SEQUENCES)
def test_nothing_but_a_grant_or_a_hold_releases(leaf_open, inputs):
    granted = False
    for before, event, after, _ in walk(leaf_open, inputs):
        if trait(after) & RELEASED and not trait(before) & RELEASED:
            assert event in ("grant", "hold")
        granted = granted or event in ("grant", "hold")
        assert granted or not trait(after) & RELEASED


@given(st.booleans(), SEQUENCES)
def test_secure_secures_and_time_ends_every_pulse(leaf_open, inputs):
    for before, event, after, _ in walk(leaf_open, inputs):
        if event == "secure" or (event in ("time", "relock") and not before.startswith("unlocked")):
            assert not trait(after) & RELEASED
        if event == "hold":
            assert after.startswith("unlocked")
        if trait(after) & RELEASED and not after.startswith("unlocked"):
            assert trait(after) & TIMER  # which ends it


@given(st.booleans(), SEQUENCES)
def test_forced_is_a_leaf_that_opens_from_secured_and_only_that(leaf_open, inputs):
    for before, event, after, _ in walk(leaf_open, inputs):
        if event == "leaf_opened":
            assert (after == "forced") == (before == "locked")
        elif after == "forced":
            assert before == "forced"


@given(st.booleans(), SEQUENCES)
def test_the_state_knows_the_leaf(leaf_open, inputs):
    opened = {"opened", "open", "warning", "held", "forced", "unlocked_open"}
    for _, _, after, is_open in walk(leaf_open, inputs):
        assert (after in opened) == is_open


@given(st.booleans(), SEQUENCES)
def test_every_alarm_ends_with_the_leaf_or_with_a_release(leaf_open, inputs):
    for before, event, after, is_open in walk(leaf_open, inputs):
        for alarm in (FORCED, HELD, WARNING):
            if trait(before) & alarm and not trait(after) & alarm:
                assert event in ("leaf_closed", "grant", "hold") or after == "held"
            if trait(after) & alarm:
                assert is_open
                assert not trait(after) & RELEASED


def test_one_entry_for_each_grant():
    state = "locked"
    for event in ("grant", "leaf_opened", "leaf_closed", "time"):
        state = named(state, event)
    assert (state, named(state, "leaf_opened")) == ("locked", "forced")


def test_held_open_is_warned_of_then_reported_once_and_ends_with_the_leaf():
    state, seen = "released", []
    for event in ("leaf_opened", "time", "time", "time", "leaf_closed"):
        state = named(state, event)
        seen.append(state)
    assert seen == ["opened", "open", "warning", "held", "locked"]
    assert named("held", "time") is None


def test_an_open_leaf_at_boot_is_no_alarm_and_not_released():
    for leaf_open in (True, False):
        boot = t.STATE_NAMES[t.boot_state(leaf_open)]
        assert boot == ("open" if leaf_open else "locked")
        assert not trait(boot) & (RELEASED | FORCED | HELD | WARNING)


def test_inputs_traits_and_modes_have_the_numbers_of_their_names():
    assert {name: getattr(t, name.upper()) for name in INPUT_NAMES} == INPUTS
    assert {name: getattr(t, name.upper()) for name in TRAIT_NAMES.values()} == {
        n: b for b, n in TRAIT_NAMES.items()
    }
    modes = {name: getattr(command, "MODE_" + name.upper()) for name in command.MODES[1:]}
    assert modes == {name: number for number, name in enumerate(command.MODES) if number}


def test_every_time_of_a_state_is_one_of_the_drivers():
    tree = ast.parse((ROOT / "device" / "door.py").read_text())
    (times,) = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "self._times"
    ]
    assert max((trait & TIMER) >> 1 for trait in t.TRAITS) < len(times.elts) - 1


def test_the_document_draws_the_table_that_the_code_has():
    assert drawn(PAGE.read_text()) == PAGE.read_text(), "run: python -m hil.door_chart"
