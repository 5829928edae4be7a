"""``esp``: the flash as a whole, as far as partitions reach, and the log that this bench does not write."""

from micropython import const

LOG_NONE, LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_VERBOSE = range(6)
_BLOCK = const(4096)
_EIO = const(5)


def osdebug(uart, level=LOG_INFO):
    pass


def _partitions():
    from esp32 import Partition

    return Partition.find(Partition.TYPE_APP) + Partition.find(Partition.TYPE_DATA)


def _at(offset, size):
    for partition in _partitions():
        start, length = partition.info()[2:4]
        if start <= offset and offset + size <= start + length:
            return partition, offset - start
    raise OSError(_EIO)


def flash_size():
    end = max([sum(partition.info()[2:4]) for partition in _partitions()])
    size = 0x400000
    while size < end:
        size *= 2
    return size


def flash_user_start():
    return 0x200000


def flash_read(offset, buf):
    partition, at = _at(offset, len(memoryview(buf)))
    partition.readblocks(0, buf, at)


def flash_write(offset, buf):
    partition, at = _at(offset, len(memoryview(buf)))
    partition.writeblocks(0, buf, at)


def flash_erase(sector):
    partition, at = _at(sector * _BLOCK, _BLOCK)
    partition.ioctl(6, at // _BLOCK)
