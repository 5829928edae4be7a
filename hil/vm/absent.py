"""Takes names out of ``sys`` that the unix port has and an ESP32 has not: programs and suites ask whether they are there.

``sys`` cannot be replaced by a module, so its table is made shorter where the extension is mapped, before the first VM runs.
"""

import ctypes
import mmap

from hil.vm.identity import extension, write_over
from hil.vm.qstrs import pools, texts

ABSENT = {b"atexit", b"exc_info", b"executable"}
_QSTR = 0b010  # the tag of a name in an object
_FLAGS = 3  # low bits of a table's count of entries


class _Dict(ctypes.Structure):
    """``mp_obj_dict_t``; an entry of its table is a key and a value."""

    _fields_ = (
        ("type", ctypes.c_void_p),
        ("used", ctypes.c_size_t),
        ("alloc", ctypes.c_size_t),
        ("table", ctypes.c_void_p),
    )


def remove_absent() -> None:
    """For the VMs of this process and those forked from it. What a newer binary keeps elsewhere stays."""
    library = extension()
    try:
        module = (ctypes.c_void_p * 2).in_dll(library, "mp_module_sys")
        names = {
            pool.total_prev + place << 3 | _QSTR: text
            for pool in pools(library)
            for place, text in enumerate(texts(pool))
        }
    except ValueError:
        return
    where = module[1] or 0
    globals_ = _Dict.from_address(where)
    entry = ctypes.c_size_t * 2
    entries = [tuple(pair) for pair in (entry * globals_.alloc).from_address(globals_.table or 0)]
    kept = [pair for pair in entries if names.get(pair[0]) not in ABSENT]
    flags = globals_.used & ((1 << _FLAGS) - 1)
    counts = (ctypes.c_size_t * 2)(len(kept) << _FLAGS | flags, len(kept))
    write_over(where + _Dict.used.offset, bytes(counts), mmap.PROT_READ)
    write_over(globals_.table or 0, b"".join(bytes(entry(*pair)) for pair in kept), mmap.PROT_READ)
