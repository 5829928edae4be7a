"""Channel CORE: what the chip does itself. Resets, the watchdog's deadline, the RTC, its identity."""

import asyncio
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from hil.board.signals import now_us
from hil.vm.link import CORE, Link

HELLO, RESET, WDT_START, WDT_FEED, RTC_SET, RTC_MEMORY, RTC_STORE, CLAIM, SLEEP, WOKEN, POKE = (
    0,
    1,
    2,
    3,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
)
FLASH_CUT, BREAK, FLASH_WORN = range(3)  # interrupts
EPOCH_2000_US = 946_684_800_000_000


class Cause(IntEnum):
    """``machine.reset_cause()``; POWER_LOST is the model's own: flash asked for the power to be cut."""

    POWER_LOST = 0
    PWRON = 1
    HARD = 2
    WDT = 3
    DEEPSLEEP = 4
    SOFT = 5


class Wake(IntEnum):
    """``machine.wake_reason()``."""

    NONE = 0
    EXT0 = 2
    EXT1 = 3
    TIMER = 4


class WakePins(NamedTuple):
    """What ends a deep sleep besides the time: one pin at a level, or any of ``ext1`` high, or all of them low."""

    ext0: int = -1
    level: int = 0
    ext1: int = 0
    any_high: bool = False

    def woken(self, level_of: Callable[[int], int]) -> Wake:
        if self.ext0 >= 0 and level_of(self.ext0) == self.level:
            return Wake.EXT0
        levels = [level_of(pin) for pin in range(self.ext1.bit_length()) if self.ext1 >> pin & 1]
        return Wake.EXT1 if levels and (any(levels) if self.any_high else not any(levels)) else Wake.NONE


OnReset = Callable[[Cause, int], None]


class Core:
    """``on_reset(cause, after_ms)`` is called when the VM or its watchdog asks for a reset,
    ``claim_break()`` when the VM is about to raise the KeyboardInterrupt it was asked for: False takes that
    back. ``poke()`` when an interrupt waits for a VM that sits in a system call."""

    def __init__(
        self,
        link: Link,
        unique_id: bytes,
        on_reset: OnReset,
        claim_break: Callable[[], bool] = bool,
        poke: Callable[[], None] = lambda: None,
        epoch_us: int = EPOCH_2000_US,
    ) -> None:
        self._on_reset = on_reset
        self._claim_break = claim_break
        self._poke = poke
        self._epoch_us = epoch_us
        self.unique_id = unique_id
        self.cause = Cause.PWRON
        self.wake = Wake.NONE
        self.wake_pins = WakePins()
        self._rtc_us = 0
        self._memory = b""
        self._wdt_ms = 0
        self._wdt: asyncio.TimerHandle | None = None
        self.power_lost()
        link.attach(CORE, self)

    def handle(self, op: int, payload: bytes) -> bytes | None:
        if op == HELLO:
            return struct.pack("<Bq6s", self.cause, self._rtc_us, self.unique_id)
        if op == RESET:
            cause, after_ms = struct.unpack("<BI", payload)
            self._on_reset(Cause(cause), after_ms)
        elif op == WDT_START:
            self._wdt_ms = int.from_bytes(payload, "little")
            self._feed()
        elif op == WDT_FEED:
            self._feed()
        elif op == RTC_SET:
            self._rtc_us = int.from_bytes(payload, "little", signed=True)
        elif op == RTC_MEMORY:
            return self._memory
        elif op == RTC_STORE:
            self._memory = payload
        elif op == CLAIM:
            return bytes((self._claim_break(),))
        elif op == POKE:
            self._poke()
        elif op == SLEEP:
            ext0, level, ext1, any_high = struct.unpack("<bBQB", payload)
            self.wake_pins = WakePins(ext0, level, ext1, bool(any_high))
        elif op == WOKEN:
            return bytes((self.wake if self.cause == Cause.DEEPSLEEP else Wake.NONE,))
        return None

    def vm_lost(self) -> None:
        """The watchdog is part of the chip: it stops with a reset of any kind."""
        self._wdt_ms = 0
        if self._wdt is not None:
            self._wdt.cancel()
            self._wdt = None

    def registers_lost(self) -> None:
        """The RTC has no battery: it starts again at ``epoch_us``, which is 2000-01-01 on an ESP32."""
        self._rtc_us = self._epoch_us - now_us()

    def power_lost(self) -> None:
        """Registers and memory."""
        self.registers_lost()
        self._memory = b""

    def _feed(self) -> None:
        if not self._wdt_ms:
            return
        if self._wdt is not None:
            self._wdt.cancel()
        self._wdt = asyncio.get_running_loop().call_later(self._wdt_ms / 1000, self._on_reset, Cause.WDT, 0)
