"""What the chip's UARTs do on the pins that are wired to each other: a frame that one sends is received by each whose RX is
on that wire, at its own settings, and with the interrupts that its firmware asked for.
"""

import asyncio
import functools
import struct
from collections.abc import Callable
from typing import NamedTuple

from hil.board.signals import now_us

SETTINGS = struct.Struct("<IBbbBBBB")
IRQ_RX, IRQ_BREAK, IRQ_RXIDLE = 1, 128, 4096
INV_TX, INV_RX = 32, 4
_TOLERANCE = 0.03  # of the rate: a receiver samples in the middle of the last bit
_IDLE_BITS, _IDLE_MIN_US = 20, 500
_SLICE_US = 1000  # what is told at once to firmware that does not ask for each character


class Settings(NamedTuple):
    """``symbols`` are the bits of a frame with start, parity and stop; ``tx`` and ``rx`` are GPIO numbers, -1 for none."""

    baud: int = 0
    symbols: int = 10
    tx: int = -1
    rx: int = -1
    bits: int = 8
    parity: int = 0
    stop: int = 1
    invert: int = 0

    @property
    def symbol_us(self) -> float:
        return self.symbols * 1e6 / self.baud if self.baud else 0.0

    def hears(self, sender: "Settings") -> bool:
        """Whether what that one sends is what this one receives."""
        near = abs(self.baud - sender.baud) <= _TOLERANCE * sender.baud
        level = bool(sender.invert & INV_TX) == bool(self.invert & INV_RX)
        return near and level and (self.bits, self.parity) == (sender.bits, sender.parity)


class Port:
    """One UART of the chip. ``tell(data)`` and ``event(flag)`` go to its firmware."""

    def __init__(self, tell: Callable[[bytes], None], event: Callable[[int], None]) -> None:
        self.settings = Settings()
        self.trigger = 0
        self._tell = tell
        self._event = event
        self._free_us = 0.0
        self._idle: asyncio.TimerHandle | None = None

    def reset(self) -> None:
        self.settings, self.trigger = Settings(), 0
        self._free_us = 0.0
        self._stop_idle()

    def begin(self, count: int, t_us: int, stretch: float = 1.0) -> tuple[float, float]:
        """Put frames on the wire after those that are on their way; (begin of the first, time of each) in microseconds."""
        each = self.settings.symbol_us * stretch
        begin = max(self._free_us, t_us)
        self._free_us = begin + count * each
        return begin, each

    def receive(self, data: bytes, sender: Settings, begin: float, each: float) -> None:
        """``data`` arrives frame by frame."""
        heard = data if self.settings.hears(sender) else bytes(~byte & 0xFF for byte in data)
        if self.settings.bits < 8:
            heard = bytes(byte & (1 << self.settings.bits) - 1 for byte in heard)
        one_by_one = self.trigger & (IRQ_RX | IRQ_BREAK)
        step = 1 if one_by_one else max(1, int(_SLICE_US // each)) if each else len(data)
        for at in range(0, len(heard), step):
            part = heard[at : at + step]
            self._at(begin + (at + len(part)) * each, functools.partial(self._arrived, part))

    def receive_break(self, end: float) -> None:
        """A break reads as a zero, and is told."""
        self._at(end, self._broken)

    def _at(self, t_us: float, act: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(max(0.0, t_us - now_us()) / 1e6, act)

    def _broken(self) -> None:
        self._arrived(b"\0")
        if self.trigger & IRQ_BREAK and self.settings.baud:
            self._event(IRQ_BREAK)

    def _arrived(self, data: bytes) -> None:
        if not self.settings.baud:
            return
        self._tell(data)
        self.heard()

    def heard(self) -> None:
        """Bytes came from anywhere: the line is idle when none has come for 20 bits."""
        self._stop_idle()
        if self.trigger & IRQ_RXIDLE and self.settings.baud:
            idle_us = max(_IDLE_MIN_US, _IDLE_BITS * 1e6 / self.settings.baud)
            delay = 2 * idle_us / 1e6
            self._idle = asyncio.get_running_loop().call_later(delay, self._event, IRQ_RXIDLE)

    def _stop_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
