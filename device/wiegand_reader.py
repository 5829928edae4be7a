"""A Wiegand reader: bits by interrupt on D0 and D1, cards and keys out of a task, LED and buzzer back.

The interrupt counts, and shifts into a buffer that is there; it allocates nothing. A line that chatters is not listened
to for a while: it must not take the processor from the door.
"""

import asyncio
import time

from machine import Pin, Signal
from micropython import const

from protocol import wiegand
from protocol.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Sequence

    from device.pinmap import PinRole

_SILENCE_MS = const(25)  # ends a burst: bits are 1 to 2 ms apart
_DEAF_MS = const(1000)
_SHINE_MS = const(1500)
_BEEP_MS = const(80)
_MAX_BITS = const(64)  # as wiegand.MAX_BITS
_MAX_BYTES = const(8)


class WiegandReader:
    """`card(number)` and `key(name)` hear of what was read, `refused(reason)` of what is neither."""

    def __init__(
        self,
        pins: "Dict[str, PinRole]",
        formats: "Dict[int, Sequence[int]]",
        card: "Callable[[bytes], None]",
        key: "Callable[[str], None]",
        refused: "Callable[[str], None]",
    ) -> None:
        self.formats = formats
        self._heard = (card, key, refused)
        self._flag = asyncio.ThreadSafeFlag()
        self._bits = bytearray(_MAX_BYTES)
        self._count = 0
        self._last_ms = time.ticks_ms()
        self._zero, self._one = [
            Pin(pins["wiegand_" + name].number, Pin.IN, Pin.PULL_UP) for name in ("d0", "d1")
        ]
        self._outputs = []
        for name in ("wiegand_buzzer", "wiegand_led"):
            if name in pins:
                role = pins[name]
                pin = Pin(role.number, Pin.OUT, value=1 if role.invert else 0)
                self._outputs.append(Signal(pin, invert=role.invert))
        self._showing: "Any" = None

    def show(self, granted: bool) -> None:
        """A long beep and green, or three beeps."""
        if self._showing:
            self._showing.cancel()
        self._showing = asyncio.create_task(self._show(granted))

    async def run(self) -> None:
        """Read for ever."""
        try:
            while True:
                self._listen(self._bit)
                while self._count <= _MAX_BITS:
                    await self._flag.wait()
                    while time.ticks_diff(time.ticks_ms(), self._last_ms) < _SILENCE_MS:
                        await asyncio.sleep_ms(_SILENCE_MS)
                    self._read()
                await asyncio.sleep_ms(_DEAF_MS)
                self._count = 0
        finally:
            self._listen(None)

    def _read(self) -> None:
        card, key, refused = self._heard
        count, burst = self._count, self._bits
        self._bits = bytearray(_MAX_BYTES)
        if count > _MAX_BITS:
            refused("card_storm")
            return
        self._count = 0
        burst = burst[: (count + 7) // 8]
        try:
            if count in (4, 8):
                key(wiegand.key(count, burst))
            elif count:
                card(wiegand.decode(self.formats, count, burst))
        except ProtocolError as e:
            refused(e.reason)

    def _listen(self, handler: "Any") -> None:
        self._zero.irq(handler, Pin.IRQ_FALLING)
        self._one.irq(handler, Pin.IRQ_FALLING)

    def _bit(self, pin: "Any") -> None:
        count = self._count
        if count >= _MAX_BITS:
            self._listen(None)
        elif pin is self._one:
            self._bits[count >> 3] |= 0x80 >> (count & 7)
        self._count = count + 1
        self._last_ms = time.ticks_ms()
        self._flag.set()

    async def _show(self, granted: bool) -> None:
        outputs = self._outputs
        for output in outputs:
            output.off()
        for _ in range(1 if granted else 3):
            for output in outputs if granted else outputs[:1]:
                output.on()
            await asyncio.sleep_ms(_SHINE_MS if granted else _BEEP_MS)
            for output in outputs:
                output.off()
            await asyncio.sleep_ms(_BEEP_MS)
