"""GATT server of a board's Bluetooth stack.

Like NimBLE's host task, it serves one client access at a time: a write or a read waits until the firmware's
handler has run, so the firmware sees every value it was sent. A firmware that does not answer in time costs
the client an ATT error, never a hung link.
"""

import asyncio
import errno
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bumble import att

from hil.radio import ble_errors as errors
from hil.radio import ble_ops as ops
from hil.radio.ble_host import BleHost, number_of, unpack
from hil.radio.ble_security import Security
from hil.radio.gatt_table import GattTable, Value

MAX_SERVICES = 8  # MP_BLUETOOTH_NIMBLE_MAX_SERVICES
MAX_WAITING = 64  # client accesses that may queue up for a slow firmware
DEFAULT_MTU = 256  # BLE_ATT_PREFERRED_MTU
MTU_RANGE = range(23, 528)


class GattServer:
    """``table`` holds the services; ``mtu`` is the preferred one."""

    def __init__(self, host: BleHost, security: Security) -> None:
        self._host = host
        self._security = security
        self._server = host.device.gatt_server
        self.table = GattTable(self._server, self._on_read, self._on_write, security.require)
        self._server.max_mtu = DEFAULT_MTU
        self._turns = asyncio.Lock()
        self._waiting = 0
        self._indicating: dict[int, asyncio.Task[None]] = {}

    @property
    def mtu(self) -> int:
        return int(self._server.max_mtu)

    def set_mtu(self, mtu: int) -> None:
        if mtu not in MTU_RANGE:
            raise OSError(errno.EINVAL, "mtu")
        self._server.max_mtu = mtu

    def broken(self, connection: Any) -> None:
        pending = self._indicating.get(connection.handle)
        if pending is not None:
            pending.cancel()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One client access at a time, and a bounded queue of them."""
        if self._waiting >= MAX_WAITING:
            raise att.ATT_Error(att.ATT_INSUFFICIENT_RESOURCES_ERROR)
        self._waiting += 1
        try:
            async with self._turns:
                yield
        finally:
            self._waiting -= 1

    async def _ask(self, event: int, connection: Any, value: Value) -> ops.Answer:
        """Run the firmware's handler of a client's access; returns what it returned."""
        try:
            await self._security.settled(connection)
            if not self._host.is_open(connection):
                raise att.ATT_Error(att.ATT_UNLIKELY_ERROR_ERROR)
            return await self._host.ask(event, "HH", number_of(connection), value.handle)
        except TimeoutError:
            raise att.ATT_Error(att.ATT_UNLIKELY_ERROR_ERROR) from None

    async def _on_read(self, connection: Any, value: Value) -> None:
        async with self._turn():
            code = await self._ask(ops.IRQ_GATTS_READ_REQUEST, connection, value)
        if isinstance(code, int) and code:
            raise att.ATT_Error(code & 0xFF)

    async def _on_write(self, connection: Any, value: Value, data: bytes) -> None:
        async with self._turn():
            value.take(data)
            await self._ask(ops.IRQ_GATTS_WRITE, connection, value)

    def register(self, payload: bytes) -> bytes:
        device = self._host.device
        if device.legacy_advertiser is not None or device.connections:
            raise errors.host_error(errors.EBUSY, "stop advertising and disconnect first")
        services = ops.decode_services(payload)
        if len(services) > MAX_SERVICES:
            raise OSError(errno.E2BIG, "services")
        return ops.encode_handles(self.table.register(services))

    def read(self, payload: bytes) -> bytes:
        return self.table.value(*struct.unpack("<H", payload)).read()

    def write(self, payload: bytes) -> None:
        handle, update, data = unpack("HB", payload)
        self.table.value(handle).write(data)
        if update:
            self._update_subscribers(handle, data)

    def _update_subscribers(self, handle: int, data: bytes) -> None:
        for connection, cccds in list(self._server.subscribers.items()):
            state = cccds.get(handle, b"\0\0")[0]
            if not self._host.has_room:
                return  # ble_gatts_chr_updated says nothing either
            if state & 1:
                self._send_notification(connection, handle, data)
            elif state & 2 and connection.handle not in self._indicating:
                self._start_indication(connection, handle, data)

    def notify(self, payload: bytes) -> None:
        self._send_notification(*self._outgoing(payload))

    def _send_notification(self, connection: Any, handle: int, data: bytes) -> None:
        data = data[: connection.att_mtu - 3]
        pdu = att.ATT_Handle_Value_Notification(attribute_handle=handle, attribute_value=data)
        self._server.send_gatt_pdu(connection, bytes(pdu))

    def indicate(self, payload: bytes) -> None:
        connection, handle, data = self._outgoing(payload)
        if connection.handle in self._indicating:
            raise errors.host_error(errors.EBUSY, "an indication is not confirmed yet")
        self._start_indication(connection, handle, data)

    def _start_indication(self, connection: Any, handle: int, data: bytes) -> None:
        task = self._host.spawn(self._indicate(connection, handle, data))
        self._indicating[connection.handle] = task

    async def _indicate(self, connection: Any, handle: int, data: bytes) -> None:
        attribute = self.table.attribute(handle)
        status = 0
        try:
            await self._server.indicate_subscriber(connection, attribute, data, force=True)
        except TimeoutError:
            status = errors.ETIMEOUT
        except asyncio.CancelledError:
            status = errors.ENOTCONN
        self._indicating.pop(connection.handle, None)  # the handler may indicate again
        self._host.tell(ops.IRQ_GATTS_INDICATE_DONE, "HHB", number_of(connection), handle, status)

    def _outgoing(self, payload: bytes) -> tuple[Any, int, bytes]:
        number, handle, own, data = unpack("HHB", payload)
        connection = self._host.connection(number)
        self._host.require_room()
        return connection, handle, data if own else self.table.value(handle).data

    def set_buffer(self, payload: bytes) -> None:
        handle, size, append = struct.unpack("<HHB", payload)
        self.table.value(handle).resize(size, bool(append))
