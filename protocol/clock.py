"""Time as an interval: t ± u seconds, growing with drift, never certain for free."""

from protocol.errors import LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

TIME_NONCE_SIZE = 16


class Interval:
    """The true time lies in [t-u, t+u], unix seconds."""

    def __init__(self, t: float, u: float) -> None:
        self.t = t
        self.u = u


def inside(interval: Interval, not_before: int, not_after: int) -> bool:
    """Whether it is certain that not_before <= now < not_after."""
    return interval.t - interval.u >= not_before and interval.t + interval.u < not_after


class IntervalClock:
    """Counts on from the last authenticated time. Ticks are milliseconds that do not wrap; floats are avoided,
    for a board's have 24 bits.
    """

    def __init__(self, drift_ppm: int) -> None:
        if drift_ppm < 0:
            raise LocalError("drift")
        self._drift_ppm = drift_ppm
        self._t_ms = 0
        self._u_ms = -1
        self._ticks_ms = 0

    def set(self, t_ms: int, u_ms: int, ticks_ms: int) -> None:
        """It is unix time `t_ms` ± `u_ms` at `ticks_ms`."""
        if t_ms < 0 or u_ms < 0:
            raise LocalError("time")
        self._t_ms, self._u_ms, self._ticks_ms = t_ms, u_ms, ticks_ms

    def now(self, ticks_ms: int) -> "Optional[Interval]":
        """The time at `ticks_ms`, or None if it was never set. Whole seconds: t rounds down, u up."""
        if self._u_ms < 0:
            return None
        elapsed = max(0, ticks_ms - self._ticks_ms)
        t_ms = self._t_ms + elapsed
        drift_ms = (elapsed * self._drift_ppm + 999_999) // 1_000_000
        u_ms = self._u_ms + drift_ms + t_ms % 1000
        return Interval(t_ms // 1000, (u_ms + 999) // 1000)


def build_time_request(nonce: bytes) -> "Dict[str, Any]":
    """What a device asks; the nonce ties the answer to the question."""
    if len(nonce) != TIME_NONCE_SIZE:
        raise LocalError("time nonce")
    return {"n": nonce.hex()}


def build_time_reply(dev: str, nonce: str, t_ms: int) -> "Dict[str, Any]":
    """Payload of the answer, to be sealed with LABEL_TIME; `nonce` is the request's hex."""
    return {"dev": dev, "n": nonce, "t": t_ms}
