"""``vfs.rom_ioctl``: the partition ``romfs``, as a block device that is also mapped into memory."""

import uctypes
from _board import os as uos
from _partition import Partition
from micropython import const

_NUMBER = const(1)
_SEGMENT = const(2)
_EINVAL = const(22)


class _Segment(memoryview):
    def readblocks(self, *args):
        Partition("romfs").readblocks(*args)

    def writeblocks(self, *args):
        Partition("romfs").writeblocks(*args)

    def ioctl(self, op, arg):
        return Partition("romfs").ioctl(op, arg)

    def info(self):
        return Partition("romfs").info()


def segment():
    at, _, size = uos.getenv("LATCHWORK_SLOTS").partition(",")
    return _Segment(uctypes.bytearray_at(int(at), int(size)))


def ioctl(op, number=0, *_):
    if op == _NUMBER:
        return 1
    return segment() if op == _SEGMENT and number == 0 else -_EINVAL
