"""``machine.dht_readinto``: what the sensor at a pin sends, in the time that it takes."""

import _board
from machine import Pin
from micropython import const

_BUS = const(16)  # the channel of the board model
_READ = const(0x50)
_START_MS = const(268)  # the wire high, then low for 18 ms
_DATA_MS = const(5)
_ETIMEDOUT = const(110)


def read(pin, buf):
    if not isinstance(pin, Pin):
        raise ValueError("invalid pin")
    pin.init(Pin.OPEN_DRAIN)
    if len(memoryview(buf)) < 5:
        raise ValueError("buffer too small")
    _board.sleep_ms(_START_MS)
    data = _board.call(_BUS, _READ, bytes((pin.gpio,)))
    if not data:
        raise OSError(_ETIMEDOUT)
    _board.sleep_ms(_DATA_MS)
    buf[:5] = data
