"""The board's flash: a block device in a file, whose power can be cut at any write, and whose blocks can be bad.

A ``Power`` counts program and erase operations of all flash down; the one that brings it to zero is torn as ``where`` says,
the board loses power and this VM executes nothing more.

The file ``<path>.wear`` counts, for each block, its program and its erase operations (two little-endian u32): in a file, for
the firmware's heap has no room for it.
"""

import struct

import _board
import vfs

BLOCK = 4096
BEFORE, WITHIN, AFTER = range(3)
_POWER_LOST = 0
_ERASED = b"\xff" * 64  # a whole block of them would take the firmware's heap


class Power:
    """It begins to count with the ``slots``-th operation on the partition of the firmware slots; 0: at once."""

    faults = None  # of the file system's flash: hil/vm/modules/_worn.py

    def __init__(self, left, where, slots):
        self.left, self.where, self.slots = left, where, slots

    def told(self, op, payload):
        if op:
            self.faults = __import__("_worn").Worn(payload) if payload else None
            return
        self.left = payload[0] | payload[1] << 8
        self.where = payload[2]
        self.slots = payload[3] | payload[4] << 8


power = Power(0, BEFORE, 0)


def _open(path):
    return vfs.VfsPosix().open(path, "r+b")  # the host's files are mounted nowhere


class Flash:
    """``size`` bytes from ``base`` on; without a size all of the file, which is the file system's flash."""

    def __init__(self, path, power, base=0, size=None):
        self.file = _open(path)
        self._wear = _open(path + ".wear")
        self._count = bytearray(4)
        self._base = base
        self._blocks = (size or self.file.seek(0, 2)) // BLOCK
        self._disk = path.endswith("flash.img")
        self.power = power

    def readblocks(self, n, buf, off=0):
        self.read(n * BLOCK + off, buf)

    def writeblocks(self, n, buf, off=0):
        self.write(n, n * BLOCK + off, buf)

    def ioctl(self, op, arg):
        if op == 4:
            return self._blocks
        if op == 5:
            return BLOCK
        if op == 6:
            self.erase(arg)
        return 0

    def read(self, at, buf):
        self.file.seek(self._base + at)
        self.file.readinto(buf)
        if self._disk and self.power.faults:
            self.power.faults.flip(buf)

    def erase(self, block):
        self.write(block, block * BLOCK, _ERASED, BLOCK // len(_ERASED))

    def program(self, at, buf):
        """As the chip does: bits only go from 1 to 0."""
        data = bytearray(len(buf))
        self.file.seek(self._base + at)
        self.file.readinto(data)
        for i in range(len(data)):
            data[i] &= buf[i]
        self.write(at // BLOCK, at, data)

    def write(self, block, at, data, times=1):
        self._worn(block * 8 + self._base // 512 + (4 if times > 1 else 0))
        self.file.seek(self._base + at)
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
        if not (self._disk and power.faults and power.faults.stuck(block)):
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
