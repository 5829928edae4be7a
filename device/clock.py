"""Wall time on the board: an interval that grows with drift, a floor and the drift on flash, ticks that do not wrap."""

import asyncio
import time

from micropython import const

from protocol.clock import IntervalClock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional, Tuple

    from device.config_store import NumberFile
    from protocol.clock import Interval

_DRIFT_PPM = const(100)  # a 40 MHz crystal is within 10; leave room for heat
# On flash, in one number: low + _ZERO_PPM, high + _ZERO_PPM, and 48 bits of floor. No drift is 0 there: none is known.
_ZERO_PPM = const(_DRIFT_PPM + 1)
_FLOOR_BITS = const(48)
_FLOOR_STEP_S = const(3600)  # one flash write per hour
_KEEP_MS = const(600_000)
UNKNOWN_U = 0xFFFF
_EPOCH_2000 = const(946_684_800)  # unix time of the epoch of MicroPython's bare-metal ports


class Clock:
    """`uptime_ms` must be asked at least every six days, for ticks wrap; `run` sees to it."""

    def __init__(self, kept: "NumberFile") -> None:
        self._kept = kept
        self._clock = clock = IntervalClock(_DRIFT_PPM)
        drift = kept.value >> _FLOOR_BITS
        if drift:
            clock.low, clock.high = (drift >> 8) - _ZERO_PPM, (drift & 0xFF) - _ZERO_PPM
        # Unix seconds that have passed for certain.
        self.floor = kept.value & (1 << _FLOOR_BITS) - 1
        self._ticks = time.ticks_ms()
        self._uptime = 0

    def uptime_ms(self) -> int:
        """Milliseconds since boot, never wrapping."""
        now = time.ticks_ms()
        self._uptime += time.ticks_diff(now, self._ticks)
        self._ticks = now
        return self._uptime

    def now(self) -> "Optional[Interval]":
        """Unix seconds as an interval, or None while no time has been had since boot."""
        return self._clock.now(self.uptime_ms())

    def set(self, t_ms: int, u_ms: int) -> None:
        """Fresh time from the cloud, as unix milliseconds now; the first one of the hour moves the floor on
        flash.
        """
        self._clock.set(t_ms, u_ms, self.uptime_ms())
        self.keep_floor()

    def drift(self) -> "Tuple[int, int]":
        """How fast the crystal runs, and the uncertainty of that, in ppm."""
        low, high = self._clock.low, self._clock.high
        middle = (low + high) // 2
        return middle, high - middle

    def keep_floor(self) -> None:
        """Move the floor on flash if it is an hour behind what has passed for certain; the drift goes with it."""
        now = self.now()
        if now is not None and now.t - now.u >= self.floor + _FLOOR_STEP_S:
            clock = self._clock
            drift = (clock.low + _ZERO_PPM) << 8 | clock.high + _ZERO_PPM
            floor = int(now.t - now.u)
            self._kept.save(drift << _FLOOR_BITS | floor)
            self.floor = floor

    async def run(self, failed: "Callable[[], None]") -> None:
        """Count on over a wrap of the ticks, and keep the floor; `failed` hears of a flash that refuses."""
        while True:
            try:
                self.keep_floor()
            except OSError:
                failed()
            await asyncio.sleep_ms(_KEEP_MS)

    def stamp(self) -> "Tuple[int, int]":
        """Time and uncertainty for a record; the floor and UNKNOWN_U while the time is not known."""
        now = self.now()
        if now is None:
            return self.floor, UNKNOWN_U
        return int(now.t), min(UNKNOWN_U - 1, int(now.u))


def set_rtc_to(unix_s: int) -> None:
    """Put the hardware clock at the floor: Mbed TLS compares certificate dates with it, and nothing else
    reads it.
    """
    from machine import RTC

    epoch = _EPOCH_2000 if time.gmtime(0)[0] == 2000 else 0
    year, month, day, hour, minute, second, weekday = time.gmtime(max(0, unix_s - epoch))[:7]
    RTC().datetime((year, month, day, weekday, hour, minute, second, 0))
