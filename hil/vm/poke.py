"""Calls a VM out of a system call: MicroPython runs then what was scheduled, and goes on with the call. At its prompt, in
``input()`` and on a socket it would sit in there until something comes.
"""

import ctypes
import errno
import os
import signal

_libc = ctypes.CDLL(None, use_errno=True)
_SIGNAL = signal.SIGURG  # who has not asked for it takes no notice


def allow() -> None:
    """In this process, and in those forked from it. The handler is CPython's, in C, which does not restart the system call;
    what it would run in Python never is, as MicroPython has the thread.
    """
    signal.signal(_SIGNAL, lambda *_: None)


def poke(pid: int) -> None:
    """A process that has ended is left alone."""
    to_main_thread(pid, _SIGNAL)


def to_main_thread(pid: int, number: signal.Signals) -> None:
    """A signal to the process as a whole goes to any of its threads while its main thread has another one pending, and a
    KeyboardInterrupt there ends that thread and not the program. A process that has ended is left alone."""
    if _libc.tgkill(pid, pid, int(number)) and (code := ctypes.get_errno()) != errno.ESRCH:
        raise OSError(code, os.strerror(code))
