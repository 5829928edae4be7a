"""LittleFS on a block device in RAM whose power can be cut at the n-th write, with that write torn in half."""

import errno
import gc

import vfs

BLOCK = 4096
MOUNT = "/flash"


class Flash:
    """`arm(n)`: the n-th write or erase from now writes half of its bytes and everything fails from there
    on.
    """

    def __init__(self, blocks=40):
        self._blocks = [None] * blocks  # erased blocks take no memory
        self._left = -1
        self.writes = 0
        self.unplugged = False

    def arm(self, n):
        self._left = n
        self.writes = 0

    @property
    def dead(self):
        return self._left == 0

    def _block(self, number):
        if self._blocks[number] is None:
            self._blocks[number] = bytearray(b"\xff" * BLOCK)
        return self._blocks[number]

    def readblocks(self, number, buffer, offset=0):
        if self.unplugged:
            return -errno.EIO
        block = self._blocks[number]
        for i in range(len(buffer)) if block is None else ():
            buffer[i] = 0xFF
        if block is not None:
            buffer[:] = memoryview(block)[offset : offset + len(buffer)]

    def writeblocks(self, number, buffer, offset=0):
        size = self._spend(len(buffer))
        self._block(number)[offset : offset + size] = memoryview(buffer)[:size]
        return 0 if size == len(buffer) else -errno.EIO

    def _spend(self, size):
        if self._left == 0:
            return 0
        self.writes += 1
        if self._left > 0:
            self._left -= 1
            if self._left == 0:
                return size // 2
        return size

    def ioctl(self, op, argument):
        if op == 4:
            return len(self._blocks)
        if op == 5:
            return BLOCK
        if op == 6:
            if self._spend(2) < 2:
                return -errno.EIO
            self._blocks[argument] = None
        return 0


def format_and_mount(flash):
    """A fresh file system."""
    vfs.VfsLfs2.mkfs(flash, progsize=32)
    mount(flash)


def mount(flash):
    """Mount after power on."""
    flash.arm(-1)
    vfs.mount(vfs.VfsLfs2(flash, progsize=32), MOUNT)


def unplug(flash):
    """The power is gone: the file system driver's RAM goes with it."""
    vfs.umount(MOUNT)
    flash.unplugged = True  # files that the collector finds open are not written any more
    gc.collect()


def copy_of(flash):
    """A second chip with the same contents."""
    other = Flash(len(flash._blocks))
    other._blocks = [None if block is None else bytearray(block) for block in flash._blocks]
    return other


def cut_at_every_write(flash, work, check):
    """Run `work` on copies of `flash` with the power cut at write 1, 2, …, and `check` after each new boot.

    Returns how many cuts there were. `work` is interrupted by OSError; `check(done)` gets what `work` had
    noted.
    """
    n = 0
    while True:
        n += 1
        flash.unplugged = False
        chip = copy_of(flash)
        mount(chip)
        chip.arm(n)
        done = []
        try:
            work(done)
        except OSError:
            if not chip.dead:
                raise
        finished = not chip.dead
        unplug(chip)
        chip = copy_of(chip)
        mount(chip)
        check(done)
        unplug(chip)
        if finished:
            return n - 1
