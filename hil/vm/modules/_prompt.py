"""What a door's board has at its prompt, as any other: nobody's heap is counted there. Where an interrupted firmware still fills
it, there is no room, and all stays as it is.
"""

import gc
import time  # with the epoch that the firmware on this board counts from

import _board
from _board import os, sys  # not what a program may have put in its place
from micropython import const

_ROOM = const(32768)


def _widen():
    import machine

    _board.bare = True
    _board.threads()
    machine.Pin = __import__("_pin").Pin
    if os.getenv("LATCHWORK_NETWORK") != "1":
        sys.modules.pop("socket", None)  # the next one to import it has addresses that are tuples


gc.collect()
if gc.mem_free() >= _ROOM:
    _widen()
