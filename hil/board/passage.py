"""One TCP connection of a board on its way through the bench: two sockets, and what is on the way between them."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any

from hil.board.routes import Routes
from hil.board.way import Quality, Way

_CHUNK = 8192
_ROOM = 16 * _CHUNK  # bytes on the way in one direction: then TCP's window is full
WINDOW = (
    5760  # bytes that a chip has under way, and as many more that wait to be sent: TCP_SND_BUF of its lwIP
)
_PEERS_WINDOW = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST


class Passage:
    """``near`` is the board's end. ``quality`` is asked for each chunk; nothing passes but while ``passes`` and not parted.

    ``window``: the bytes that the board may have under way; 0 is as many as the bench takes."""

    def __init__(
        self,
        near: socket.socket,
        far: socket.socket,
        seed: str,
        quality: Callable[[], Quality],
        routes: Routes,
        passes: Callable[[], bool],
        window: int = 0,
    ) -> None:
        self._quality = quality
        self._routes = routes
        self._passes = passes
        self._window = window
        self._ways = {near: Way(f"{seed} up"), far: Way(f"{seed} down")}
        self._near, self._far = near, far
        self._forgotten = self._aborted = False
        self._task: asyncio.Task[Any] | None = None
        for end in (near, far):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if window:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PEERS_WINDOW)

    async def run(self) -> None:
        """Until both directions have ended, or one was reset."""
        self._task = asyncio.current_task()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(self._near, self._far))
                group.create_task(self._carry(self._far, self._near))
        except* OSError:
            self._aborted = True
            await self._routes.open(self._passes)  # a reset does not pass a partition either
        finally:
            self._close()

    def forget(self) -> None:
        """The peer does, and tells so when it is next sent something."""
        self._forgotten = True
        with contextlib.suppress(OSError):
            self._far.shutdown(socket.SHUT_RDWR)

    def abort(self) -> None:
        """RST at both ends."""
        self._aborted = True
        if self._task is not None:
            self._task.cancel()

    def _close(self) -> None:
        for end in (self._near, self._far):
            if self._aborted:
                end_with_reset(end)
            end.close()

    async def _carry(self, source: socket.socket, target: socket.socket) -> None:
        """One direction."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()  # the room bounds it
        room = _Room(self._window if self._window and source is self._near else _ROOM)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deliver(queue, target, room))
            way = self._ways[source]
            while True:
                data = await loop.sock_recv(source, min(await room.some(), _CHUNK))
                room.left -= len(data)
                if self._forgotten:
                    if source is self._near:
                        raise ConnectionResetError
                    await asyncio.Event().wait()  # of a peer that has forgotten nothing comes
                queue.put_nowait((way.arrival(loop.time(), len(data), self._quality()), data))
                if not data:
                    return

    async def _deliver(
        self, queue: "asyncio.Queue[tuple[float, bytes]]", target: socket.socket, room: "_Room"
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            await asyncio.sleep(due - loop.time())
            await self._routes.open(self._passes)
            if not data:
                target.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(target, data)
            room.give(len(data))


class _Room:
    """Bytes that may be under way beyond those that are."""

    def __init__(self, size: int) -> None:
        self.left = size
        self._more = asyncio.Event()

    async def some(self) -> int:
        while self.left <= 0:
            self._more.clear()
            await self._more.wait()
        return self.left

    def give(self, size: int) -> None:
        self.left += size
        self._more.set()


def narrow(near: socket.socket) -> None:
    """Take from the board what its window lets it send; before ``near`` listens or connects."""
    near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)


def end_with_reset(sock: socket.socket) -> None:
    """When it is closed."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
