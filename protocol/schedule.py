"""Weekly schedules and holidays, asked with an uncertain clock, in the local time of a zone.

A window is 8 bytes: schedule number 2 | weekdays 1, bit 0 is Monday | kinds of holidays 1 | start 2 | end 2, in minutes.
A holiday is 5 bytes: first date 2 | last date 2 | its kinds 1. A date is (year - 2000) << 9 | month << 5 | day; without
a year it is every year's.
"""

import struct

from protocol.errors import Malformed
from protocol.timezone import date_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from protocol.clock import Interval
    from protocol.timezone import TimeZone


def check_windows(rows: bytes) -> None:
    """Raise Malformed unless it is a table of windows."""
    good = len(rows) % 8 == 0
    for at in range(0, len(rows) if good else 0, 8):
        number, days, start, end = struct.unpack_from(">HHHH", rows, at)
        if not number or days > 0x7FFF or start > 1439 or end > 1440:
            good = False
    if not good:
        raise Malformed("schedule_window")


def check_holidays(rows: bytes) -> None:
    """Raise Malformed unless it is a table of holidays."""
    good = len(rows) % 5 == 0
    for at in range(0, len(rows) if good else 0, 5):
        first, last, kinds = struct.unpack_from(">HHB", rows, at)
        for date in (first, last):
            if not 1 <= date >> 5 & 15 <= 12 or not date & 31:
                kinds = 0
        # Without a year it may run into the next one.
        if not kinds or (last < first if first > 511 else last > 511):
            good = False
    if not good:
        raise Malformed("schedule_holiday")


class WeeklySchedule:
    """One schedule's windows out of tables that were checked."""

    def __init__(self, number: int, windows: bytes, holidays: bytes, zone: "TimeZone") -> None:
        self.number = number
        self.windows = windows
        self.holidays = holidays
        self.zone = zone

    def allows(self, interval: "Interval") -> bool:
        """Whether one window holds the wall clock through the whole interval."""
        t, high = int(interval.t - interval.u), int(interval.t + interval.u)
        low = top = t + self.zone.offset_at(t)
        while t <= high:
            offset, until = self.zone.span(t)
            low, top = min(low, t + offset), max(top, min(high, until - 1) + offset)
            if top - low >= 86_400:  # longer than any window
                return False
            t = until
        today = low // 86_400
        return self._covers(today, low, top) or self._covers(today - 1, low, top)

    def _covers(self, day: int, low: int, high: int) -> bool:
        """Whether a window that begins on that day holds these seconds of local time."""
        low, high = low - day * 86_400, high - day * 86_400
        wanted = self._kinds(day) or 256 << (day + 3) % 7  # 1970-01-01 was a Thursday
        for at in range(0, len(self.windows), 8):
            number, days, start, end = struct.unpack_from(">HHHH", self.windows, at)
            if end <= start:
                end += 1440
            if number == self.number and days & wanted == wanted and start * 60 <= low and high < end * 60:
                return True
        return False

    def _kinds(self, day: int) -> int:
        """All kinds of holidays that the day has."""
        year, month, day = date_of(day)
        kinds = 0
        for at in range(0, len(self.holidays), 5):
            first, last, kind = struct.unpack_from(">HHB", self.holidays, at)
            date = month << 5 | day
            if first > 511:
                date |= (year - 2000) << 9
            if first <= date <= last or (last < first and not last < date < first):
                kinds |= kind
        return kinds
