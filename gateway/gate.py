"""The door to the site's broker: a bounded number of handshakes at once, and for the others a wait that costs nothing.

After an outage all devices of a site come back at once. Were all their TLS handshakes begun together, each would take longer
than the broker, or the device, waits for it: all would fail, and begin again. So a connection is passed on to the broker when
one before it is through, or has had its time; until then it waits, as it does while nobody listens behind the broker. Who has
waited for too long, or for whom there is no room, is sent away, and comes again after its back-off.

TLS is between the device and the broker: the gate reads no more of it than the heads of the first records.
"""

import asyncio
import resource
import socket
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import structlog

from gateway import metrics
from gateway.tls_records import Records
from protocol.host.turns import Turns

# Handshakes under way. An ESP32 computes for 1.5 s on its own side, so that these are some 40 devices a second.
MAX_HANDSHAKES = 64
# As long as the broker waits for a handshake. Then it takes no place any more: who stalls must not shut out the others.
PLACE_S = 5.0
# Connections that wait, and those that have not said a word: a stranger may open many.
MAX_WAITING, MAX_SILENT = 4096, 1024
# With the place less than the 25 s after which a device gives up by itself.
MAX_WAIT_S = 15.0
# The first words of a handshake, until there is an answer; a client hello is some hundred bytes.
MAX_HELLO = 16 * 1024
CONNECT_DEADLINE_S = 2.0
# A peer that acknowledges nothing for so long is gone.
UNACKNOWLEDGED_MS = 60_000
MAX_BUFFERED = 256 * 1024
BACKLOG = 1024
# Addresses that are kept for the broker's log, which tells of a connection soon after its end.
MAX_REMEMBERED = 4096

log = structlog.get_logger(__name__)


class _Side(asyncio.Protocol):
    """One end of a connection that passes through. A slow reader slows down its sender."""

    transport: asyncio.Transport
    other: "_Side | None" = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(MAX_BUFFERED)
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.close()  # after what is still to be sent, such as why it is refused


class _Broker(_Side):
    """The broker's end."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        assert isinstance(self.other, _Device)
        self.other.answered()


class _Device(_Side):
    """A device's end."""

    def __init__(self, gate: "Gate") -> None:
        self.address = ""
        self.hello = b""
        self.timer: asyncio.TimerHandle | None = None  # of its patience, then of its place
        self._gate = gate
        self._records: Records | None = Records()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.address = str(transport.get_extra_info("peername")[0])
        self._gate.came(self)

    def data_received(self, data: bytes) -> None:
        if self._records is not None:
            self._records.feed(data)
        if self.other is not None:
            super().data_received(data)
        else:
            first = not self.hello
            self.hello += data
            self._gate.spoke(self, first)

    def answered(self) -> None:
        """The broker has said something; after the end of the handshake that is whether it takes the device. (In TLS 1.3 it may
        be a session ticket before that.)
        """
        if self._records is not None and self._records.ended:
            self._records = None
            self._gate.through(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._gate.left(self)
        super().connection_lost(error)

    def wait(self, seconds: float, then: Callable[[], None]) -> None:
        self.stop()
        self.timer = asyncio.get_running_loop().call_later(seconds, then)

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Gate:
    """Passes connections to (host, port) on to `broker()` while it is open. `start`, then `close`."""

    def __init__(
        self,
        host: str,
        port: int,
        broker: Callable[[], tuple[str, int]],
        *,
        max_handshakes: int = MAX_HANDSHAKES,
        max_waiting: int = MAX_WAITING,
        max_wait_s: float = MAX_WAIT_S,
        place_s: float = PLACE_S,
    ) -> None:
        self._address = host, port
        self._broker = broker
        self._max_handshakes = max_handshakes
        self._max_wait_s = max_wait_s
        self._place_s = place_s
        self._server: asyncio.Server | None = None
        self._is_open = False
        self._devices: set[_Device] = set()
        self._silent: OrderedDict[_Device, None] = OrderedDict()
        self._waiting: Turns[_Device] = Turns(max_waiting)
        self._places: set[_Device] = set()
        self._joining: set[asyncio.Task[None]] = set()
        self._addresses: OrderedDict[int, str] = OrderedDict()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def waiting(self) -> int:
        """Of devices that have begun a handshake and are not let in."""
        return len(self._waiting)

    async def start(self) -> None:
        """Take connections; they wait until it is opened. Raises OSError if the port is taken."""
        _raise_file_limit()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Device(self), *self._address, backlog=BACKLOG)

    def open(self) -> None:
        """Somebody listens behind the broker."""
        self._is_open = True
        self._let_in()

    def shut(self) -> None:
        """Nobody does: who comes waits. Who is in stays."""
        self._is_open = False

    async def close(self) -> None:
        """End every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._joining:
            task.cancel()
        await asyncio.gather(*self._joining, return_exceptions=True)
        for device in list(self._devices):
            device.transport.abort()

    def address_of(self, port: int) -> str | None:
        """Whose connection has, or had a moment ago, this port of ours at the broker."""
        return self._addresses.get(port)

    def came(self, device: _Device) -> None:
        self._devices.add(device)
        self._silent[device] = None
        device.wait(self._max_wait_s, partial(self._send_away, device, "late"))
        if len(self._silent) > MAX_SILENT:
            self._send_away(next(iter(self._silent)), "silent")

    def spoke(self, device: _Device, first: bool) -> None:
        """It sent something, and is not in."""
        if len(device.hello) > MAX_HELLO:
            self._send_away(device, "hello")
        elif first:
            self._silent.pop(device, None)
            leaves = self._waiting.add(device.address, device)
            if leaves is not None:
                self._send_away(leaves, "full")
            self._let_in()

    def through(self, device: _Device) -> None:
        """It is in, or has had its time: the next one, please."""
        device.stop()
        self._places.discard(device)
        self._let_in()

    def left(self, device: _Device) -> None:
        self._devices.discard(device)
        self._silent.pop(device, None)
        self._waiting.discard(device.address, device)
        self.through(device)

    def _send_away(self, device: _Device, why: str) -> None:
        metrics.SENT_AWAY.labels(reason=why).inc()
        log.debug("gate.sent_away", reason=why, address=device.address)
        self.left(device)
        device.transport.abort()

    def _let_in(self) -> None:
        while self._is_open and self._waiting and len(self._places) < self._max_handshakes:
            device = self._waiting.next()
            self._places.add(device)
            device.wait(self._place_s, partial(self.through, device))
            task = asyncio.get_running_loop().create_task(self._join(device))
            self._joining.add(task)
            task.add_done_callback(self._joining.discard)
        metrics.WAITING.set(len(self._waiting))

    async def _join(self, device: _Device) -> None:
        """Connect a device to the broker."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                _, side = await loop.create_connection(_Broker, *self._broker())
        except (OSError, TimeoutError) as error:
            log.warning("gate.broker_unreachable", error=repr(error))
            self._send_away(device, "broker")
            return
        if device not in self._devices:  # it left meanwhile
            side.transport.abort()
            return
        self._remember(side.transport, device.address)
        device.other, side.other = side, device
        side.transport.write(device.hello)
        device.hello = b""

    def _remember(self, ours: asyncio.Transport, address: str) -> None:
        port = ours.get_extra_info("sockname")[1]
        self._addresses.pop(port, None)
        self._addresses[port] = address
        if len(self._addresses) > MAX_REMEMBERED:
            self._addresses.popitem(last=False)


def _raise_file_limit() -> None:
    """Two files a device here, and one at the broker, which inherits the limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
