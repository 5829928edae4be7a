"""One contact: what was stable for long enough is seen, also when the task that looks is late.

The interrupt latches what a level was that it ends, so a pulse waits for the next look. A line that chatters faster
than any contact is not listened to until then.
"""

import time

from machine import Pin, Signal
from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from device.pinmap import PinRole

STABLE_MS = 20  # contacts bounce for less, and a press is longer; IEC 60839-11-1 asks that 400 ms are seen
_STORM = const(40)  # edges without a stable level between: more than any contact bounces


class Contact:
    """`active` is the level that was last seen stable. `edge()` is called in the interrupt."""

    def __init__(self, role: "PinRole", edge: "Callable[[], None]") -> None:
        pull = {"up": Pin.PULL_UP, "down": Pin.PULL_DOWN}.get(role.pull or "")
        self._pin = pin = Pin(role.number, Pin.IN, pull)  # type: ignore[arg-type]  # None is no pull, says the documentation
        self._signal = Signal(pin, invert=role.invert)
        self._edge = edge
        self._since = time.ticks_ms()
        self._pulse = self.settled = False
        self.storm = 0
        self._level = self.active = self._signal.value()
        self._listen()

    def _listen(self) -> None:
        self._edges = 0
        self._pin.irq(self._changed, Pin.IRQ_RISING | Pin.IRQ_FALLING)

    def _changed(self, _pin: "Any") -> None:
        now = time.ticks_ms()
        if self._level != self.active and time.ticks_diff(now, self._since) >= STABLE_MS:
            self._pulse = True
        self._level = self._signal.value()
        self._since = now
        self.settled = False
        self._edges += 1
        if self._edges > _STORM:
            self._pin.irq(None)
        self._edge()

    def look(self, name: str, act: "Callable[[str, int], None]") -> bool:
        """Call `act(name, active)` for each change, at most twice; False: not settled, look again after STABLE_MS."""
        if self._edges > _STORM:
            self.storm = 1
            self._listen()
        level = self._signal.value()
        now = time.ticks_ms()
        if level != self._level:  # its edge was lost
            self._level = level
            self._since = now
            self.settled = False
        if not self.settled and time.ticks_diff(now, self._since) >= STABLE_MS:
            self.settled = True
            self._edges = self.storm = 0
        changes = int(self._pulse)
        self._pulse = False
        if self.settled and level == self.active ^ changes ^ 1:
            changes += 1
        for _ in range(changes):
            self.active ^= 1
            act(name, self.active)
        return self.settled
