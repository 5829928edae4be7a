"""When each hop put its packet on the wire: a capture of the loopback interface, so that no part is touched.

Needs Linux and the right to open a packet socket (root, or CAP_NET_RAW and CAP_NET_ADMIN). Only times, ports and sizes
are kept: what is inside is TLS. The kernel stamps and keeps the packets until `collect`, which is called between
samples.
"""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_LOOPBACK = "lo"
_ETH_P_IP = (
    0x0800  # unlike ETH_P_ALL it shows a packet once, as received, which on loopback is when it is sent
)
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_KEPT = 16 << 20
_HEADERS = 14 + 60 + 60


@dataclass(frozen=True)
class Packet:
    """A TCP segment that carries data; the time as of `hil.board.signals.now_us`."""

    t_us: float
    source: int
    target: int
    size: int


class Capture:
    """Everything on the loopback interface since the last `collect`."""

    def __init__(self, tap: socket.socket) -> None:
        self._tap = tap

    def collect(self) -> list[Packet]:
        """The segments with data since the last call, in the order in which they were sent."""
        offset_us = (time.time_ns() - time.monotonic_ns()) / 1000
        found: list[Packet] = []
        while True:
            try:
                frame, messages, _, _ = self._tap.recvmsg(_HEADERS, 64)
            except BlockingIOError:
                return found
            seconds, nanoseconds = struct.unpack("qq", messages[0][2])
            found += _segments(frame, seconds * 1e6 + nanoseconds / 1000 - offset_us)


def _segments(frame: bytes, t_us: float) -> Iterator[Packet]:
    ip = frame[14:]
    if ip[0] >> 4 != 4 or ip[9] != socket.IPPROTO_TCP:
        return
    head = (ip[0] & 15) * 4
    source, target = struct.unpack_from(">HH", ip, head)
    size = struct.unpack_from(">H", ip, 2)[0] - head - (ip[head + 12] >> 4) * 4
    if size > 0:
        yield Packet(t_us, source, target, size)


@contextmanager
def capture() -> Iterator[Capture | None]:
    """A capture until the block ends; None where that is not possible."""
    try:
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_IP))
    except (AttributeError, PermissionError):
        yield None
        return
    with tap:
        tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _KEPT)
        tap.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        tap.bind((_LOOPBACK, 0))
        tap.setblocking(False)
        yield Capture(tap)
