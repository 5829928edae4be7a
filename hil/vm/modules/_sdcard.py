"""``machine.SDCard``: the card that the board model has in the slot, a file in blocks of 512 bytes."""

import _board
from _flash import vfs
from machine import Pin
from micropython import const

_BUS = const(16)  # the channel of the board model
_CARD = const(0x60)
_BLOCK = const(512)
_EIO = const(-5)  # of a block device: the VM takes a negative number for an error
_NO_CARD = const(-0x107)


class SDCard:
    def __init__(
        self, *, slot=1, width=1, cd=None, wp=None, miso=None, mosi=None, sck=None, cs=None, freq=20000000
    ):
        if not 1 <= slot <= 3:
            raise ValueError("invalid slot number")
        if slot == 1 and not miso is mosi is cs is None:
            raise ValueError("invalid config: SDMMC slot with SPI pin arguments")
        if slot == 1 and width not in (1, 4):
            raise ValueError("width must be 1 or 4 (or 8 on slot 0)")
        for pin in (cd, wp, miso, mosi, sck, cs):
            if pin is not None:
                Pin(pin)
        self._file = None

    def deinit(self):
        if self._file:
            self._file.close()
        self._file = None

    def info(self):
        if not self._found():
            raise OSError(_NO_CARD, "ESP_ERR_TIMEOUT")
        return self._file.seek(0, 2), _BLOCK

    def readblocks(self, n, buf):
        if not self._found():
            return _EIO
        self._file.seek(n * _BLOCK)
        return 0 if self._file.readinto(buf) == len(memoryview(buf)) else _EIO

    def writeblocks(self, n, buf):
        if not self._found() or (n * _BLOCK + len(memoryview(buf))) > self.info()[0]:
            return _EIO
        self._file.seek(n * _BLOCK)
        self._file.write(buf)
        self._file.flush()
        return 0

    def ioctl(self, op, arg):
        if op == 2:
            self.deinit()
        if op in (2, 3):
            return 0
        if op not in (1, 4, 5) or not self._found():
            return -1
        return 0 if op == 1 else self.info()[0] // _BLOCK if op == 4 else _BLOCK

    def _found(self):
        if self._file is None:
            path = _board.call(_BUS, _CARD).decode()
            if path:
                self._file = vfs.VfsPosix().open(path, "r+b")
        return self._file is not None
