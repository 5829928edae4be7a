"""A board's Bluetooth stack: NimBLE's behaviour under MicroPython's bluetooth module, on a Bumble device.

One module for each role and for the own address (ble_address, ble_gap, ble_server, ble_client, ble_security, ble_l2cap), on what
they share in ble_host.
"""

import asyncio
import errno
import struct
from collections.abc import Awaitable, Callable

from bumble import hci

from hil.radio import ble_ops as ops
from hil.radio.ble_address import OwnAddress
from hil.radio.ble_client import GattClient
from hil.radio.ble_errors import HCI_BASE, host_error
from hil.radio.ble_gap import Gap
from hil.radio.ble_host import BleHost, Interrupt
from hil.radio.ble_l2cap import L2cap
from hil.radio.ble_security import Security
from hil.radio.ble_server import GattServer
from hil.radio.medium import Medium
from hil.radio.path_loss import Position
from hil.radio.station import Station, static_address

DEFAULT_NAME = b"MPY ESP32"
MAX_NAME = 31  # BLE_SVC_GAP_DEVICE_NAME_MAX_LENGTH
START_TIMEOUT = 2.0  # seconds for the program's secrets: NIMBLE_STARTUP_TIMEOUT

Handler = Callable[[bytes], bytes | Awaitable[None] | None]


class BleStack:
    """The Bluetooth stack from active(True) to active(False)."""

    def __init__(
        self,
        medium: Medium,
        name: str,
        interrupt: Interrupt,
        mac: bytes,
        position: Position | None,
    ) -> None:
        public = hci.Address(mac[::-1], hci.Address.PUBLIC_DEVICE_ADDRESS)
        self.station = Station(medium, name, public, static_address(mac[::-1]), position)
        self._device = self.station.device
        self._host = host = BleHost(self._device, name, interrupt)
        self._address = OwnAddress(host, medium, self.station)
        self._gap = Gap(host)
        self._security = Security(host)
        self._server = GattServer(host, self._security)
        client, channels = GattClient(host), L2cap(host)
        self._gap.on_connected = [client.connected, self._security.connected]
        self._gap.on_broken = [
            client.broken,
            self._server.broken,
            self._security.broken,
            channels.broken,
        ]
        self._server.table.name.write(DEFAULT_NAME)
        self._loading: asyncio.Task[None] | None = None
        self._handlers = self._table(client, channels)

    def _table(self, client: GattClient, channels: L2cap) -> dict[int, Handler]:
        gap, server, security = self._gap, self._server, self._security
        return {
            ops.CONFIG_GET: self.config_get,
            ops.CONFIG_SET: self.config_set,
            ops.STARTED: self.started,
            ops.ANSWER: self._host.answer,
            ops.ADVERTISE: gap.advertise,
            ops.STOP: gap.stop_advertising,
            ops.SCAN: gap.scan,
            ops.CONNECT: gap.connect,
            ops.DISCONNECT: gap.disconnect,
            ops.REGISTER: server.register,
            ops.READ: server.read,
            ops.WRITE: server.write,
            ops.NOTIFY: server.notify,
            ops.INDICATE: server.indicate,
            ops.SET_BUFFER: server.set_buffer,
            ops.DISCOVER_SERVICES: client.discover_services,
            ops.DISCOVER_CHARACTERISTICS: client.discover_characteristics,
            ops.DISCOVER_DESCRIPTORS: client.discover_descriptors,
            ops.CLIENT_READ: client.read,
            ops.CLIENT_WRITE: client.write,
            ops.EXCHANGE_MTU: client.exchange_mtu,
            ops.PAIR: security.pair,
            ops.PASSKEY: security.passkey,
            ops.L2CAP_LISTEN: channels.listen,
            ops.L2CAP_CONNECT: channels.connect,
            ops.L2CAP_DISCONNECT: channels.disconnect,
            ops.L2CAP_SEND: channels.send,
            ops.L2CAP_RECV: channels.receive,
        }

    def handle(self, op: int, payload: bytes) -> bytes | Awaitable[None] | None:
        handler = self._handlers.get(op)
        if handler is None:
            raise OSError(errno.EOPNOTSUPP)
        answer = handler(payload)
        if answer is not None and not isinstance(answer, bytes):
            return self._flushed(answer)
        self._host.flush()
        return answer

    async def _flushed(self, answer: Awaitable[None]) -> None:
        try:
            await answer
        except hci.HCI_Error as refused:
            raise host_error(HCI_BASE + refused.error_code, "refused by the controller") from None
        finally:
            self._host.flush()

    async def start(self, has_handler: bool) -> None:
        """Go on the air; a program with a handler is asked for its secrets until ``started``."""
        await self.station.on()
        if has_handler:
            self._loading = self._host.spawn(self._load())

    async def _load(self) -> None:
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await self._security.load()
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, "the handler does not answer") from None

    def started(self, _payload: bytes) -> bytes:
        if self._loading is None:
            return b"\1"
        if not self._loading.done():
            return b""
        self._loading.result()
        return b"\1"

    async def stop(self) -> None:
        """End every link properly; of that the firmware that asked for it gets no events, of the end of a scan it does."""
        await self._gap.stop_scan()
        self._host.flush()
        self._host.silence()
        self._address.stop()
        self._gap.stop()
        await self.station.off()
        self._host.cancel()

    def cut(self) -> None:
        self._host.silence()
        self._address.stop()
        self._gap.stop()
        self.station.cut()
        self._host.cancel()

    def config_get(self, payload: bytes) -> bytes:
        match payload:
            case b"mac":
                return self._address.encoded()
            case b"gap_name":
                return self._server.table.name.data
            case b"mtu":
                return struct.pack("<H", self._server.mtu)
        raise OSError(errno.EINVAL, "unknown configuration")

    def config_set(self, payload: bytes) -> Awaitable[None] | None:
        name, _, value = payload.partition(b"=")
        match name:
            case b"gap_name":
                if len(value) > MAX_NAME:
                    raise OSError(errno.EINVAL, "gap_name")
                self._server.table.name.write(value)
            case b"mtu":
                self._server.set_mtu(int.from_bytes(value, "little"))
            case b"addr_mode":
                return self._address.choose(value[0])
            case b"bond" | b"mitm" | b"le_secure" | b"io":
                self._security.settings.set(name.decode(), value[0])
            case _:
                raise OSError(errno.EINVAL, "unknown configuration")
        return None
