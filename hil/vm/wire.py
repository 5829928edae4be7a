"""The frames between a VM and its board model: one header, the same on both ends of a Unix stream socket.

Header, 16 bytes, little endian: kind u8, channel u8, op u8, mark 0xB0, payload length u32, stamp u64. The
stamp is the VM's ``ticks_us`` (CLOCK_MONOTONIC in microseconds); an answer repeats that of its call. The VM's twin of this
file is ``hil/vm/modules/_board.py``.
"""

import struct
from typing import NamedTuple

POST, CALL, REPLY, ERROR, INTERRUPT = range(5)
CORE, GPIO, BLE, NET, NVS, UART = range(6)
BUS = 16
OTA = 17
HOST = 18
ETHERNET = 19

HEADER = struct.Struct("<BBBBIQ")
MARK = 0xB0
MAX_PAYLOAD = 16 * 1024  # one kernel buffer, so a frame arrives whole; bounds what a broken VM makes us hold


class FrameError(ValueError):
    """The VM sent bytes that are not a frame: its side of the link is lost."""


class Frame(NamedTuple):
    kind: int
    channel: int
    op: int
    t_us: int
    payload: bytes


def encode(kind: int, channel: int, op: int, payload: bytes = b"", t_us: int = 0) -> bytes:
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"payload of {len(payload)} bytes is over {MAX_PAYLOAD}")
    return HEADER.pack(kind, channel, op, MARK, len(payload), t_us) + payload


class Decoder:
    """Cuts a byte stream into frames; raises FrameError when the mark or the length is wrong."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        self._buffer += data
        frames: list[Frame] = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self) -> Frame | None:
        if len(self._buffer) < HEADER.size:
            return None
        kind, channel, op, mark, length, t_us = HEADER.unpack_from(self._buffer)
        if mark != MARK or length > MAX_PAYLOAD:
            raise FrameError(f"bad frame header {bytes(self._buffer[: HEADER.size]).hex()}")
        if len(self._buffer) < HEADER.size + length:
            return None
        payload = bytes(self._buffer[HEADER.size : HEADER.size + length])
        del self._buffer[: HEADER.size + length]
        return Frame(kind, channel, op, t_us, payload)
