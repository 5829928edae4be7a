"""A keypad of 4 rows and 3 columns on bare pins. A key wakes it by interrupt; it is scanned only while one is down.

A row that is not driven is an input: two keys in one column never short two outputs.
"""

import asyncio

from machine import Pin
from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict

    from device.pinmap import PinRole

_KEYS = "123456789*0#"  # row by row
_SCAN_MS = const(10)  # twice the same is no bounce
_STUCK_SCANS = const(500)
_STUCK_MS = const(200)


class KeypadMatrix:
    """`key(name)` hears of each press once, however long it is."""

    def __init__(self, pins: "Dict[str, PinRole]", key: "Callable[[str], None]") -> None:
        self._key = key
        self._flag = asyncio.ThreadSafeFlag()
        self._rows = [Pin(pins["row" + str(i)].number, Pin.IN, Pin.PULL_UP) for i in range(4)]
        self._columns = [Pin(pins["col" + str(i)].number, Pin.IN, Pin.PULL_UP) for i in range(3)]

    async def run(self) -> None:
        """Read keys for ever."""
        for column in self._columns:
            column.irq(self._woken, Pin.IRQ_FALLING)
        while True:
            # All rows low: any key is an edge on its column, also one that is down already.
            for row in self._rows:
                _drive(row, Pin.OUT)
            await self._flag.wait()
            for row in self._rows:
                _drive(row, Pin.IN)
            await self._follow()

    async def _follow(self) -> None:
        """Scan until all keys are up again."""
        down = before = ""
        same = 0
        ghosts = False
        while True:
            found = self._scan()
            same = same + 1 if found == before else 0
            before = found
            if same == 1:
                new = [name for name in found if name not in down]
                # Two keys at once have no order; and a third that closes a path brings its ghost with it.
                ghosts = ghosts or len(new) > 1
                down = found
                if not found:
                    return
                if new and not ghosts:
                    self._key(new[0])
            await asyncio.sleep_ms(_SCAN_MS if same < _STUCK_SCANS else _STUCK_MS)

    def _scan(self) -> str:
        """The keys that are down."""
        found = ""
        for i in range(12):
            row = self._rows[i // 3]
            if i % 3 == 0:
                _drive(row, Pin.OUT)
            if not self._columns[i % 3].value():
                found += _KEYS[i]
            if i % 3 == 2:
                _drive(row, Pin.IN)
        return found

    def _woken(self, _pin: "Any") -> None:
        self._flag.set()


def _drive(row: "Any", mode: int) -> None:
    row.init(mode, Pin.PULL_UP, value=0)
