"""The file behind the board's flash, its wear, and when its power is cut."""

import struct
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

BLOCK = 4096
MAX_CUT = 0xFFFF
_COUNTS = struct.Struct("<II")


class Where(IntEnum):
    """What the interrupted write leaves: nothing, its first half, all of it."""

    BEFORE = 0
    WITHIN = 1
    AFTER = 2


class Cut(NamedTuple):
    """Lose power at the ``write``-th program or erase operation from now on, counted from 1; or from the ``slots``-th
    on that there is on the partition of the firmware slots.
    """

    write: int
    where: Where = Where.WITHIN
    slots: int = 0

    def check(self) -> "Cut":
        if not 1 <= self.write <= MAX_CUT:
            raise ValueError(f"write {self.write} is outside 1..{MAX_CUT}")
        if not 0 <= self.slots <= MAX_CUT:
            raise ValueError(f"write {self.slots} to the slots is outside 0..{MAX_CUT}")
        return self


class Wear(NamedTuple):
    """What a block has been through since the flash was made; an operation that a power cut kept from happening counts."""

    programs: int
    erases: int


class Worn(NamedTuple):
    """Flash at the end of its life: ``bad`` blocks that no operation changes any more, and ``noise_ppm`` wrong bits in a million
    bytes that are read; the same ``seed`` and the same reads, the same bits."""

    bad: tuple[int, ...] = ()
    noise_ppm: int = 0
    seed: int = 1

    def packed(self) -> bytes:
        if not 0 <= self.noise_ppm <= 1_000_000:
            raise ValueError(f"{self.noise_ppm} is not within 0..1000000 wrong bits in a million bytes")
        if not 1 <= self.seed <= 0xFFFFFFFF:
            raise ValueError(f"seed {self.seed} is outside 1..{0xFFFFFFFF}")
        return struct.pack(f"<II{len(self.bad)}H", self.noise_ppm, self.seed, *self.bad)


def create(path: Path, kib: int) -> None:
    """Make an empty flash of ``kib``; a sparse file, so a board that writes little costs little."""
    if not path.exists():
        _empty(path, kib * 1024)
    if not _wear_path(path).exists():
        _empty(_wear_path(path), path.stat().st_size // BLOCK * _COUNTS.size)


def wear(path: Path) -> list[Wear]:
    """Of each block."""
    return [Wear(*counts) for counts in _COUNTS.iter_unpack(_wear_path(path).read_bytes())]


def _wear_path(path: Path) -> Path:
    return path.with_name(path.name + ".wear")


def _empty(path: Path, size: int) -> None:
    with path.open("wb") as f:
        f.truncate(size)
