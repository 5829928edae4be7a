"""Time zones: against the zone data of the tzdata package, as Python's zoneinfo reads it, and against its own rules."""

import functools
import io
import zoneinfo
from datetime import UTC, datetime, timedelta, timezone
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Malformed, ProtocolError
from protocol.timezone import MAX_TZ, TimeZone, date_of, day_of

HOUR, DAY = 3600, 86_400
NAMES = (resources.files("tzdata") / "zones").read_text().split()
# Each is after the last change that its file names one by one, where the footer alone counts.
YEARS = range(2088, 2106)


def file_of(name):
    return resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()


def pair(name):
    """(the code under test, Python's) of a zone."""
    raw = file_of(name)
    footer = raw.rsplit(b"\n", 2)[1].decode()
    return TimeZone(footer), zoneinfo.ZoneInfo.from_file(io.BytesIO(raw), name)


def offset(zone, t):
    return int(datetime.fromtimestamp(t, zone).utcoffset().total_seconds())


def changes(zone, low, high):
    """Seconds at which the offset changes, found by halving the days between."""
    for t in range(low, high, DAY):
        first, last = t, t + DAY
        if offset(zone, first) != offset(zone, last):
            while last - first > 1:
                middle = (first + last) // 2
                first, last = (
                    (middle, last) if offset(zone, middle) == offset(zone, first) else (first, middle)
                )
            yield last


@pytest.mark.parametrize("name", NAMES)
def test_the_footer_of_every_zone_tells_its_time_around_every_change(name):
    ours, theirs = pair(name)
    year = YEARS[sum(name.encode()) % len(YEARS)]
    begin = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    moments = [begin, begin - 1, begin + 180 * DAY]
    for change in changes(theirs, begin, begin + 366 * DAY):
        moments += [change - DAY, change - 1, change, change + DAY]
        assert ours.span(change - 1) == (offset(theirs, change - 1), change)
        assert ours.span(change - 5 * DAY)[1] == change
    for t in moments:
        assert ours.offset_at(t) == offset(theirs, t)


def test_half_of_the_zones_have_no_rules_and_some_have_daylight_time_below_standard():
    zones = [pair(name)[0] for name in NAMES]
    assert len(zones) > 400
    winter, summer = (int(datetime(2090, m, 1, tzinfo=UTC).timestamp()) for m in (1, 7))
    moved = [
        name
        for name, zone in zip(NAMES, zones, strict=True)
        if zone.offset_at(winter) != zone.offset_at(summer)
    ]
    assert 100 < len(moved) < 300
    assert {"Europe/Berlin", "Europe/Dublin", "Australia/Lord_Howe", "America/New_York"} < set(moved)


NAMED = st.text("ABCxyz", min_size=3, max_size=6) | st.text("a0+-", min_size=3, max_size=6).map(
    lambda n: f"<{n}>"
)
OFFSET = st.builds(
    lambda sign, h, m, s: (f"{sign}{h}:{m:02}:{s:02}", (-1 if sign == "-" else 1) * (h * HOUR + m * 60 + s)),
    st.sampled_from(("", "+", "-")), st.integers(0, 24), st.integers(0, 59), st.integers(0, 59),
)  # fmt: skip


@given(name=NAMED, given_offset=OFFSET, t=st.integers(0, 2**33))
def test_a_zone_without_rules_has_its_offset_west_of_utc_at_all_times(name, given_offset, t):
    text, west = given_offset
    zone = TimeZone(name + text)
    assert zone.offset_at(t) == -west
    low, until = zone.span(t)
    assert (low, until > t + 86_400) == (-west, True)


def first_of(year, month):
    return datetime(year, month, 1)


@functools.cache
def day_by_calendar(rule, year):
    """The day of a rule, by walking a calendar."""
    kind, *numbers = rule
    if kind == "M":
        month, week, weekday = numbers
        days = [first_of(year, month) + timedelta(n) for n in range(31)]
        days = [d for d in days if d.month == month and d.isoweekday() % 7 == weekday]
        return days[-1] if week == 5 else days[week - 1]
    days = [first_of(year, 1) + timedelta(n) for n in range(366)]
    if kind == "J":
        days = [d for d in days if (d.month, d.day) != (2, 29)]
        return days[numbers[0] - 1]
    return days[numbers[0]]


RULE = (
    st.tuples(st.just("M"), st.integers(1, 12), st.integers(1, 5), st.integers(0, 6))
    | st.tuples(st.just("J"), st.integers(1, 365))
    | st.tuples(st.just(""), st.integers(0, 365))
)
TIME = st.integers(-167 * HOUR - 3599, 167 * HOUR + 3599) | st.integers(-26, 30).map(lambda h: h * HOUR)


def written(rule, time):
    kind, *numbers = rule
    time, sign = abs(time), "-" if time < 0 else ""
    clock = f"{time // HOUR}:{time // 60 % 60:02}:{time % 60:02}"
    return f"{kind}{'.'.join(map(str, numbers))}/{sign}{clock}"


@given(
    rules=st.tuples(RULE, TIME, RULE, TIME),
    offsets=st.tuples(OFFSET, OFFSET),
    t=st.integers(0, 2**32 - 1),
    at_change=st.none() | st.tuples(st.booleans(), st.integers(-2, 2)),
)
def test_any_two_rules_give_the_offset_after_the_last_change(rules, offsets, t, at_change):
    """Also those that no country has: changes in the wrong year, at the same time, twice in a week."""
    start, start_time, end, end_time = rules
    (standard_text, standard), (daylight_text, daylight) = offsets
    text = f"AAA{standard_text}BBB{daylight_text},{written(start, start_time)},{written(end, end_time)}"
    assert len(text) <= MAX_TZ
    middle = datetime.fromtimestamp(t, UTC).year
    moments = []
    for year in range(middle - 3, middle + 4):
        for rule, time, west, east in (
            (start, start_time, standard, -daylight),
            (end, end_time, daylight, -standard),
        ):
            moment = day_by_calendar(rule, year).replace(tzinfo=UTC) + timedelta(seconds=time + west)
            moments.append((int(moment.timestamp()), east))
    if at_change is not None:
        late, delta = at_change
        t = max(0, moments[7 if late else 6][0] + delta)
    past = [(at, n, east) for n, (at, east) in enumerate(moments) if at <= t]
    zone = TimeZone(text)
    assert zone.offset_at(t) == max(past)[2]
    found, until = zone.span(t)
    assert until == min([at for at, _ in moments if at > t] + [t + 99 * DAY])
    assert found == zone.offset_at(until - 1)


@given(st.text(max_size=70) | st.text("ABC<>+-:,./JM0123456789", max_size=70))
def test_any_text_is_a_zone_or_malformed(text):
    try:
        zone = TimeZone(text)
    except ProtocolError as error:
        assert (type(error), error.reason) == (Malformed, "timezone")
    else:
        assert -25 * HOUR < zone.offset_at(1_800_000_000) < 25 * HOUR


@given(st.integers(0, len("CET-1CEST,M3.5.0,M10.5.0/3")), st.characters() | st.just(""))
def test_a_zone_with_one_wrong_character_is_a_zone_or_malformed(at, c):
    good = "CET-1CEST,M3.5.0,M10.5.0/3"
    for text in (good[:at] + c + good[at:], good[:at] + c + good[at + 1 :], good[:at]):
        try:
            TimeZone(text).offset_at(0)
        except Malformed as error:
            assert error.reason == "timezone"


@pytest.mark.parametrize("other", [None, 60, True, b"UTC0", ["UTC0"], {}, 1.5])
def test_what_is_no_text_is_malformed(other):
    with pytest.raises(Malformed):
        TimeZone(other)


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)))
def test_days_and_dates_agree_with_the_calendar(moment):
    number = (moment.date() - datetime(1970, 1, 1).date()).days
    assert day_of(moment.year, moment.month, moment.day) == number
    assert date_of(number) == (moment.year, moment.month, moment.day)


def test_month_13_is_january_of_the_next_year():
    for year in range(1999, 2006):
        assert day_of(year, 13, 1) == day_of(year + 1, 1, 1)


def test_fixed_offsets_of_python_agree():
    zone = timezone(timedelta(hours=5, minutes=30))
    assert TimeZone("IST-5:30").offset_at(0) == offset(zone, 0)


ODD_RULES = (("J", 1), ("J", 60), ("J", 365), ("", 0), ("", 365), ("M", 1, 1, 0), ("M", 12, 5, 6))
ODD_TIMES = (-167 * HOUR, 0, 100 * HOUR, 167 * HOUR)


@pytest.mark.parametrize("start", ODD_RULES, ids=str)
@pytest.mark.parametrize("end", ODD_RULES, ids=str)
def test_changes_around_new_year_and_29_february_count_in_their_order(start, end):
    """Their times carry them into the year before and the year after."""
    turns = [int(datetime(y, m, 1, tzinfo=UTC).timestamp()) for y in (2027, 2028, 2029) for m in (1, 3)]
    for start_time in ODD_TIMES:
        for end_time in ODD_TIMES:
            zone = TimeZone(f"AAA0BBB-1,{written(start, start_time)},{written(end, end_time)}")
            changes = []
            for year in range(2023, 2034):
                for rule, time, east in ((start, start_time, 0), (end, end_time, HOUR)):
                    moment = day_by_calendar(rule, year).replace(tzinfo=UTC)
                    changes.append((int(moment.timestamp()) + time - east, len(changes), HOUR - east))
            for turn in turns:
                for t in range(turn - 11 * DAY, turn + 11 * DAY, 29 * HOUR + 1):
                    assert zone.offset_at(t) == max(c for c in changes if c[0] <= t)[2], t


def test_daylight_time_that_ends_as_the_next_begins_lasts_all_year():
    zone = TimeZone("EST5EDT,0/0,J365/25")
    for year in range(2027, 2030):
        new_year = int(datetime(year, 1, 1, 5, tzinfo=UTC).timestamp())
        assert {zone.offset_at(new_year + n) for n in (-HOUR, -1, 0, 1, HOUR, 180 * DAY)} == {-4 * HOUR}


@pytest.mark.parametrize(
    "text", ["ÄÖÜ0", "UTC٣", "UTC²", "UTC0,", "UTC25", "UTC0:60", "AAA0BBB,J0,J1", "AAA0BBB,J1/168,J2"]
)
def test_what_lies_just_outside_the_bounds_is_malformed(text):
    with pytest.raises(Malformed):
        TimeZone(text)
