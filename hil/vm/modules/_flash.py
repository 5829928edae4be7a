"""The board's flash: a block device in a file, whose power can be cut at any write.

A ``Power`` counts program and erase operations of all flash down; the one that brings it to zero is torn as ``where`` says,
the board loses power and this VM executes nothing more.

The file ``<path>.wear`` counts, for each block, its program and its erase operations (two little-endian u32): in a file, for
the firmware's heap has no room for it.
"""

import struct

import _board

BLOCK = 4096
BEFORE, WITHIN, AFTER = range(3)
_POWER_LOST = 0
_ERASED = b"\xff" * 64  # a whole block of them would take the firmware's heap


class Power:
    """It begins to count with the ``slots``-th operation on the partition of the firmware slots; 0: at once."""

    def __init__(self, left, where, slots):
        self.left, self.where, self.slots = left, where, slots

    def cut_at(self, op, payload):
        self.left = payload[0] | payload[1] << 8
        self.where = payload[2]
        self.slots = payload[3] | payload[4] << 8


class Flash:
    def __init__(self, path, power):
        self.file = open(path, "r+b")
        self._wear = open(path + ".wear", "r+b")
        self._count = bytearray(4)
        self._blocks = self.file.seek(0, 2) // BLOCK
        self.power = power

    def readblocks(self, n, buf, off=0):
        self.file.seek(n * BLOCK + off)
        self.file.readinto(buf)

    def writeblocks(self, n, buf, off=0):
        self.write(n, n * BLOCK + off, buf)

    def ioctl(self, op, arg):
        if op == 4:
            return self._blocks
        if op == 5:
            return BLOCK
        if op == 6:
            self.write(arg, arg * BLOCK, _ERASED, BLOCK // len(_ERASED))
        return 0

    def write(self, block, at, data, times=1):
        self._worn(block * 8 + (4 if times > 1 else 0))
        self.file.seek(at)
        power = self.power
        if power.left and not power.slots:
            power.left -= 1
            if not power.left:
                if power.where == WITHIN and times > 1:
                    times //= 2
                elif power.where == WITHIN:
                    data = memoryview(data)[: len(data) // 2]
                if power.where != BEFORE:
                    self._put(data, times)
                _board.reset(_POWER_LOST)
        self._put(data, times)

    def _put(self, data, times):
        for _ in range(times):
            self.file.write(data)

    def _worn(self, at):
        self._wear.seek(at)
        self._wear.readinto(self._count)
        struct.pack_into("<I", self._count, 0, struct.unpack("<I", self._count)[0] + 1)
        self._wear.seek(at)
        self._wear.write(self._count)
