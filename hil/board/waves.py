"""A level that a peripheral toggles by itself: known by its numbers, so that any reader can tell it to the microsecond."""

import struct
from typing import NamedTuple


class Wave(NamedTuple):
    """High for the first ``high_ns`` of each ``period_ns``, counted from ``t0_us`` (of ``now_us``)."""

    t0_us: int
    period_ns: int
    high_ns: int

    @property
    def frequency(self) -> float:
        return 1e9 / self.period_ns

    @property
    def constant(self) -> bool:
        """It has no edges: its duty is nothing or everything."""
        return not 0 < self.high_ns < self.period_ns

    def level(self, t_us: int) -> int:
        return int((t_us - self.t0_us) * 1000 % self.period_ns < self.high_ns)

    def next_edge(self, t_us: int) -> int:
        """Time of the first edge after ``t_us``, rounded up to a microsecond."""
        phase = (t_us - self.t0_us) * 1000 % self.period_ns
        left = (self.high_ns if phase < self.high_ns else self.period_ns) - phase
        return t_us + max(1, -(-left // 1000))

    def rises(self, t_us: int) -> int:
        """How many rising edges there were since it began, the first one at the beginning not among them."""
        return max(0, (t_us - self.t0_us) * 1000 // self.period_ns)

    def falls(self, t_us: int) -> int:
        return max(0, ((t_us - self.t0_us) * 1000 - self.high_ns) // self.period_ns + 1)

    def packed(self) -> bytes:
        return struct.pack("<QQQ", *self)


NO_WAVE = struct.pack("<QQQ", 0, 0, 0)
