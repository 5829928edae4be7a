"""What waits to be written to a socket whose peer does not read just now."""

import asyncio
import socket
from collections.abc import Callable


class Outbox:
    """For a non-blocking stream socket. ``limit``: bytes that wait at most; ``failed`` is told that the peer is gone."""

    def __init__(self, sock: socket.socket, limit: int, failed: Callable[[], None] = lambda: None) -> None:
        self._sock = sock
        self._limit = limit
        self._failed = failed
        self._waiting = bytearray()

    def send(self, data: bytes) -> bool:
        """Write now, or as soon as the peer reads; False if there is no room, and then nothing of it is written."""
        if self._waiting:
            if len(self._waiting) + len(data) > self._limit:
                return False
            self._waiting += data
        elif (sent := self._write(data)) < len(data):
            self._waiting += data[sent:]
            asyncio.get_running_loop().add_writer(self._sock, self._writable)
        return True

    def close(self) -> None:
        """Forget what waits; the socket is the caller's to close, afterwards."""
        self._waiting.clear()
        asyncio.get_running_loop().remove_writer(self._sock)

    def _write(self, data: bytes | bytearray) -> int:
        """How much was taken: all of it by a peer that is gone."""
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.close()
            self._failed()
            return len(data)

    def _writable(self) -> None:
        sent = self._write(self._waiting)
        if not self._waiting:
            return  # closed meanwhile
        del self._waiting[:sent]
        if not self._waiting:
            asyncio.get_running_loop().remove_writer(self._sock)
