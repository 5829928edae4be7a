"""Fragments: one message over a Bluetooth link whose ATT_MTU is between 23 and 517.

fragment = header 1 | bytes            header: bit 7 first, bit 6 last, bits 5..0 counter
"""

from protocol.errors import LocalError, Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

    from protocol.keys import Buffer

ATT_OVERHEAD = 3  # opcode and handle of a write or a notification
FIRST = 0x80
LAST = 0x40
COUNTER = 0x3F
MAX_MESSAGE = 512  # what one central can make the door hold


def split(message: "Buffer", mtu: int) -> "List[bytes]":
    """Cut `message` into values that fit one ATT write or notification each."""
    room = mtu - ATT_OVERHEAD - 1
    if room < 1 or len(message) == 0 or len(message) > MAX_MESSAGE:
        raise LocalError("mtu or message size")
    out: "List[bytes]" = []
    count = (len(message) + room - 1) // room
    if count > COUNTER + 1:
        raise LocalError("too many fragments")
    for i in range(count):
        header = i | (FIRST if i == 0 else 0) | (LAST if i == count - 1 else 0)
        out.append(bytes((header,)) + bytes(message[i * room : (i + 1) * room]))
    return out


class Reassembler:
    """Puts fragments together again; a wrong one resets it and raises Malformed."""

    def __init__(self, max_size: int = MAX_MESSAGE) -> None:
        self._max = max_size
        self._parts = b""
        self._next = 0

    def reset(self) -> None:
        """Forget what came so far."""
        self._parts = b""
        self._next = 0

    def push(self, fragment: "Buffer") -> "Optional[bytes]":
        """Take one fragment; return the message when it is whole, None when more must come."""
        if len(fragment) < 2:
            self.reset()
            raise Malformed("fragment_empty")
        header = fragment[0]
        if header & FIRST:
            self.reset()
        if header & COUNTER != self._next or bool(header & FIRST) != (self._next == 0):
            self.reset()
            raise Malformed("fragment_order")
        if len(self._parts) + len(fragment) - 1 > self._max:
            self.reset()
            raise Malformed("fragment_size")
        self._parts += bytes(fragment[1:])
        if not header & LAST:
            self._next += 1
            return None
        message = self._parts
        self.reset()
        return message
