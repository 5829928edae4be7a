"""``esp32.Partition``: the flash by its partitions, whose files and table the board model knows."""

import _board
import _flash
import _micropython
from micropython import const

_OTA = const(17)  # the channel
_TABLE = const(0)
_SET_BOOT = const(3)
_VALID = const(4)
_BLOCK = const(4096)
_NOT_BOOTABLE = const(-0x1503)
_ERRORS = {
    -0x102: "ESP_ERR_INVALID_ARG",
    -0x104: "ESP_ERR_INVALID_SIZE",
    _NOT_BOOTABLE: "ESP_ERR_OTA_VALIDATE_FAILED",
}
_table = None


def _rows():
    global _table
    if _table is None:
        lines = _board.call(_OTA, _TABLE).decode().split("\n")
        _table = [line.split(",") for line in lines]
    return _table


def _fail(number):
    raise OSError(number, _ERRORS.get(number, "ESP_FAIL"))


class Partition:
    BOOT, RUNNING = 0, 1
    TYPE_APP, TYPE_DATA = 0, 1

    def __init__(self, id, block_size=_BLOCK):
        if isinstance(id, int):
            if not 0 <= id <= 1:
                raise ValueError
            id = _board.call(_OTA, 1 if id else 2).decode()
        elif not isinstance(id, str):
            raise TypeError("can't convert %s to str implicitly" % type(id).__name__)
        for row in _rows():
            if row[0] == id:
                break
        else:
            raise OSError(2)
        self._about = (int(row[1]), int(row[2]), int(row[3]), int(row[4]), id, False)
        self._size = block_size
        self._flash = _flash.Flash(row[5], _flash.power, int(row[6]), self._about[3])

    @staticmethod
    def find(type=0, subtype=0xFF, label=None, block_size=_BLOCK):
        return [
            Partition(row[0], block_size)
            for row in _rows()
            if int(row[1]) == type and subtype in (0xFF, int(row[2])) and label in (None, row[0])
        ]

    def info(self):
        return self._about

    def readblocks(self, n, buf, off=0):
        at = n * self._size + off
        self._check(at, len(buf))
        self._flash.read(at, buf)

    def writeblocks(self, n, buf, off=None):
        at = n * self._size + (off or 0)
        self._check(at, len(buf))
        if off is None:
            if self._size < _BLOCK:
                return self._replace(at, buf)
            self._erase(at, len(buf))
        self._flash.program(at, buf)

    def ioctl(self, op, arg):
        if op == 4:
            return self._about[3] // self._size
        if op == 5:
            return self._size
        if op == 6:
            if self._size != _BLOCK:
                return -22
            self._erase(arg * _BLOCK, _BLOCK)
        return 0 if 1 <= op <= 6 else None

    def set_boot(self):
        try:
            label = self._about[4].encode()
        except (
            MemoryError
        ):  # a locked heap, which leaves no room for a text, and for a number only if it was laid up
            raise OSError(_NOT_BOOTABLE) if _micropython.emergency else OSError
        self._ask(_SET_BOOT, label)

    def get_next_update(self):
        return Partition("ota_1" if self._about[4] == "ota_0" else "ota_0")

    @classmethod
    def mark_app_valid_cancel_rollback(cls):
        cls._ask(_VALID)

    @staticmethod
    def _ask(op, payload=b""):
        try:
            _board.call(_OTA, op, payload)
        except OSError as e:
            _fail(e.errno)

    def _check(self, at, size):
        if at < 0 or at > self._about[3]:
            _fail(-0x102)
        if at + size > self._about[3]:
            _fail(-0x104)

    def _erase(self, at, size):
        self._check(at, size)
        if at % _BLOCK:
            _fail(-0x102)
        if size % _BLOCK:
            _fail(-0x104)
        for block in range(at // _BLOCK, (at + size) // _BLOCK):
            self._flash.erase(block)

    def _replace(self, at, buf):
        # Blocks smaller than what an erase takes: the rest of it is written again.
        whole = bytearray(_BLOCK)
        done = 0
        while done < len(buf):
            first, begin = (at + done) // _BLOCK, (at + done) % _BLOCK
            count = min(_BLOCK - begin, len(buf) - done)
            self._flash.read(first * _BLOCK, whole)
            whole[begin : begin + count] = buf[done : done + count]
            self._flash.erase(first)
            self._flash.program(first * _BLOCK, whole)
            done += count

    def __repr__(self):
        return (
            "<Partition type=%d, subtype=%d, address=%d, size=%d, label=%s, encrypted=0>" % (self._about[:5])
        )
