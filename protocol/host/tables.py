"""Builds the tables that a device searches: what the cloud sends, and what the tests send in its place."""

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from protocol import table
from protocol.credential import NEVER
from protocol.errors import LocalError, ProtocolError
from protocol.ids import id_bytes
from protocol.keys import MAC_SIZE, hmac_sha256, lookup_key, table_key

MAX_CREDENTIALS = 500  # as many as a table of revocations has room for beside as many generations


@dataclass(frozen=True)
class User:
    """On what terms a user opens with one PIN or card. `user_id` as in the API; times are unix seconds."""

    user_id: str
    flags: int = 0
    schedule_id: int = 0
    not_before: int = 0
    not_after: int = NEVER

    def row(self, key: bytes) -> bytes:
        """The row that is found by `key`; LocalError for what does not fit it."""
        try:
            terms = struct.pack(">HHII", self.flags, self.schedule_id, self.not_before, self.not_after)
        except struct.error as error:
            raise LocalError("user") from error
        return key + id_bytes(self.user_id) + terms


def users_table(
    k_dev: bytes,
    device_id: str,
    sequence: int,
    *,
    pins: Mapping[str, User] = {},
    cards: Mapping[bytes, User] = {},
) -> bytes:
    """The table of who opens a device's door, by the digits of their PINs and by canonical card numbers (8 bytes)."""
    key = lookup_key(k_dev)
    rows = [user.row(table.lookup(key, b"pin", digits.encode())) for digits, user in pins.items()]
    rows += [user.row(table.lookup(key, b"card", number)) for number, user in cards.items()]
    return sealed_table(table.KIND_USERS, k_dev, device_id, sequence, rows)


def revocations_table(
    k_dev: bytes,
    device_id: str,
    sequence: int,
    credentials: Iterable[bytes],
    generations: Mapping[bytes, int],
) -> bytes:
    """The table of revoked credential ids, and of subjects (4 bytes) with the lowest generation that is still good."""
    listed = [credential + table.ALL_KEYS for credential in credentials]
    rows = [*listed] + [
        subject + table.ALL_KEYS + generation.to_bytes(4, "big")
        for subject, generation in generations.items()
    ]
    if len(listed) > MAX_CREDENTIALS or len(generations) > table.MAX_REVOCATIONS - MAX_CREDENTIALS:
        raise LocalError("revocations")
    return sealed_table(table.KIND_REVOCATIONS, k_dev, device_id, sequence, rows)


def sealed_table(kind: int, k_dev: bytes, device_id: str, sequence: int, rows: Iterable[bytes]) -> bytes:
    """A table of these rows; LocalError if a device would refuse it."""
    ordered = sorted(rows)
    whose = id_bytes(device_id)
    try:
        size = table.SHAPES[kind][0]
        header = struct.pack(table.HEADER, table.MAGIC, kind, size, len(ordered), sequence, whose)
        checked = table.Table(header, whose)
        for row in ordered:
            checked.take(row)
    except (struct.error, ProtocolError) as error:
        raise LocalError("table") from error
    body = header + b"".join(ordered)
    return body + hmac_sha256(table_key(k_dev), hashlib.sha256(body).digest())[:MAC_SIZE]
