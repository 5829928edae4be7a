"""Local time by a POSIX TZ string (IEEE 1003.1, TZ; as in the footer of a TZif file, RFC 9636), and dates by days.

Days count from 1970-01-01 in the Gregorian calendar; offsets are seconds east of UTC.
"""

from protocol.errors import Malformed

MAX_TZ = 64  # the longest of a real place has 44 characters


def day_of(year: int, month: int, day: int) -> int:
    """Number of a day. `day` may lie outside its month, and month 13 is January of the next year."""
    if month < 3:
        year -= 1
    leaps = year // 4 - year // 100 + year // 400
    return 365 * year + leaps + (153 * ((month + 9) % 12) + 2) // 5 + day - 719_469


def date_of(day: int) -> "tuple[int, int, int]":
    """Year, month and day of the month, from 1900 on."""
    year, month = 1971 + day // 365, 12
    while day_of(year, 1, 1) > day:
        year -= 1
    while day_of(year, month, 1) > day:
        month -= 1
    return year, month, day - day_of(year, month, 0)


class TimeZone:
    """The rules of one string; raises Malformed ("timezone") for any that is not whole and within its bounds."""

    def __init__(self, text: str = "UTC0") -> None:
        if not isinstance(text, str) or not 0 < len(text) <= MAX_TZ or max(text) > "z":
            raise Malformed("timezone")
        parts = text.split(",")
        standard, rest = _offset(parts[0])
        self._standard = standard
        # (rule, offset before, offset after): to daylight time, and back.
        self._changes: "tuple[tuple[tuple[int, int, int, int], int, int], ...]" = ()
        if rest and len(parts) == 3:
            daylight, rest = _offset(rest, standard)
            self._changes = (_rule(parts[1]), standard, daylight), (_rule(parts[2]), daylight, standard)
        if rest or len(parts) != 1 + len(self._changes):
            raise Malformed("timezone")

    def offset_at(self, t: int) -> int:
        """Local time minus UTC at unix second `t`."""
        return self.span(t)[0]

    def span(self, t: int) -> "tuple[int, int]":
        """The offset at `t`, and a second until which it holds: that of the next change, or 99 days on."""
        offset, since, until = self._standard, t - (1 << 40), t + 99 * 86_400
        # The year to within two days; and a rule's time moves its change by up to a week more.
        about = 1970 + t // 31_556_952
        for year in range(about - 2, about + 2):
            for rule, before, after in self._changes:
                at = _day(rule, year) * 86_400 + rule[3] - before
                if at > t:
                    until = min(until, at)
                elif at >= since:
                    # Daylight time that ends when the next begins lasts all year (RFC 9636, 3.3.1).
                    offset, since = after, at
        return offset, until


def _day(rule: "tuple[int, int, int, int]", year: int) -> int:
    month, week, day, _ = rule
    if week:
        first = day_of(year, month, 1)
        day = first + (day - first - 4) % 7 + 7 * week - 7  # 1970-01-01 was a Thursday, 4
        return day if day < day_of(year, month + 1, 1) else day - 7
    return day_of(year, month, day)


def _offset(text: str, base: "int | None" = None) -> "tuple[int, str]":
    """The offset behind an abbreviation, or an hour more than `base` if it has none; and what follows."""
    quoted = n = 1 if text[:1] == "<" else 0
    c = text[n : n + 1]
    while c.isalpha() or (quoted and (c.isdigit() or c in ("+", "-"))):
        n += 1
        c = text[n : n + 1]
    if n - quoted < 3 or (quoted and c != ">"):
        raise Malformed("timezone")
    text = text[n + quoted :]
    rest = text.lstrip("+-:0123456789")
    if rest == text and base is not None:
        return base + 3600, rest
    return -_seconds(text[: len(text) - len(rest)], 24), rest


def _rule(text: str) -> "tuple[int, int, int, int]":
    """(month, week, weekday, seconds of the day); without a week, a day counted from before that month."""
    text, slash, time = text.partition("/")
    seconds = _seconds(time, 167) if slash else 7200
    if text[:1] == "M":
        parts = text[1:].split(".")
        if len(parts) == 3:
            return _number(parts[0], 1, 12), _number(parts[1], 1, 5), _number(parts[2], 0, 6), seconds
    if text[:1] == "J":
        day = _number(text[1:], 1, 365)
        return (1, 0, day, seconds) if day < 60 else (3, 0, day - 59, seconds)
    return 1, 0, _number(text, 0, 365) + 1, seconds


def _seconds(text: str, high: int) -> int:
    """[+-]h[:mm[:ss]]"""
    sign = text[:1]
    if sign in ("+", "-"):
        text = text[1:]
    seconds, unit = 0, 3600
    for part in text.split(":"):
        if not unit or (unit < 3600 and len(part) != 2):
            raise Malformed("timezone")
        seconds += _number(part, 0, high) * unit
        unit, high = unit // 60, 59
    return -seconds if sign == "-" else seconds


def _number(text: str, low: int, high: int) -> int:
    if not text or len(text) > 3 or text.strip("0123456789") or not low <= int(text) <= high:
        raise Malformed("timezone")
    return int(text)
