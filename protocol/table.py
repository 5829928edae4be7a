"""Tables that a device searches on its flash: who opens by PIN or card, and what is revoked.

    table = "LWT1" | kind 1 | row size 1 | count 2 | sequence 4 | device 8 | rows | MAC 16
    MAC   = HMAC(K_table, SHA-256(all before it))[:16]

Rows ascend by their key, their first bytes, and no key comes twice. Integers are big-endian.

    user       (36 B) = lookup key 16 | user 8 | flags 2 | schedule 2 | not-before 4 | not-after 4
    revocation (12 B) = credential id 8 | ffffffff          that key of a subject
                      = subject 4 | ffffffff | generation 4  keys of that subject before that generation
"""

import hashlib
import struct

from protocol.credential import KNOWN_FLAGS, NEEDS_SECOND, NEVER, PASSBACK_EXEMPT, Token
from protocol.errors import BadMac, Malformed, WrongDevice
from protocol.keys import MAC_SIZE, constant_equal, hmac_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional

    from protocol.keys import Buffer

KIND_USERS = 1
KIND_REVOCATIONS = 2
MAX_USERS = 2000  # a table that fills the flash, and a search that takes long
MAX_REVOCATIONS = 1000  # 500 credential ids and 500 generations
HEADER_SIZE = 20
LOOKUP_SIZE = 16
ALL_KEYS = b"\xff\xff\xff\xff"  # in place of a serial: the row is about all keys of the subject
MAGIC = b"LWT1"
HEADER = ">4sBBHI8s"
_USER = ">8sHHII"
_FLAGS_AT = 24
# By kind: size of a row, of its key, and how many there may be.
SHAPES = ((0, 0, 0), (36, LOOKUP_SIZE, MAX_USERS), (12, 8, MAX_REVOCATIONS))

_ROW_FLAGS = KNOWN_FLAGS | NEEDS_SECOND | PASSBACK_EXEMPT


class Table:
    """What the header says: kind, sequence, number of rows, and the shape of a row."""

    def __init__(self, header: "Buffer", device: bytes) -> None:
        if len(header) != HEADER_SIZE:
            raise Malformed("table")
        magic, self.kind, self.row_size, self.count, self.sequence, whose = struct.unpack(HEADER, header)
        if magic != MAGIC or self.kind not in (KIND_USERS, KIND_REVOCATIONS):
            raise Malformed("table")
        row_size, self.key_size, most = SHAPES[self.kind]
        if self.row_size != row_size or self.count > most or self.sequence == 0:
            raise Malformed("table")
        if whose != device:
            raise WrongDevice("table_device")
        self.size = HEADER_SIZE + self.count * row_size + MAC_SIZE
        self._hash = hashlib.sha256(header)
        self._last = b""

    def take(self, row: "Buffer") -> None:
        """Check the next row of the file; raise Malformed."""
        key = bytes(row[: self.key_size])
        if len(row) != self.row_size or key <= self._last:
            raise Malformed("table_row")
        # An unknown flag may restrict.
        if self.kind == KIND_USERS and int.from_bytes(row[_FLAGS_AT : _FLAGS_AT + 2], "big") & ~_ROW_FLAGS:
            raise Malformed("table_flags")
        self._last = key
        self._hash.update(row)

    def finish(self, key: bytes, mac: "Buffer") -> None:
        """Check the MAC behind the last row; raise BadMac. Ask once."""
        if not constant_equal(mac, hmac_sha256(key, self._hash.digest())[:MAC_SIZE]):
            raise BadMac("table_mac")


def search(count: int, key: bytes, read: "Callable[[int], bytearray]") -> "Optional[bytes]":
    """The row that begins with `key`, or None. `read(n)` gives row n; it is asked as often for a hit as for a miss."""
    size = len(key)
    step = 1
    while step <= count:
        step *= 2
    before = -1  # the last row that is known to be below
    while step > 1:
        step //= 2
        at = min(before + step, count - 1)
        if read(at)[:size] < key:
            before = at
    row = bytes(read(min(before + 1, count - 1))) if count else b""
    return row if row[:size] == key and count else None


def lookup(key: bytes, label: bytes, secret: "Buffer") -> bytes:
    """Key of the row of a PIN (`b"pin"`, its digits) or a card (`b"card"`, 8 bytes); `key` is K_lookup."""
    return hmac_sha256(key, label, secret)[:LOOKUP_SIZE]


def user_token(row: "Buffer", epoch: int) -> Token:
    """A user's row on the terms of a token, whose credential id is the user's id; of a table that was checked."""
    user, flags, schedule, not_before, not_after = struct.unpack(_USER, row[LOOKUP_SIZE:])
    return Token(epoch, user, NEVER, not_before, not_after, flags, schedule)
