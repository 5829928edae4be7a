"""The partitions of the board's flash, and which of the two firmwares its bootloader starts.

Channel OTA. The table is that of MicroPython's OTA builds, with ``romfs`` behind ``vfs``. Each of those two has a file of its
own; all else is in ``chip.img``, made at the first use. What the bootloader would keep in ``otadata`` is in ``ota.json``, and
every image in a slot is the same MicroPython: of what is written to a slot only the magic number is looked at.
"""

import json
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from hil.board import flash
from hil.scratch import Scratch
from hil.vm.link import Link
from hil.vm.wire import OTA

TABLE, RUNNING, BOOT, SET_BOOT, VALID = range(5)
APP, DATA = 0, 1
SLOTS = ("ota_0", "ota_1")
ESP_ERR_OTA_VALIDATE_FAILED = 0x1503
_IMAGE_MAGIC = 0xE9
_VFS_AT = 0x310000


class Partition(NamedTuple):
    """One line of the table; the content begins at ``base`` of ``file``."""

    label: str
    type: int
    subtype: int
    address: int
    size: int
    file: str = "chip.img"

    @property
    def base(self) -> int:
        return self.address if self.file == "chip.img" else 0


def table(flash_kib: int, slots_kib: int) -> tuple[Partition, ...]:
    """For a file system of ``flash_kib``."""
    size = flash_kib * 1024
    return (
        Partition("nvs", DATA, 0x02, 0x9000, 0x4000),
        Partition("otadata", DATA, 0x00, 0xD000, 0x2000),
        Partition("phy_init", DATA, 0x01, 0xF000, 0x1000),
        Partition("ota_0", APP, 0x10, 0x10000, 0x180000),
        Partition("ota_1", APP, 0x11, 0x190000, 0x180000),
        Partition("vfs", DATA, 0x81, _VFS_AT, size, "flash.img"),
        Partition("romfs", DATA, 0x8F, _VFS_AT + size, slots_kib * 1024, "slots.img"),
    )


class State(IntEnum):
    """Of a slot's image, as ``esp_ota_img_states_t``: on trial from its first boot until it says that it is well."""

    NEW = 0
    PENDING = 1
    VALID = 2
    ABORTED = 4


class Partitions:
    """``folder`` None is a board that keeps nothing: a temporary one, until its VM ends."""

    def __init__(self, link: Link, folder: Path | None, flash_kib: int, slots_kib: int) -> None:
        self.table = table(flash_kib, slots_kib)
        self._given = folder
        self._scratch: Scratch | None = None
        self.running = self._boot = SLOTS[0]
        self._states = dict.fromkeys(SLOTS, State.VALID)
        if self._kept is not None and self._kept.exists():
            kept = json.loads(self._kept.read_text())
            self._boot = self.running = kept["boot"]
            self._states = {slot: State(kept["states"][slot]) for slot in SLOTS}
        link.attach(OTA, self)

    @property
    def folder(self) -> Path:
        if self._given is not None:
            return self._given
        if self._scratch is None:
            self._scratch = Scratch("flash")
        return self._scratch.path

    def chip_reset(self) -> None:
        """What the bootloader does at every reset of the chip: an image that was tried and did not confirm itself is given up."""
        state = self._states[self._boot]
        if state in (State.NEW, State.PENDING):
            self._states[self._boot] = State(state + 1) if state == State.NEW else State.ABORTED
            if state == State.PENDING:
                self._boot = self._other(self._boot)
            self._save()
        self.running = self._boot

    def handle(self, op: int, payload: bytes) -> bytes | None:
        if op == TABLE:
            return self._told()
        if op == RUNNING:
            return self.running.encode()
        if op == BOOT:
            return self._boot.encode()
        if op == SET_BOOT:
            self._set_boot(payload.decode())
        elif op == VALID and self._states[self.running] != State.VALID:
            self._states[self.running] = State.VALID
            self._save()
        return None

    def vm_lost(self) -> None:
        if self._scratch is not None:
            self._scratch.remove()
            self._scratch = None

    def _told(self) -> bytes:
        self._make()
        lines = (
            f"{p.label},{p.type},{p.subtype},{p.address},{p.size},{self.folder / p.file},{p.base}"
            for p in self.table
        )
        return "\n".join(lines).encode()

    def _make(self) -> None:
        """The files that are not there yet; the first slot holds the image that runs."""
        chip = self.folder / "chip.img"
        if not chip.exists():
            content = bytearray(b"\xff" * _VFS_AT)
            content[self._row(SLOTS[0]).address] = _IMAGE_MAGIC
            chip.write_bytes(content)
        for row in self.table:
            flash.create(self.folder / row.file, row.size // 1024)

    def _set_boot(self, label: str) -> None:
        if label not in SLOTS:
            raise OSError(-ESP_ERR_OTA_VALIDATE_FAILED, "no image")
        with (self.folder / "chip.img").open("rb") as f:
            f.seek(self._row(label).address)
            if f.read(1) != bytes((_IMAGE_MAGIC,)):
                raise OSError(-ESP_ERR_OTA_VALIDATE_FAILED, "no image")
        if label != self._boot or label != self.running:
            self._states[label] = State.NEW
        self._boot = label
        self._save()

    def _row(self, label: str) -> Partition:
        return next(row for row in self.table if row.label == label)

    @staticmethod
    def _other(slot: str) -> str:
        return SLOTS[1 - SLOTS.index(slot)]

    @property
    def _kept(self) -> Path | None:
        return self._given and self._given / "ota.json"

    def _save(self) -> None:
        if self._kept is not None:
            fresh = self._kept.with_suffix(".new")
            fresh.write_text(json.dumps({"boot": self._boot, "states": self._states}))
            fresh.replace(self._kept)
