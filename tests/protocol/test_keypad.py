"""PIN entry, against an oracle that reads a whole evening of keys at once; and that no digit is kept for long."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Malformed
from protocol.keypad import BETWEEN_KEYS_MS, MAX_DIGITS, PinEntry

KEYS = st.lists(st.tuples(st.sampled_from("0123456789*#"), st.sampled_from((1, 500, 9_999, 10_000, 60_000))))


def entered(keys):
    """What a patient reader of the log says was entered: a pause that is too long is a `*`."""
    text = "".join(("*" if pause >= BETWEEN_KEYS_MS else "") + name for name, pause in keys)
    return re.findall("([0-9]+)#", text)


@given(KEYS)
def test_what_is_entered_is_what_was_typed_since_the_last_clear(keys):
    entry, now, found = PinEntry(), 0, []
    for name, pause in keys:
        now += pause
        try:
            pin = entry.key(name, now)
        except Malformed as refused:
            assert refused.reason == "pin_long"
            found.append("long")
        else:
            found += [pin] if pin is not None else []
    assert found == [pin if len(pin) <= MAX_DIGITS else "long" for pin in entered(keys)]


@given(KEYS, st.integers(1, MAX_DIGITS))
def test_a_fixed_length_enters_with_its_last_digit(keys, length):
    entry, now = PinEntry(length), 0
    for name, pause in keys:
        now += pause
        pin = entry.key(name, now)
        assert pin is None or len(pin) == length or (name == "#" and len(pin) < length)
        assert len(entry._digits) < length


@given(KEYS)
def test_no_digit_is_kept_after_an_entry_a_clear_or_the_time_out(keys):
    entry, now = PinEntry(), 0
    for name, pause in keys:
        now += pause
        try:
            entered = entry.key(name, now)
        except Malformed:
            entered = ""
        if entered is not None or name in "*#":
            assert not entry._digits
        assert len(entry._digits) <= MAX_DIGITS + 1
        left = entry.wait_ms(now)
        assert bool(left) == bool(entry._digits)
        assert left <= BETWEEN_KEYS_MS
    assert entry.wait_ms(now + BETWEEN_KEYS_MS) == 0
    assert not entry._digits


@given(st.text(max_size=3), st.integers(0, 9))
def test_any_key_is_taken_or_a_protocol_error(name, length):
    entry = PinEntry(length)
    try:
        entry.key(name, 0)
    except Malformed as refused:
        assert refused.reason == "pin_key"
        assert name not in tuple("0123456789*#")


def test_a_key_that_there_is_not_forgets_what_was_typed():
    entry = PinEntry()
    entry.key("1", 0)
    with pytest.raises(Malformed, match="pin_key"):
        entry.key("\u0661", 1)  # a digit, but none of a keypad
    assert entry.key("#", 2) is None
