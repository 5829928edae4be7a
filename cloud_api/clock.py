"""Wall time in the units of the store and of the wire."""

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def now_s() -> int:
    """Unix seconds, rounded down."""
    return time.time_ns() // 1_000_000_000


def from_ms(value: int) -> datetime:
    """A stored time as the API shows it."""
    return datetime.fromtimestamp(value / 1000, UTC)


def from_s(value: int) -> datetime:
    """A token's time as the API shows it."""
    return datetime.fromtimestamp(value, UTC)
