"""The alarms of the door: which are on, how they show on LED and buzzer, and a record of each start and end.

The buzzer stops by itself; the LED blinks as long as an alarm is on. Duress shows nowhere at the door.
"""

from protocol.journal import (
    EVENT_ALARM_ENDED,
    EVENT_DURESS,
    EVENT_WRONG_CODES,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

TICK_MS = 250


class Alarms:
    """`report(event, value, subject)` writes a record. A kind is the journal event of its start."""

    def __init__(self, led: "Any", buzzer: "Any", report: "Callable[..., None]") -> None:
        self._led = led
        self._buzzer = buzzer
        self._report = report
        self._ticks = 0
        self._left = 0  # ticks until the buzzer is silent
        self.silence_s = 60
        self.on = 0  # a bit for each kind

    def set(self, kind: int, on: int, subject: bytes = bytes(8)) -> None:
        """Start the alarm, or end it; what is so already stays, and is not recorded again."""
        bit = 1 << kind
        if bool(on) == bool(self.on & bit):
            return
        self.on ^= bit
        if on:
            if kind != EVENT_DURESS:  # nor does it sound again what was silent
                self._left = self.silence_s * 1000 // TICK_MS
            self._report(kind, 0, subject)
        else:
            self._report(EVENT_ALARM_ENDED, kind)

    def show(self, released: int, warning: int, ticked: bool) -> None:
        """LED: released, or blinking in an alarm. Buzzer: an alarm, or a beep each second before held open."""
        if ticked:
            self._ticks += 1
            self._left = max(0, self._left - 1)
            if not self._left:  # these have no contact that could end them
                self.set(EVENT_DURESS, 0)
                self.set(EVENT_WRONG_CODES, 0)
        shown = self.on & ~(1 << EVENT_DURESS)
        if self._led is not None:
            self._led.value(released or (shown and self._ticks & 1))
        if self._buzzer is not None:
            self._buzzer.value((shown and self._left) or (warning and not self._ticks & 3))
