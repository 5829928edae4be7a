"""What a phone carries to a door over Bluetooth: a sealed offer, then its file, chunk by chunk as the door wants them.

CARRY = 0x14 | sealed offer                     phone to door; the offer has `sums`
WANT  = 0x16 | status 1 | offset 4              door to phone
PIECE = 0x15 | offset 4 | data 1..232           phone to door: the pieces of the chunk at the offset, in order
"""

import hashlib

from protocol.errors import BadMac, Malformed
from protocol.transfer import MAX_CHUNK, SUM_SIZE, chunk_length

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from protocol.keys import Buffer
    from protocol.transfer import Offer

CARRY, PIECE, WANT = 0x14, 0x15, 0x16
MAX_PIECE = 232  # one fragment at the door's ATT_MTU; less than that per 5 s is no progress
WANT_SIZE = 6
# Status of a WANT.
WANT_CHUNK = 0  # the chunk at the offset
WANT_NOTHING = 1  # this version is in force
WANT_NO_MORE = 2  # it is not, and will not be: there is a newer one, or it was refused
_PIECE_HEAD = 5
_CHUNK_HEAD = 12


def want(status: int, offset: int) -> bytes:
    """The WANT."""
    return bytes((WANT, status)) + offset.to_bytes(4, "big")


class Load:
    """The door's side of one phone: puts the chunks of `offer` together."""

    def __init__(self, offer: "Offer") -> None:
        self.offer = offer
        self._at = self._have = 0
        self._chunk = bytearray()

    def begin(self, at: int) -> bytes:
        """Nothing but the chunk at this offset is good now; returns the WANT that says so."""
        head = want(WANT_CHUNK, at)
        self._chunk = bytearray(_CHUNK_HEAD + chunk_length(self.offer, at))
        self._chunk[:_CHUNK_HEAD] = self.offer.id + head[2:]
        self._at, self._have = at, _CHUNK_HEAD
        return head

    def push(self, message: "Buffer") -> "Optional[bytearray]":
        """Take a PIECE; returns the chunk, as `split_chunk` reads it, when it is whole and genuine.

        Raises Malformed for any other piece than the next, and BadMac for a chunk that is not of the offer.
        """
        chunk, have = self._chunk, self._have
        size = min(MAX_PIECE, len(chunk) - have)
        at = self._at + have - _CHUNK_HEAD
        if not size or len(message) != _PIECE_HEAD + size or at.to_bytes(4, "big") != message[1:_PIECE_HEAD]:
            raise Malformed("piece")
        self._have = have + size
        chunk[have : have + size] = message[_PIECE_HEAD:]
        if self._have < len(chunk):
            return None
        first = self._at // MAX_CHUNK * SUM_SIZE
        digest = hashlib.sha256(memoryview(chunk)[_CHUNK_HEAD:]).digest()
        if digest[:SUM_SIZE] != self.offer.sums[first : first + SUM_SIZE]:
            raise BadMac("piece_sum")
        return chunk
