"""machine.RTC: kept by the board model over resets, lost with the power. Its epoch is Unix time."""

import struct

import _board
from _board import utime


class RTC:
    def datetime(self, value=None):
        now = utime.ticks_us()
        if value is None:
            us = now + _board.hello()[1]
            t = utime.gmtime(us // 1000000)
            return (t[0], t[1], t[2], t[6], t[3], t[4], t[5], us % 1000000)
        self._set(value, 4)

    def _set(self, value, hour_at):
        if len(value) != 8:
            raise ValueError("requested length 8 but object has length %d" % len(value))
        year, month, day = value[:3]
        hour, minute, second = value[hour_at : hour_at + 3]
        now = utime.ticks_us()
        us = utime.mktime((year, month, day, hour, minute, second, 0, 0, 0)) * 1000000 + value[7]
        _board.hello()[1] = us - now
        _board.call(_board.CORE, 5, struct.pack("<q", us - now))

    def init(self, value):
        self._set(value, 3)

    def memory(self, data=None):
        if data is None:
            return _board.call(_board.CORE, 6)
        if len(data) > 2048:
            raise ValueError("buffer too long")
        _board.call(_board.CORE, 7, bytes(data))
