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

from hil.board.callers import Callers
from hil.board.connections import Connections
from hil.board.datagrams import Datagrams
from hil.board.outgoing import NO_NAME, Outgoing, found
from hil.board.routes import Routes, Target
from hil.board.servers import Server, Servers
from hil.board.way import Quality
from hil.vm.link import Answer, Link
from hil.vm.wire import HOST

RESOLVE, NAME, CONNECT, BIND, LISTEN, CLOSE, PEER, UDP, UDP_BIND, UDP_CONNECT, UDP_JOIN, UDP_SEND = range(12)
LOCAL = "localhost"


class Network:
    """Channel HOST. All of it may be set while connections exist. ``seed`` decides jitter and losses of the n-th connection and
    of the n-th UDP socket that the board makes from then on. ``on_connection`` is called before each is made."""

    def __init__(
        self,
        link: Link,
        seed: int | str = 0,
        routes: Routes | None = None,
        on_connection: Callable[[], None] = lambda: None,
    ) -> None:
        self.quality = Quality()
        self.no_names = False  # getaddrinfo fails
        self.seed = seed
        self.routes = routes or Routes()
        self._refusing = False
        self._connections = Connections(self, self.routes, on_connection)
        self._callers = Callers(self._connections)
        self._servers = Servers(self, self.routes)
        self._outgoing = Outgoing(self._connections, self._servers, lambda: self._refusing)
        self._datagrams = Datagrams(self, self.routes)
        self.routes.on_change = self._servers.follow
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
        self._servers.follow()

    def reseed(self, seed: int | str) -> None:
        """The next connection is the first of this seed."""
        self.seed = seed
        self._connections.reseed()
        self._datagrams.reseed()

    def partition(self, parted: bool = True) -> None:
        """Nothing passes, in either direction, no end of a connection either; what was on the way comes later, but datagrams."""
        self.routes.part(parted)
        if not parted:
            self._outgoing.healed()

    def half_open(self) -> None:
        """The peers forget their connections; the board is told when it next sends."""
        self._connections.half_open()

    def reset(self) -> None:
        """End all connections with RST, at both ends; those too that are being made."""
        self._connections.reset()

    def handle(self, op: int, payload: bytes) -> Answer:
        try:
            return _OPERATIONS[op](self, payload)
        except (LookupError, ValueError) as error:
            raise OSError(errno.EINVAL, f"no operation of a network: {error!r}") from None

    def vm_lost(self) -> None:
        """Its sockets are closed by the host; connections end behind them, unless parted."""
        self._servers.close_all()
        self._datagrams.close()

    async def flushed(self, timeout: float) -> None:
        """Wait for connections to end behind a VM that is gone, at most so many seconds."""
        await self._connections.flushed(timeout)

    def close(self) -> None:
        self.vm_lost()
        self._connections.close()
        self._outgoing.close()
        self.routes.close()

    def admit(self, caller: socket.socket, target: Target, server: Server) -> None:
        """Who has connected to a port of the board."""
        self._callers.admit(caller, target, server.inner)

    def _ask_names(self, host: str) -> None:
        """Raises OSError for a name that nobody answers for; the board knows its own without asking."""
        if not _numeric(host) and (self.no_names or (self.routes.parted and host != LOCAL)):
            raise OSError(NO_NAME, "no such name")

    async def _named(self, host: str) -> bytes:
        """The IPv4 address of a name, which without an interface nobody is asked for."""
        self._ask_names(host)
        if not (_numeric(host) or host == LOCAL or self.routes.site):
            raise OSError(NO_NAME, "nobody to ask")
        await asyncio.sleep(2 * self.quality.latency_ms / 1000)
        return str((await found(host, 0))[4][0]).encode()

    async def _resolve(self, host: str, port: int) -> bytes:
        """The port that stands for the peer."""
        self._ask_names(host)
        return (await self._outgoing.lead(host, port)).to_bytes(2, "little")

    def _connect(self, host: str, port: int, bound: int) -> Answer:
        places = self._outgoing.connect(host, port, bound)
        return _packed(*places) if isinstance(places, list) else self._when_known(places)

    @staticmethod
    async def _when_known(places: "Coroutine[Any, Any, list[tuple[str, int]]]") -> bytes:
        return _packed(*await places)

    def _open_udp(self) -> bytes:
        number, name = self._datagrams.open()
        return bytes((number,)) + name


_OPERATIONS: dict[int, Callable[[Network, bytes], Answer]] = {
    RESOLVE: lambda net, p: net._resolve(p[2:].decode(), int.from_bytes(p[:2], "little")),
    NAME: lambda net, p: net._named(p.decode()),
    CONNECT: lambda net, p: net._connect(*_address(p), int.from_bytes(p[6:8], "big")),
    BIND: lambda net, p: _packed(net._servers.bind(*_address(p))),
    LISTEN: lambda net, p: net._servers.listen(int.from_bytes(p, "big")),
    CLOSE: lambda net, p: net._servers.close(int.from_bytes(p, "big")),
    PEER: lambda net, p: net._callers.name(int.from_bytes(p, "big")),
    UDP: lambda net, _: net._open_udp(),
    UDP_BIND: lambda net, p: net._datagrams.socket(p[0]).bind(*_address(p[1:])),
    UDP_CONNECT: lambda net, p: net._datagrams.socket(p[0]).connect(*_address(p[1:])),
    UDP_JOIN: lambda net, p: net._datagrams.socket(p[0]).join(socket.inet_ntoa(p[1:5])),
    UDP_SEND: lambda net, p: net._datagrams.socket(p[0]).send(*_address(p[1:7]), p[7:]),
}


def _address(payload: bytes) -> tuple[str, int]:
    return socket.inet_ntoa(payload[:4]), int.from_bytes(payload[4:6], "big")


def _packed(*places: tuple[str, int]) -> bytes:
    return b"".join(socket.inet_aton(host) + port.to_bytes(2, "big") for host, port in places)


def _numeric(host: str) -> bool:
    try:
        socket.inet_aton(host)
    except OSError:
        return False
    return True
