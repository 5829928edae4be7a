"""What a board listens at: the ports where others reach it, and the way from there to its VM.

A port is open at the board's outer address while an interface is up, and at 127.0.0.1 if that port of this machine is free.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Protocol

from hil.board import address
from hil.board.hole import free_port, is_free
from hil.board.passage import end_with_reset
from hil.board.routes import Routes, Target

MAX_SERVERS = 16  # of a board, as an ESP32 has sockets
_BACKLOG = 16
_AGAIN_S = 0.1  # after accepting failed, for want of descriptors


class Host(Protocol):
    """What joins a caller with the board."""

    @property
    def refusing(self) -> bool:
        """New connections."""

    def admit(self, caller: socket.socket, target: Target, server: "Server") -> None:
        """Take a caller, who is closed if there is no room."""


class Server:
    """A port that the board has bound. ``inner`` is where its VM listens."""

    def __init__(self, host: Host, routes: Routes, port: int, local_only: bool) -> None:
        self._host = host
        self._routes = routes
        self._accepting: dict[socket.socket, asyncio.Task[None]] = {}
        self._listening = False
        self._open = False
        self.inner = (routes.addresses.inner, free_port(routes.addresses.inner))
        self.port = port or self.inner[1]
        self._outer = None if local_only else _bound(routes.addresses.outer, self.port)
        self._local: socket.socket | None = None
        with contextlib.suppress(OSError):
            self._local = _bound(address.HOST, self.port)

    def listen(self) -> None:
        if not self._listening:
            self._listening = True
            self.follow()

    @property
    def listening(self) -> bool:
        return self._listening

    def follow(self) -> None:
        """Open or shut, as interfaces and faults want it."""
        if self._listening:
            self._set(self._local, not self._host.refusing)
            self._set(self._outer, self._routes.up and not self._host.refusing)

    def close(self) -> None:
        for task in self._accepting.values():
            task.cancel()
        for sock in (self._local, self._outer):
            if sock is not None:
                asyncio.get_running_loop().remove_reader(sock)  # now: its number may be another's at once
                sock.close()

    def _set(self, sock: socket.socket | None, wanted: bool) -> None:
        if sock is None or wanted == (sock in self._accepting):
            return
        if wanted:
            sock.listen(_BACKLOG)
            name = self._local_name if sock is self._local else self._routes.named
            self._accepting[sock] = asyncio.get_running_loop().create_task(self._accept(sock, name))
        else:
            self._accepting.pop(sock).cancel()
            sock.shutdown(socket.SHUT_RDWR)  # it keeps the port, where callers are refused now

    async def _accept(self, sock: socket.socket, named: Callable[[str], Target]) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                caller, peer = await loop.sock_accept(sock)
            except OSError:
                await asyncio.sleep(_AGAIN_S)
                continue
            target = named(peer[0])
            if target.address:
                self._host.admit(caller, target, self)
            else:
                end_with_reset(caller)
                caller.close()

    @staticmethod
    def _local_name(host: str) -> Target:
        return Target(host, lambda: True)


class Servers:
    """Those of one board."""

    def __init__(self, host: Host, routes: Routes) -> None:
        self._host = host
        self._routes = routes
        self._all: dict[int, Server] = {}  # by the inner port

    def bind(self, host: str, port: int) -> tuple[str, int]:
        """Where its VM is to bind instead. Raises OSError."""
        if len(self._all) >= MAX_SERVERS or self._has(port):
            self._sweep()
        if len(self._all) >= MAX_SERVERS:
            raise OSError(errno.ENOBUFS, "too many ports")
        if self._has(port):
            raise OSError(errno.EADDRINUSE, "the board has bound it already")
        server = Server(self._host, self._routes, port, address.is_local(host))
        self._all[server.inner[1]] = server
        return server.inner

    def listen(self, inner: int) -> None:
        if inner in self._all:
            self._all[inner].listen()

    def at(self, port: int) -> tuple[str, int] | None:
        """Where its VM listens for a port of the board."""
        return next((each.inner for each in self._all.values() if each.port == port and each.listening), None)

    def follow(self) -> None:
        for each in self._all.values():
            each.follow()

    def close(self, inner: int) -> None:
        server = self._all.pop(inner, None)
        if server is not None:
            server.close()

    def _has(self, port: int) -> bool:
        return any(port == each.port for each in self._all.values())

    def _sweep(self) -> None:
        """Close those whose socket is gone and was not closed."""
        for each in tuple(self._all.values()):
            if is_free(each.inner):
                self.close(each.inner[1])

    def close_all(self) -> None:
        for inner in tuple(self._all):
            self.close(inner)


def _bound(host: str, port: int) -> socket.socket:
    sock = socket.socket()
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, address.outer_port(port)))
    except BaseException:
        sock.close()
        raise
    return sock
