"""The level of a pin while a peripheral toggles it: (start in us, period in ns, high part of it in ns), after ticks_us."""

import struct

from _board import utime
from micropython import const

_BRIEF_NS = const(1000)  # a pulse that no instruction is fast enough to see


def unpack(payload):
    wave = struct.unpack("<QQQ", payload[1:])
    return wave if wave[1] else None


def level(wave, now=None):
    start, period, high = wave
    if period - high < _BRIEF_NS < high:
        return 1
    if high < _BRIEF_NS:
        return 0
    phase = ((utime.ticks_us() if now is None else now) - start) * 1000 % period
    return 1 if phase < high else 0


def next_edge(wave, now):
    """Time of the first edge after now, in microseconds; None if it is never to be seen."""
    start, period, high = wave
    if high < _BRIEF_NS or period - high < _BRIEF_NS:
        return None
    begun = (now - start) * 1000 // period * period  # of the period, in ns from the start
    for edge in (begun, begun + high, begun + period, begun + period + high):
        at = start - (-edge // 1000)  # rounded up: the level at that time is the new one
        if at > now:
            return at
