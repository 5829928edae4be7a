"""The board's way to everybody else: what it sends and gets passes through here, with what a network does to it.

The seam of a door's board is the name resolution: its firmware asks ``socket.getaddrinfo`` before it connects, and channel HOST
answers with a port of this machine that stands for the peer. On a board without firmware it is ``socket`` itself: ``connect``,
``bind`` and every datagram ask here. The peer is connected first, so a connection that would be refused is refused, and one that
would hang hangs; what is not decided soon goes on while the VM waits at a hole. TCP sockets in the VM stay the host's own: TLS,
select and asyncio do not know.
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from hil.board import address
from hil.board.datagrams import Datagrams
from hil.board.hole import Hole, free_port, given_up
from hil.board.passage import WINDOW, Passage, end_with_reset, narrow
from hil.board.routes import ANY, Routes, Target
from hil.board.servers import Server, Servers
from hil.board.way import Quality
from hil.vm.link import Answer, Link
from hil.vm.wire import HOST

RESOLVE, NAME, CONNECT, BIND, LISTEN, CLOSE, PEER, UDP, UDP_BIND, UDP_CONNECT, UDP_JOIN, UDP_SEND = range(12)
NO_NAME = -202  # EAI_FAIL of lwIP, which MicroPython raises as OSError(-202)
LOCAL = "localhost"
CONNECT_S = 10.0
SOON_S = 0.03  # for a peer to answer before the board goes on
CLAIM_S = 20.0  # for the board to use what was resolved
MAX_CONNECTIONS = 64  # of a board
_SILENT = (
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ETIMEDOUT,
)  # of this machine's network: a board hears nothing
_NOBODY = 1  # a port at which no VM listens


class Network:
    """Channel HOST. All of it may be set while connections exist. ``seed`` decides jitter and losses of the n-th connection and
    of the n-th UDP socket that the board makes from then on."""

    def __init__(self, link: Link, seed: int | str = 0, routes: Routes | None = None) -> None:
        self.quality = Quality()
        self.no_names = False  # getaddrinfo fails
        self.seed = seed
        self.routes = routes or Routes()
        self.routes.on_change = self._follow
        self.servers = Servers(self, self.routes)
        self.datagrams = Datagrams(self, self.routes)
        self._refusing = False
        self._connections: set[Passage] = set()
        self._callers: dict[int, str] = {}  # who has connected, by the port from where its passage comes
        self._tasks: set[asyncio.Task[None]] = set()
        self._hole: Hole | None = None
        self._nowhere: Hole | None = None
        self._resets = 0
        self._made = 0
        link.attach(HOST, self)

    @property
    def connections(self) -> int:
        """That pass through here now."""
        return len(self._connections)

    @property
    def refusing(self) -> bool:
        """New connections, in both directions."""
        return self._refusing

    @refusing.setter
    def refusing(self, refusing: bool) -> None:
        self._refusing = refusing
        self.servers.follow()

    def reseed(self, seed: int | str) -> None:
        """The next connection is the first of this seed."""
        self.seed = seed
        self._made = 0
        self.datagrams.reseed()

    def partition(self, parted: bool = True) -> None:
        """Nothing passes, in either direction, no end of a connection either; what was on the way comes later, but datagrams."""
        self.routes.part(parted)
        if not parted and self._hole is not None:
            self._hole.close()
            self._hole = None

    def half_open(self) -> None:
        """The peers forget their connections; the board is told when it next sends."""
        for connection in self._connections:
            connection.forget()

    def reset(self) -> None:
        """End all connections with RST, at both ends; those too that are being made."""
        self._resets += 1
        for connection in self._connections:
            connection.abort()

    def handle(self, op: int, payload: bytes) -> Answer:
        return _OPERATIONS[op](self, payload)

    def vm_lost(self) -> None:
        """Its sockets are closed by the host; connections end behind them, unless parted."""
        self.servers.close_all()
        self.datagrams.close()

    async def flushed(self, timeout: float) -> None:
        """Wait for connections to end behind a VM that is gone, at most so many seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)

    def close(self) -> None:
        self.reset()
        self.vm_lost()
        for task in tuple(self._tasks):
            task.cancel()
        for hole in (self._hole, self._nowhere):
            if hole is not None:
                hole.close()
        self.routes.close()

    def admit(self, caller: socket.socket, target: Target, server: Server) -> None:
        """Who has connected to a port of the board, from an address as the board knows it."""
        if self.connections >= MAX_CONNECTIONS:
            end_with_reset(caller)
            caller.close()
            return
        self.spawn(self._enter(caller, target, server, self._next_seed()))

    def spawn(self, work: "Coroutine[Any, Any, None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the end of a connection is no news

    def _follow(self) -> None:
        self.servers.follow()

    def _next_seed(self) -> str:
        self._made += 1
        return f"{self.seed} {self._made}"

    def _ask_names(self, host: str) -> None:
        """Raises OSError for a name that nobody answers for; the board knows its own without asking."""
        if _numeric(host):
            return
        if self.no_names or not (host == LOCAL or not self.routes.parted):
            raise OSError(NO_NAME, "no such name")

    async def _named(self, host: str) -> bytes:
        """The IPv4 address of a name, which without an interface nobody is asked for."""
        self._ask_names(host)
        if not (_numeric(host) or host == LOCAL or self.routes.site):
            raise OSError(NO_NAME, "nobody to ask")
        await asyncio.sleep(2 * self.quality.latency_ms / 1000)
        found = await _found(host, 0)
        return str(found[4][0]).encode()

    async def _resolve(self, host: str, port: int) -> bytes:
        """The port that stands for the peer."""
        self._ask_names(host)
        if self.routes.parted:
            self._hole = self._hole or Hole()
            return self._hole.port.to_bytes(2, "little")
        return await self._lead(host, port)

    def _connect(self, host: str, port: int, bound: int) -> "bytes | Coroutine[Any, Any, bytes]":
        """Address and port at which the VM finds the peer; and, if it has to wait there, those from which it is to call.

        ``bound`` is the port of the VM from which it calls anyhow, or 0.
        """
        inner = self.servers.at(port) if self.routes.is_own(host) else None
        if inner is not None:
            return _packed(*inner)
        if self.routes.is_own(host) and not (host == ANY or address.is_local(host)):
            return _packed(self.routes.addresses.inner, _NOBODY)
        target = self.routes.target(host)
        if not target.address:
            self._nowhere = self._nowhere or Hole()
            return _packed(address.HOST, self._nowhere.port)
        return self._connect_to(target, port, bound)

    async def _connect_to(self, target: Target, port: int, bound: int) -> bytes:
        source = self.routes.addresses.outer if target.address.startswith("127.") else None
        port = address.outer_port(port) if address.is_board(target.address) else port
        refused = self.refusing or len(self._tasks) >= MAX_CONNECTIONS
        reaching = asyncio.ensure_future(self._cross(target, port, source, refused))
        try:
            soon, _ = await asyncio.wait({reaching}, timeout=SOON_S)
        except BaseException:
            reaching.cancel()
            raise
        if not soon:
            hole, inner = Hole(), self.routes.addresses.inner
            caller = (inner, bound or free_port(inner))
            self.spawn(self._lead_later(hole, caller, reaching, target.passes))
            return _packed(address.HOST, hole.port) + _packed(*caller)
        with socket.socket() as door:
            narrow(door)
            door.bind((address.HOST, 0))
            door.listen(1)
            at = _packed(*door.getsockname())
            if reaching.exception() is None:
                door.setblocking(False)
                self.spawn(
                    self._admit(door.dup(), reaching.result(), self._next_seed(), target.passes, WINDOW)
                )
        return at

    async def _cross(self, target: Target, port: int, source: str | None, refused: bool) -> socket.socket:
        """The peer, after all that keeps packets from it. Raises ConnectionRefusedError, or never ends."""
        await self.routes.open(target.passes)
        if refused:
            await asyncio.sleep(2 * self.quality.latency_ms / 1000)
            raise ConnectionRefusedError
        try:
            return await self._reach(target.address, port, source)
        except OSError as error:
            if error.errno not in _SILENT:
                raise
        nobody: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
        return await nobody

    async def _lead_later(
        self,
        hole: Hole,
        caller: tuple[str, int],
        reaching: "asyncio.Future[socket.socket]",
        passes: Callable[[], bool],
    ) -> None:
        """Join the VM, which waits at a hole, with the peer when that has answered."""
        resets = self._resets
        leaving = asyncio.ensure_future(given_up(caller))
        try:
            either: set[asyncio.Future[Any]] = {reaching, leaving}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not reaching.done():
                return
            peer = reaching.result()
            try:
                near = await hole.open(caller)
            except BaseException:
                peer.close()
                raise
        finally:
            reaching.cancel()
            leaving.cancel()
            hole.close()
        await self._join(near, peer, self._next_seed(), passes, resets, WINDOW)

    async def _lead(self, host: str, port: int) -> bytes:
        """A port of this machine that leads to the peer, or at which nobody listens."""
        door = socket.create_server((address.HOST, 0), backlog=1)
        door.setblocking(False)
        answer = int(door.getsockname()[1]).to_bytes(2, "little")
        try:
            if self.refusing or self.connections >= MAX_CONNECTIONS:
                raise ConnectionRefusedError
            peer = await asyncio.wait_for(self._reach(host, port, None), CONNECT_S)
        except OSError as error:  # TimeoutError is one
            door.close()  # nobody listens there any more
            if error.errno == NO_NAME:
                raise
            return answer
        except BaseException:
            door.close()
            raise
        self.spawn(self._admit(door, peer, self._next_seed(), _always, window=0))
        return answer

    async def _reach(self, host: str, port: int, source: str | None) -> socket.socket:
        """Connect to the peer. Raises OSError if it refuses, or is not there."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(2 * self.quality.latency_ms / 1000)  # SYN, SYN-ACK
        family, kind, protocol, _, at = await _found(host, port)
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

    async def _admit(
        self, door: socket.socket, peer: socket.socket, seed: str, passes: Callable[[], bool], window: int
    ) -> None:
        """Join the board's connection with the peer's. Ends with it."""
        resets = self._resets
        with door:
            try:
                near, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(door), CLAIM_S)
            except BaseException:
                peer.close()
                raise
        await self._join(near, peer, seed, passes, resets, window)

    async def _enter(self, caller: socket.socket, target: Target, server: Server, seed: str) -> None:
        """Join a caller with the board's server. Ends with it."""
        resets = self._resets
        near = socket.socket()
        try:
            near.setblocking(False)
            narrow(near)
            near.bind((address.HOST, 0))
            await asyncio.sleep(2 * self.quality.latency_ms / 1000)
            await self.routes.open(target.passes)
            port = near.getsockname()[1]
            self._callers[port] = f"{target.address}:{caller.getpeername()[1]}"
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(near, server.inner), CONNECT_S)
        except BaseException:
            near.close()
            end_with_reset(caller)
            caller.close()
            raise
        try:
            await self._join(near, caller, seed, target.passes, resets, WINDOW)
        finally:
            self._callers.pop(port, None)

    async def _join(
        self,
        near: socket.socket,
        far: socket.socket,
        seed: str,
        passes: Callable[[], bool],
        resets: int,
        window: int,
    ) -> None:
        connection = Passage(near, far, seed, lambda: self.quality, self.routes, passes, window)
        self._connections.add(connection)
        if resets != self._resets:
            asyncio.get_running_loop().call_soon(connection.abort)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    def _caller(self, port: int) -> bytes:
        """Who is behind a connection that the VM has accepted; "" is the board itself."""
        return self._callers.get(port, "").encode()

    def _open_udp(self) -> bytes:
        number, name = self.datagrams.open()
        return bytes((number,)) + name


_OPERATIONS: dict[int, Callable[[Network, bytes], Answer]] = {
    RESOLVE: lambda net, p: net._resolve(p[2:].decode(), int.from_bytes(p[:2], "little")),
    NAME: lambda net, p: net._named(p.decode()),
    CONNECT: lambda net, p: net._connect(*_address(p), int.from_bytes(p[6:8], "big")),
    BIND: lambda net, p: _packed(*net.servers.bind(*_address(p))),
    LISTEN: lambda net, p: net.servers.listen(int.from_bytes(p, "big")),
    CLOSE: lambda net, p: net.servers.close(int.from_bytes(p, "big")),
    PEER: lambda net, p: net._caller(int.from_bytes(p, "big")),
    UDP: lambda net, _: net._open_udp(),
    UDP_BIND: lambda net, p: net.datagrams.socket(p[0]).bind(*_address(p[1:])),
    UDP_CONNECT: lambda net, p: net.datagrams.socket(p[0]).connect(*_address(p[1:])),
    UDP_JOIN: lambda net, p: net.datagrams.socket(p[0]).join(socket.inet_ntoa(p[1:5])),
    UDP_SEND: lambda net, p: net.datagrams.socket(p[0]).send(*_address(p[1:7]), p[7:]),
}


async def _found(host: str, port: int) -> Any:
    """The first address of a name, as getaddrinfo tells it. Raises OSError."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except OSError:
        raise OSError(NO_NAME, "no such name") from None
    return found[0]


def _always() -> bool:
    return True


def _address(payload: bytes) -> tuple[str, int]:
    return socket.inet_ntoa(payload[:4]), int.from_bytes(payload[4:6], "big")


def _packed(host: str, port: int) -> bytes:
    return socket.inet_aton(host) + port.to_bytes(2, "big")


def _numeric(host: str) -> bool:
    try:
        socket.inet_aton(host)
    except OSError:
        return False
    return True
