"""``time`` whose sleeps run the board's interrupts, whose clock is the board's RTC, not the host's, and whose ticks drift
as the board's crystal does.
"""

import _board
from _board import os, utime

sleep_us, ticks_cpu = utime.sleep_us, utime.ticks_cpu
ticks_add, ticks_diff, ticks_ms, ticks_us = utime.ticks_add, utime.ticks_diff, utime.ticks_ms, utime.ticks_us
sleep_ms = _board.sleep_ms
_EPOCH = 946684800 if _board.bare else 0  # of an ESP32: 2000-01-01; the RTC's is Unix time
_ppm = int(os.getenv("LATCHWORK_DRIFT") or 0)

if _ppm:

    def ticks_us():
        us = utime.ticks_us()
        return us + us * _ppm // 1000000

    def ticks_ms():
        return ticks_us() // 1000


def sleep(seconds):
    _board.sleep_ms(int(seconds * 1000.0))


def time_ns():
    return (_board.hello()[1] + utime.ticks_us() - _EPOCH * 1000000) * 1000


def time():
    return (_board.hello()[1] + utime.ticks_us()) // 1000000 - _EPOCH


def localtime(seconds=None):
    return utime.gmtime(_EPOCH + int(time() if seconds is None else seconds))[:8]


gmtime = localtime


def mktime(date):
    if not 8 <= len(date) <= 9:
        raise TypeError("mktime needs a tuple of length 8 or 9 (%d given)" % len(date))
    return utime.mktime(tuple(date)) - _EPOCH
