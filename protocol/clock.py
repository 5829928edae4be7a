"""Time as an interval: t ± u seconds, growing with drift, never certain for free."""

from protocol.errors import LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, Tuple

TIME_NONCE_SIZE = 16
WANDER_PPM = 10  # between the means of a crystal's drift over two times of hours: heat, and age
_SURE_PPM = 2 * WANDER_PPM + 8  # a measurement this good takes the place of the one before
_RENEW_MS = 86_400_000


class Interval:
    """The true time lies in [t-u, t+u], unix seconds."""

    def __init__(self, t: float, u: float) -> None:
        self.t = t
        self.u = u


def inside(interval: Interval, not_before: int, not_after: int) -> bool:
    """Whether it is certain that not_before <= now < not_after."""
    return interval.t - interval.u >= not_before and interval.t + interval.u < not_after


class IntervalClock:
    """Counts on from the last authenticated time, and learns from such times how fast its ticks run.

    `low` to `high` is the drift in ppm, 1 000 000 × (ticks - true) / ticks: every later mean of it lies there, if it is
    always within `bound_ppm` and its means differ by at most WANDER_PPM. Ticks are milliseconds that do not wrap; floats
    are avoided, for a board's have 24 bits.
    """

    def __init__(self, bound_ppm: int) -> None:
        if bound_ppm < 0:
            raise LocalError("drift")
        self._bound = bound_ppm
        self.low = -bound_ppm
        self.high = bound_ppm
        self._last: "Optional[Tuple[int, int, int]]" = None
        self._first: "Optional[Tuple[int, int, int]]" = None  # what the drift is measured from

    def set(self, t_ms: int, u_ms: int, ticks_ms: int) -> None:
        """It is unix time `t_ms` ± `u_ms` at `ticks_ms`."""
        if t_ms < 0 or u_ms < 0:
            raise LocalError("time")
        first = self._first
        self._last = t_ms, u_ms, ticks_ms
        if (
            first is None
            or not self._learn(t_ms - first[0], u_ms + first[1], ticks_ms - first[2])
            or 2 * u_ms < first[1]
        ):
            self._first = self._last

    def _learn(self, true: int, slack: int, ticks: int) -> bool:
        """From so many ticks in `true` ± `slack` milliseconds; return whether to measure on from the same time."""
        if ticks <= 0:
            return False
        bound = self._bound
        low = (ticks - true - slack) * 1_000_000 // ticks - WANDER_PPM
        high = WANDER_PPM - (true - ticks - slack) * 1_000_000 // ticks
        if low > self.high or high < self.low:
            # One of the two times is wrong, or the crystal: then no more is known than its kind.
            self.low, self.high = -bound, bound
            return False
        low, high = max(low, -bound), min(high, bound)
        sure = high - low <= _SURE_PPM
        if sure or high - low <= self.high - self.low:
            self.low, self.high = low, high
        return not sure or ticks < _RENEW_MS

    def now(self, ticks_ms: int) -> "Optional[Interval]":
        """The time at `ticks_ms`, or None if it was never set. Whole seconds: t rounds down, u up."""
        if self._last is None:
            return None
        t_ms, u_ms, elapsed = self._last
        elapsed = max(0, ticks_ms - elapsed)
        t_ms += elapsed
        low = t_ms - u_ms + elapsed * -self.high // 1_000_000
        high = t_ms + u_ms - elapsed * self.low // 1_000_000
        t = (low + high) // 2000
        return Interval(t, (high + 999) // 1000 - t)


def build_time_request(nonce: bytes) -> "Dict[str, Any]":
    """What a device asks; the nonce ties the answer to the question."""
    if len(nonce) != TIME_NONCE_SIZE:
        raise LocalError("time nonce")
    return {"n": nonce.hex()}


def build_time_reply(dev: str, nonce: str, t_ms: int) -> "Dict[str, Any]":
    """Payload of the answer, to be sealed with LABEL_TIME; `nonce` is the request's hex."""
    return {"dev": dev, "n": nonce, "t": t_ms}
