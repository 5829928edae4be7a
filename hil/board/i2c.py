"""The board's I2C buses: what is attached at a pair of pins, and what a controller's transfer does with it."""

import errno
import struct
from typing import Protocol

from hil.board.pins import Net, Pins

START, STOP, WRITE, READ, TRANSFER, NETS = range(6)
_READ, _STOP, _WRITE_FIRST = 1, 2, 4  # flags of a transfer
_HEAD = struct.Struct("<BB")
_TRANSFER = struct.Struct("<HBH")
MAX_READ = 4096


class I2cDevice(Protocol):
    """One target. ``address`` has 7 bits. Bytes go in and out one by one, between a start and a stop."""

    address: int

    def start(self, reading: bool) -> bool:
        """It is addressed; False is no acknowledgement, as if it were not there."""

    def write(self, byte: int) -> bool:
        """Take a byte; False is no acknowledgement."""

    def read(self) -> int:
        """Give a byte."""

    def stop(self) -> None:
        """The transfer is over."""


class _Bus:
    def __init__(self) -> None:
        self.devices: list[I2cDevice] = []
        self.selected: I2cDevice | None = None
        self.addressing = False  # a start was sent, the address comes next


class I2cBuses:
    """``attach(scl, sda, device)``. A bus of which a pin is held low by something else times out."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins
        self._buses: dict[tuple[Net, Net], _Bus] = {}

    def attach(self, scl: int, sda: int, device: I2cDevice) -> None:
        self._bus(scl, sda).devices.append(device)

    def handle(self, op: int, payload: bytes) -> bytes:
        scl, sda = _HEAD.unpack_from(payload)
        if op == NETS:  # by the lowest pin on each
            return bytes(min(other.number for other in self._pins[pin].net.pins) for pin in (scl, sda))
        if 0 in (self._pins[scl].drives, self._pins[sda].drives):
            raise OSError(errno.ETIMEDOUT, "the bus is held low")
        bus, rest = self._bus(scl, sda), payload[_HEAD.size :]
        if op == TRANSFER:
            address, flags, count = _TRANSFER.unpack_from(rest)
            return self._transfer(bus, address, flags, min(count, MAX_READ), rest[_TRANSFER.size :])
        if op == START:
            bus.addressing = True
        elif op == STOP:
            self._stop(bus)
        elif op == WRITE:
            return self._write_raw(bus, rest).to_bytes(2, "little")
        elif op == READ:
            return self._read(bus, min(int.from_bytes(rest, "little"), MAX_READ))
        return b""

    def _bus(self, scl: int, sda: int) -> _Bus:
        return self._buses.setdefault((self._pins[scl].net, self._pins[sda].net), _Bus())

    def _transfer(self, bus: _Bus, address: int, flags: int, count: int, data: bytes) -> bytes:
        """Acknowledged bytes (u16) and what was read."""
        acked = 0
        if not flags & _READ or flags & _WRITE_FIRST:
            acked = self._addressed(bus, address, reading=False) and self._write(bus, data)
        read = b""
        if flags & _READ:
            self._addressed(bus, address, reading=True)
            read = self._read(bus, count)
        if flags & _STOP:
            self._stop(bus)
        return acked.to_bytes(2, "little") + read

    def _addressed(self, bus: _Bus, address: int, reading: bool) -> int:
        bus.addressing = False
        bus.selected = next((device for device in bus.devices if device.address == address), None)
        if bus.selected is None or not bus.selected.start(reading):
            bus.selected = None
            raise OSError(errno.ENODEV, f"nothing answers at address {address:#x}")
        return 1

    def _write_raw(self, bus: _Bus, data: bytes) -> int:
        """Acknowledgements, the one of the address among them."""
        acks = 0
        if bus.addressing and data:
            try:
                acks = self._addressed(bus, data[0] >> 1, bool(data[0] & 1))
            except OSError:
                return 0
            data = data[1:]
        return acks + self._write(bus, data)

    @staticmethod
    def _write(bus: _Bus, data: bytes) -> int:
        for count, byte in enumerate(data):
            if bus.selected is None or not bus.selected.write(byte):
                return count
        return len(data)

    @staticmethod
    def _read(bus: _Bus, count: int) -> bytes:
        return bytes(bus.selected.read() if bus.selected is not None else 0xFF for _ in range(count))

    @staticmethod
    def _stop(bus: _Bus) -> None:
        if bus.selected is not None:
            bus.selected.stop()
        bus.selected, bus.addressing = None, False
