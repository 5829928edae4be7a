"""``vfs`` of an ESP32 over the VM's own, on a board without firmware: the bench's modules are no file system of it."""

import vfs as _native
from vfs import *

del VfsPosix, VfsLfs1  # noqa: F821


def mount(*args, **kwargs):
    if args:
        return _native.mount(*args, **kwargs)
    return [entry for entry in _native.mount() if entry[1] != "/bench"]


def rom_ioctl(*args):
    return __import__("_romfs").ioctl(*args)
