"""The door's table: what must hold in every state, over any sequence of inputs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device import door_table as t

STATES = range(len(t.STATE_NAMES))
INPUTS = range(len(t.INPUT_NAMES))


class Strike:
    """What the actions do to the relay."""

    def __init__(self, leaf_open):
        self.state, actions = t.boot_state(leaf_open)
        self.on = False
        self.reports = []
        self.act(actions)

    def act(self, actions):
        assert not (actions & t.ENERGISE and actions & t.DE_ENERGISE)
        if actions & t.ENERGISE:
            self.on = True
        if actions & t.DE_ENERGISE:
            self.on = False
        self.reports.append(actions & ~(t.REPORT_OPENED - 1))

    def step(self, event):
        self.state, actions = t.step(self.state, event)
        self.act(actions)
        return actions


@given(st.booleans(), st.lists(st.sampled_from(list(INPUTS))))
def test_the_relay_is_energised_exactly_in_the_released_states(leaf_open, inputs):
    strike = Strike(leaf_open)
    assert not strike.on
    for event in inputs:
        strike.step(event)
        assert strike.on == (strike.state in t.ENERGISED)


@given(st.booleans(), st.lists(st.sampled_from([i for i in INPUTS if i != t.GRANT])))
def test_nothing_but_a_grant_energises(leaf_open, inputs):
    strike = Strike(leaf_open)
    for event in inputs:
        assert not strike.step(event) & t.ENERGISE
        assert not strike.on


@pytest.mark.parametrize("state", STATES)
def test_relock_de_energises_in_every_state(state):
    after, _ = t.step(state, t.RELOCK)
    assert after not in t.ENERGISED


@pytest.mark.parametrize("state", STATES)
def test_a_grant_releases_in_every_state(state):
    after, actions = t.step(state, t.GRANT)
    assert after in t.ENERGISED
    assert actions & t.ENERGISE


@given(st.lists(st.sampled_from(list(INPUTS))))
def test_a_leaf_that_opens_on_a_locked_door_is_forced_and_one_that_was_released_is_not(inputs):
    strike = Strike(False)
    for event in inputs:
        before = strike.state
        actions = strike.step(event)
        assert bool(actions & t.REPORT_FORCED) == (before == t.LOCKED and event == t.LEAF_OPENED)


def test_one_entry_per_grant():
    strike = Strike(False)
    for event in (t.GRANT, t.LEAF_OPENED, t.LEAF_CLOSED):
        strike.step(event)
    assert strike.state == t.LOCKED
    assert strike.step(t.LEAF_OPENED) & t.REPORT_FORCED


def test_held_open_is_reported_once_and_ends_with_the_leaf():
    strike = Strike(False)
    for event in (t.GRANT, t.LEAF_OPENED, t.RELOCK):
        strike.step(event)
    assert strike.step(t.HELD_TIME) & t.REPORT_HELD
    assert strike.step(t.HELD_TIME) == 0
    assert strike.step(t.LEAF_CLOSED) & t.REPORT_CLOSED
    assert strike.state == t.LOCKED


@given(st.booleans(), st.lists(st.sampled_from(list(INPUTS))))
def test_the_held_timer_runs_exactly_while_the_leaf_is_open_and_locked(leaf_open, inputs):
    strike = Strike(leaf_open)
    running = leaf_open
    for event in inputs:
        before = strike.state
        actions = strike.step(event)
        if actions & t.START_HELD:
            running = True
        if actions & t.STOP_HELD or (before == t.OPEN and event == t.HELD_TIME):
            running = False
        assert running == (strike.state == t.OPEN)


def test_an_open_leaf_at_boot_is_no_alarm_until_it_is_held():
    strike = Strike(True)
    assert strike.reports == [0]
    assert strike.step(t.HELD_TIME) & t.REPORT_HELD
