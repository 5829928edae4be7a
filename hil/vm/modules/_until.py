"""Wait until a time of ticks_us, to the microsecond where a board may spend a processor on it."""

import time

import _board
from _board import utime
from micropython import const

_EARLY_US = const(2500)  # what the host's scheduler may be late by


def until(at):
    """Interrupts run meanwhile; one that takes longer makes it late."""
    left = utime.ticks_diff(at, utime.ticks_us())
    early = _EARLY_US if _board.bare else 1000
    if left > early + 1000:
        _board.sleep_ms((left - early) // 1000)
        left = utime.ticks_diff(at, utime.ticks_us())
    if _board.bare:
        while utime.ticks_diff(at, utime.ticks_us()) > 0:
            pass
    elif left > 0:
        utime.sleep_us(left)


def _sleep_us(us):
    until(utime.ticks_add(utime.ticks_us(), us))


if _board.bare:
    time.sleep_us = _sleep_us
