"""Tables of users and revocations on flash: checked whole before they are in force, searched in their file.

    <path>          the table in force, put there by rename
    <path>.0 .1     the highest sequence that was ever taken (a NumberFile)

Invariants, which hold after a power cut at any write: the sequence is on flash before its table is in force, so a
table can be lost to a damaged flash, but no older one ever comes back; and either table is whole.
"""

import os

from device.config_store import NumberFile, file_size
from protocol.errors import Malformed, ProtocolError, Replayed
from protocol.keys import MAC_SIZE
from protocol.table import HEADER_SIZE, Table, search

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional


class TableStore:
    """One kind of table. `sequence` is that of the table in force, or 0; `damaged` tells that there was one once."""

    def __init__(self, path: str, kind: int, key: bytes, device: bytes) -> None:
        self._path = path
        self._kind = kind
        self._key = key
        self._device = device
        self._highest = NumberFile(path)
        self._count = self._row_size = self.sequence = 0
        try:
            self._enforce(self._check(path))
        except (OSError, ProtocolError):
            pass  # there is none, or it was lost: see `damaged`

    @property
    def damaged(self) -> bool:
        """Whether there is no table in force, and there was one."""
        return self.sequence == 0 and self._highest.value > 0

    def highest(self) -> int:
        """The highest sequence that was ever in force, or 0."""
        return self._highest.value

    def find(self, key: bytes) -> "Optional[bytes]":
        """The row with that key, or None. Raises OSError."""
        if self._count == 0:
            return None
        row = bytearray(self._row_size)
        with open(self._path, "rb") as f:

            def read(number: int) -> bytearray:
                f.seek(HEADER_SIZE + number * len(row))
                f.readinto(row)
                return row

            return search(self._count, key, read)

    def activate(self, path: str) -> None:
        """Put a received table in force; its file is taken away. ProtocolError or OSError: nothing has changed."""
        table = self._check(path)
        if table.sequence < self._highest.value or table.sequence <= self.sequence:
            raise Replayed("table_older")
        self._highest.save(table.sequence)
        os.rename(path, self._path)
        self._enforce(table)

    def _check(self, path: str) -> "Table":
        with open(path, "rb") as f:
            table = Table(f.read(HEADER_SIZE), self._device)
            if table.kind != self._kind or file_size(path) != table.size:
                raise Malformed("table")
            row = bytearray(table.row_size)
            for _ in range(table.count):
                f.readinto(row)
                table.take(row)
            table.finish(self._key, f.read(MAC_SIZE))
        return table

    def _enforce(self, table: "Table") -> None:
        self._count, self._row_size, self.sequence = table.count, table.row_size, table.sequence
