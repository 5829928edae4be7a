"""A board's Bluetooth stack: NimBLE's behaviour under MicroPython's bluetooth module, on a Bumble peripheral.

Like NimBLE's host task, it serves one client access at a time: a write or a read waits until the firmware's
handler has run, so the firmware sees every value it was sent. A firmware that does not answer in time costs
the client an ATT error, never a hung link.
"""

import asyncio
import errno
import itertools
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog
from bumble import att, hci
from bumble.device import AdvertisingType

from hil.radio import ble_ops as ops
from hil.radio.gatt_table import GattTable, Value
from hil.radio.medium import Medium
from hil.radio.path_loss import Position
from hil.radio.station import Station, static_address

log = structlog.get_logger(__name__)

ANSWER_TIMEOUT = 5.0  # seconds for a firmware handler; an ATT client gives up after 30
MAX_CONNECTIONS = 4  # CONFIG_BT_NIMBLE_MAX_CONNECTIONS of MicroPython's ESP32 builds
MAX_WAITING = 64  # client accesses that may queue up for a slow firmware
DEFAULT_MTU = 256  # BLE_ATT_PREFERRED_MTU
MTU_RANGE = range(23, 528)
DEFAULT_NAME = b"MPY ESP32"
MAX_NAME = 31  # BLE_SVC_GAP_DEVICE_NAME_MAX_LENGTH
MAX_ADVERTISING = 31  # bytes of legacy advertising data
ADVERTISING_US = range(20_000, 10_240_001)
STATUS_TIMEOUT = 13  # BLE_HS_ETIMEOUT
STATUS_NOT_CONNECTED = 7  # BLE_HS_ENOTCONN

PUBLIC, RANDOM, RPA, NRPA = range(4)  # MicroPython's addr_mode

Interrupt = Callable[[int, bytes], None]


class BleStack:
    """The Bluetooth stack from active(True) to active(False)."""

    def __init__(
        self, medium: Medium, name: str, interrupt: Interrupt, mac: bytes, position: Position | None
    ) -> None:
        public = hci.Address(mac[::-1], hci.Address.PUBLIC_DEVICE_ADDRESS)
        self.station = Station(medium, name, public, static_address(mac[::-1]), position)
        self._device = self.station.device
        self._irq = interrupt
        self._addr_mode = PUBLIC
        self._table = GattTable(self._device.gatt_server, self._on_read, self._on_write)
        self._device.gatt_server.max_mtu = DEFAULT_MTU
        self._device.on("connection", self._on_connection)
        self._table.name.write(DEFAULT_NAME)
        self._host_task = asyncio.Lock()
        self._waiting = 0
        self._requests = itertools.count(1)
        self._answers: dict[int, asyncio.Future[int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._indicating: dict[int, asyncio.Task[None]] = {}

    def handle(self, op: int, payload: bytes) -> bytes | Awaitable[None] | None:
        handler = _HANDLERS.get(op)
        if handler is None:
            raise OSError(errno.EOPNOTSUPP)
        return handler(self, payload)

    async def stop(self) -> None:
        """End every link properly; the firmware that asked for it gets no events, as with NimBLE."""
        self._irq = _no_interrupt
        await self.station.off()
        self._cancel()

    def cut(self) -> None:
        self._irq = _no_interrupt
        self.station.cut()
        self._cancel()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        for future in self._answers.values():
            future.cancel()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One client access at a time, and a bounded queue of them."""
        if self._waiting >= MAX_WAITING:
            raise att.ATT_Error(att.ATT_INSUFFICIENT_RESOURCES_ERROR)
        self._waiting += 1
        try:
            async with self._host_task:
                yield
        finally:
            self._waiting -= 1

    async def _ask(self, event: int, connection: Any, value: Value) -> int:
        """Run the firmware's handler of a client's access; returns what it returned."""
        if connection.handle not in self._device.connections:
            raise att.ATT_Error(att.ATT_UNLIKELY_ERROR_ERROR)
        request = next(self._requests) & 0xFFFF
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._answers[request] = answer
        self._irq(event, struct.pack("<HHH", request, _number(connection), value.handle))
        try:
            return await asyncio.wait_for(answer, ANSWER_TIMEOUT)
        except TimeoutError:
            log.warning("firmware_ignores_bluetooth", board=self.station.controller.name, irq=event)
            raise att.ATT_Error(att.ATT_UNLIKELY_ERROR_ERROR) from None
        finally:
            del self._answers[request]

    async def _on_read(self, connection: Any, value: Value) -> None:
        async with self._turn():
            code = await self._ask(ops.IRQ_GATTS_READ_REQUEST, connection, value)
        if code:
            raise att.ATT_Error(code)

    async def _on_write(self, connection: Any, value: Value, data: bytes) -> None:
        async with self._turn():
            value.take(data)
            await self._ask(ops.IRQ_GATTS_WRITE, connection, value)

    def answer(self, payload: bytes) -> None:
        request, code = struct.unpack("<HB", payload)
        future = self._answers.get(request)
        if future is not None and not future.done():
            future.set_result(code)

    def _on_connection(self, connection: Any) -> None:
        peer = struct.pack("<HB", _number(connection), int(connection.peer_address.is_random))
        peer += bytes(connection.peer_address)[::-1]
        self._irq(ops.IRQ_CENTRAL_CONNECT, peer)

        def on_disconnection(_reason: int) -> None:
            pending = self._indicating.get(connection.handle)
            if pending is not None:
                pending.cancel()
            self._irq(ops.IRQ_CENTRAL_DISCONNECT, peer)

        def on_mtu() -> None:
            self._irq(ops.IRQ_MTU_EXCHANGED, struct.pack("<HH", _number(connection), connection.att_mtu))

        def on_parameters() -> None:
            now = connection.parameters
            fields = (now.connection_interval / 1.25, now.peripheral_latency, now.supervision_timeout / 10)
            self._irq(
                ops.IRQ_CONNECTION_UPDATE, struct.pack("<5H", _number(connection), *map(round, fields), 0)
            )

        connection.on(connection.EVENT_DISCONNECTION, on_disconnection)
        connection.on(connection.EVENT_CONNECTION_ATT_MTU_UPDATE, on_mtu)
        connection.on(connection.EVENT_CONNECTION_PARAMETERS_UPDATE, on_parameters)

    async def advertise(self, payload: bytes) -> None:
        wanted = ops.decode_advertisement(payload)
        for data in (wanted.data, wanted.response):
            if data is not None and len(data) > MAX_ADVERTISING:
                raise OSError(errno.EIO, "advertising data over 31 bytes")
        if wanted.interval_us not in ADVERTISING_US:
            raise OSError(errno.EIO, "advertising interval")
        if wanted.connectable and len(self._device.connections) >= MAX_CONNECTIONS:
            raise OSError(errno.ENOMEM, "no free connection")
        interval = wanted.interval_us // 625 * 0.625
        await self._device.start_advertising(
            advertising_type=(
                AdvertisingType.UNDIRECTED_CONNECTABLE_SCANNABLE
                if wanted.connectable
                else AdvertisingType.UNDIRECTED_SCANNABLE
            ),
            own_address_type=(
                hci.OwnAddressType.PUBLIC if self._addr_mode == PUBLIC else hci.OwnAddressType.RANDOM
            ),
            advertising_data=wanted.data,
            scan_response_data=wanted.response,
            advertising_interval_min=interval,
            advertising_interval_max=interval,
        )

    async def stop_advertising(self, _payload: bytes) -> None:
        await self._device.stop_advertising()

    def register(self, payload: bytes) -> bytes:
        if self._device.legacy_advertiser is not None or self._device.connections:
            raise OSError(errno.EBUSY, "stop advertising and disconnect first")
        return ops.encode_handles(self._table.register(ops.decode_services(payload)))

    def read(self, payload: bytes) -> bytes:
        return self._table.value(*struct.unpack("<H", payload)).read()

    def write(self, payload: bytes) -> None:
        handle, update = struct.unpack_from("<HB", payload)
        data = payload[3:]
        self._table.value(handle).write(data)
        if update:
            self._update_subscribers(handle, data)

    def _update_subscribers(self, handle: int, data: bytes) -> None:
        for connection, cccds in list(self._device.gatt_server.subscribers.items()):
            state = cccds.get(handle, b"\0\0")[0]
            if state & 1:
                self._send_notification(connection, handle, data)
            elif state & 2 and connection.handle not in self._indicating:
                self._start_indication(connection, handle, data)

    def notify(self, payload: bytes) -> None:
        self._send_notification(*self._outgoing(payload))

    def _send_notification(self, connection: Any, handle: int, data: bytes) -> None:
        data = data[: connection.att_mtu - 3]
        pdu = att.ATT_Handle_Value_Notification(attribute_handle=handle, attribute_value=data)
        self._device.gatt_server.send_gatt_pdu(connection, bytes(pdu))

    def indicate(self, payload: bytes) -> None:
        connection, handle, data = self._outgoing(payload)
        if connection.handle in self._indicating:
            raise OSError(errno.EBUSY, "an indication is not confirmed yet")
        self._start_indication(connection, handle, data)

    def _start_indication(self, connection: Any, handle: int, data: bytes) -> None:
        task = self._spawn(self._indicate(connection, handle, data))
        self._indicating[connection.handle] = task
        task.add_done_callback(lambda _: self._indicating.pop(connection.handle, None))

    async def _indicate(self, connection: Any, handle: int, data: bytes) -> None:
        attribute = self._table.attribute(handle)
        status = 0
        try:
            await self._device.gatt_server.indicate_subscriber(connection, attribute, data, force=True)
        except TimeoutError:
            status = STATUS_TIMEOUT
        except asyncio.CancelledError:
            status = STATUS_NOT_CONNECTED
        self._irq(ops.IRQ_GATTS_INDICATE_DONE, struct.pack("<HHB", _number(connection), handle, status))

    def _outgoing(self, payload: bytes) -> tuple[Any, int, bytes]:
        number, handle, own = struct.unpack_from("<HHB", payload)
        value = self._table.value(handle)
        return self._connection(number), handle, payload[5:] if own else value.data

    def set_buffer(self, payload: bytes) -> None:
        handle, size, append = struct.unpack("<HHB", payload)
        self._table.value(handle).resize(size, bool(append))

    def disconnect(self, payload: bytes) -> bytes:
        """Start to disconnect, as NimBLE does; the event follows."""
        connection = self._device.connections.get(struct.unpack("<H", payload)[0] + 1)
        if connection is None:
            return b"\0"
        self._spawn(self._end(connection))
        return b"\1"

    async def _end(self, connection: Any) -> None:
        if connection.handle in self._device.connections:
            await connection.disconnect()

    def _connection(self, number: int) -> Any:
        connection = self._device.connections.get(number + 1)
        if connection is None:
            raise OSError(errno.ENOTCONN, "no such connection")
        return connection

    def config_get(self, payload: bytes) -> bytes:
        match payload:
            case b"mac":
                return self._own_address()
            case b"gap_name":
                return self._table.name.data
            case b"mtu":
                return struct.pack("<H", self._device.gatt_server.max_mtu)
        raise OSError(errno.EINVAL, "unknown configuration")

    def config_set(self, payload: bytes) -> Awaitable[None] | None:
        name, _, value = payload.partition(b"=")
        match name:
            case b"gap_name":
                if len(value) > MAX_NAME:
                    raise OSError(errno.EINVAL, "gap_name")
                self._table.name.write(value)
            case b"mtu":
                mtu = int.from_bytes(value, "little")
                if mtu not in MTU_RANGE:
                    raise OSError(errno.EINVAL, "mtu")
                self._device.gatt_server.max_mtu = mtu
            case b"addr_mode":
                return self._set_addr_mode(value[0])
            case _:
                raise OSError(errno.EINVAL, "unknown configuration")
        return None

    def _own_address(self) -> bytes:
        if self._addr_mode == RPA:
            raise OSError(errno.EINVAL, "a resolvable address changes by itself")
        address = self._device.public_address if self._addr_mode == PUBLIC else self._device.random_address
        return bytes((int(self._addr_mode != PUBLIC),)) + bytes(address)[::-1]

    async def _set_addr_mode(self, mode: int) -> None:
        if mode == RANDOM:
            address = self._device.static_address
        elif mode == RPA:
            address = hci.Address.generate_private_address(self._device.irk)
        elif mode == NRPA:
            address = hci.Address.generate_private_address()
        if mode != PUBLIC:
            command = hci.HCI_LE_Set_Random_Address_Command(random_address=address)
            await self._device.send_sync_command(command)
            self._device.random_address = address
        self._addr_mode = mode


def _no_interrupt(_op: int, _payload: bytes) -> None:
    """For a stack that is being shut down."""


def _number(connection: Any) -> int:
    """NimBLE counts connections from 0, Bumble from 1."""
    return int(connection.handle) - 1


_HANDLERS: dict[int, Callable[[BleStack, bytes], bytes | Awaitable[None] | None]] = {
    ops.CONFIG_GET: BleStack.config_get,
    ops.CONFIG_SET: BleStack.config_set,
    ops.ADVERTISE: BleStack.advertise,
    ops.STOP: BleStack.stop_advertising,
    ops.REGISTER: BleStack.register,
    ops.READ: BleStack.read,
    ops.WRITE: BleStack.write,
    ops.NOTIFY: BleStack.notify,
    ops.INDICATE: BleStack.indicate,
    ops.SET_BUFFER: BleStack.set_buffer,
    ops.DISCONNECT: BleStack.disconnect,
    ops.ANSWER: BleStack.answer,
}
