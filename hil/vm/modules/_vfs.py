"""``vfs`` of an ESP32 over the VM's own, on a board without firmware: the bench's modules are no file system of it, and files
have the times of the board's clock.
"""

import os
import time

import vfs as _native
from _board import os as _os
from _board import utime as _utime
from vfs import *

if _os.getenv("LATCHWORK_FLASH"):
    del VfsPosix, VfsLfs1  # noqa: F821
_SLACK_NS = 10_000_000  # between two clocks that are one


def _dated(stat):
    # The VM's file systems write the host's time.
    late = (_utime.time_ns() - time.time_ns() + _SLACK_NS) // 1_000_000_000
    return stat[:7] + tuple([max(at - late, 0) if at else 0 for at in stat[7:]])


class VfsLfs2:
    mkfs = staticmethod(_native.VfsLfs2.mkfs)

    def __init__(self, *args, **kwargs):
        self._fs = _native.VfsLfs2(*args, **kwargs)

    def __getattr__(self, name):
        return getattr(self._fs, name)

    def stat(self, path):
        return _dated(self._fs.stat(path))


def mount(*args, **kwargs):
    if args:
        return _native.mount(getattr(args[0], "_fs", args[0]), *args[1:], **kwargs)
    return [entry for entry in _native.mount() if entry[1] != "/bench"]


def umount(what):
    _native.umount(getattr(what, "_fs", what))


def rom_ioctl(*args):
    return __import__("_romfs").ioctl(*args)


_stat = os.stat
os.stat = lambda path: _dated(_stat(path))
os.mount, os.umount, os.VfsLfs2 = mount, umount, VfsLfs2
