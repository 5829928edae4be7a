"""Voltages at the board's pins, for its converter."""

import struct

from hil.board.pins import Pins

SUPPLY_V = 3.3


class Analog:
    """``set_volts(pin, volts)``. A pin without a voltage has that of its level."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins
        self._volts: dict[int, float] = {}

    def set_volts(self, pin: str | int, volts: float | None) -> None:
        """None takes the voltage away. A digital input there sees a level, too."""
        number = self._pins[pin].number
        if volts is None:
            self._volts.pop(number, None)
            self._pins.set_input(number, None)
            return
        if not 0 <= volts <= SUPPLY_V:
            raise ValueError(f"{volts} V is outside 0..{SUPPLY_V} V: it would destroy the pin")
        self._volts[number] = volts
        self._pins.set_input(number, int(volts > SUPPLY_V / 2))

    def read(self, payload: bytes) -> bytes:
        """Microvolts at a pin."""
        pin = self._pins[payload[0]]
        volts = self._volts.get(pin.number, SUPPLY_V * pin.level.value)
        return struct.pack("<I", round(volts * 1e6))
