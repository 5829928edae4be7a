"""Weekly schedules: windows of local minutes on weekdays, asked with an uncertain clock."""

from protocol.errors import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Tuple

    from protocol.clock import Interval

_DAY_S = 86_400
_DAY_MIN = 1440
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0


class WeeklySchedule:
    """Windows (weekday mask with bit 0 = Monday, start minute, end minute), end exclusive; a window whose end is not
    after its start runs past midnight into the next day.
    """

    def __init__(self, windows: "List[Tuple[int, int, int]]", tz_minutes: int = 0) -> None:
        for mask, start, end in windows:
            if not (0 <= mask <= 127 and 0 <= start < _DAY_MIN and 0 <= end <= _DAY_MIN):
                raise Malformed("schedule_window")
        self._windows = windows
        self._offset_s = tz_minutes * 60

    def allows(self, interval: "Interval") -> bool:
        """Whether one window holds the whole interval."""
        low, high = int(interval.t - interval.u), int(interval.t + interval.u)
        for window in self._windows:
            if self._covers(window, low, high):
                return True
        return False

    def _covers(self, window: "Tuple[int, int, int]", low: int, high: int) -> bool:
        mask, start, end = window
        if end <= start:
            end += _DAY_MIN
        today = (low + self._offset_s) // _DAY_S
        for day in (today - 1, today):
            if mask & (1 << (day + _EPOCH_WEEKDAY) % 7):
                midnight = day * _DAY_S - self._offset_s
                if midnight + start * 60 <= low and high < midnight + end * 60:
                    return True
        return False
