"""Codes at a keypad whose door has a full table of users: how long from the last key to the decision."""

import time

from device.parts import Parts
from protocol.keypad import PinEntry

USERS = 2000  # their codes are 000000 and on
GRANTED, UNKNOWN = 0, 14
parts = Parts()
commit = parts.recorder.commit
entry = PinEntry()
now = 100_000
parts.clock.uptime_ms = lambda: now


def take_table(path):
    """Put a table of users in force that is on the flash."""
    parts.kinds["users"][1](path, 0)
    return parts.users.sequence


def decided(number):
    """Microseconds for this code, and the status."""
    global now
    now += 10_001  # a refusal that is repeated sooner is not recorded again
    parts.door.lock()
    for digit in "%06d" % number:
        entry.key(digit, now)
    began = time.ticks_us()
    status = parts.authority.pin(entry.key("#", now))
    took = time.ticks_diff(time.ticks_us(), began)
    assert parts.door.released == (status == GRANTED)
    commit()
    return took, status


def timed(first, count, unix_s, durable):
    """As many hits and misses in turn from number `first` on, in microseconds; with the journal's commit or without."""
    parts.recorder.commit = commit if durable else lambda: None
    parts.clock.set(unix_s * 1000, 2000)
    hits, misses = [], []
    for n in range(first, first + count):
        for number, expected, took in ((n * 7 % USERS, GRANTED, hits), (USERS + n, UNKNOWN, misses)):
            us, status = decided(number)
            assert status == expected, (number, status)
            took.append(us)
    return [hits, misses]
