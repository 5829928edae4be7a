"""Interrupts for firmware that spins (``while not flag: pass``): a thread looks whether one is due, and has the VM's scheduler
run it in the main thread, between two of its bytecodes.

The thread allocates nothing and touches no object of the program: this VM has no lock around its interpreter. Only bare
boards have it, from their first handler on: it wakes 500 times a second.
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
_started = False
_asked = False


def start():
    global _started
    if not _started:
        _started = True
        _thread.start_new_thread(_look, ())


def _run(_):
    global _asked
    _asked = False
    _board.spun()


def _look():
    global _asked
    poll = uselect.poll()
    poll.register(_board.fd, uselect.POLLIN)
    while True:
        came = False
        for _ in poll.ipoll(_LOOK_MS if not _board.alarms else 1):
            came = True
        if (came or _board.due()) and not _asked:
            _asked = True
            try:
                micropython.schedule(_run, None)
            except RuntimeError:  # its queue is full
                _asked = False
        if came:
            utime.sleep_us(_BACK_OFF_US)
