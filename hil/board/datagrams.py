"""A board's UDP: datagrams pass through here, and some get lost.

Each socket of the VM has a packet socket to here, whose end tells that it is closed. What it sends comes as an operation, which
is refused as the chip would; what it gets is an address of 6 bytes and the datagram.
"""

import asyncio
import contextlib
import errno
import secrets
import socket
from collections import deque
from collections.abc import Callable
from typing import Protocol

from hil.board import address
from hil.board.routes import ANY, Routes, Target
from hil.board.way import Quality, Way
from hil.credentials import of_peer

MAX_SOCKETS = 16  # of a board, as an ESP32 has
MAX_WAITING = 256  # datagrams on their way to a socket, or from it
MAX_SIZE = 65507
MAX_GROUPS = 8  # multicast groups of a socket: MEMP_NUM_IGMP_GROUP of lwIP
_CLAIM_S = 5.0  # for the VM to take what it has opened
_FIRST_PEERS = 64  # that came by 127.0.0.1, and are answered from there
_AT_ONCE = 64
_BUFFER = 32 * 1024  # bytes of a socket that nobody reads
_MULTICAST = range(224, 240)


class Host(Protocol):
    """What decides the fate of datagrams."""

    quality: Quality
    seed: int | str


class Datagrams:
    """The sockets of one board."""

    def __init__(self, host: Host, routes: Routes) -> None:
        self.host = host
        self.routes = routes
        self.all: dict[int, UdpSocket] = {}
        self._made = 0

    def reseed(self) -> None:
        self._made = 0

    def open(self) -> tuple[int, bytes]:
        """A new socket: its number, and the abstract name at which the VM connects to it."""
        if len(self.all) >= MAX_SOCKETS:
            self.sweep()
        if len(self.all) >= MAX_SOCKETS:
            raise OSError(errno.ENFILE, "too many sockets")
        self._made += 1
        number = next(n for n in range(MAX_SOCKETS) if n not in self.all)
        self.all[number] = made = UdpSocket(self, number, f"{self.host.seed} udp {self._made}")
        return number, made.name

    def socket(self, number: int) -> "UdpSocket":
        if number not in self.all:
            raise OSError(errno.EBADF, "no such socket")
        return self.all[number]

    def sweep(self) -> None:
        """Close those that the VM has closed just now."""
        for each in tuple(self.all.values()):
            each.look()

    def at(self, port: int) -> "UdpSocket | None":
        return next((each for each in self.all.values() if each.port == port), None)

    def close(self) -> None:
        for each in tuple(self.all.values()):
            each.close()


class UdpSocket:
    """``bind``, ``connect``, ``join`` and ``send`` are the VM's; ``port`` is 0 until it has one. ``local_only``: it is bound to
    127.0.0.1, which nobody else reaches."""

    def __init__(self, board: Datagrams, number: int, seed: str) -> None:
        self.port = 0
        self.local_only = False
        self.name = b"\0latchwork udp " + secrets.token_hex(8).encode()
        self._board = board
        self._number = number
        self._up, self._down = Way(f"{seed} up"), Way(f"{seed} down")
        self._waiting = 0
        self._peer: tuple[str, int] | None = None
        self._local_peers: deque[tuple[str, int]] = deque(maxlen=_FIRST_PEERS)
        self._outer: dict[str, socket.socket] = {}  # by what they are for
        self._groups: dict[str, None] = {}
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._door.setblocking(False)
        self._door.bind(self.name)
        self._door.listen(1)
        self._inner: socket.socket | None = None
        loop = asyncio.get_running_loop()
        loop.add_reader(self._door, self._taken)
        self._late = loop.call_later(_CLAIM_S, self.close)

    def bind(self, host: str, port: int) -> None:
        """A socket that is bound already leaves its port for the other one."""
        if self._board.at(port or -1) not in (None, self):
            self._board.sweep()
        if self._board.at(port or -1) not in (None, self):
            raise OSError(errno.EADDRINUSE, "the board has bound it already")
        self.local_only = address.is_local(host)
        if self.port and port == self.port:
            return
        own = self._add("own", self._board.routes.addresses.outer, port)
        self.port = own if port == 0 else port
        for what, at in (("local", address.HOST), ("everybody", address.BROADCAST)):
            with contextlib.suppress(OSError):
                self._add(what, at, self.port)
        for group in self._groups:
            self._enter(group)

    def connect(self, host: str, port: int) -> None:
        self._peer = (address.HOST if host == ANY else host, port)

    def join(self, group: str) -> None:
        """A multicast group. Raises OSError(EADDRNOTAVAIL) as lwIP, for what is none and for one too many."""
        if not _is_multicast(group) or (group not in self._groups and len(self._groups) >= MAX_GROUPS):
            raise OSError(errno.EADDRNOTAVAIL, "no multicast group, or too many")
        if not self.port:
            self.bind(ANY, 0)
        if group not in self._groups:
            self._enter(group)
            self._groups[group] = None

    def send(self, host: str, port: int, data: bytes) -> None:
        """Raises OSError where the chip would; what is lost later is nobody's concern."""
        if not self.port:
            self.bind(ANY, 0)
        for target in self._targets(host):
            passes, outer = target.passes, target.address
            if outer:
                self._later(self._up, passes, len(data), lambda o=outer: self._put(o, port, data))  # type: ignore[misc]

    def close(self) -> None:
        self._late.cancel()
        self._board.all.pop(self._number, None)
        loop = asyncio.get_running_loop()
        for sock in (self._door, self._inner, *self._outer.values()):
            if sock is not None and sock.fileno() >= 0:
                loop.remove_reader(sock)
                sock.close()

    def _targets(self, host: str) -> list[Target]:
        routes = self._board.routes
        everybody = routes.everybody(host)
        if everybody is None and _is_multicast(host):
            routes.target(host)  # or there is no way
            everybody = [*([host] if routes.site else ()), *routes.neighbours()]
        if everybody is None:
            return [routes.target(host)]
        if not everybody:
            routes.target(host)
        return [Target(outer, lambda: routes.up) for outer in everybody]

    def _put(self, outer: str, port: int, data: bytes) -> None:
        """Out of the board."""
        own = self._board.at(port)
        routes = self._board.routes
        if own is not None and (address.is_local(outer) or outer == routes.addresses.outer):
            if address.is_local(outer) or not own.local_only:
                own.deliver(outer, self.port, data)
            return
        if address.is_board(outer):
            port = address.outer_port(port)
        with contextlib.suppress(OSError):
            self._from(outer, port).sendto(data, (outer, port))

    def _from(self, outer: str, port: int) -> socket.socket:
        if (outer, port) in self._local_peers and "local" in self._outer:
            return self._outer["local"]
        if address.is_local(outer) and not self._board.routes.up:
            return self._outer.get("local") or self._wide()
        if outer.startswith("127.") or _is_multicast(outer):
            return self._outer["own"]
        return self._wide()

    def _wide(self) -> socket.socket:
        """For those who are not on this machine."""
        if "wide" not in self._outer:
            self._add("wide", ANY, 0)
        return self._outer["wide"]

    def _enter(self, group: str) -> None:
        self._add(group, group, self.port)
        member = socket.inet_aton(group) + socket.inet_aton(address.HOST)
        self._outer[group].setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)

    def _drop(self, what: str) -> None:
        sock = self._outer.pop(what, None)
        if sock is not None:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()

    def _add(self, what: str, host: str, port: int) -> int:
        """Its port. Another that was for the same is closed: only its own goes on if there is no new one."""
        if what != "own":
            self._drop(what)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if what not in ("own", "local"):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, address.outer_port(port)))
            if what == "own":
                interface = socket.inet_aton(address.HOST)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
        except BaseException:
            sock.close()
            raise
        self._drop(what)
        self._outer[what] = sock
        asyncio.get_running_loop().add_reader(sock, self._arrived, what)
        return int(sock.getsockname()[1])

    def _arrived(self, what: str) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, (host, port) = self._outer[what].recvfrom(MAX_SIZE)
            except OSError:
                return
            if host != self._board.routes.addresses.outer or what == "own":
                self._hear(what, host, port, data)

    def _hear(self, what: str, host: str, port: int, data: bytes) -> None:
        """From outside."""
        if self.local_only and what != "local":
            return
        by_local = what in ("local", "wide")
        target = Target(host, lambda: True) if by_local else self._board.routes.named(host)
        if what == "local" and (host, port) not in self._local_peers:
            self._local_peers.append((host, port))
        if target.address:
            self._later(
                self._down, target.passes, len(data), lambda: self.deliver(target.address, port, data)
            )

    def _later(self, way: Way, passes: Callable[[], bool], size: int, act: Callable[[], None]) -> None:
        """Let a datagram take its time, if it gets through."""
        loop = asyncio.get_running_loop()
        due = way.datagram(loop.time(), size, self._board.host.quality)
        if due is None or self._waiting >= MAX_WAITING:
            return
        if due <= loop.time():
            self._pass(passes, act)
        else:
            self._waiting += 1
            loop.call_at(due, self._after, passes, act)

    def _after(self, passes: Callable[[], bool], act: Callable[[], None]) -> None:
        self._waiting -= 1
        self._pass(passes, act)

    def _pass(self, passes: Callable[[], bool], act: Callable[[], None]) -> None:
        if passes() and not self._board.routes.parted and self._board.all.get(self._number) is self:
            act()

    def deliver(self, host: str, port: int, data: bytes) -> None:
        """To the VM, if it has room."""
        if self._inner is not None and self._peer in (None, (host, port)):
            with contextlib.suppress(OSError):
                self._inner.send(socket.inet_aton(host) + port.to_bytes(2, "big") + data)

    def _taken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            inner, _ = self._door.accept()
            if of_peer(inner).same_user:
                self._take(inner)
            else:  # anybody may find an abstract socket
                inner.close()

    def _take(self, inner: socket.socket) -> None:
        self._inner = inner
        self._inner.setblocking(False)
        self._inner.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._door)
        self._door.close()
        self._late.cancel()
        loop.add_reader(self._inner, self.look)

    def look(self) -> None:
        """The VM says nothing here; it closes its end."""
        try:
            if self._inner is not None:
                self._inner.recv(1)
        except BlockingIOError:
            return
        except OSError:
            pass  # with datagrams unread
        if self._inner is not None:
            self.close()


def _is_multicast(host: str) -> bool:
    return int(host.partition(".")[0]) in _MULTICAST
