"""Small files that survive a power cut at any write: two slots, each with a version and a CRC; the last good
one stays.

    slot = magic 4 | version 4 | length 4 | CRC-32 of all the rest 4 | payload          (big-endian)

A save writes the slot that does not hold the current version, so a torn write leaves the current one whole.
This also holds on a file system that is not copy-on-write.
"""

import binascii
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

    from protocol.keys import Buffer

MAGIC = b"LWS1"
MAX_PAYLOAD = 16384  # a length field that lies must not make the board allocate
_HEADER = ">4sII"
_HEADER_SIZE = 16


def make_directory(path: str) -> None:
    """Make the directory if it is not there; its parent must be."""
    try:
        os.mkdir(path)
    except OSError:
        os.stat(path)  # raises if it is not there for another reason


def remove_file(path: str) -> None:
    """Remove the file if it is there."""
    try:
        os.remove(path)
    except OSError:
        if file_size(path) >= 0:
            raise


def file_size(path: str) -> int:
    """Size in bytes, or -1 if there is no such file."""
    try:
        return os.stat(path)[6]
    except OSError:
        return -1


def _header(version: int, payload: "Buffer") -> bytes:
    head = struct.pack(_HEADER, MAGIC, version, len(payload))
    return head + struct.pack(">I", binascii.crc32(payload, binascii.crc32(head)) & 0xFFFFFFFF)


def _read(path: str) -> "Optional[Tuple[int, bytes]]":
    size = file_size(path)
    if not _HEADER_SIZE <= size <= _HEADER_SIZE + MAX_PAYLOAD:
        return None
    # The payload is kept once in RAM: a large one does not fit beside its copy.
    with open(path, "rb") as f:
        head = f.read(_HEADER_SIZE)
        payload = f.read()
    _, version, _ = struct.unpack(_HEADER, head[:12])
    if head != _header(version, payload):
        return None
    return version, payload


class SlotFile:
    """One payload with a version that rises by one at each save. Files: `<path>.0` and `<path>.1`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.version = 0
        self._current = -1

    def load(self) -> "Optional[bytes]":
        """The last payload that was saved whole, or None. An unreadable slot counts as empty."""
        best: "Optional[bytes]" = None
        self.version, self._current = 0, -1
        for slot in range(2):
            try:
                found = _read(self._slot(slot))
            except OSError:
                found = None
            if found is not None and found[0] > self.version:
                self.version, best = found
                self._current = slot
        return best

    def save(self, payload: "Buffer") -> None:
        """Save; load() must have been called. On OSError the payload before is still the one that loads."""
        if len(payload) > MAX_PAYLOAD:
            raise ValueError("payload size")
        slot = 1 if self._current == 0 else 0
        with open(self._slot(slot), "wb") as f:
            f.write(_header(self.version + 1, payload))
            f.write(payload)
        self.version += 1
        self._current = slot

    def _slot(self, slot: int) -> str:
        return self._path + "." + str(slot)


class NumberFile:
    """One unsigned 64-bit number that is kept: boot epoch, clock floor."""

    def __init__(self, path: str) -> None:
        self._slots = SlotFile(path)
        raw = self._slots.load()
        self.value = int.from_bytes(raw, "big") if raw is not None and len(raw) == 8 else 0

    def save(self, value: int) -> None:
        """Save before use: what follows may rely on the number being on flash."""
        self._slots.save(struct.pack(">Q", value))
        self.value = value
