"""What a configuration's tables of windows and holidays are made of; `protocol.schedule` reads them."""

import struct
from collections.abc import Iterable
from datetime import date

FIRST_YEAR, LAST_YEAR = 2001, 2127


def bits(numbers: Iterable[int]) -> int:
    """Mask of weekdays (ISO, 1 is Monday) or of kinds of holidays (1 to 8)."""
    return sum(1 << number - 1 for number in set(numbers))


def window_row(number: int, weekdays: int, kinds: int, start: int, end: int) -> str:
    """A window of schedule `number`: masks of weekdays and of kinds of holidays, minutes of the day."""
    return struct.pack(">HBBHH", number, weekdays, kinds, start, end).hex()


def holiday_row(first: date, last: date, kinds: int, *, every_year: bool) -> str:
    """A holiday of these kinds from the first day to the last; years count only if it is once."""
    return struct.pack(">HHB", _packed(first, every_year), _packed(last, every_year), kinds).hex()


def _packed(day: date, every_year: bool) -> int:
    return (0 if every_year else day.year - FIRST_YEAR + 1) << 9 | day.month << 5 | day.day
