"""Interrupts for firmware that spins (``while not flag: pass``): a thread looks whether one is due, and has the VM's scheduler
run it in the main thread, between two of its bytecodes.

The thread allocates nothing and touches no object of the program: this VM has no lock around its interpreter. Only bare
boards have it, from the import of this module on: it wakes 500 times a second.
"""

import _thread

import _board
import micropython
import uselect
import utime
from micropython import const

_LOOK_MS = const(2)
_BACK_OFF_US = const(
    300
)  # for the scheduled call to be run, or for the program to take it from the link itself
_asked = False


def _run(_):
    global _asked
    _asked = False
    _board.pump(True)


def _due():
    now = utime.ticks_ms()
    for alarm in _board.alarms:
        if utime.ticks_diff(alarm.due, now) <= 0:
            return True
    return False


def _look():
    global _asked
    poll = uselect.poll()
    poll.register(_board.fd, uselect.POLLIN)
    while True:
        came = False
        for _ in poll.ipoll(1 if _board.alarms else _LOOK_MS):
            came = True
        if (came or _due()) and not _asked:
            _asked = True
            try:
                micropython.schedule(_run, None)
            except RuntimeError:  # its queue is full
                _asked = False
        if came:
            utime.sleep_us(_BACK_OFF_US)


if _board.bare:
    _thread.start_new_thread(_look, ())
