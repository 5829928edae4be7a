"""Weekly schedules, against an oracle that knows calendars instead of arithmetic."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.clock import Interval
from protocol.errors import Malformed
from protocol.schedule import WeeklySchedule

MONDAY = 1_700_438_400  # 2023-11-20 00:00 UTC
DAY = 86_400
UTC = datetime.UTC

WINDOWS = st.lists(
    st.tuples(st.integers(0, 127), st.integers(0, 1439), st.integers(0, 1440)), min_size=0, max_size=3
)


def _allows(windows, tz_minutes, low, high):
    """Whether one occurrence of one window, as two local wall times, holds both ends."""
    zone = datetime.timezone(datetime.timedelta(minutes=tz_minutes))
    first, last = (datetime.datetime.fromtimestamp(moment, zone) for moment in (low, high))
    for mask, start, end in windows:
        for back in (0, 1, 2):
            day = datetime.datetime.combine(first.date(), datetime.time(), zone) - datetime.timedelta(back)
            opens = day + datetime.timedelta(minutes=start)
            closes = day + datetime.timedelta(minutes=end)
            if closes <= opens:
                closes += datetime.timedelta(days=1)
            if mask & 1 << day.weekday() and opens <= first and last < closes:
                return True
    return False


@given(
    windows=WINDOWS,
    tz_minutes=st.integers(-1439, 1439) | st.sampled_from((0, 60, 330, -480)),
    t=st.integers(0, 2**32) | st.integers(MONDAY, MONDAY + 7 * DAY),
    u=st.integers(0, 90) | st.integers(0, 2 * DAY),
)
def test_a_schedule_agrees_with_the_calendar(windows, tz_minutes, t, u):
    expected = _allows(windows, tz_minutes, max(0, t - u), t + u) if t >= u else None
    if expected is not None:
        assert WeeklySchedule(windows, tz_minutes).allows(Interval(t, u)) == expected


@given(st.data())
def test_a_schedule_agrees_with_the_calendar_at_its_edges(data):
    mask, start, end = data.draw(WINDOWS.filter(bool))[0]
    edge = data.draw(st.sampled_from((start, end)))
    t = MONDAY + data.draw(st.integers(0, 7)) * DAY + edge * 60 + data.draw(st.integers(-2, 2))
    u = data.draw(st.integers(0, 2))
    windows = [(mask, start, end)]
    assert WeeklySchedule(windows).allows(Interval(t, u)) == _allows(windows, 0, t - u, t + u)


def test_a_schedule_runs_past_midnight_and_needs_certainty():
    night = WeeklySchedule([(1, 22 * 60, 6 * 60)])
    assert night.allows(Interval(MONDAY + 23 * 3600, 5))
    assert night.allows(Interval(MONDAY + 29 * 3600, 5))
    assert not night.allows(Interval(MONDAY + 3600, 5))
    assert not night.allows(Interval(MONDAY + 22 * 3600 + 2, 5))
    assert not night.allows(Interval(MONDAY + 30 * 3600, 0))


def test_two_windows_that_touch_do_not_join():
    days = WeeklySchedule([(1, 0, 1440), (2, 0, 1440)])
    assert days.allows(Interval(MONDAY + DAY, 0))
    assert not days.allows(Interval(MONDAY + DAY, 1))


@pytest.mark.parametrize(
    "window", [(-1, 0, 1), (128, 0, 1), (1, -1, 1), (1, 1440, 1), (1, 0, -1), (1, 0, 1441)]
)
def test_a_window_outside_the_week_is_malformed(window):
    with pytest.raises(Malformed) as caught:
        WeeklySchedule([window])
    assert caught.value.reason == "schedule_window"
