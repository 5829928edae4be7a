"""An electrical contact at a pin: its bounce, and the resistors and faults of the line that leads to it."""

import asyncio
from collections.abc import Callable
from enum import StrEnum

from hil.board.analog import SUPPLY_V, Analog
from hil.board.description import LinePart, SwitchPart
from hil.board.pins import Pins
from hil.board.signals import Observable, now_us

BOUNCES = (
    0.12,
    0.2,
    0.38,
    0.5,
    0.78,
    1.0,
)  # of the bounce time: when a contact lets go, takes hold, lets go ...


class Wire(StrEnum):
    """What somebody did to a line."""

    WHOLE = "whole"
    CUT = "cut"
    SHORT = "short"


class Contact:
    """Follows ``signal``: 1 is the pin's active level. ``wire`` tells what the line is like."""

    def __init__(
        self, role: str, about: SwitchPart, signal: Observable[int], pins: Pins, analog: Analog
    ) -> None:
        self.wire = Wire.WHOLE
        self._role = role
        self._about = about
        self._pins = pins
        self._analog = analog
        self._high = int(about.active == "high")
        self._bounce = Bounce(lambda level, _: self._put(level))
        self._level = self._at(signal.value)
        signal.listen(self._follow)
        self._put(self._level)

    def break_wire(self, wire: Wire) -> None:
        """Cut the line, short it to ground, or mend it."""
        self.wire = wire
        self._put(self._level)

    def stop(self) -> None:
        self._bounce.stop()

    def _follow(self, signal: Observable[int]) -> None:
        self._level = self._at(signal.value)
        self._bounce.to(self._level, signal.t_us, self._about.bounce_ms)

    def _at(self, active: int) -> int:
        return self._high if active else 1 - self._high

    def _put(self, level: int) -> None:
        """A closed contact is the low level: the pull-up is the board's."""
        line = self._about.line
        if line is not None:
            self._analog.set_volts(self._role, volts(line, closed=not level, wire=self.wire))
        else:
            self._pins.set_input(self._role, {Wire.CUT: 1, Wire.SHORT: 0}.get(self.wire, level))


class Bounce:
    """Takes a level at once, loses it and takes it again for some time, as springs of metal do."""

    def __init__(self, put: Callable[[int, int], None]) -> None:
        """``put`` is given the level and the microsecond at which it begins."""
        self._put = put
        self._timers: list[asyncio.TimerHandle] = []

    def to(self, level: int, t_us: int, bounce_ms: float) -> None:
        self.stop()
        self._put(level, t_us)
        for number, share in enumerate(BOUNCES if bounce_ms else ()):
            due = t_us + int(share * bounce_ms * 1000)
            wait = max(0.0, (due - now_us()) / 1e6)
            timer = asyncio.get_running_loop().call_later(wait, self._put, level ^ (1 - number % 2), due)
            self._timers.append(timer)

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


def volts(line: LinePart, *, closed: bool, wire: Wire = Wire.WHOLE) -> float:
    """At the pin, of a divider of the pull-up and the line."""
    if wire is Wire.CUT:
        return SUPPLY_V
    if wire is Wire.SHORT:
        return 0.0
    ohms = line.series_ohm + (0.0 if closed else line.parallel_ohm)
    return SUPPLY_V * ohms / (ohms + line.pull_up_ohm)
