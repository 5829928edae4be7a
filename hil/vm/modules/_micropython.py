"""``micropython`` of an ESP32 over the VM's own, on a bare board: what is not of the port is left out.

What is built in has no file and keeps its order, and ``help()`` shows it; a module made of a file is given such a table.
"""

import struct
from collections import OrderedDict

import micropython
import uctypes

_ABSENT = ("mem_current", "mem_peak", "mem_total")

emergency = 0  # bytes for the arguments of what is raised while the heap is locked


def _alloc(size):
    """The VM has a buffer from the start, of the size that it needs."""
    global emergency
    emergency = int(size)


table = OrderedDict([item for item in micropython.__dict__.items() if item[0] not in _ABSENT])
table["alloc_emergency_exception_buf"] = _alloc
module = __import__("_blank")
uctypes.bytearray_at(id(module) + 8, 8)[:] = struct.pack("<Q", id(table))
