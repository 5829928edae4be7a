"""Runs a handler that is late as if it were not: its clock is the one of its interrupt."""

import time

from _board import utime


def run(handler, source, at):
    """``time.ticks_ms`` and ``time.ticks_us`` go on from ``at`` until the handler returns; says how many microseconds behind."""
    ms, us = time.ticks_ms, time.ticks_us
    late = utime.ticks_us() - at  # before they are others: on a bare board utime is time
    time.ticks_ms = lambda: time.ticks_add(ms(), -late // 1000)
    time.ticks_us = lambda: time.ticks_add(us(), -late)
    try:
        handler(source)
    finally:
        time.ticks_ms, time.ticks_us = ms, us
    return late
