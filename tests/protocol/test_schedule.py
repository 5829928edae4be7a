"""Schedules and holidays, against an oracle that walks calendars and clocks second by second of interest.

The oracle asks Python's zoneinfo for the wall clock of each moment that can matter, and compares wall times as dates
and times of day. It shares no arithmetic with the code under test.
"""

import datetime
import functools
import io
import zoneinfo
from importlib import resources

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from protocol.clock import Interval
from protocol.errors import Malformed, ProtocolError
from protocol.host.calendar_rows import bits, holiday_row, window_row
from protocol.schedule import WeeklySchedule, check_holidays, check_windows
from protocol.timezone import TimeZone

MONDAY = 1_700_438_400  # 2023-11-20 00:00 UTC
DAY = 86_400
NAMES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour, in the south
    "Europe/Dublin",  # daylight time below standard
    "Asia/Kolkata",
    "America/Nuuk",  # a change before midnight, of the day before
    "Asia/Jerusalem",  # a rule of more than 24 hours
    "America/Santiago",  # a change at midnight
    "Pacific/Kiritimati",
    "Pacific/Marquesas",
)


def _zone(name):
    raw = resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()
    footer = raw.rsplit(b"\n", 2)[1].decode()
    return TimeZone(footer), zoneinfo.ZoneInfo.from_file(io.BytesIO(raw), name)


ZONES = {name: _zone(name) for name in NAMES}


def wall(t, zone):
    return datetime.datetime.fromtimestamp(t, zone).replace(tzinfo=None)


def moments(low, high, zone):
    """Both ends, and the seconds before and after each change of the clock between them."""
    yield from (low, high)
    step = 6 * 3600
    for t in range(low, high, step):
        first, last = t, min(high, t + step)
        if wall(last, zone) - wall(first, zone) != datetime.timedelta(seconds=last - first):
            while last - first > 1:
                middle = (first + last) // 2
                same = wall(middle, zone) - wall(first, zone) == datetime.timedelta(seconds=middle - first)
                first, last = (middle, last) if same else (first, middle)
            yield from (first, last)


@functools.cache
def changes(zone, year):
    """The seconds around the changes of a year's clocks."""
    begin, end = (datetime.datetime(y, 1, 1, tzinfo=datetime.UTC).timestamp() for y in (year, year + 1))
    return list(moments(int(begin), int(end), zone))[2:]


def in_year(day, year):
    """That date in another year; 29 February becomes the last of its month."""
    return day.replace(day=28, year=year) if (day.month, day.day) == (2, 29) else day.replace(year=year)


def kinds_of(day, holidays):
    """All kinds of that date, by walking each holiday from its first day to its last."""
    found = set()
    for first, last, kinds, every_year in holidays:
        for moved in (day.year - 1 - first.year, day.year - first.year) if every_year else (0,):
            on, until = (in_year(d, d.year + moved) if every_year else d for d in (first, last))
            if every_year and last.month == 2 and last.day == 29:
                until = until.replace(month=3, day=1) - datetime.timedelta(1)
            while on <= until:
                if on == day:
                    found |= set(kinds)
                on += datetime.timedelta(1)
    return found


def opens_on(day, days, kinds, holidays):
    its = kinds_of(day, holidays)
    return its <= set(kinds) if its else day.isoweekday() in days


def occurrences(windows, holidays, day):
    """When the windows of about that date open and close, as wall times."""
    for days, kinds, start, end in windows:
        for back in (-1, 0, 1, 2):
            begins = datetime.datetime.combine(day - datetime.timedelta(back), datetime.time())
            opens, closes = (begins + datetime.timedelta(minutes=minute) for minute in (start, end))
            if closes <= opens:
                closes += datetime.timedelta(days=1)
            if opens_on(begins.date(), days, kinds, holidays):
                yield opens, closes


def oracle(windows, holidays, zone, low, high):
    """Whether it is open at the first second, and at each at which it may close: the end of a window, a change of the clock."""
    if high - low >= DAY:
        return False
    found = list(occurrences(windows, holidays, wall(low, zone).date()))
    asked = set(moments(low, high, zone))
    for _, closes in found:
        asked |= {int(closes.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1)}
    clocks = [wall(t, zone) for t in asked if low <= t <= high]
    return all(any(opens <= clock < closes for opens, closes in found) for clock in clocks)


def asked(windows, holidays, zone, t, u, number=1):
    rows = bytes.fromhex("".join(window_row(number, bits(d), bits(k), s, e) for d, k, s, e in windows))
    days = bytes.fromhex("".join(holiday_row(f, to, bits(k), every_year=y) for f, to, k, y in holidays))
    check_windows(rows)
    check_holidays(days)
    return WeeklySchedule(number, rows, days, zone).allows(Interval(t, u))


DAYS = st.sets(st.integers(1, 7), min_size=1) | st.just(set(range(1, 8)))
KINDS = st.sets(st.integers(1, 3)) | st.sets(st.integers(1, 8))
MINUTE = st.integers(0, 1439) | st.sampled_from((0, 60, 90, 120, 150, 180, 1380, 1410, 1439))
WINDOW = st.tuples(DAYS, KINDS, MINUTE, MINUTE | st.just(1440))
WINDOWS = st.lists(WINDOW, max_size=4)


@st.composite
def a_holiday(draw, around=None):
    first = draw(st.dates(datetime.date(2024, 1, 1), datetime.date(2030, 12, 31)))
    if around is not None and draw(st.booleans()):
        first = around + datetime.timedelta(draw(st.integers(-2, 1)))
    every_year = draw(st.booleans())
    length = draw(st.integers(0, 2) | st.integers(0, 40))
    last = first + datetime.timedelta(length)
    return first, last, draw(st.sets(st.integers(1, 3), min_size=1)), every_year


@st.composite
def a_moment(draw, zone):
    """Anywhere, or near what is odd: a change of the clock, a turn of the year, the end of February."""
    year = draw(st.integers(2024, 2030))
    begin = int(datetime.datetime(year, 1, 1, tzinfo=datetime.UTC).timestamp())
    where = draw(st.sampled_from(("any", "change", "year", "february")))
    if where == "change":
        found = changes(zone, year)
        if found:
            return draw(st.sampled_from(found)) + draw(st.integers(-2, 2) | st.integers(-DAY, DAY))
    near = draw(st.integers(-DAY, DAY) | st.sampled_from((-3600, -1800, -1, 0, 1, 1800, 3600)))
    if where == "year":
        return begin + near
    if where == "february":
        return begin + 59 * DAY + near
    return begin + draw(st.integers(0, 365 * DAY))


UNCERTAIN = st.integers(0, 5) | st.integers(0, 5000) | st.integers(0, 2 * DAY)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_schedule_agrees_with_the_calendar(name, data):
    ours, theirs = ZONES[name]
    t, u = data.draw(a_moment(theirs)), data.draw(UNCERTAIN)
    windows = data.draw(WINDOWS)
    today = wall(t, theirs)
    if data.draw(st.booleans()):
        # One whose edge is here, to the minute: all the mistakes are made there.
        minute = (today.hour * 60 + today.minute + data.draw(st.integers(-1, 1))) % 1440
        other = data.draw(MINUTE)
        edge = (minute, other) if data.draw(st.booleans()) else (other, minute)
        windows.append((data.draw(DAYS), data.draw(KINDS), *edge))
    holidays = data.draw(st.lists(a_holiday(today.date()), max_size=3))
    holidays = [h for h in holidays if not (h[3] and h[0].strftime("%m%d") == "0229")]
    expected = oracle(windows, holidays, theirs, t - u, t + u)
    assert asked(windows, holidays, ours, t, u) == expected


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_of_a_certain_grant_every_moment_is_granted(name, data):
    """What [t - u, t + u] allows, each second in it allows; the interval hides no closed one."""
    ours, theirs = ZONES[name]
    t, u = data.draw(a_moment(theirs)), data.draw(st.integers(0, 6000))
    windows = data.draw(st.lists(WINDOW, min_size=1, max_size=3))
    assume(asked(windows, [], ours, t, u))
    inner = t + data.draw(st.integers(-u, u))
    assert asked(windows, [], ours, inner, 0)


def test_a_schedule_runs_past_midnight_and_needs_certainty():
    night = [({1}, (), 22 * 60, 6 * 60)]

    def allows(t, u):
        return asked(night, [], TimeZone(), MONDAY + t, u)

    assert allows(23 * 3600, 5)
    assert allows(29 * 3600, 5)
    assert not allows(3600, 5)
    assert not allows(22 * 3600 + 2, 5)
    assert not allows(30 * 3600, 0)


def test_windows_that_touch_join_and_others_do_not():
    days = [({1}, (), 0, 1440), ({2}, (), 0, 720), ({2}, (), 600, 1440)]
    later = [({1}, (), 0, 1440), ({2}, (), 1, 1440)]
    assert asked(days, [], TimeZone(), MONDAY + DAY, 600)
    assert asked(days, [], TimeZone(), MONDAY + DAY + DAY // 2, 600)
    assert not asked(days, [], TimeZone(), MONDAY + DAY // 2, DAY // 2 + 1)
    assert not asked(later, [], TimeZone(), MONDAY + DAY, 1)


def test_a_holiday_closes_a_door_between_two_open_days():
    always = [(set(range(1, 8)), (), 0, 1440)]
    tuesday = datetime.date(2023, 11, 21)
    closed = [(tuesday, tuesday, {1}, False)]
    assert asked(always, [], TimeZone(), MONDAY + DAY, 5)
    assert not asked(always, closed, TimeZone(), MONDAY + DAY, 5)
    assert asked([*always, (set(), {1}, 0, 1440)], closed, TimeZone(), MONDAY + DAY, 5)


def local(zone, *when, fold=0):
    return int(datetime.datetime(*when, tzinfo=zone, fold=fold).timestamp())


def test_the_hour_that_comes_twice_opens_twice():
    ours, berlin = ZONES["Europe/Berlin"]
    window = [({7}, (), 120, 150)]
    for fold in (0, 1):
        assert asked(window, [], ours, local(berlin, 2027, 10, 31, 2, 15, fold=fold), 5)
        assert not asked(window, [], ours, local(berlin, 2027, 10, 31, 2, 45, fold=fold), 5)
    whole = [({7}, (), 120, 180)]
    assert asked(whole, [], ours, local(berlin, 2027, 10, 31, 2, 0, fold=1), 3599)


def test_the_skipped_hour_takes_nothing_from_what_is_around_it():
    ours, new_york = ZONES["America/New_York"]
    change = local(new_york, 2027, 3, 14, 3)
    over = [({7}, (), 60, 240)]
    assert all(asked(over, [], ours, t, 0) for t in range(change - 3600, change + 3600, 60))
    begins_in_it = [({7}, (), 150, 240)]
    assert asked(begins_in_it, [], ours, change, 0)
    assert not asked(begins_in_it, [], ours, change - 1, 0)
    ends_in_it = [({7}, (), 60, 150)]
    assert asked(ends_in_it, [], ours, change - 1, 0)
    assert not asked(ends_in_it, [], ours, change, 0)


def test_a_daily_bound_moves_with_the_clock():
    ours, _ = ZONES["Europe/Berlin"]
    from_eight = [(set(range(1, 8)), (), 480, 1080)]
    friday, monday = (local(datetime.UTC, 2027, 3, day, 6) for day in (26, 29))
    assert [asked(from_eight, [], ours, t, 0) for t in (friday, friday + 3600)] == [False, True]
    assert [asked(from_eight, [], ours, t, 0) for t in (monday, monday - 1)] == [True, False]


def test_29_february_of_every_year_is_there_in_leap_years_only():
    always = [(set(range(1, 8)), (), 0, 1440)]
    leap = [(datetime.date(2028, 2, 29), datetime.date(2028, 2, 29), {1}, True)]
    closed = []
    for year in range(2024, 2033):
        begin = int(datetime.datetime(year, 2, 27, 12, tzinfo=datetime.UTC).timestamp())
        for n in range(4):
            if not asked(always, leap, TimeZone(), begin + n * DAY, 0):
                closed.append(datetime.datetime.fromtimestamp(begin + n * DAY, datetime.UTC).date())
    assert closed == [datetime.date(y, 2, 29) for y in (2024, 2028, 2032)]


def test_a_day_of_two_kinds_opens_only_for_who_names_both():
    day = datetime.date(2023, 11, 20)
    two = [(day, day, {1}, False), (day, day, {2}, True)]
    for kinds, opens in (((), False), ({1}, False), ({2}, False), ({1, 2}, True), ({1, 2, 5}, True)):
        assert asked([({1}, kinds, 0, 1440)], two, TimeZone(), MONDAY + 1, 1) == opens


def test_only_the_windows_of_its_own_number_count():
    rows = bytes.fromhex(window_row(256, 127, 0, 0, 1440) + window_row(2, 1, 0, 0, 1440))
    for number, opens in ((1, False), (2, True), (256, True), (127, False), (0, False)):
        assert WeeklySchedule(number, rows, b"", TimeZone()).allows(Interval(MONDAY + 1, 1)) == opens


@given(st.binary(max_size=64))
def test_any_bytes_are_a_table_or_malformed(raw):
    for check, reason, kept in (
        (check_windows, "schedule_window", lambda: WeeklySchedule(1, raw, b"", TimeZone())),
        (check_holidays, "schedule_holiday", lambda: WeeklySchedule(1, bytes(8), raw, TimeZone())),
    ):
        try:
            check(raw)
        except ProtocolError as error:
            assert (type(error), error.reason) == (Malformed, reason)
        else:
            assert kept().allows(Interval(MONDAY, 0)) in (True, False)


@pytest.mark.parametrize(
    "fields",
    [(0, 127, 0, 0, 1440), (1, 128, 0, 0, 1440), (1, 1, 0, 1440, 1), (1, 1, 0, 0, 1441), (1, 1, 0, 65535, 1)],
)
def test_a_window_outside_the_week_is_malformed(fields):
    check_windows(bytes.fromhex(window_row(1, 127, 255, 1439, 1440)))
    with pytest.raises(Malformed) as caught:
        check_windows(bytes.fromhex(window_row(1, 127, 255, 1439, 1440) + window_row(*fields)))
    assert caught.value.reason == "schedule_window"
