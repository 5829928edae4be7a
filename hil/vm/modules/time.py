"""``time`` whose sleeps run the board's interrupts, and whose clock is the board's RTC, not the host's."""

import _board
import utime
from utime import mktime, sleep_us, ticks_add, ticks_cpu, ticks_diff, ticks_ms, ticks_us

sleep_ms = _board.sleep_ms


def sleep(seconds):
    _board.sleep_ms(int(seconds * 1000))


def time_ns():
    return (utime.ticks_us() + _board.hello()[1]) * 1000


def time():
    return (utime.ticks_us() + _board.hello()[1]) // 1000000


def localtime(seconds=None):
    return utime.gmtime(time() if seconds is None else seconds)


gmtime = localtime
