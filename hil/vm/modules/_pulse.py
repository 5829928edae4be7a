"""machine.time_pulse_us and machine.bitstream.

A pulse of a wave is told by the wave's numbers, and the next call goes on where it ended: what the host's scheduler takes
in between is not the board's time.
"""

import _board
import machine
import umachine
from _board import utime
from _pin import waves
from _until import until
from micropython import const

_PIXELS = const(3)
_RESUME_US = const(20000)  # a call that comes later than this began with a look at the clock of its own
_resume = [None, 0]  # the pin of the last call, and the edge that ended it


def time_pulse_us(pin, pulse_level, timeout_us=1000000):
    if not isinstance(pin, machine.Pin):
        if not isinstance(pin, machine.PinBase):
            raise ValueError("invalid pin")
        return umachine.time_pulse_us(pin, pulse_level, timeout_us)
    _board.pump()
    wave = waves.get(pin.gpio)
    if wave is None:
        return umachine.time_pulse_us(pin, pulse_level, timeout_us)
    return _of_wave(pin, wave, 1 if pulse_level else 0, timeout_us)


def _of_wave(pin, wave, wanted, timeout):
    from _wave import level, next_edge

    start = utime.ticks_us()
    if _resume[0] is pin and start - _resume[1] < _RESUME_US:
        start = _resume[1]
    _resume[0] = None
    begin = start
    if level(wave, begin) != wanted:
        begin = next_edge(wave, start)
        if begin is None or begin - start > timeout:
            until(start + timeout)
            return -2
    end = next_edge(wave, begin)
    if end is None or end - begin > timeout:
        until(begin + timeout)
        return -1
    until(end)
    _resume[0], _resume[1] = pin, end
    return end - begin


def bitstream(pin, encoding, timing, data):
    pin = machine.Pin(pin)
    data = bytes(data)
    if encoding != 0:
        raise ValueError("encoding")
    if len(timing) != 4:
        raise ValueError("requested length 4 but object has length %d" % len(timing))
    ones = sum(bin(byte).count("1") for byte in data)
    end = utime.ticks_us()
    took = ones * (timing[2] + timing[3]) + (len(data) * 8 - ones) * (timing[0] + timing[1])
    _board.post(_board.GPIO, _PIXELS, bytes((pin.gpio,)) + data)
    until(utime.ticks_add(end, took // 1000))
