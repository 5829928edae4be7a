"""``flashbdev``: the partition of the file system."""

from esp32 import Partition

bdev = (Partition.find(Partition.TYPE_DATA, label="vfs") or [None])[0]
