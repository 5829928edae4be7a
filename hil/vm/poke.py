"""Calls a VM out of a system call: MicroPython runs then what was scheduled, and goes on with the call. At its prompt, in
``input()`` and on a socket it would sit in there until something comes.
"""

import contextlib
import os
import signal

_SIGNAL = signal.SIGURG  # who has not asked for it takes no notice


def allow() -> None:
    """In this process, and in those forked from it. The handler is CPython's, in C, which does not restart the system call;
    what it would run in Python never is, as MicroPython has the thread.
    """
    signal.signal(_SIGNAL, lambda *_: None)


def poke(pid: int) -> None:
    """A process that has ended is left alone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, _SIGNAL)
