"""Makes the VM of this process say that it is an ESP32: ``sys.platform``, ``sys.implementation`` and the REPL's banner.

What a program or a test suite selects by is constant in the VM's binary, and ``sys`` cannot be replaced by a module. So the
constants are written over where the extension is mapped, before the first VM runs: it costs a board no heap.
"""

import ctypes
import importlib
import mmap
import re
import struct
from pathlib import Path

PLATFORM = b"esp32"
MACHINE = b"ESP32 module with ESP32"
BUILD = b"ESP32_GENERIC"
BANNER = b"ESP32 with ESP32"  # there is room for no more
_WAS_PLATFORM, _WAS_MACHINE, _WAS_BUILD = b"linux\0", b"linux [GCC", b"standard\0"
_SHARED = b"version\0"  # the last bytes of the banner's literal are also the name of an attribute
_RELEASE = re.compile(rb"Linux-(\d+\.\d+\.\d+)")  # of platform.platform()
_COMMIT = re.compile(rb"MicroPython ([0-9a-f]{10}) on \d{4}-")
_TEXT = struct.Struct("<QQ")  # the end of a MicroPython str: length, address of its bytes
_kept: list[ctypes.Array[ctypes.c_char]] = []  # what the VM points to from now on
_libc = ctypes.CDLL(None, use_errno=True)


class _Mapping:
    """One readable part of the extension in this process."""

    def __init__(self, start: int, end: int, protection: str) -> None:
        self.start = start
        self.protection = sum(
            bit for bit, letter in zip((1, 2, 4), "rwx", strict=True) if letter in protection
        )
        self.bytes = ctypes.string_at(start, end - start)

    def write(self, at: int, data: bytes) -> None:
        write_over(at, data, self.protection)


def extension() -> ctypes.CDLL:
    """The library that the VM is."""
    return ctypes.CDLL(importlib.import_module("micropython_run").__file__)


def write_over(at: int, data: bytes, protection: int) -> None:
    """Bytes of the binary in this process; ``protection`` is that of its memory (``mmap.PROT_*``)."""
    first = at & ~(mmap.PAGESIZE - 1)
    size = ctypes.c_size_t(at + len(data) - first)
    if _libc.mprotect(ctypes.c_void_p(first), size, protection | mmap.PROT_WRITE):
        raise OSError(ctypes.get_errno(), "mprotect")
    ctypes.memmove(at, data, len(data))
    _libc.mprotect(ctypes.c_void_p(first), size, protection)


def become_esp32() -> None:
    """For the VMs of this process and those forked from it. What a newer binary keeps elsewhere stays as it was."""
    mapped = [_Mapping(*where) for where in _mappings("micropython_run")]
    _replace(mapped, _WAS_PLATFORM, PLATFORM)
    _replace(mapped, _WAS_BUILD, BUILD)
    _replace(mapped, _WAS_MACHINE, MACHINE)
    _rewrite_banner(mapped)
    _name_version(mapped)


def _rewrite_banner(mapped: list[_Mapping]) -> None:
    """In place, as code points into the middle of it."""
    for part in mapped:
        at = part.bytes.find(b"; " + _WAS_MACHINE) + 2
        text = part.bytes[at : part.bytes.find(b"\0", at) + 1] if at >= 2 else b""
        room = len(text) - len(_SHARED)
        if text.endswith(_SHARED) and room > len(BANNER):
            part.write(part.start + at, BANNER.ljust(room, b"\0"))


def _name_version(mapped: list[_Mapping]) -> None:
    """A build between releases names its commit alone; tools that wait for a board to boot look for v1.2.3 in the banner."""
    releases = [match[1] for part in mapped for match in _RELEASE.finditer(part.bytes)]
    for part in mapped if releases else ():
        for match in _COMMIT.finditer(part.bytes):
            name = b"v%s+%s" % (releases[0], match[1])
            part.write(part.start + match.start(1), name[: len(match[1])])


def _mappings(library: str) -> list[tuple[int, int, str]]:
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, protection, *rest = line.split(maxsplit=5)
        if library in rest[-1] and protection.startswith("r"):
            start, end = (int(number, 16) for number in place.split("-"))
            found.append((start, end, protection[:3]))
    return found


def _place(mapped: list[_Mapping], beginning: bytes) -> tuple[_Mapping, int, int] | None:
    """Where a constant text is: its part, address and length."""
    for part in mapped:
        at = part.bytes.find(beginning)
        while at >= 0:
            end = part.bytes.index(b"\0", at)
            if _owner(mapped, part.start + at, end - at) is not None:
                return part, part.start + at, end - at
            at = part.bytes.find(beginning, end)
    return None


def _owner(mapped: list[_Mapping], address: int, size: int) -> tuple[_Mapping, int] | None:
    """The str object of these bytes."""
    for part in mapped:
        at = part.bytes.find(_TEXT.pack(size, address))
        if at >= 0:
            return part, part.start + at
    return None


def _replace(mapped: list[_Mapping], beginning: bytes, text: bytes) -> None:
    place = _place(mapped, beginning)
    owner = _owner(mapped, *place[1:]) if place is not None else None
    if owner is not None:
        _kept.append(ctypes.create_string_buffer(text))
        part, at = owner
        part.write(at, _TEXT.pack(len(text), ctypes.addressof(_kept[-1])))
