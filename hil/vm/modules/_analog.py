"""machine.DAC and machine.TouchPad of an ESP32."""

import struct

import _board
import machine
from micropython import const

_BUS = const(16)  # the channel of the board model
_WRITE = const(0x31)
_TOUCH = const(0x32)
_PADS = (4, 0, 2, 15, 13, 12, 14, 27, 33, 32)


class DAC:
    def __init__(self, id, **more):
        self._gpio = machine.Pin(id).gpio
        if self._gpio not in (25, 26):
            raise ValueError("invalid pin")
        machine.Pin(id).init(machine.Pin.IN, None)

    def write(self, value):
        if not 0 <= value <= 255:
            raise ValueError("value out of range")
        _board.call(_BUS, _WRITE, bytes((self._gpio, value)))

    def deinit(self):
        _board.call(_BUS, _WRITE, bytes((self._gpio,)))

    def __repr__(self):
        return "DAC(Pin(%d))" % self._gpio


class TouchPad:
    def __init__(self, id):
        self._gpio = machine.Pin(id).gpio
        if self._gpio not in _PADS:
            raise ValueError("invalid pin for touchpad")

    def config(self, threshold):
        pass  # it would wake the chip, which touch does not do here

    def read(self):
        return struct.unpack("<I", _board.call(_BUS, _TOUCH, bytes((self._gpio,))))[0]

    def __repr__(self):
        return "<TouchPad>"
