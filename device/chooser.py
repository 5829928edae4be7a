"""Chooses which of two firmwares runs, at every boot, before a line of either. An update never replaces this module:
on an ESP32 it is frozen into MicroPython, as `chooser`; on the bench it comes with the bench's modules.

The partition `romfs` is two slots of equal size. Stock MicroPython maps that one partition into memory
(`vfs.rom_ioctl(2, 0)` is it, as a block device and as a buffer), so the bytecode of either slot runs in place. The last
block of a slot is its trailer:

    0   "LWT1" | version 4 | floor 4 | trial, seconds 4 | CRC-32 of the 16 before 4    written last, once the image is proved
    24  one byte for each try to boot it; 28: confirmed; 29: its failure is recorded

Bits of flash go from 1 to 0 without an erase, so each of these bytes is one write that a power cut leaves done or not
done. The newest slot runs if it is confirmed, or has tries left; else the other one. No write is needed to roll back.
"""

import binascii
import struct

import machine
import vfs
from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Tuple

BLOCK = 4096
CONFIRMED = 28
RECORDED = 29
_MAGIC = b"LWT1"
_HEAD = "<4sIII"
_HEAD_SIZE = const(20)
_TRY = const(24)
_TRIES = const(3)
_TIMER = const(3)
_HANG_MS = const(15_000)  # until the firmware has a watchdog of its own

flash: "Any" = None
running = 0
trial = 0  # seconds in which the running firmware must confirm itself; 0: it has
failed = -1  # the slot that did not, as long as that is not recorded
_timer: "Any" = None
_vfs: "Any" = vfs  # the stubs know neither VfsRom nor rom_ioctl


def seal(version: int, floor: int, trial_s: int) -> bytes:
    """The head of a trailer."""
    head = struct.pack(_HEAD, _MAGIC, version, floor, trial_s)
    return head + struct.pack("<I", binascii.crc32(head))


def blocks() -> int:
    """Blocks of a slot, the trailer's among them."""
    half: int = flash.ioctl(4, 0) // 2
    return half


def read(slot: int) -> "Tuple[int, int, int, bytearray]":
    """(version, floor, trial, trailer) of a slot; version 0 if nothing was proved there."""
    raw = bytearray(32)
    flash.readblocks((slot + 1) * blocks() - 1, raw, 0)
    _, version, floor, trial_s = struct.unpack(_HEAD, raw[:16])
    return (version if seal(version, floor, trial_s) == raw[:_HEAD_SIZE] else 0), floor, trial_s, raw


def mark(slot: int, at: int) -> None:
    """Clear a byte of the trailer."""
    flash.writeblocks((slot + 1) * blocks() - 1, b"\0", at)


def confirm() -> None:
    """The running firmware is healthy: it stays."""
    global trial
    mark(running, CONFIRMED)
    _timer.deinit()
    trial = 0


def _expired(_: "Any" = None) -> None:
    """It did not confirm itself in time: no more tries."""
    for n in range(_TRIES):
        mark(running, _TRY + n)
    machine.reset()


def mount(memories: "Tuple[Any, Any]", partition: "Any") -> None:
    """Choose and mount; `memories` are the two slots as they are mapped. A slot without a trailer is as the factory left it."""
    global flash, running, trial, failed, _timer
    flash = partition
    first = 0 if read(0)[0] > read(1)[0] else 1
    running, trial, failed = -1, 0, -1
    for slot in (first, 1 - first):
        version, _, trial_s, raw = read(slot)
        used = raw[_TRY : _TRY + _TRIES].count(b"\0")
        if version and running < 0 and (raw[CONFIRMED] != 0xFF or used < _TRIES):
            running = slot
            if raw[CONFIRMED] == 0xFF:
                mark(slot, _TRY + used)
                trial = trial_s
        elif version and running < 0 and raw[RECORDED] == 0xFF:
            failed = slot
    running = max(running, 0)
    if trial:
        machine.WDT(timeout=_HANG_MS)
        _timer = machine.Timer(_TIMER)
        _timer.init(mode=machine.Timer.ONE_SHOT, period=trial * 1000, callback=_expired)
    vfs.mount(_vfs.VfsRom(memories[running]), "/rom")


def start() -> None:
    """Run the firmware. One on trial that ends is tried again, or given up, at once."""
    try:
        from device import main

        main.main()
    finally:
        if trial:
            machine.reset()


def boot() -> None:
    """What the frozen `main.py` of an ESP32 calls. MicroPython has mounted the first slot by itself."""
    partition = _vfs.rom_ioctl(2, 0)
    memory = memoryview(partition)
    half = len(memory) // 2
    try:
        vfs.umount("/rom")
    except OSError:
        pass  # the first slot holds no file system
    mount((memory[:half], memory[half:]), partition)
    start()
