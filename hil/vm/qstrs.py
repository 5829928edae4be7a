"""MicroPython's tables of names (qstrs): those that its binary has, and more for them.

A board's MicroPython has the names of ``machine``, ``bluetooth`` and all other modules that are compiled into it in flash, and
none of them in its heap. Here these are the bench's modules; so what they name is put into the binary's tables where the
extension is mapped, before the first VM runs. What a VM then counts are the names of its programs, as on a board.
"""

import ctypes
import mmap
from collections.abc import Iterable, Iterator

from hil.vm.identity import extension, write_over

_LAST = "mp_qstr_frozen_const_pool"  # where a VM begins to look; each has the one to go on with
_kept: list[ctypes.Array[ctypes.c_char]] = []  # what the VM points to from now on


class Pool(ctypes.Structure):
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


def pools(library: ctypes.CDLL) -> Iterator[Pool]:
    """Those of the binary, the last first. Raises ValueError for one that keeps them elsewhere."""
    at: int | None = ctypes.addressof(Pool.in_dll(library, _LAST))
    while at:
        pool = Pool.from_address(at)
        yield pool
        at = pool.prev


def texts(pool: Pool) -> list[bytes]:
    """By number, less ``total_prev``."""
    return list((ctypes.c_char_p * pool.len).from_address(ctypes.addressof(pool) + ctypes.sizeof(Pool)))


def put_into_binary(names: Iterable[bytes]) -> None:
    """For the VMs of this process and those forked from it. A binary that keeps its names otherwise stays as it was."""
    library = extension()
    try:
        known = list(pools(library))
    except ValueError:
        return
    new = sorted(set(names).difference(*map(texts, known)))
    last = known[0]
    if not _is_as_ours(last, library) or len(new) <= last.alloc:
        return
    # The address of the last table is in the code: it moves, and those of the new that must be in the last take its place.
    # A VM begins a table of its own, twice as large, where one has as many names as it was made for.
    full = last.alloc
    moved = _keep(_table(last, texts(last), library))
    more = Pool(prev=moved, total_prev=last.total_prev + last.len, is_sorted=1, alloc=full)
    rest = Pool(
        prev=_keep(_table(more, new[full:], library)),
        total_prev=more.total_prev + len(new) - full,
        is_sorted=1,
        alloc=full,
    )
    write_over(ctypes.addressof(last), _table(rest, new[:full], library), mmap.PROT_READ)


def _is_as_ours(pool: Pool, library: ctypes.CDLL) -> bool:
    """Its hashes and lengths have the form that ours will have."""
    hashes, lengths = _columns(texts(pool), library)
    there = ctypes.string_at(pool.hashes, len(hashes)), ctypes.string_at(pool.lengths, len(lengths))
    return there == (hashes, lengths)


def _columns(names: list[bytes], library: ctypes.CDLL) -> tuple[bytes, bytes]:
    hashed = library.qstr_compute_hash
    hashed.argtypes, hashed.restype = (ctypes.c_char_p, ctypes.c_size_t), ctypes.c_size_t
    return b"".join(hashed(name, len(name)).to_bytes(2, "little") for name in names), bytes(map(len, names))


def _table(pool: Pool, names: list[bytes], library: ctypes.CDLL) -> bytes:
    """The bytes of a pool as ``pool`` with these names."""
    head = Pool.from_buffer_copy(pool)
    head.len = len(names)
    head.hashes, head.lengths = map(_keep, _columns(names, library))
    return bytes(head) + bytes((ctypes.c_void_p * len(names))(*map(_keep, names)))


def _keep(data: bytes) -> int:
    """Its address, for good."""
    _kept.append(ctypes.create_string_buffer(data))
    return ctypes.addressof(_kept[-1])
