"""Takes names out of ``sys`` that the unix port has and an ESP32 has not: programs and suites ask whether they are there.

``sys`` cannot be replaced by a module, so its table is made shorter where the extension is mapped, before the first VM runs.
"""

import ctypes
import mmap

from hil.vm.identity import extension, write_over

ABSENT = {b"atexit", b"exc_info", b"executable"}
_QSTR = 0b010  # the tag of a name in an object
_FLAGS = 3  # low bits of a table's count of entries


class _Pool(ctypes.Structure):
    """MicroPython's ``qstr_pool_t``, which the addresses of its texts follow."""

    _fields_ = (
        ("prev", ctypes.c_void_p),
        ("total_prev", ctypes.c_size_t, 63),
        ("is_sorted", ctypes.c_size_t, 1),
        ("alloc", ctypes.c_size_t),
        ("len", ctypes.c_size_t),
        ("hashes", ctypes.c_void_p),
        ("lengths", ctypes.c_void_p),
    )


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
        names = _names(ctypes.addressof(_Pool.in_dll(library, "mp_qstr_const_pool")))
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


def _names(at: int | None) -> dict[int, bytes]:
    """The text of each key that names one of the binary's constants."""
    found = {}
    while at:
        pool = _Pool.from_address(at)
        texts = (ctypes.c_char_p * pool.len).from_address(at + ctypes.sizeof(_Pool))
        for place, text in enumerate(texts):
            found[pool.total_prev + place << 3 | _QSTR] = text
        at = pool.prev
    return found
