"""``esp32``: NVS in the board model's file; what is not committed is lost with the power, as documented."""

import struct

import _board

_I32, _BLOB = 1, 2
_SET, _GET, _ERASE, _COMMIT = range(4)
_MAX_NAME = 15


class NVS:
    def __init__(self, namespace):
        self._space = self._name(namespace)

    def _name(self, name):
        name = name.encode()
        if not 0 < len(name) <= _MAX_NAME:
            raise OSError(-0x1109, "ESP_ERR_NVS_KEY_TOO_LONG")
        return bytes((len(name),)) + name

    def _ask(self, op, key, kind, value=b""):
        try:
            return _board.call(_board.NVS, op, bytes((kind,)) + self._space + self._name(key) + value)
        except OSError as e:
            if e.errno == -0x1102:
                raise OSError(-0x1102, "ESP_ERR_NVS_NOT_FOUND")
            raise

    def set_i32(self, key, value):
        self._ask(_SET, key, _I32, struct.pack("<i", value))

    def get_i32(self, key):
        return struct.unpack("<i", self._ask(_GET, key, _I32))[0]

    def set_blob(self, key, value):
        self._ask(_SET, key, _BLOB, value.encode() if isinstance(value, str) else bytes(value))

    def get_blob(self, key, buffer):
        value = self._ask(_GET, key, _BLOB)
        if len(value) > len(buffer):
            raise OSError(-0x110C, "ESP_ERR_NVS_INVALID_LENGTH")
        memoryview(buffer)[: len(value)] = value
        return len(value)

    def erase_key(self, key):
        self._ask(_ERASE, key, 0)

    def commit(self):
        _board.call(_board.NVS, _COMMIT)

    def __repr__(self):
        return "<NVS namespace>"


def __getattr__(name):
    return getattr(__import__("_partition" if name == "Partition" else "_esp32"), name)


if _board.bare:
    from _esp32 import *
    from _partition import Partition

    del __getattr__
