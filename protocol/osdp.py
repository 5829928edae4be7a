"""Frames of OSDP v2.2 (IEC 60839-11-5), as a control panel sends and takes them.

frame = SOM 53 | address 1 | size 2 LE | control 1 | [security block] | code 1 | data | [MAC 4] | CRC 2 LE
control: bits 1..0 sequence, bit 2 CRC (else a checksum of 1 byte), bit 3 security block; bit 7 of the address: a reply
"""

from protocol.errors import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

    from protocol.osdp_secure import Session

MAX_FRAME = 128  # what every OSDP device must take; a reader's answers to our commands are shorter


def crc16(data: bytes) -> int:
    """CRC-16, polynomial 1021, beginning with 1D0F."""
    crc = 0x1D0F
    for byte in data:
        x = crc >> 8 ^ byte
        x ^= x >> 4
        crc = (crc << 8 ^ x << 12 ^ x << 5 ^ x) & 0xFFFF
    return crc


def encode(
    address: int, sequence: int, block: bytes, body: bytes, session: "Optional[Session]" = None
) -> bytes:
    """A command's frame; in a `session`, which finds the block itself, with its MAC, and its data encrypted."""
    if session:
        block, body = session.cover(body)
    size = 7 + len(block) + len(body) + (4 if session else 0)
    control = sequence | (12 if block else 4)
    wire = bytes((0x53, address, size & 255, size >> 8, control)) + block + body
    if session:
        wire += session.sign(wire)
    crc = crc16(wire)
    return wire + bytes((crc & 255, crc >> 8))


class Decoder:
    """Takes the bytes of the line one by one; what is between frames is passed over."""

    def __init__(self) -> None:
        self._buffer = bytearray(MAX_FRAME)
        self._size = 0
        self.have = 0  # bytes of a frame that is not whole yet

    def push(self, byte: int) -> "Optional[Tuple[bytes, int]]":
        """A whole frame without its check characters, and where its body begins; None while more must come."""
        have = self.have
        if have == 0 and byte != 0x53:
            return None
        self._buffer[have] = byte
        self.have = have = have + 1
        if have == 4:
            self._size = self._buffer[2] | byte << 8
            if not 7 <= self._size <= MAX_FRAME:
                self.have = 0
                raise Malformed("osdp_check")
        if have < 4 or have < self._size:
            return None
        self.have = 0
        wire = self._buffer[:have]
        control = wire[4]
        end = have - 1 - (control >> 2 & 1)
        frame = bytes(wire[:end])
        if (crc16(frame) != wire[end] | wire[-1] << 8) if control & 4 else (sum(wire) & 255):
            raise Malformed("osdp_check")
        at = 5 + frame[5] if control & 8 and end > 5 else 5
        if at >= end or 5 < at < 7:
            raise Malformed("osdp_block")
        return frame, at
