"""``socket`` of a board whose connections pass through the bench: a peer's address is that of the bench's end of the way there.

Loaded as ``socket`` where the bench asks for it (hil/board/network.py); elsewhere the VM's own is used.
"""

import _board
import usocket
from usocket import *

_HOST = 18  # the channel
_RESOLVE = 0


def getaddrinfo(host, port, *args):
    if host in ("", "0.0.0.0", "::") or args[1:2] == (usocket.SOCK_DGRAM,):  # noqa: S104
        return usocket.getaddrinfo(host, port, *args)  # to listen at, or without connections
    answer = _board.call(_HOST, _RESOLVE, port.to_bytes(2, "little") + host.encode())
    return usocket.getaddrinfo("127.0.0.1", answer[0] | answer[1] << 8, *args)
