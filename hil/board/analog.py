"""Voltages at the board's pins, for its converters."""

import struct

from hil.board.pins import Net, Pins

SUPPLY_V = 3.3
READ, WRITE, TOUCH = range(3)
_FREE, _TOUCHED = 1000, 100  # what a touch pad measures


class Analog:
    """``set_volts(pin, volts)``. A net without a voltage has that of its level."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins
        self._volts: dict[Net, float] = {}
        self._touched: set[int] = set()

    def set_volts(self, pin: str | int, volts: float | None) -> None:
        """None takes the voltage away. A digital input there sees a level, too."""
        if volts is None:
            self._volts.pop(self._pins[pin].net, None)
            self._pins.set_input(pin, None)
            return
        if not 0 <= volts <= SUPPLY_V:
            raise ValueError(f"{volts} V is outside 0..{SUPPLY_V} V: it would destroy the pin")
        self._volts[self._pins[pin].net] = volts
        self._pins.set_input(pin, int(volts > SUPPLY_V / 2))

    def touch(self, pin: str | int, touched: bool = True) -> None:
        """A finger on a touch pad."""
        number = self._pins[pin].number
        if touched:
            self._touched.add(number)
        else:
            self._touched.discard(number)

    def handle(self, op: int, payload: bytes) -> bytes:
        """READ: microvolts at a pin. WRITE: a level of 256 from the chip, or none. TOUCH: what a pad measures."""
        pin = self._pins[payload[0]]
        if op == WRITE:
            self.set_volts(pin.number, SUPPLY_V * payload[1] / 255 if len(payload) > 1 else None)
            return b""
        if op == TOUCH:
            return struct.pack("<I", _TOUCHED if pin.number in self._touched else _FREE)
        volts = self._volts.get(pin.net, SUPPLY_V * pin.level.value)
        return struct.pack("<I", round(volts * 1e6))
