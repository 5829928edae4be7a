"""The board's 1-Wire buses: one pin each, and devices that answer bit by bit. What they send is joined by the wire: a 0 wins."""

from typing import Protocol

from hil.board.pins import Net, Pins

RESET, WRITE, READ = range(3)


class OneWireDevice(Protocol):
    """One device of the bus."""

    def reset(self) -> None:
        """Every device is present after a reset, and awaits a ROM command."""

    def write_bit(self, bit: int) -> None: ...

    def read_bit(self) -> int:
        """1 if it lets go of the wire, as one does that has nothing to say."""


class OneWireBuses:
    """``attach(pin, device)``."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins
        self._buses: dict[Net, list[OneWireDevice]] = {}

    def attach(self, pin: int, device: OneWireDevice) -> None:
        self._buses.setdefault(self._pins[pin].net, []).append(device)

    def handle(self, op: int, payload: bytes) -> bytes:
        """RESET: whether there is anybody. WRITE, READ: ``count`` bits, the lowest first."""
        devices = self._buses.get(self._pins[payload[0]].net, [])
        if op == RESET:
            for device in devices:
                device.reset()
            return bytes((len(devices) > 0,))
        count = payload[1]
        if op == WRITE:
            for place in range(count):
                for device in devices:
                    device.write_bit(payload[2] >> place & 1)
            return b""
        value = 0
        for place in range(count):
            value |= min([device.read_bit() for device in devices], default=1) << place
        return bytes((value,))
