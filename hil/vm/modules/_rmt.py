"""esp32.RMT: a row of pulses, that the board model plays on the pin."""

import struct

import _board
import machine
from _board import utime
from micropython import const

_PLAY = const(7)  # of the GPIO channel
_SOURCE = const(80000000)
_CHANNELS = const(8)
_MAX_LOOP = const(126)
_bitstream = [_CHANNELS - 1]


class RMT:
    PULSE_MAX = 32767

    def __init__(self, id, *, pin, clock_div=8, idle_level=False, tx_carrier=None):
        if id == _bitstream[0]:
            raise ValueError("channel used by bitstream")
        if not 1 <= clock_div <= 255:
            raise ValueError("clock_div must be between 1 and 255")
        if tx_carrier is not None:
            if tx_carrier[0] == 0:
                raise ValueError("tx_carrier frequency must be >0")
            if tx_carrier[1] > 100:
                raise ValueError("tx_carrier duty must be 0..100")
        if not 0 <= id < _CHANNELS:
            raise OSError(-258, "ESP_ERR_INVALID_ARG")
        self._id = id
        self._pin = machine.Pin(pin).gpio
        self._div = clock_div
        self._idle = 1 if idle_level else 0
        self._loop = False
        self._end = utime.ticks_us()
        self._play((), False)

    def _play(self, pulses, loop):
        data = b"".join([struct.pack("<BI", level, ns) for level, ns in pulses])
        _board.call(_board.GPIO, _PLAY, bytes((self._pin, self._idle, 1 if loop else 0)) + data)

    def write_pulses(self, duration, data=True):
        if not isinstance(data, (tuple, list)):
            level = 1 if data else 0
            pulses = [(level ^ i & 1, each) for i, each in enumerate(duration)]
        elif isinstance(duration, int):
            pulses = [(1 if level else 0, duration) for level in data]
        else:
            if len(duration) != len(data):
                raise ValueError("duration and data must have same length")
            pulses = [(1 if level else 0, duration[i]) for i, level in enumerate(data)]
        if not pulses:
            raise ValueError("No pulses")
        if self._loop and len(pulses) > _MAX_LOOP:
            raise ValueError("Too many pulses for loop")
        pulses = [(level, each * self._div * 1000 // 80) for level, each in pulses]
        self._play(pulses, self._loop)
        now = utime.ticks_us()
        begin = now if utime.ticks_diff(self._end, now) < 0 else self._end
        self._end = utime.ticks_add(begin, sum([ns for _, ns in pulses]) // 1000)

    def wait_done(self, *, timeout=0):
        left = utime.ticks_diff(self._end, utime.ticks_us())
        if self._loop or left > timeout * 1000:
            _board.sleep_ms(timeout)
            return False
        if left > 0:
            _board.sleep_ms(-(-left // 1000))
        return True

    def loop(self, enable):
        self._loop = bool(enable)
        if not enable:
            self._play((), False)

    def deinit(self):
        if self._pin is not None:
            self._play((), False)
            self._pin = None

    def clock_div(self):
        return self._div

    @staticmethod
    def source_freq():
        return _SOURCE

    @staticmethod
    def bitstream_channel(channel=-1):
        if channel is None:
            _bitstream[0] = None
        elif channel != -1:
            if not 0 <= channel < _CHANNELS:
                raise ValueError("invalid channel")
            _bitstream[0] = channel
        return _bitstream[0]

    def __repr__(self):
        if self._pin is None:
            return "RMT()"
        text = "RMT(channel=%d, pin=%d, source_freq=%d, clock_div=%d, idle_level=%d)"
        return text % (self._id, self._pin, _SOURCE, self._div, self._idle)
