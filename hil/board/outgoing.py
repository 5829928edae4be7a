"""The connections that a board makes: where its VM finds a peer, and what becomes of it there."""

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from hil.board import address
from hil.board.connections import Connections
from hil.board.hole import Hole, free_port, given_up
from hil.board.passage import WINDOW, narrow
from hil.board.routes import ANY, Target
from hil.board.servers import Servers

CONNECT_S = 10.0
SOON_S = 0.03  # for a peer to answer before the board goes on
CLAIM_S = 20.0  # for the board to use what it was told
NO_NAME = -202  # EAI_FAIL of lwIP, which MicroPython raises as OSError(-202)
_SILENT = (
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ETIMEDOUT,
)  # of this machine's network: a board hears nothing
_NOBODY = 1  # a port at which no VM listens

At = tuple[str, int]


class Outgoing:
    """``refusing``: new ones are refused."""

    def __init__(self, connections: Connections, servers: Servers, refusing: Callable[[], bool]) -> None:
        self._connections = connections
        self._routes = connections.routes
        self._servers = servers
        self._refusing = refusing
        self._parted: Hole | None = None
        self._nowhere: Hole | None = None

    def healed(self) -> None:
        """A partition is over: who waits to hear of a port that was resolved in it is refused."""
        if self._parted is not None:
            self._parted.close()
            self._parted = None

    def close(self) -> None:
        for hole in (self._parted, self._nowhere):
            if hole is not None:
                hole.close()

    def connect(self, host: str, port: int, bound: int) -> "list[At] | Coroutine[Any, Any, list[At]]":
        """Where the VM finds the peer; and, if it has to wait there, from where it is to call.

        ``bound`` is the port of the VM from which it calls anyhow, or 0.
        """
        own = self._routes.is_own(host)
        inner = self._servers.at(port) if own else None
        if inner is not None:
            return [inner]
        if own and not (host == ANY or address.is_local(host)):
            return [(self._routes.addresses.inner, _NOBODY)]
        target = self._routes.target(host)
        if not target.address:
            self._nowhere = self._nowhere or Hole()
            return [(address.HOST, self._nowhere.port)]
        return self._connect(target, port, bound)

    async def lead(self, host: str, port: int) -> int:
        """A port of this machine that leads to the peer, or where nobody listens, or, in a partition, where connecting hangs."""
        if self._routes.parted:
            self._parted = self._parted or Hole()
            return self._parted.port
        with socket.create_server((address.HOST, 0), backlog=1) as door:
            at = int(door.getsockname()[1])
            try:
                if self._refusing() or self._connections.full:
                    raise ConnectionRefusedError
                peer = await asyncio.wait_for(self._reach(host, port, None), CONNECT_S)
            except OSError as error:  # TimeoutError is one
                if error.errno == NO_NAME:
                    raise
            else:
                self._open(door, peer, _always, 0)
        return at

    async def _connect(self, target: Target, port: int, bound: int) -> list[At]:
        refused = self._refusing() or self._connections.full
        reaching = asyncio.ensure_future(self._cross(target, port, refused))
        try:
            soon, _ = await asyncio.wait({reaching}, timeout=SOON_S)
            if not soon:
                hole, inner = Hole(), self._routes.addresses.inner
                caller = (inner, bound or free_port(inner))
                self._connections.spawn(self._join_later(hole, caller, reaching, target.passes))
                return [(address.HOST, hole.port), caller]
        except BaseException:
            reaching.cancel()
            raise
        with socket.socket() as door:
            narrow(door)
            door.bind((address.HOST, 0))
            door.listen(1)
            if reaching.exception() is None:
                self._open(door, reaching.result(), target.passes, WINDOW)
            return [door.getsockname()]

    async def _cross(self, target: Target, port: int, refused: bool) -> socket.socket:
        """The peer, after all that keeps packets from it. Raises ConnectionRefusedError, or never ends."""
        await self._routes.open(target.passes)
        if refused:
            await asyncio.sleep(2 * self._connections.quality.latency_ms / 1000)
            raise ConnectionRefusedError
        port = address.outer_port(port) if address.is_board(target.address) else port
        source = self._routes.addresses.outer if target.address.startswith("127.") else None
        try:
            return await self._reach(target.address, port, source)
        except OSError as error:
            if error.errno not in _SILENT:
                raise
        nobody: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
        return await nobody

    async def _reach(self, host: str, port: int, source: str | None) -> socket.socket:
        """Connect to the peer. Raises OSError if it refuses, or is not there."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(2 * self._connections.quality.latency_ms / 1000)  # SYN, SYN-ACK
        family, kind, protocol, _, at = await found(host, port)
        peer = socket.socket(family, kind, protocol)
        try:
            peer.setblocking(False)
            if source is not None:
                peer.bind((source, 0))
            await loop.sock_connect(peer, at)
        except BaseException:
            peer.close()
            raise
        return peer

    def _open(
        self, door: socket.socket, peer: socket.socket, passes: Callable[[], bool], window: int
    ) -> None:
        """Join who comes to the door with the peer."""
        door = door.dup()
        door.setblocking(False)
        seed = self._connections.next_seed()
        self._connections.spawn(self._join_at(door, peer, seed, passes, window))

    async def _join_at(
        self, door: socket.socket, peer: socket.socket, seed: str, passes: Callable[[], bool], window: int
    ) -> None:
        resets = self._connections.resets
        with door:
            try:
                near, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(door), CLAIM_S)
            except BaseException:
                peer.close()
                raise
        await self._connections.join(near, peer, seed, passes, resets, window)

    async def _join_later(
        self, hole: Hole, caller: At, reaching: "asyncio.Future[socket.socket]", passes: Callable[[], bool]
    ) -> None:
        """Join the VM, which waits at a hole, with the peer when that has answered."""
        resets, seed = self._connections.resets, self._connections.next_seed()
        leaving = asyncio.ensure_future(given_up(caller))
        try:
            either: set[asyncio.Future[Any]] = {reaching, leaving}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not reaching.done():
                return
            peer = reaching.result()
            try:
                near = await asyncio.wait_for(hole.open(caller), CLAIM_S)
            except BaseException:
                peer.close()
                raise
        finally:
            reaching.cancel()
            leaving.cancel()
            hole.close()
        await self._connections.join(near, peer, seed, passes, resets, WINDOW)


async def found(host: str, port: int) -> Any:
    """The first address of a name, as getaddrinfo tells it. Raises OSError."""
    loop = asyncio.get_running_loop()
    try:
        answers = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except OSError:
        raise OSError(NO_NAME, "no such name") from None
    return answers[0]


def _always() -> bool:
    return True
