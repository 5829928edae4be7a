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

_LOOK_MS = const(5)  # between looks for the bytes of a reply
_BUFFER = const(64)
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
        self._view = memoryview(self._buffer)
        self._ticks = time.ticks_ms()
        self._now = 0
        self._panel = Panel(address, scbk, _aes, os.urandom, heard, count)
        self.show = self._panel.show
        self.idle = self._panel.idle

    async def run(self) -> None:
        """Poll for ever. However it ends, the reader is offline then."""
        panel = self._panel
        try:
            while True:
                now = self._now_ms()
                self._receive(now)
                wire = panel.poll(now)
                if wire:
                    await self._send(wire)
                await asyncio.sleep_ms(_LOOK_MS if panel.awaiting else panel.wait_ms(self._now_ms()))
        finally:
            panel.reset(self._now_ms())

    def _receive(self, now: int) -> None:
        while self._uart.any():
            size = self._uart.readinto(self._buffer)
            self._panel.receive(self._view[: size or 0], now)

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

    def _now_ms(self) -> int:
        """Milliseconds that do not wrap; called more often than ticks do."""
        ticks = time.ticks_ms()
        self._now += time.ticks_diff(ticks, self._ticks)
        self._ticks = ticks
        return self._now


def build(role: "Dict[str, Any]", scbk: bytes, heard: "Any", count: "Callable[[str], None]") -> OsdpReader:
    """The reader of the pin map's role `osdp`."""
    de = role["de"]
    if de is not None:
        de = Pin(de, Pin.OUT, value=0)
    uart = UART(role["uart"], baudrate=role["baud"], tx=role["tx"], rx=role["rx"])
    return OsdpReader(uart, role["address"], scbk, heard, count, de, role["baud"])
