"""bleak's client backend over an Adapter.

Bumble reports a lost link to a waiting GATT request as a cancellation, and lets later requests wait for 30 s;
here every operation races with the loss of the link and ends in a BleakError.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar

from bleak.args import SizedBuffer
from bleak.assigned_numbers import gatt_char_props_to_strs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError
from bumble import att, core, hci
from bumble.device import Peer

from hil.log import Log
from hil.radio.adapter import Adapter
from hil.radio.bleak_scanner import uuid_text

log = Log(__name__)

DISCONNECT_TIMEOUT = 5.0  # seconds; a disconnection is local and needs no answer of the peer
MAX_VALUE = 512

T = TypeVar("T")


class BumbleClient(BaseBleakClient):
    """Subclassed by ``backend_for`` with the phone's adapter."""

    adapter: ClassVar[Adapter]

    def __init__(
        self, address_or_ble_device: BLEDevice | str, *, services: set[str] | None = None, **arguments: Any
    ) -> None:
        super().__init__(
            address_or_ble_device,
            disconnected_callback=arguments["disconnected_callback"],
            timeout=arguments["timeout"],
        )
        self._peer: hci.Address | None = None
        self._name: str | None = None
        if isinstance(address_or_ble_device, BLEDevice):
            self._peer, self._name = address_or_ble_device.details, address_or_ble_device.name
        self._wanted = services
        self._connection: Any = None
        self._gatt: Any = None
        self._gone: asyncio.Future[None] | None = None
        self._notifying: dict[int, Any] = {}
        self._operations: set[asyncio.Future[Any]] = set()

    @property
    def name(self) -> str:
        return self._name or self.address.replace(":", "-")

    @property
    def mtu_size(self) -> int:
        return int(self._connection.att_mtu) if self._connection is not None else 23

    @property
    def is_connected(self) -> bool:
        return self._gone is not None and not self._gone.done()

    async def connect(self, pair: bool, **_: Any) -> None:
        """Raises TimeoutError, BleakDeviceNotFoundError (an address nobody advertises) or BleakError."""
        if self.is_connected:
            raise BleakError("client is already connected")
        if pair:
            log.warning("pairing_not_simulated", peer=self.address)
        async with asyncio.timeout(self._timeout):
            self._attach(await self.adapter.connect(self._peer or await self._find()))
            try:
                if self.adapter.mtu is not None:
                    await self._do(self._gatt.request_mtu(self.adapter.mtu))
                self.services = await self._do(self._discover())
            except BaseException:
                await self._end()
                raise

    async def _find(self) -> hci.Address:
        """The address as the peer advertises it: the text does not say whether it is public or random."""
        found: asyncio.Future[hci.Address] = asyncio.get_running_loop().create_future()

        def on_advertisement(advertisement: Any) -> None:
            address = advertisement.address
            if address.to_string(False).lower() == self.address.lower() and not found.done():
                found.set_result(address)

        await self.adapter.listen(on_advertisement, active=False)
        try:
            return await asyncio.wait_for(found, self._timeout * 0.9)
        except TimeoutError:
            raise BleakDeviceNotFoundError(self.address, f"{self.address} was not heard") from None
        finally:
            await self.adapter.stop_listening(on_advertisement)

    def _attach(self, connection: Any) -> None:
        gone = asyncio.get_running_loop().create_future()
        self._connection, self._gatt, self._gone = connection, connection.gatt_client, gone
        self._notifying = {}

        def on_disconnection(_reason: int) -> None:
            gone.set_result(None)
            self.services = None
            for operation in self._operations:
                operation.cancel()
            if self._disconnected_callback is not None:
                self._disconnected_callback()

        connection.on(connection.EVENT_DISCONNECTION, on_disconnection)

    async def _do(self, operation: Coroutine[Any, Any, T]) -> T:
        """Run a GATT operation; it ends with the link. Its errors become bleak's."""
        if self._gone is None or self._gone.done():
            operation.close()
            raise BleakError("not connected")
        task = asyncio.ensure_future(operation)
        self._operations.add(task)
        task.add_done_callback(self._operations.discard)
        # A caller that gives up leaves the request running: ATT allows no second one before its answer.
        either: set[asyncio.Future[Any]] = {task, self._gone}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not task.done() or task.cancelled():
            task.cancel()
            raise BleakError("disconnected")
        try:
            return task.result()
        except att.ATT_Error as error:
            raise BleakGATTProtocolError(error.error_code) from error
        except core.TimeoutError as error:
            raise TimeoutError("no answer from the peer") from error
        except core.BaseBumbleError as error:
            raise BleakError(str(error)) from error

    async def _discover(self) -> BleakGATTServiceCollection:
        found = BleakGATTServiceCollection()
        peer = Peer(self._connection)
        for service in await peer.discover_services():
            text = uuid_text(service.uuid.to_bytes())
            if self._wanted is not None and text not in self._wanted:
                continue
            entry = BleakGATTService(service, service.handle, text)
            found.add_service(entry)
            for characteristic in await service.discover_characteristics():
                await self._add_characteristic(found, entry, characteristic)
        return found

    async def _add_characteristic(
        self, found: BleakGATTServiceCollection, service: BleakGATTService, characteristic: Any
    ) -> None:
        entry = BleakGATTCharacteristic(
            characteristic,
            characteristic.handle,
            uuid_text(characteristic.uuid.to_bytes()),
            sorted(gatt_char_props_to_strs(int(characteristic.properties))),
            lambda: self.mtu_size - 3,
            service,
        )
        found.add_characteristic(entry)
        for descriptor in await characteristic.discover_descriptors():
            kind = uuid_text(descriptor.type.to_bytes())
            found.add_descriptor(BleakGATTDescriptor(descriptor, descriptor.handle, kind, entry))

    async def disconnect(self) -> None:
        await self._end()

    async def _end(self) -> None:
        if not self.is_connected:
            return
        assert self._gone is not None
        async with asyncio.timeout(DISCONNECT_TIMEOUT):
            try:
                await self._connection.disconnect()
            except (hci.HCI_Error, core.ConnectionError):
                await self._gone  # the link died at the same moment

    async def pair(self, *_args: Any, **_kwargs: Any) -> None:
        raise BleakError("pairing is not simulated")

    async def unpair(self) -> None:
        raise BleakError("pairing is not simulated")

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **_: Any
    ) -> bytearray:
        return await self._read(characteristic.handle, use_cached)

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **_: Any
    ) -> bytearray:
        return await self._read(descriptor.handle, use_cached)

    async def _read(self, handle: int, use_cached: bool) -> bytearray:
        if use_cached and self.is_connected and handle in self._gatt.cached_values:
            return bytearray(self._gatt.cached_values[handle][1])
        return bytearray(await self._do(self._gatt.read_value(handle)))

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        limit = MAX_VALUE if response else self.mtu_size - 3
        if len(data) > limit:
            raise BleakError(f"{len(data)} bytes do not fit one write of {limit}")
        await self._do(self._gatt.write_value(characteristic.handle, bytes(data), with_response=response))

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:
        await self._do(self._gatt.write_value(descriptor.handle, bytes(data), with_response=True))

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **_: Any
    ) -> None:
        if characteristic.handle in self._notifying:
            raise BleakError("notifications are already started for this characteristic")
        if not {"notify", "indicate"} & set(characteristic.properties):
            raise BleakError("the characteristic neither notifies nor indicates")

        def subscriber(value: bytes) -> None:
            callback(bytearray(value))

        self._notifying[characteristic.handle] = subscriber
        try:
            await self._do(self._gatt.subscribe(characteristic.obj, subscriber))
        except BaseException:
            self._notifying.pop(characteristic.handle, None)
            raise

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        subscriber = self._notifying.pop(characteristic.handle, None)
        if subscriber is None:
            raise BleakError("notifications are not started for this characteristic")
        await self._do(self._gatt.unsubscribe(characteristic.obj, subscriber))
