"""The partition ``romfs``, with the calls of ``esp32.Partition``: flash that only an erase can set bits in.

Writing without an offset erases first, as there. ``memories`` maps its two halves; the first is the firmware that the bench
was started with until something is written over it.
"""

import uctypes
from _board import os
from _flash import BLOCK, Flash


class Rom(Flash):
    def write(self, block, at, data, times=1):
        if self.power.slots:
            self.power.slots -= 1
        super().write(block, at, data, times)

    def writeblocks(self, n, buf, off=None):
        if off is None:
            for block in range(len(buf) // BLOCK):
                self.erase(n + block)
        self.program(n * BLOCK + (off or 0), buf)


def _memory(name):
    at, _, size = os.getenv(name).partition(",")
    return uctypes.bytearray_at(int(at), int(size))


def memories():
    slots = memoryview(_memory("LATCHWORK_SLOTS"))
    half = len(slots) // 2
    flashed = slots[0] != 0  # an erase leaves ff, and no erase a hole in the file
    return (slots[:half] if flashed else _memory("LATCHWORK_ROM")), slots[half:]
