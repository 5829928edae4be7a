"""``time`` whose sleeps run the board's interrupts, whose clock is the board's RTC, not the host's, and whose ticks drift
as the board's crystal does.
"""

import _board
import uos as os
import utime
from utime import mktime, sleep_us, ticks_add, ticks_cpu, ticks_diff, ticks_ms, ticks_us

sleep_ms = _board.sleep_ms
_ppm = int(os.getenv("LATCHWORK_DRIFT") or 0)

if _ppm:

    def ticks_us():
        us = utime.ticks_us()
        return us + us * _ppm // 1000000

    def ticks_ms():
        return ticks_us() // 1000


def sleep(seconds):
    _board.sleep_ms(int(seconds * 1000))


def time_ns():
    return (_board.hello()[1] + utime.ticks_us()) * 1000


def time():
    return (_board.hello()[1] + utime.ticks_us()) // 1000000


def localtime(seconds=None):
    return utime.gmtime(time() if seconds is None else seconds)


gmtime = localtime
