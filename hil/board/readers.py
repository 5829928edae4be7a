"""Readers at the door: one that sends card data over Wiegand's two wires, and a keypad that joins rows and columns."""

import asyncio
import contextlib
from collections.abc import Iterator

from hil.board.description import Keypad, Wiegand
from hil.board.pins import Pins
from hil.board.signals import Observable, now_us

KEYS = ("123", "456", "789", "*0#")
_CODES = "0123456789*#"
LOOKS = 12  # edges of a scanned row or its neighbours: at least two whole scans of four rows
PATIENCE_S = 5.0


def parity_framed(facility: int, width: int, number: int, bits: int) -> str:
    """Facility and number between an even parity over the first half and an odd one over the second."""
    data = (f"{facility:0{width}b}" if width else "") + f"{number:0{bits - 2 - width}b}"
    if len(data) != bits - 2:
        raise ValueError("the number does not fit its format")
    half = (bits - 1) // 2  # in 37 bits both cover the middle one
    even = data[:half].count("1") % 2
    odd = 1 - data[-half:].count("1") % 2
    return f"{even}{data}{odd}"


class WiegandReader:
    """Pulls D0 low for a 0 and D1 for a 1; both have the controller's pull-up. LED and buzzer are on while their line is low."""

    def __init__(self, about: Wiegand, pins: Pins) -> None:
        self._about = about
        self._pins = pins
        self.cut: set[str] = set()  # of "d0" and "d1": wires that lead nowhere

    @property
    def green(self) -> bool:
        return self._pins.level("wiegand_led") == 0

    @property
    def sounding(self) -> bool:
        return self._pins.level("wiegand_buzzer") == 0

    async def card(self, facility: int, number: int, *, bits: int = 26, width: int = 8) -> None:
        """Somebody shows a card."""
        await self.send(parity_framed(facility, width, number, bits))

    async def key(self, name: str, bits: int = 4) -> None:
        """Somebody presses a key of the reader's keypad."""
        code = _CODES.index(name)
        await self.send(f"{code:04b}" if bits == 4 else f"{15 - code:04b}{code:04b}")

    async def send(self, burst: str) -> None:
        """Any bits, in real time; returns when the line has been still for longer than a controller waits.

        The controller hears of all of them after the last, each with its time: however busy the host is, nothing comes between
        two bits and makes them two bursts."""
        begin = now_us()
        await asyncio.sleep(len(burst) * self._about.spacing_us / 1e6)
        await self._pins.set_inputs(self._edges(burst, begin))
        await asyncio.sleep(self._about.pause_ms / 1e3)

    def _edges(self, burst: str, begin: int) -> Iterator[tuple[str, int | None, int]]:
        for number, bit in enumerate(burst):
            line, at = f"d{bit}", begin + int(number * self._about.spacing_us)
            if line not in self.cut:
                yield f"wiegand_{line}", 0, at
                yield f"wiegand_{line}", None, at + int(self._about.pulse_us)


class KeyMatrix:
    """Each key joins its row and its column while it is down; what a column reads is what it is joined to."""

    def __init__(self, about: Keypad, pins: Pins) -> None:
        self._pins = pins
        self._columns = [f"col{i}" for i in range(len(about.cols))]
        self._rows = [f"row{i}" for i in range(len(about.rows))]
        self._down: set[tuple[str, str]] = set()
        for row in self._rows:
            pins[row].level.listen(self._driven)

    def press(self, name: str) -> None:
        self._down.add(self._joint(name))
        self._settle()

    def release(self, name: str) -> None:
        self._down.discard(self._joint(name))
        self._settle()

    async def tap(self, name: str, hold_s: float = 0.08) -> None:
        """As a finger does: 80 ms down, 80 ms up. A board that has no processor on a busy host must not lose it, so it is down
        until the rows have been looked at some times, and up until they rest again. One that does not look is waited for
        ``PATIENCE_S``.
        """
        looks = 0
        enough, resting = asyncio.Event(), asyncio.Event()

        def looked(level: Observable[int]) -> None:
            nonlocal looks
            looks += level.value
            if looks >= LOOKS:
                enough.set()
            if self._at_rest():
                resting.set()

        stops = [self._pins[each].level.listen(looked) for each in self._rows]
        try:
            self.press(name)
            await asyncio.sleep(hold_s)
            await _patiently(enough)
            resting.clear()
            self.release(name)
            await asyncio.sleep(hold_s)
            if not self._at_rest():
                await _patiently(resting)
        finally:
            for stop in stops:
                stop()

    def _at_rest(self) -> bool:
        """All rows low: any key wakes it."""
        return all(self._pins[row].sinks for row in self._rows)

    def _joint(self, name: str) -> tuple[str, str]:
        for row, names in zip(self._rows, KEYS, strict=True):
            if name in names:
                return row, self._columns[names.index(name)]
        raise ValueError(f"no key {name!r}")

    def _driven(self, _row: Observable[int]) -> None:
        self._settle()

    def _settle(self) -> None:
        """Pull low every column that a path of keys leads from to a row that is driven low."""
        low = {row for row in self._rows if self._pins[row].sinks}
        grown = True
        while grown:
            grown = False
            for row, column in self._down:
                if (row in low) != (column in low):
                    low |= {row, column}
                    grown = True
        for column in self._columns:
            self._pins.set_input(column, 0 if column in low else None)


async def _patiently(event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), PATIENCE_S)
