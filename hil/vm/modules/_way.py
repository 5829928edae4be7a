"""The way to a peer through the bench, for ``socket`` of a board without firmware whose connections pass there.

The other end is hil/board/network.py.
"""

import _board
from _board import usocket
from micropython import const

_HOST = const(18)  # the channel
_RESOLVE, _NAME = const(0), const(1)


def native(host, port):
    """Where the bench takes a connection to the peer."""
    answer = _board.call(_HOST, _RESOLVE, port.to_bytes(2, "little") + host.encode())
    return usocket.getaddrinfo("127.0.0.1", answer[0] | answer[1] << 8)[0][-1]


def named(host):
    """The address of a name."""
    return str(_board.call(_HOST, _NAME, host.encode()), "ascii")
