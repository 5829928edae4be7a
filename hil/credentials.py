"""Who is at the other end of a Unix socket: as the kernel knows, whatever is said there."""

import os
import socket
import struct
from typing import NamedTuple

_UCRED = struct.Struct("3i")


class Credentials(NamedTuple):
    """SO_PEERCRED: of the process that connected, or that listens."""

    pid: int
    uid: int
    gid: int

    @property
    def same_user(self) -> bool:
        return self.uid == os.getuid()


def of_peer(sock: socket.socket) -> Credentials:
    """Raises OSError."""
    return Credentials(*_UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)))
