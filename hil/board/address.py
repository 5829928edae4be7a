"""A board's own addresses on this machine, of 127.0.0.0/8, so that any number of boards may listen at the same port.

The outer one is what everybody reaches it by; behind the inner one are the sockets of its VM.
"""

import errno
import functools
import socket
import zlib
from typing import NamedTuple

_FIRST = 0x7F400000  # 127.64.0.0/10
_COUNT = 1 << 22
_INNER = 1 << 23  # from an outer address to the inner one
BROADCAST = "127.255.255.255"  # of the site's network
MASK = "255.0.0.0"
HOST = "127.0.0.1"  # this machine: gateway and name server of the site's network
UNPRIVILEGED = 1024
ABOVE = 8000  # where the machine keeps its lower ports from the user, port 80 is 8080
_TRIES = 64


class Addresses(NamedTuple):
    """``claim`` keeps others from having them; closing it gives them back, as the end of the process does."""

    outer: str
    inner: str
    claim: socket.socket


def claim(unique_id: bytes) -> Addresses:
    """The same for the same chip, unless another board of this machine has them. Raises OSError if all are taken."""
    first = zlib.crc32(unique_id)
    for number in range(_TRIES):
        outer = _FIRST + 1 + (first + number) % (_COUNT - 2)
        held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            held.bind(f"\0latchwork {_text(outer)}")
        except OSError:
            held.close()
            continue
        return Addresses(_text(outer), _text(outer + _INNER), held)
    raise OSError(errno.EADDRNOTAVAIL, "no address is left for this board")


def is_board(host: str) -> bool:
    """Whether it is an outer address."""
    try:
        return int.from_bytes(socket.inet_aton(host), "big") - _FIRST in range(_COUNT)
    except OSError:
        return False


def is_local(host: str) -> bool:
    """Whether it is this machine itself, which a board reaches without an interface."""
    return host.startswith("127.") and not is_board(host) and host != BROADCAST


@functools.cache
def _may_bind_low() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((_text(_FIRST), 1))
        except PermissionError:
            return False
        except OSError:
            pass
    return True


def outer_port(port: int) -> int:
    """The port at which a board is reached whose program has bound ``port``."""
    return port if port >= UNPRIVILEGED or port == 0 or _may_bind_low() else port + ABOVE


def _text(number: int) -> str:
    return socket.inet_ntoa(number.to_bytes(4, "big"))
