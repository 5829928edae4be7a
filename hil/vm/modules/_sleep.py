"""machine.lightsleep, deepsleep and wake_reason, and what wakes a chip that sleeps."""

import struct

import _board
from micropython import const

_FOREVER = const(0xFFFFFFFF)
_EXT0 = const(2)
_EXT1 = const(3)
_TIMER = const(4)
_SLEEP = const(2)
_DEEPSLEEP = const(4)
_DEEPSLEEP_RESET = const(4)
_WAKE_PINS = (0, 2, 4, 12, 13, 14, 15, 25, 26, 27, 32, 33, 34, 35, 36, 37, 38, 39)
ext0 = [-1, 0, 0]  # pin, level, kinds of sleep
ext1 = [(), 0]  # pins, whether any that is high wakes, or all that are low
touch = [False]
_reason = None


def check(pin):
    if pin not in _WAKE_PINS:
        raise ValueError("invalid pin")
    return pin


def wake_on_pin(pin, trigger, wake):
    if not isinstance(wake, int) or not 2 <= wake <= 7:
        raise ValueError("bad wake value")
    if touch[0] or ext0[0] not in (-1, pin):
        raise ValueError("no resources")
    if pin not in _WAKE_PINS:
        raise ValueError("invalid pin for wake")
    ext0[:] = pin, 0 if trigger == 4 else 1, wake


def _woken(kind):
    import machine

    pin, level, kinds = ext0
    if pin >= 0 and kinds & kind and machine.Pin(pin).value() == level:
        return _EXT0
    pins, any_high = ext1
    levels = [machine.Pin(p).value() for p in pins]
    if levels and (any(levels) if any_high else not any(levels)):
        return _EXT1
    return 0


def lightsleep(time_ms=None):
    global _reason
    from _board import utime

    end = None if time_ms is None else utime.ticks_add(utime.ticks_ms(), time_ms)
    while True:
        woken = _woken(_SLEEP)
        left = 1000 if end is None else utime.ticks_diff(end, utime.ticks_ms())
        if woken or left <= 0:
            _reason = woken or _TIMER
            return
        _board.wait_ms(left)


def deepsleep(time_ms=None):
    pins, any_high = ext1
    mask = 0
    for pin in pins:
        mask |= 1 << pin
    pin = ext0[0] if ext0[2] & _DEEPSLEEP else -1
    _board.post(_board.CORE, 9, struct.pack("<bBQB", pin, ext0[1], mask, 1 if any_high else 0))
    _board.reset(_DEEPSLEEP_RESET, _FOREVER if time_ms is None else time_ms)


def wake_reason():
    if _reason is not None:
        return _reason
    return _board.call(_board.CORE, 10)[0]
