"""``machine.disable_irq`` and ``enable_irq`` of a board whose program may have threads: they also keep each other out."""

from _thread import allocate_lock, get_ident

import _board
from micropython import const

_NESTED = const(2)  # in a state: this thread had already disabled them
_lock = allocate_lock()
_owner = None


def disable_irq():
    global _owner
    if _owner == get_ident():
        return _NESTED
    _lock.acquire()
    _owner = get_ident()
    return int(_board.hold(True))


def enable_irq(state=0):
    global _owner
    if state & _NESTED or _owner != get_ident():
        return
    _board.hold(bool(state))
    _owner = None
    _lock.release()
    _board.pump()
