"""Times as a person reads them, and the ticks of an axis."""

import math

_THIN_SPACE = "\u202f"
_NICE = (1, 2, 5, 10)


def milliseconds(ms: float) -> str:
    """A duration with three figures or so: 0.42 ms, 7.31 ms, 73.1 ms, 1 234 ms, 12.3 s."""
    size = abs(ms)
    if size >= 10_000:
        return f"{ms / 1000:.1f}{_THIN_SPACE}s"
    digits = 0 if size >= 100 else 1 if size >= 10 else 2
    return f"{ms:,.{digits}f}".replace(",", _THIN_SPACE) + f"{_THIN_SPACE}ms"


def moment(ms: float) -> str:
    """A moment of the run, in milliseconds however late."""
    return f"{ms:,.0f}".replace(",", _THIN_SPACE) + f"{_THIN_SPACE}ms"


def offset(ms: float) -> str:
    """A moment after another one, for a column of them: +0.4, +12.8, +1 234."""
    return f"{ms:+,.{1 if abs(ms) < 1000 else 0}f}".replace(",", _THIN_SPACE)


def tick_step(span: float, most: int) -> float:
    """The smallest 1, 2 or 5 times a power of ten that divides `span` into at most `most` parts."""
    raw = max(span, 1e-9) / max(most, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(n * power for n in _NICE if n * power >= raw * (1 - 1e-9))


def ticks(start: float, end: float, most: int) -> list[float]:
    """Round positions from `start` to `end`."""
    step = tick_step(end - start, most)
    first = math.ceil(start / step - 1e-9)
    last = math.floor(end / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def tick_label(ms: float, step: float) -> str:
    """A tick in seconds where the ticks are that far apart, else in milliseconds; never two alike."""
    if step >= 1000:
        return f"{ms / 1000:.0f}{_THIN_SPACE}s"
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{ms:,.{digits}f}".replace(",", _THIN_SPACE) + f"{_THIN_SPACE}ms"
