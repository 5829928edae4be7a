"""Runs a handler that is late as if it were not: its clock is the one of its interrupt."""

import time


def run(handler, source, late_us):
    """``time.ticks_ms`` and ``time.ticks_us`` are ``late_us`` behind until the handler returns."""
    ms, us = time.ticks_ms, time.ticks_us
    time.ticks_ms = lambda: time.ticks_add(ms(), -late_us // 1000)
    time.ticks_us = lambda: time.ticks_add(us(), -late_us)
    try:
        handler(source)
    finally:
        time.ticks_ms, time.ticks_us = ms, us
