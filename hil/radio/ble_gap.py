"""GAP of a board's Bluetooth stack: advertising, scanning, connections of both roles."""

import asyncio
import errno
import struct
from collections.abc import Callable
from typing import Any

from bumble import hci
from bumble.device import AdvertisingType

from hil.radio import ble_errors as errors
from hil.radio import ble_ops as ops
from hil.radio.ble_client import MAX_PROCEDURES
from hil.radio.ble_host import NO_CONNECTION, BleHost, number_of, peer_of, turns, unpack

MAX_CONNECTIONS = 4  # CONFIG_BT_NIMBLE_MAX_CONNECTIONS of MicroPython's ESP32 builds
MAX_ADVERTISING = 31  # bytes of legacy advertising data
ADVERTISING_US = range(20_000, 10_240_001)
SCAN_UNIT_US = 625
SCAN_UNITS = range(4, 0x4001)
INTERVAL_UNIT_US = 1250
INTERVAL_UNITS = range(6, 3201)
DEFAULT_INTERVALS = (24, 40)  # BLE_GAP_INITIAL_CONN_ITVL_MIN and MAX: 30 and 50 ms
CONNECT_SCAN = 16  # units: 10 ms, all the time
SUPERVISION = 256  # BLE_GAP_INITIAL_SUPERVISION_TIMEOUT: 2.56 s
DEFAULT_CONNECT_MS = 30_000  # NimBLE's, where a duration of 0 is asked for
CANCEL_TIMEOUT = 5.0  # seconds for the controller's own commands
NO_ADDRESS = 0xFF, bytes(6)


class Gap:
    """``on_broken`` are told of a connection that is gone before the program is."""

    def __init__(self, host: BleHost) -> None:
        self._host = host
        self._device = host.device
        self.on_connected: list[Callable[[Any], None]] = []
        self.on_broken: list[Callable[[Any], None]] = []
        self._scan: asyncio.TimerHandle | None = None
        self.scanning = False
        self._connecting: asyncio.Task[None] | None = None
        self._cancelled = False
        self._ending: set[Any] = set()
        self._device.on(self._device.EVENT_CONNECTION, self._on_connection)

    def stop(self) -> None:
        if self._scan is not None:
            self._scan.cancel()

    async def advertise(self, payload: bytes) -> None:
        wanted = ops.decode_advertisement(payload)
        for data in (wanted.data, wanted.response):
            if data is not None and len(data) > MAX_ADVERTISING:
                raise OSError(errno.EINVAL, "advertising data over 31 bytes")
        if wanted.interval_us not in ADVERTISING_US:
            raise OSError(errno.EIO, "advertising interval")
        if wanted.connectable and len(self._device.connections) >= MAX_CONNECTIONS:
            raise errors.host_error(errors.ENOMEM, "no free connection")
        interval = wanted.interval_us // 625 * 0.625
        await self._device.start_advertising(
            advertising_type=(
                AdvertisingType.UNDIRECTED_CONNECTABLE_SCANNABLE
                if wanted.connectable
                else AdvertisingType.UNDIRECTED_SCANNABLE
            ),
            own_address_type=hci.OwnAddressType(self._host.own_address_type),
            advertising_data=wanted.data,
            scan_response_data=wanted.response,
            advertising_interval_min=interval,
            advertising_interval_max=interval,
        )

    async def stop_advertising(self, _payload: bytes) -> None:
        await self._device.stop_advertising()

    async def scan(self, payload: bytes) -> None:
        if not payload:
            await self.stop_scan()
            return
        if self.scanning:
            raise errors.host_error(errors.EALREADY, "scanning")
        if self._connecting is not None:
            raise errors.host_error(errors.EBUSY, "connecting")
        duration_ms, interval_us, window_us, active, _ = unpack("iiiB", payload)
        interval, window = (_clamp(us // SCAN_UNIT_US, SCAN_UNITS) for us in (interval_us, window_us))
        if window > interval:
            raise hci.HCI_Error(hci.HCI_ErrorCode.INVALID_COMMAND_PARAMETERS_ERROR)
        await self._command(
            hci.HCI_LE_Set_Scan_Parameters_Command(
                le_scan_type=int(bool(active)),
                le_scan_interval=interval,
                le_scan_window=window,
                own_address_type=self._host.own_address_type,
                scanning_filter_policy=0,
            )
        )
        self.scanning = True
        self._device.host.on("advertising_report", self._on_report)
        await self._command(hci.HCI_LE_Set_Scan_Enable_Command(le_scan_enable=1, filter_duplicates=0))
        if duration_ms > 0:
            loop = asyncio.get_running_loop()
            self._scan = loop.call_later(duration_ms / 1000, lambda: self._host.spawn(self.stop_scan()))

    async def stop_scan(self) -> None:
        if not self.scanning:
            return
        self.scanning = False
        if self._scan is not None:
            self._scan.cancel()
            self._scan = None
        self._device.host.remove_listener("advertising_report", self._on_report)
        await self._command(hci.HCI_LE_Set_Scan_Enable_Command(le_scan_enable=0, filter_duplicates=0))
        self._host.tell(ops.IRQ_SCAN_DONE, "")

    def _on_report(self, report: Any) -> None:
        address = report.address
        self._host.tell_if_seen(
            ops.IRQ_SCAN_RESULT,
            "BvBbv",
            int(address.address_type) & 1,
            bytes(address)[::-1],
            int(report.event_type),
            int(report.rssi),
            bytes(report.data),
        )

    async def connect(self, payload: bytes) -> None:
        if not payload:
            await self._cancel_connect()
            return
        kind, duration_ms, min_us, max_us, address = unpack("Biii", payload)
        if self._connecting is not None:
            raise errors.host_error(errors.EALREADY, "connecting")
        if len(self._device.connections) >= MAX_CONNECTIONS:
            raise errors.host_error(errors.ENOMEM, "no free connection")
        peer = hci.Address(address[::-1], hci.Address.RANDOM_DEVICE_ADDRESS if kind & 1 else 0)
        if any(other.peer_address == peer for other in self._device.connections.values()):
            raise errors.host_error(errors.EDONE, "connected already")
        shortest = min_us // INTERVAL_UNIT_US if min_us else DEFAULT_INTERVALS[0]
        longest = max_us // INTERVAL_UNIT_US if max_us else max(DEFAULT_INTERVALS[1], shortest)
        if shortest not in INTERVAL_UNITS or longest not in INTERVAL_UNITS or shortest > longest:
            raise errors.host_error(errors.EINVAL, "connection interval")
        await self.stop_scan()
        self._cancelled = False
        timeout = None if duration_ms < 0 else (duration_ms or DEFAULT_CONNECT_MS) / 1000
        self._connecting = self._host.spawn(self._connect(peer, shortest, longest, timeout))

    async def _connect(self, peer: hci.Address, shortest: int, longest: int, timeout: float | None) -> None:
        """Initiate until the peer advertises, the time is over or the program cancels."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def on_connection(connection: Any) -> None:
            if connection.role == hci.Role.CENTRAL and not done.done():
                done.set_result(True)

        def on_failure(_error: Exception) -> None:
            if not done.done():
                done.set_result(False)

        device = self._device
        device.on(device.EVENT_CONNECTION, on_connection)
        device.on(device.EVENT_CONNECTION_FAILURE, on_failure)
        device.connect_own_address_type = hci.OwnAddressType(self._host.own_address_type)
        try:
            await device.send_async_command(self._create(peer, shortest, longest))
            try:
                connected = await asyncio.wait_for(asyncio.shield(done), timeout)
            except TimeoutError:
                await self._command(hci.HCI_LE_Create_Connection_Cancel_Command())
                connected = await asyncio.wait_for(done, CANCEL_TIMEOUT)
        except hci.HCI_Error:
            connected = False
        finally:
            device.remove_listener(device.EVENT_CONNECTION, on_connection)
            device.remove_listener(device.EVENT_CONNECTION_FAILURE, on_failure)
            self._connecting = None
        if not connected:
            self._host.tell(ops.IRQ_PERIPHERAL_DISCONNECT, "HBv", NO_CONNECTION, *NO_ADDRESS)

    def _create(self, peer: hci.Address, shortest: int, longest: int) -> Any:
        return hci.HCI_LE_Create_Connection_Command(
            le_scan_interval=CONNECT_SCAN,
            le_scan_window=CONNECT_SCAN,
            initiator_filter_policy=0,
            peer_address_type=peer.address_type,
            peer_address=peer,
            own_address_type=self._host.own_address_type,
            connection_interval_min=shortest,
            connection_interval_max=longest,
            max_latency=0,
            supervision_timeout=SUPERVISION,
            min_ce_length=0x10,
            max_ce_length=0x300,
        )

    async def _cancel_connect(self) -> None:
        if self._connecting is None or self._cancelled:
            raise errors.host_error(errors.EALREADY, "not connecting")
        self._cancelled = True
        await self._command(hci.HCI_LE_Create_Connection_Cancel_Command())

    async def _command(self, command: Any) -> None:
        await self._device.send_sync_command(command)

    def _on_connection(self, connection: Any) -> None:
        central = connection.role == hci.Role.CENTRAL
        gone = ops.IRQ_PERIPHERAL_DISCONNECT if central else ops.IRQ_CENTRAL_DISCONNECT
        number = number_of(connection)

        def on_disconnection(_reason: int) -> None:
            self._ending.discard(connection)
            self._host.spawn(self._gone(connection, gone))

        def on_mtu() -> None:
            self._host.tell(ops.IRQ_MTU_EXCHANGED, "HH", number, connection.att_mtu)

        def on_parameters() -> None:
            now = connection.parameters
            fields = (now.connection_interval / 1.25, now.peripheral_latency, now.supervision_timeout / 10)
            self._host.tell(ops.IRQ_CONNECTION_UPDATE, "HHHHH", number, *map(round, fields), 0)

        connection.on(connection.EVENT_DISCONNECTION, on_disconnection)
        connection.on(connection.EVENT_CONNECTION_ATT_MTU_UPDATE, on_mtu)
        connection.on(connection.EVENT_CONNECTION_PARAMETERS_UPDATE, on_parameters)
        for connected in self.on_connected:
            connected(connection)
        event = ops.IRQ_PERIPHERAL_CONNECT if central else ops.IRQ_CENTRAL_CONNECT
        self._host.tell(event, "HBv", number, *peer_of(connection))

    async def _gone(self, connection: Any, event: int) -> None:
        """What was going on ends with its own event before the connection does."""
        for broken in self.on_broken:
            broken(connection)
        await turns(MAX_PROCEDURES)
        self._host.tell(event, "HBv", number_of(connection), *peer_of(connection))

    def disconnect(self, payload: bytes) -> bytes:
        """Start to disconnect, as NimBLE does; the event follows."""
        connection = self._device.connections.get(struct.unpack("<H", payload)[0] + 1)
        if connection is None:
            return b"\0"
        if connection in self._ending:
            raise errors.host_error(errors.EALREADY, "disconnecting")
        self._ending.add(connection)
        self._host.spawn(self._end(connection))
        return b"\1"

    async def _end(self, connection: Any) -> None:
        """At the next connection event: a program has seen its call return before the link is gone."""
        await asyncio.sleep(connection.parameters.connection_interval / 1000)
        if self._host.is_open(connection):
            await connection.disconnect()


def _clamp(value: int, allowed: range) -> int:
    return min(max(value, allowed.start), allowed.stop - 1)
