"""The file behind the board's flash, and when its power is cut."""

from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

MAX_CUT = 0xFFFF


class Where(IntEnum):
    """What the interrupted write leaves: nothing, its first half, all of it."""

    BEFORE = 0
    WITHIN = 1
    AFTER = 2


class Cut(NamedTuple):
    """Lose power at the ``write``-th program or erase operation from now on, counted from 1."""

    write: int
    where: Where = Where.WITHIN

    def check(self) -> "Cut":
        if not 1 <= self.write <= MAX_CUT:
            raise ValueError(f"write {self.write} is outside 1..{MAX_CUT}")
        return self


def create(path: Path, kib: int) -> None:
    """Make an empty flash of ``kib``; a sparse file, so a board that writes little costs little."""
    if not path.exists():
        with path.open("wb") as f:
            f.truncate(kib * 1024)
