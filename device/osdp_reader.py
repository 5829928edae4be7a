"""An OSDP reader on RS-485: `protocol.osdp_panel` on a `machine.UART`.

`de` is the pin that makes the transceiver send, for one that does not find out by itself.
"""

import asyncio
import os
import time

from cryptolib import aes
from machine import UART, Pin
from micropython import const

from protocol.osdp_panel import Panel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict

    from device.pinmap import PinRole

_BUFFER = const(32)
_ECB = const(1)
_CBC = const(2)


def _aes(key: bytes, iv: "Any") -> "Any":
    return aes(key, _CBC, iv) if iv else aes(key, _ECB)


class OsdpReader:
    """`heard` is told: `card(bits, raw)`, `key(digit)`, `state(online)` and `tamper(active)`. All of them are
    plain calls; what they answer with is `show` and `idle`.
    """

    def __init__(
        self,
        uart: "Any",
        address: int,
        scbk: bytes,
        heard: "Any",
        count: "Callable[[str], None]",
        de: "Any" = None,
        baud: int = 9600,
    ) -> None:
        self._uart = uart
        self._de = de
        self._baud = baud
        self._buffer = bytearray(_BUFFER)
        self._panel = Panel(address, scbk, _aes, os.urandom, heard, count)
        self.show = self._panel.show
        self.idle = self._panel.idle

    async def run(self) -> None:
        """Poll for ever. However it ends, the reader is offline then."""
        panel, uart, buffer = self._panel, self._uart, self._buffer
        now, before = 0, time.ticks_ms()
        try:
            while True:
                ticks = time.ticks_ms()
                now += time.ticks_diff(ticks, before)  # these milliseconds do not wrap
                before = ticks
                while uart.any():
                    size = uart.readinto(buffer)
                    panel.feed(buffer[: size or 0], now)
                wire = panel.poll(now)
                if wire:
                    await self._send(wire)
                await asyncio.sleep_ms(panel.wait_ms(now))
        finally:
            panel.reset("osdp_restart", 0)

    async def _send(self, wire: bytes) -> None:
        if self._de is None:
            self._uart.write(b"\xff" + wire)  # a mark wakes receivers up
            return
        self._de(1)
        try:
            self._uart.write(b"\xff" + wire)
            # The last two milliseconds are waited for on the spot: the reader answers as soon as it may.
            await asyncio.sleep_ms(max(0, (len(wire) + 1) * 10_000 // self._baud - 2))
            self._uart.flush()
        finally:
            self._de(0)


def build(
    pins: "Dict[str, PinRole]", scbk: bytes, heard: "Any", count: "Callable[[str], None]"
) -> OsdpReader:
    """The reader of the pin map; KeyError if it has none."""
    number, baud, address = pins["osdp_tx"].line
    de = pins.get("osdp_de")
    uart = UART(number, baud, tx=pins["osdp_tx"].number, rx=pins["osdp_rx"].number)
    return OsdpReader(
        uart, address, scbk, heard, count, Pin(de.number, Pin.OUT, value=0) if de else None, baud
    )
