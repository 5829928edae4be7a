"""The board's way to everybody else: its TCP connections pass through here, with what a network does to them.

The seam is the name resolution: firmware asks ``socket.getaddrinfo`` before it connects, and channel HOST answers with a port
of this machine that stands for the peer. On a board without firmware it is ``connect`` itself, which has the peer's address. The
peer is connected first, so a connection that would be refused is refused, and one that would hang hangs. Sockets in the VM stay
the host's own: TLS, select and asyncio do not know. UDP and what the board itself listens on do not pass through here
(docs/fidelity.md says why).
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Coroutine
from typing import Any

from hil.board.way import Quality, Way
from hil.vm.link import Link
from hil.vm.wire import HOST

RESOLVE, NAME = range(2)
NO_NAME = -202  # EAI_FAIL of lwIP, which MicroPython raises as OSError(-202)
LOCAL = "localhost"
CONNECT_S = 10.0
CLAIM_S = 20.0  # for the board to use what was resolved
MAX_CONNECTIONS = 64  # of a board
_CHUNK = 8192
_QUEUED = 16  # chunks on the way in one direction: then TCP's window is full
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST


class Network:
    """Channel HOST. All of it may be set while connections exist. ``seed`` decides jitter and losses of the n-th connection that
    the board makes from then on."""

    def __init__(self, link: Link, seed: int | str = 0) -> None:
        self.quality = Quality()
        self.refusing = False  # new connections
        self.no_names = False  # getaddrinfo fails
        self.seed = seed
        self.whole = asyncio.Event()
        self.whole.set()
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._hole: _Hole | None = None
        self._resets = 0
        self._made = 0
        link.attach(HOST, self)

    @property
    def connections(self) -> int:
        """That pass through here now."""
        return len(self._connections)

    def reseed(self, seed: int | str) -> None:
        """The next connection is the first of this seed."""
        self.seed = seed
        self._made = 0

    def partition(self, parted: bool = True) -> None:
        """Nothing passes, in either direction, no end of a connection either; what was on the way comes after it."""
        if parted:
            self.whole.clear()
        else:
            self.whole.set()
            if self._hole is not None:
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

    def handle(self, op: int, payload: bytes) -> "Coroutine[Any, Any, bytes]":
        if op == NAME:
            return self._named(payload.decode())
        return self._resolve(payload[2:].decode(), int.from_bytes(payload[:2], "little"))

    def vm_lost(self) -> None:
        """Its sockets are closed by the host; connections end behind them, unless parted."""

    def close(self) -> None:
        self.reset()
        for task in tuple(self._tasks):
            task.cancel()
        if self._hole is not None:
            self._hole.close()

    def _ask_names(self, host: str) -> None:
        """Raises OSError for a name that nobody answers for; the board knows its own without asking."""
        numeric = _numeric(host)
        if not numeric and (self.no_names or not (self.whole.is_set() or host == LOCAL)):
            raise OSError(NO_NAME, "no such name")

    async def _named(self, host: str) -> bytes:
        """The IPv4 address of a name."""
        self._ask_names(host)
        await asyncio.sleep(2 * self.quality.latency_ms / 1000)
        found = await _found(host, 0)
        return str(found[4][0]).encode()

    async def _resolve(self, host: str, port: int) -> bytes:
        """The port that stands for the peer."""
        self._ask_names(host)
        if not self.whole.is_set():
            self._hole = self._hole or _Hole()
            return _port(self._hole.door)
        door = socket.create_server(("127.0.0.1", 0), backlog=1)
        door.setblocking(False)
        try:
            peer = (
                None
                if self.refusing or self.connections >= MAX_CONNECTIONS
                else await self._reach(host, port)
            )
            if peer is None:
                answer = _port(door)
                door.close()  # nobody listens there any more
                return answer
        except BaseException:
            door.close()
            raise
        self._made += 1
        self.spawn(self._admit(door, peer, f"{self.seed} {self._made}"))
        return _port(door)

    async def _reach(self, host: str, port: int) -> socket.socket | None:
        """Connect to the peer; None if it refuses or is not there."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(2 * self.quality.latency_ms / 1000)  # SYN, SYN-ACK
        family, kind, protocol, _, address = await _found(host, port)
        peer = socket.socket(family, kind, protocol)
        peer.setblocking(False)
        try:
            await asyncio.wait_for(loop.sock_connect(peer, address), CONNECT_S)
        except OSError:  # TimeoutError is one
            peer.close()
            return None
        return peer

    async def _admit(self, door: socket.socket, peer: socket.socket, seed: str) -> None:
        """Join the board's connection with the peer's. Ends with it."""
        resets = self._resets
        with door:
            try:
                near, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(door), CLAIM_S)
            except BaseException:
                peer.close()
                raise
        connection = _Connection(self, near, peer, seed)
        self._connections.add(connection)
        if resets != self._resets:
            asyncio.get_running_loop().call_soon(connection.abort)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    def spawn(self, work: "Coroutine[Any, Any, None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the end of a connection is no news


class _Connection:
    """Two sockets, and what is on the way between them."""

    def __init__(self, network: Network, near: socket.socket, far: socket.socket, seed: str) -> None:
        self._network = network
        self._ways = {near: Way(f"{seed} up"), far: Way(f"{seed} down")}
        self._near, self._far = near, far
        self._forgotten = self._aborted = False
        self._task: asyncio.Task[Any] | None = None
        for end in (near, far):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def run(self) -> None:
        """Until both directions have ended, or one was reset."""
        self._task = asyncio.current_task()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(self._near, self._far))
                group.create_task(self._carry(self._far, self._near))
        except* OSError:
            self._aborted = True
            await self._network.whole.wait()  # a reset does not pass a partition either
        finally:
            self._close()

    def forget(self) -> None:
        self._forgotten = True
        with contextlib.suppress(OSError):
            self._far.shutdown(socket.SHUT_RDWR)

    def abort(self) -> None:
        self._aborted = True
        if self._task is not None:
            self._task.cancel()

    def _close(self) -> None:
        for end in (self._near, self._far):
            if self._aborted:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.close()

    async def _carry(self, source: socket.socket, target: socket.socket) -> None:
        """One direction."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUED)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deliver(queue, target))
            way = self._ways[source]
            while True:
                data = await loop.sock_recv(source, _CHUNK)
                if self._forgotten:
                    if source is self._near:
                        raise ConnectionResetError
                    await asyncio.Event().wait()  # of a peer that has forgotten nothing comes
                await queue.put((way.arrival(loop.time(), len(data), self._network.quality), data))
                if not data:
                    return

    async def _deliver(self, queue: "asyncio.Queue[tuple[float, bytes]]", target: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            await asyncio.sleep(due - loop.time())
            await self._network.whole.wait()
            if not data:
                target.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(target, data)


class _Hole:
    """A port where connecting hangs, as behind a partition: nobody accepts, and the queue of those who wait is full."""

    def __init__(self) -> None:
        self.door = socket.create_server(("127.0.0.1", 0), backlog=0)
        self._waiting = [socket.socket() for _ in range(2)]
        for each in self._waiting:
            each.setblocking(False)
            each.connect_ex(self.door.getsockname())

    def close(self) -> None:
        """Who waits there is refused."""
        for each in (self.door, *self._waiting):
            each.close()


async def _found(host: str, port: int) -> Any:
    """The first address of a name, as getaddrinfo tells it. Raises OSError."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except OSError:
        raise OSError(NO_NAME, "no such name") from None
    return found[0]


def _port(door: socket.socket) -> bytes:
    return int(door.getsockname()[1]).to_bytes(2, "little")


def _numeric(host: str) -> bool:
    try:
        socket.inet_aton(host)
    except OSError:
        return False
    return True
