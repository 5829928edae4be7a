"""Channel BUS: what is at the chip's pins besides a door. Buses with their devices, voltages, pulse counters."""

import struct
from typing import TYPE_CHECKING

from hil.board.analog import Analog
from hil.board.counters import Counters
from hil.board.dht import DhtSensors
from hil.board.i2c import I2cBuses
from hil.board.onewire import OneWireBuses
from hil.board.pins import Pins
from hil.board.spi import SpiBuses
from hil.vm.link import BUS, Link

if TYPE_CHECKING:
    from hil.board.description import Description

# The first operation of each; those of a part follow it.
I2C, SPI, ONEWIRE, ADC, COUNTER, DHT, CARD = 0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60


class Peripherals:
    """``i2c``, ``spi``, ``onewire`` and ``dht`` take devices, ``adc`` voltages and touches; ``card`` is the file that is
    the card in the slot, if there is one, as a program finds it that begins with the card."""

    def __init__(self, link: Link, pins: Pins, about: "Description | None" = None) -> None:
        self._link = link
        self.i2c = I2cBuses(pins)
        self.spi = SpiBuses(pins)
        self.onewire = OneWireBuses(pins)
        self.dht = DhtSensors(pins)
        self.adc = Analog(pins)
        self.card = about.sdcard if about is not None else None
        self._counters = Counters(pins, self._reached)
        link.attach(BUS, self)
        if about is not None and (about.i2c or about.spi or about.onewire or about.dht):
            from hil.board.attachments import attach

            attach(self, about)

    def handle(self, op: int, payload: bytes) -> bytes:
        part, own = op & 0xF0, op & 0x0F
        if part == I2C:
            return self.i2c.handle(own, payload)
        if part == SPI:
            return self.spi.exchange(payload)
        if part == ONEWIRE:
            return self.onewire.handle(own, payload)
        if part == DHT:
            return self.dht.read(payload)
        if part == CARD:
            return str(self.card or "").encode()
        if part == ADC:
            return self.adc.handle(own, payload)
        return self._counters.handle(own, payload)

    def vm_lost(self) -> None:
        self._counters.free_all()

    def _reached(self, unit: int, value: int) -> None:
        self._link.interrupt(BUS, COUNTER, struct.pack("<Bq", unit, value))
