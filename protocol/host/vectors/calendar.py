"""Vectors of time zones, and of schedules with their tables of windows and holidays."""

from datetime import date
from typing import Any

from protocol.host.calendar_rows import bits, holiday_row, window_row
from protocol.host.vectors.case import NOW, Vector, bad, good
from protocol.timezone import MAX_TZ

BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
_LORD_HOWE = "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"
_WEEKDAYS = bits(range(1, 6))
_MONDAY = NOW // 86_400 * 86_400 - 4 * 86_400  # NOW is a Friday
_HOUR, _DAY = 3600, 86_400
_SPRING, _AUTUMN = (
    1806195600,
    1824944400,
)  # Berlin's changes of 2027, on Sundays: at 2:00 to 3:00, and at 3:00 to 2:00

OFFICE = window_row(1, _WEEKDAYS, 0, 480, 1080)  # Monday to Friday, 8:00 to 18:00
NIGHT = window_row(1, 1, 0, 1320, 360)  # Monday 22:00 to Tuesday 6:00


def timezone() -> list[Vector]:
    zones: list[tuple[str, str, list[tuple[int, int]]]] = [
        ("utc", "UTC0", [(0, 0), (NOW, 0)]),
        ("without_rules", "IST-5:30", [(NOW, 19800)]),
        ("seconds_west", "<-00>+0:00:01", [(NOW, -1)]),
        ("berlin", BERLIN, [(_SPRING - 1, 3600), (_SPRING, 7200), (_AUTUMN - 1, 7200), (_AUTUMN, 3600)]),
        ("south_by_half_an_hour", _LORD_HOWE, [(1806764399, 39600), (1806764400, 37800), (1822491000, 39600)]),
        ("daylight_below_standard", "IST-1GMT0,M10.5.0,M3.5.0/1", [(_SPRING - 1, 0), (_SPRING, 3600), (_AUTUMN, 0)]),
        ("time_below_0", "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", [(_SPRING - 1, -7200), (_SPRING, -3600)]),
        ("time_over_24", "EET-2EEST,M3.4.4/50,M10.4.4/50", [(1806105599, 7200), (1806105600, 10800)]),
        ("day_without_29_february", "AAA0BBB,J60/0,J61/1", [(1835481599, 0), (1835481600, 3600), (1835568000, 0)]),
        ("day_with_29_february", "AAA0BBB,59/0,60/0", [(1835395200, 3600), (1835395199, 0)]),
        ("daylight_all_year", "EST5EDT,0/0,J365/25", [(1798779599, -14400), (1798779600, -14400), (NOW, -14400)]),
        ("offset_of_daylight", "AAA0BBB-2,J1/0,J365/0", [(NOW, 7200)]),
    ]  # fmt: skip
    out = [
        good(name, "zone", {"text": text, "t": [t for t, _ in pairs]}, [offset for _, offset in pairs])
        for name, text, pairs in zones
    ]
    for name, text in (
        ("no_zone", ""),
        ("no_offset", "UTC"),
        ("name_of_two", "AB0"),
        ("name_with_a_digit", "A1C0"),
        ("quoted_name_of_two", "<+1>-1"),
        ("quoted_name_without_end", "<+01-1"),
        ("quoted_name_with_a_space", "<a b>0"),
        ("path", ":Europe/Berlin"),
        ("name_of_a_place", "Europe/Berlin"),
        ("offset_of_25_hours", "UTC25"),
        ("offset_with_60_minutes", "UTC0:60"),
        ("offset_with_one_digit_of_minutes", "UTC0:5"),
        ("offset_with_a_fourth_part", "UTC0:00:00:00"),
        ("offset_with_two_signs", "UTC--1"),
        ("daylight_without_rules", "EST5EDT"),
        ("rules_without_daylight", "EST5,M3.2.0,M11.1.0"),
        ("one_rule", "EST5EDT,M3.2.0"),
        ("three_rules", "EST5EDT,M3.2.0,M11.1.0,M12.1.0"),
        ("thirteenth_month", "EST5EDT,M13.2.0,M11.1.0"),
        ("sixth_week", "EST5EDT,M3.6.0,M11.1.0"),
        ("eighth_day_of_the_week", "EST5EDT,M3.2.7,M11.1.0"),
        ("rule_of_two_numbers", "EST5EDT,M3.2,M11.1.0"),
        ("day_0_of_the_year", "EST5EDT,J0,M11.1.0"),
        ("day_367_of_the_year", "EST5EDT,366,M11.1.0"),
        ("time_of_168_hours", "EST5EDT,M3.2.0/168,M11.1.0"),
        ("no_time", "EST5EDT,M3.2.0/,M11.1.0"),
        ("letters_behind", "UTC0,"),
        ("digits_of_another_script", "UTC٣"),
        ("line_behind", "UTC0\n"),
        ("zone_too_long", f"<{'+' * MAX_TZ}>0"),
    ):
        out.append(bad(name, "zone", {"text": text, "t": [0]}, "timezone"))
    return out


# Name, windows, zone, seconds from that Monday, uncertainty, whether it is allowed.
_WEEK = (
    ("office_at_eight", OFFICE, "UTC0", 8 * _HOUR, 0, True),
    ("office_perhaps_before_eight", OFFICE, "UTC0", 8 * _HOUR, 1, False),
    ("office_in_its_last_second", OFFICE, "UTC0", 18 * _HOUR - 1, 0, True),
    ("office_at_six", OFFICE, "UTC0", 18 * _HOUR, 0, False),
    ("office_on_saturday", OFFICE, "UTC0", 5 * _DAY + 12 * _HOUR, 0, False),
    ("office_an_hour_east", OFFICE, BERLIN, 7 * _HOUR, 0, True),
    ("office_eight_hours_west", OFFICE, "<-08>8", _DAY + 1 * _HOUR, 0, True),
    ("night_before_midnight", NIGHT, "UTC0", 23 * _HOUR, 5, True),
    ("night_over_midnight", NIGHT, "UTC0", _DAY, 5, True),
    ("night_after_midnight", NIGHT, "UTC0", _DAY + 5 * _HOUR, 5, True),
    ("night_is_over", NIGHT, "UTC0", _DAY + 6 * _HOUR, 0, False),
    ("night_of_sunday", NIGHT, "UTC0", 3 * _HOUR, 0, False),
    ("whole_day", window_row(1, 1, 0, 0, 1440), "UTC0", _DAY - 1, 0, True),
    ("whole_day_written_otherwise", window_row(1, 1, 0, 0, 0), "UTC0", _DAY - 1, 0, True),
    (
        "two_days_that_touch",
        window_row(1, 1, 0, 0, 1440) + window_row(1, 2, 0, 0, 1440),
        "UTC0",
        _DAY,
        1,
        True,
    ),
    (
        "two_days_with_a_minute_between",
        window_row(1, 1, 0, 0, 1439) + window_row(1, 2, 0, 0, 1440),
        "UTC0",
        _DAY,
        1,
        False,
    ),
    ("all_week", window_row(1, 127, 0, 0, 1440), "UTC0", 7 * _DAY, _DAY // 2 - 1, True),
    (
        "all_week_for_longer_than_a_day",
        window_row(1, 127, 0, 0, 1440),
        "UTC0",
        7 * _DAY,
        _DAY // 2,
        False,
    ),
    ("no_window", "", "UTC0", 12 * _HOUR, 0, False),
    ("window_of_another_schedule", window_row(2, 127, 0, 0, 1440), "UTC0", 12 * _HOUR, 0, False),
    ("no_weekday", window_row(1, 0, 0, 0, 1440), "UTC0", 12 * _HOUR, 0, False),
)
# Name, first and last minute of a window on Sundays in Berlin, time, uncertainty, whether it is allowed.
_CHANGES = (
    ("skipped_hour_before", 60, 150, _SPRING - 1, 0, True),
    ("skipped_hour_begins_after_the_change", 150, 240, _SPRING, 0, True),
    ("skipped_hour_ends_with_the_change", 60, 150, _SPRING, 0, False),
    ("skipped_hour_is_all_of_it", 120, 180, _SPRING, 0, False),
    ("skipped_hour_lies_within", 60, 240, _SPRING, 5, True),
    ("skipped_hour_is_not_certain_to_be_within", 60, 180, _SPRING, 1, False),
    ("repeated_hour_first_pass", 120, 150, _AUTUMN - _HOUR, 0, True),
    ("repeated_hour_between", 120, 150, _AUTUMN - 1, 0, False),
    ("repeated_hour_second_pass", 120, 150, _AUTUMN, 0, True),
    ("repeated_hour_both", 120, 180, _AUTUMN, 3599, True),
    ("repeated_hour_begins_in_it", 150, 240, _AUTUMN, 1, False),
)


def schedule() -> list[Vector]:
    out = _tables()
    given: dict[str, Any] = {"number": 1, "windows": OFFICE, "holidays": "", "tz": "UTC0", "t": 0, "u": 0}

    def asked(name: str, t: int, u: int, allowed: bool, **changes: object) -> None:
        out.append(good(name, "schedule", {**given, "t": t, "u": u, **changes}, allowed))

    for name, window, tz, t, u, allowed in _WEEK:
        asked(name, _MONDAY + t, u, allowed, windows=window, tz=tz)
    for name, start, end, t, u, allowed in _CHANGES:
        window = window_row(1, 64, 0, start, end)
        asked(name, t, u, allowed, windows=window, tz=BERLIN)
    return [*out, *_holidays(given)]


def _holidays(given: dict[str, Any]) -> list[Vector]:
    leap = 1835395200  # 2028-02-29 00:00 UTC, a Tuesday
    eve = 1829606400  # 2027-12-24 00:00 UTC, a Friday
    closed = holiday_row(date(2027, 12, 24), date(2028, 1, 2), 1, every_year=False)
    yearly = holiday_row(date(2000, 12, 24), date(2000, 1, 2), 1, every_year=True)
    both = closed + holiday_row(date(2027, 12, 24), date(2027, 12, 24), 2, every_year=False)
    short = OFFICE + window_row(1, 0, 1, 540, 720)  # 9:00 to 12:00 on holidays of kind 1
    leap_day = holiday_row(date(2000, 2, 29), date(2000, 2, 29), 1, every_year=True)
    night = window_row(1, 16 | 8, 0, 1320, 360)  # Thursdays and Fridays from 22:00
    return [
        good(name, "schedule", {**given, "windows": windows, "holidays": rows, "t": t, "u": 0}, allowed)
        for name, windows, rows, t, allowed in (
            ("holiday_closes", OFFICE, closed, eve + 10 * _HOUR, False),
            ("holiday_of_its_own_hours", short, closed, eve + 10 * _HOUR, True),
            ("holiday_of_its_own_hours_only", short, closed, eve + 13 * _HOUR, False),
            ("holiday_of_two_kinds_needs_both", short, both, eve + 10 * _HOUR, False),
            ("holiday_begins", OFFICE, closed, eve - _DAY + 10 * _HOUR, True),
            ("holiday_is_over", OFFICE, closed, eve + 10 * _DAY + 10 * _HOUR, True),
            ("holiday_of_one_year", OFFICE, closed, eve + 367 * _DAY + 10 * _HOUR, True),
            ("holiday_of_every_year", OFFICE, yearly, eve + 367 * _DAY + 10 * _HOUR, False),
            ("holiday_over_new_year", OFFICE, yearly, eve + 7 * _DAY + 10 * _HOUR, False),
            ("holiday_on_29_february", OFFICE, leap_day, leap + 10 * _HOUR, False),
            ("holiday_on_29_february_is_not_on_1_march", OFFICE, leap_day, leap + _DAY + 10 * _HOUR, True),
            ("night_before_a_holiday_runs_into_it", night, closed, eve + 3 * _HOUR, True),
            ("night_of_a_holiday_does_not_begin", night, closed, eve + 23 * _HOUR, False),
            ("night_of_a_holiday_does_not_go_on", night, closed, eve + _DAY + 3 * _HOUR, False),
        )
    ]


def _tables() -> list[Vector]:
    window = [
        ("0001", "schedule"),
        ("1f", "Monday to Friday"),
        ("00", "no kind of holiday"),
        ("01e0", "8:00"),
        ("0438", "18:00"),
    ]
    holiday = [("0198", "24 December of every year"), ("0022", "2 January"), ("01", "kind 1")]
    yearly, once = "0021002101", "3621363f01"

    def table(name: str, op: str, wire: str, rows: int) -> Vector:
        return good(name, op, {"wire": wire}, rows)

    out = [
        good("window", "windows", {"wire": "".join(item for item, _ in window)}, 1, window),
        good("holiday", "holidays", {"wire": "".join(item for item, _ in holiday)}, 1, holiday),
        table("windows_of_none", "windows", "", 0),
        table("windows_to_the_end", "windows", OFFICE + "ffff7fff059f05a0", 2),
        table("holidays_of_both_sorts", "holidays", yearly + once, 2),
    ]
    for name, wire in (
        ("window_of_schedule_0", "00007f00000005a0"),
        ("window_on_an_eighth_day", "00018000000005a0"),
        ("window_from_the_end", "0001010005a00001"),
        ("window_past_the_day", "00010100000005a1"),
        ("window_after_a_good_one", OFFICE + "00010100000005a1"),
        ("window_cut_short", OFFICE[:-2]),
    ):
        out.append(bad(name, "windows", {"wire": wire}, "schedule_window"))
    for name, wire in (
        ("holiday_of_no_kind", "0198019800"),
        ("holiday_in_month_0", "0018019801"),
        ("holiday_in_month_13", "01b8019801"),
        ("holiday_to_month_13", "019801b801"),
        ("holiday_on_day_0", "0180019801"),
        ("holiday_from_a_year_to_every_year", "3621019801"),
        ("holiday_from_every_year_to_a_year", "0021363f01"),
        ("holiday_that_ends_before_it_begins", "363f362101"),
        ("holiday_cut_short", "01980022"),
    ):
        out.append(bad(name, "holidays", {"wire": wire}, "schedule_holiday"))
    return out
