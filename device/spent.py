"""One-time credentials that were used, on flash before the door opens for them.

    payload of a slot file = (id 8 | not-after 4) …

Two slots, so a power cut in mid-write loses the opening that was in hand, and none that was before it. An id leaves when
its not-after is before the floor of the clock, under which the time never goes again. Read when it is needed:
most doors see few.
"""

from device.config_store import SlotFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

MAX_SPENT = 128  # a slot that is written in one block; when it is full, no further one-time credential opens
_ROW = 12


class Spent:
    """`open` first, then `spend`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._slots: "Optional[SlotFile]" = None
        self._rows = b""

    def open(self, id: bytes, floor: int) -> bool:
        """Whether this credential (8 bytes) may be used: it was not, and there is room to remember it."""
        self._slots = SlotFile(self._path)
        rows = self._slots.load()
        if rows is None:
            return False  # lost to a damaged flash: nobody knows what was used
        kept = bytearray()
        free = True
        for at in range(0, len(rows), _ROW):
            row = rows[at : at + _ROW]
            free = free and row[:8] != id
            if int.from_bytes(row[8:], "big") > floor:
                kept.extend(row)
        self._rows = bytes(kept)
        return free and len(kept) < MAX_SPENT * _ROW

    def spend(self, id: bytes, not_after: int) -> None:
        """Remember it, on flash. Raises OSError: then it was not used."""
        assert self._slots is not None
        self._slots.save(self._rows + id + not_after.to_bytes(4, "big"))
        self._slots, self._rows = None, b""


def create(path: str) -> None:
    """Begin with nothing used, where there is no such file."""
    slots = SlotFile(path)
    slots.load()
    slots.save(b"")
