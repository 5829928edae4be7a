"""The phone's side of carrying: what it has for a door, and what it says to it (`protocol.carry`)."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from protocol import carry, transfer
from protocol.errors import Malformed
from protocol.ids import id_bytes
from protocol.keys import MAC_SIZE, hmac_sha256

PROOF_LIFE_S = 300  # a phone's clock may be off by that much


@dataclass(frozen=True)
class Cargo:
    """A sealed offer for one door, and its file. A phone can open neither."""

    door_id: str
    sequence: int
    offer: bytes
    file: bytes

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> "Cargo":
        """Of the body of `GET /v1/doors/{id}/revocations`."""
        return cls(
            answer["door_id"], answer["sequence"], answer["offer"].encode(), bytes.fromhex(answer["file"])
        )

    def carry(self) -> bytes:
        """The CARRY."""
        return bytes((carry.CARRY,)) + self.offer

    def pieces(self, offset: int) -> Iterator[bytes]:
        """The PIECEs of the chunk at this offset."""
        end = min(offset + transfer.MAX_CHUNK, len(self.file))
        for at in range(offset, end, carry.MAX_PIECE):
            data = self.file[at : min(at + carry.MAX_PIECE, end)]
            yield bytes((carry.PIECE,)) + at.to_bytes(4, "big") + data


def decode_want(raw: bytes) -> tuple[int, int]:
    """(status, offset) of a WANT; raises Malformed."""
    if len(raw) != carry.WANT_SIZE or raw[0] != carry.WANT or raw[1] > carry.WANT_NO_MORE:
        raise Malformed("want")
    return struct.unpack(">BI", raw[1:])


def carrier_key(key: bytes, door_id: str, now_s: int) -> str:
    """The MAC with which a phone proves to the cloud that it has a key of this door, in hex; `key` is after all caveats."""
    mac = hmac_sha256(key, b"carry", id_bytes(door_id), now_s.to_bytes(4, "big"))
    return mac[:MAC_SIZE].hex()
