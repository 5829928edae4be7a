"""The way of a board's sockets through the bench, for ``socket`` of a board without firmware.

The other end is hil/board/network.py.
"""

import _board
from _board import usocket
from micropython import const

_HOST = const(18)  # the channel
_NAME, _CONNECT, _BIND, _LISTEN, _CLOSE, _PEER = 1, 2, 3, 4, 5, 6


def numeric(host):
    """Four bytes, or None for a name."""
    parts = host.split(".")
    if len(parts) == 4 and not host.strip("0123456789."):
        try:
            return bytes([int(part) for part in parts])
        except ValueError:
            pass


def text(address):
    """Host and port of six bytes."""
    return ".".join([str(part) for part in address[:4]]), int.from_bytes(address[4:6], "big")


def found(host):
    """The four bytes of a host; raises OSError for a name that is not found."""
    host = host or "0.0.0.0"  # noqa: S104
    return numeric(host) or numeric(str(_board.call(_HOST, _NAME, host.encode()), "ascii"))


def packed(address):
    if not isinstance(address, (tuple, list)):
        raise TypeError("object '%s' isn't a tuple or list" % type(address).__name__)
    if len(address) != 2:
        raise ValueError("requested length 2 but object has length %d" % len(address))
    host, port = found(address[0]), int(address[1])
    if not 0 <= port <= 0xFFFF:
        raise OSError(-201)  # EAI_SERVICE
    return host + port.to_bytes(2, "big")


def _native(address):
    return b"\2\0" + address[4:] + address[:4] + bytes(8)


def to(sock, address, bound):
    """Where the VM's own socket connects to for a peer; ``bound``: the port that it has already, or None."""
    answer = _board.call(_HOST, _CONNECT, packed(address) + (bound or b"\0\0"))
    if len(answer) > 6 and not bound:
        sock.bind(_native(answer[6:]))
    return _native(answer[:6])


def bound(sock, address):
    """Give a socket a port of the board; returns the VM's own port for it."""
    address = packed(address)
    try:
        inner = _board.call(_HOST, _BIND, address)
    except OSError:
        import gc

        gc.collect()  # closes what has been forgotten
        inner = _board.call(_HOST, _BIND, address)
    sock.setsockopt(usocket.SOL_SOCKET, usocket.SO_REUSEADDR, 1)
    sock.bind(_native(inner))
    return inner[4:]


def listening(inner):
    _board.call(_HOST, _LISTEN, inner)


def closed(inner):
    _board.post(_HOST, _CLOSE, inner)


def caller(address):
    """Who is behind a connection that the VM has accepted."""
    _, host, port = usocket.sockaddr(address)[:3]
    host = usocket.inet_ntop(2, host)
    behind = str(_board.call(_HOST, _PEER, port.to_bytes(2, "big")), "ascii")
    if behind:
        host, _, port = behind.partition(":")
    return host, int(port)
