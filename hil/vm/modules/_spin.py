"""Interrupts for firmware that spins (``while not flag: pass``) or waits for its console: a thread looks whether one is due, and
has the VM's scheduler run it in the main thread, between two of its bytecodes. A main thread that sits in a system call, as it
does at the prompt, is called out of it by a signal, which the model sends on request.

The thread allocates nothing and touches no object of the program: this VM has no lock around its interpreter. A bare
board has it, and a door's at its prompt: it wakes 500 times a second, and 100 times where nothing happens.
"""

import _thread
import struct

import _board
import micropython
from _board import uselect, utime
from micropython import const

_LOOK_MS = const(2)
_CALM = const(250)  # looks that found nothing, and no timer: then it looks less often
_CALM_MS = const(10)
_BACK_OFF_US = const(
    300
)  # for the scheduled call to be run, or for the program to take it from the link itself
_POKE_MS = const(5)  # after which a program that has not run it sits in a system call
_POKE = const(11)  # operation of CORE
_asked = False
# A file of its own, and a frame that is there: the main thread may be at the link, and memory is its alone.
_link = open(_board.fd, "r+b")
_poke = struct.pack("<BBBBIQ", 0, _board.CORE, _POKE, 0xB0, 0, 0)


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
    since = calm = 0
    while True:
        came = False
        for _ in poll.ipoll(1 if _board.alarms else _LOOK_MS if calm < _CALM else _CALM_MS):
            came = True
        calm = 0 if came or _board.alarms else calm + 1
        if (came or _due()) and not _asked:
            _asked = True
            since = utime.ticks_ms()
            try:
                micropython.schedule(_run, None)
            except RuntimeError:  # its queue is full
                _asked = False
        elif _asked and utime.ticks_diff(utime.ticks_ms(), since) >= _POKE_MS:
            since = utime.ticks_ms()
            _link.write(_poke)
        if came:
            utime.sleep_us(_BACK_OFF_US)


if not _board.bare:
    import _prompt  # a door's board, whose firmware does not run
if _board.bare:
    _thread.start_new_thread(_look, ())
