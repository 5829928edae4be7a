"""machine.WDT: the deadline runs in the board model, so it also catches a VM that hangs."""

import struct

import _board


class WDT:
    def __init__(self, id=0, timeout=5000):
        if id != 0:
            raise ValueError("WDT(%d) does not exist" % id)
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        _board.call(_board.CORE, 2, struct.pack("<I", timeout))

    def feed(self):
        _board.post(_board.CORE, 3)
