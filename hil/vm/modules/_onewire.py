"""``_onewire``: the bits of a 1-Wire bus, to and from the devices that the board model has at the pin."""

import _board
from micropython import const

_BUS = const(16)  # the channel of the board model

_RESET = const(0x20)
_WRITE = const(0x21)
_READ = const(0x22)


def reset(pin):
    return _board.call(_BUS, _RESET, bytes((pin.gpio,)))[0] == 1


def readbit(pin):
    return _board.call(_BUS, _READ, bytes((pin.gpio, 1)))[0]


def readbyte(pin):
    return _board.call(_BUS, _READ, bytes((pin.gpio, 8)))[0]


def writebit(pin, value):
    _board.call(_BUS, _WRITE, bytes((pin.gpio, 1, 1 if value else 0)))


def writebyte(pin, value):
    _board.call(_BUS, _WRITE, bytes((pin.gpio, 8, value & 0xFF)))


def crc8(data):
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc
