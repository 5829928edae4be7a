"""A port where connecting hangs, as behind a partition or on a long way, until the bench knows what becomes of it."""

import asyncio
import socket

from hil.board.passage import narrow

_AGAIN_S = 0.005
_GONE_S = 1.0  # after so long whoever does not use his port has closed it
_HOST = "127.0.0.1"


class Hole:
    """Nobody accepts, and the queue of those who wait is full."""

    def __init__(self) -> None:
        self._door = _shared()
        self._door.bind((_HOST, 0))
        self._door.listen(0)
        self._waiting = [socket.socket() for _ in range(2)]
        for each in self._waiting:
            each.setblocking(False)
            each.connect_ex(self._door.getsockname())

    @property
    def port(self) -> int:
        return int(self._door.getsockname()[1])

    async def open(self, caller: tuple[str, int]) -> socket.socket:
        """Connect with the one who calls from there, by a call in the other direction: two that meet are a connection of TCP.

        Raises OSError if nobody does.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + _GONE_S
        while True:
            sock = _shared()
            try:
                sock.bind((_HOST, self.port))
                await loop.sock_connect(sock, caller)
            except ConnectionRefusedError:  # he has not begun to call, or has given up
                sock.close()
                if loop.time() > end and is_free(caller):
                    raise
                await asyncio.sleep(_AGAIN_S)
            except BaseException:
                sock.close()
                raise
            else:
                self.close()
                return sock

    def close(self) -> None:
        """Who waits there is refused, when he next asks."""
        for each in (self._door, *self._waiting):
            each.close()


async def given_up(caller: tuple[str, int]) -> None:
    """Wait until somebody has closed the socket with which he calls."""
    await asyncio.sleep(_GONE_S)
    while not is_free(caller):  # noqa: ASYNC110  (nothing tells)
        await asyncio.sleep(_GONE_S)


def is_free(address: tuple[str, int]) -> bool:
    """Whether nobody has bound it."""
    with socket.socket() as sock:
        try:
            sock.bind(address)
        except OSError:
            return False
    return True


def free_port(host: str) -> int:
    """Of an address where nobody else takes one."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


def _shared() -> socket.socket:
    """Its port may be shared with others of this process."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    narrow(sock)
    return sock
