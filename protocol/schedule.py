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
        """Whether at each moment of the interval, which is shorter than a day, some window holds the wall clock."""
        t, high = int(interval.t - interval.u), int(interval.t + interval.u)
        if high - t >= 86_400:
            return False
        while t <= high:
            offset, until = self.zone.span(t)
            closes = self._closes(t + offset) - offset
            if closes <= t:
                return False
            t = min(until, closes)
        return True

    def _closes(self, moment: int) -> int:
        """The second of local time until which one of the windows holds this one; itself if none does."""
        today = moment // 86_400
        return max(moment, self._end(today, moment), self._end(today - 1, moment))

    def _end(self, day: int, moment: int) -> int:
        """The latest end of the windows that begin on that day and hold a second of local time; 0 without one."""
        minute = (moment - day * 86_400) // 60
        wanted = self._kinds(day) or 256 << (day + 3) % 7  # 1970-01-01 was a Thursday
        last = 0
        for at in range(0, len(self.windows), 8):
            number, days, start, end = struct.unpack_from(">HHHH", self.windows, at)
            if end <= start:
                end += 1440
            if number == self.number and days & wanted == wanted and start <= minute < end:
                last = max(last, day * 86_400 + end * 60)
        return last

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
