"""GATT client of a board's Bluetooth stack: NimBLE's procedures, one request at a time on each connection."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from bumble import att
from bumble.core import UUID

from hil.log import Log
from hil.radio import ble_errors as errors
from hil.radio import ble_ops as ops
from hil.radio.ble_host import BleHost, number_of, turns, unpack

log = Log(__name__)

REQUEST_TIMEOUT = 30.0  # seconds: Core Vol 3 Part F 3.3.3
MAX_PROCEDURES = 4  # BLE_GATT_MAX_PROCS
MAX_PUSHED = 256  # notifications that wait for a slow program; more are lost
FIRST, LAST = 1, 0xFFFF
PRIMARY, CHARACTERISTIC = UUID.from_16_bits(0x2800), UUID.from_16_bits(0x2803)

_PUSHED = (att.ATT_Handle_Value_Notification, att.ATT_Handle_Value_Indication)

Procedure = Callable[["Bearer"], Awaitable[None]]


class Refused(Exception):
    """A procedure ended with a NimBLE status; ``handle`` is the attribute at fault."""

    def __init__(self, status: int, handle: int = 0xFFFF) -> None:
        super().__init__(status)
        self.status = status
        self.handle = handle


class Bearer:
    """One connection as an ATT client; takes the place of Bumble's client of the connection."""

    def __init__(self, client: "GattClient", connection: Any) -> None:
        self._client = client
        self._response: asyncio.Future[Any] | None = None
        self._turns = asyncio.Lock()
        self._incoming: asyncio.Queue[Any] = asyncio.Queue()  # bounded in on_gatt_pdu
        self._reader = client.host.spawn(self._read())
        self.connection = connection
        self.number = number_of(connection)
        self.procedures = 0
        self.mtu_asked = False

    def send(self, pdu: Any) -> None:
        self._client.host.device.send_l2cap_pdu(self.connection.handle, att.ATT_CID, bytes(pdu))

    async def request(self, pdu: Any) -> Any:
        """The response. Raises Refused."""
        if not self._client.host.is_open(self.connection):
            raise Refused(errors.ENOTCONN)
        self._response = asyncio.get_running_loop().create_future()
        self.send(pdu)
        try:
            response = await asyncio.wait_for(self._response, REQUEST_TIMEOUT)
        except TimeoutError:
            raise Refused(errors.ETIMEOUT) from None
        finally:
            self._response = None
        if isinstance(response, att.ATT_Error_Response):
            raise Refused(errors.ATT_BASE + response.error_code, response.attribute_handle_in_error)
        return response

    async def run(self, procedure: Procedure) -> None:
        try:
            async with self._turns:
                await procedure(self)
        finally:
            self.procedures -= 1

    def broken(self) -> None:
        self._reader.cancel()
        if self._response is not None and not self._response.done():
            self._response.set_exception(Refused(errors.ENOTCONN))

    def on_gatt_pdu(self, pdu: Any) -> None:
        room = MAX_PUSHED + (not isinstance(pdu, _PUSHED))  # for the one response that a server may send
        if self._incoming.qsize() >= room:
            log.warning("notification_lost", board=self._client.host.name, connection=self.number)
        else:
            self._incoming.put_nowait(pdu)

    async def _read(self) -> None:
        """Take what the server sends, in order: the program sees responses and notifications as they came."""
        while True:
            pdu = await self._incoming.get()
            if isinstance(pdu, _PUSHED):
                await self._pushed(pdu)
            elif self._response is not None and not self._response.done():
                self._response.set_result(pdu)
                await turns(MAX_PROCEDURES)  # the procedure tells of it before what came after it is told

    async def _pushed(self, pdu: Any) -> None:
        """Give a notification to the program; confirm an indication when its handler has run."""
        indication = isinstance(pdu, att.ATT_Handle_Value_Indication)
        event = ops.IRQ_GATTC_INDICATE if indication else ops.IRQ_GATTC_NOTIFY
        fields = self.number, int(pdu.attribute_handle), bytes(pdu.attribute_value)
        try:
            await self._client.host.ask(event, "HHv", *fields)
        except TimeoutError:
            return  # not confirmed: the server finds out
        if indication:
            self.send(att.ATT_Handle_Value_Confirmation())


class GattClient:
    """Each operation raises OSError at once if it cannot begin, else ends with its DONE event."""

    def __init__(self, host: BleHost) -> None:
        self.host = host
        self._bearers: dict[int, Bearer] = {}
        self._discovering = False  # characteristics: MicroPython allows one discovery at a time

    def connected(self, connection: Any) -> None:
        connection.gatt_client = self._bearers[connection.handle] = Bearer(self, connection)

    def broken(self, connection: Any) -> None:
        bearer = self._bearers.pop(connection.handle, None)
        if bearer is not None:
            bearer.broken()

    def _bearer(self, number: int) -> Bearer:
        return self._bearers[self.host.connection(number).handle]

    def _start(self, number: int, procedure: Procedure) -> None:
        bearer = self._bearer(number)
        if bearer.procedures >= MAX_PROCEDURES:
            raise errors.host_error(errors.ENOMEM, "too many procedures")
        bearer.procedures += 1
        self.host.spawn(bearer.run(procedure))

    def discover_services(self, payload: bytes) -> None:
        number, uuid = unpack("H", payload)

        async def procedure(bearer: Bearer) -> None:
            if uuid:
                status = await _status(self._services_by_uuid(bearer, uuid))
            else:
                status = await _status(self._services(bearer))
            self.host.tell(ops.IRQ_GATTC_SERVICE_DONE, "HH", number, status)

        self._start(number, procedure)

    async def _services(self, bearer: Bearer) -> None:
        start = FIRST
        while start:
            response = await bearer.request(
                att.ATT_Read_By_Group_Type_Request(
                    starting_handle=start, ending_handle=LAST, attribute_group_type=PRIMARY
                )
            )
            for first, last, uuid in _entries(response.attribute_data_list, response.length, "HH"):
                self.host.tell(ops.IRQ_GATTC_SERVICE_RESULT, "HHHu", bearer.number, first, last, uuid)
                start = _after(last, start)

    async def _services_by_uuid(self, bearer: Bearer, uuid: bytes) -> None:
        start = FIRST
        while start:
            response = await bearer.request(
                att.ATT_Find_By_Type_Value_Request(
                    starting_handle=start,
                    ending_handle=LAST,
                    attribute_type=PRIMARY,
                    attribute_value=uuid,
                )
            )
            for first, last in response.handles_information:
                self.host.tell(ops.IRQ_GATTC_SERVICE_RESULT, "HHHu", bearer.number, first, last, uuid)
                start = _after(last, start)

    def discover_characteristics(self, payload: bytes) -> None:
        number, start, end, uuid = unpack("HHH", payload)
        _require_range(start, end)
        if self._discovering:
            raise errors.host_error(errors.EBUSY, "discovering")

        async def procedure(bearer: Bearer) -> None:
            status = await _status(self._characteristics(bearer, start, end, uuid))
            self._discovering = False
            self.host.tell(ops.IRQ_GATTC_CHARACTERISTIC_DONE, "HH", number, status)

        self._start(number, procedure)
        self._discovering = True

    async def _characteristics(self, bearer: Bearer, start: int, end: int, wanted: bytes) -> None:
        """One is reported when the next tells where it ends; all are asked for, whatever is wanted."""
        pending: tuple[int, int, bytes] | None = None

        def report(last: int) -> None:
            nonlocal pending
            if pending is not None and (not wanted or wanted == pending[2]):
                value, properties, uuid = pending
                fields = bearer.number, last, value, properties, uuid
                self.host.tell(ops.IRQ_GATTC_CHARACTERISTIC_RESULT, "HHHBu", *fields)
            pending = None

        try:
            while start and start <= end:
                response = await bearer.request(
                    att.ATT_Read_By_Type_Request(
                        starting_handle=start, ending_handle=end, attribute_type=CHARACTERISTIC
                    )
                )
                for declaration, properties, value, uuid in _entries(
                    response.attribute_data_list, response.length, "HBH"
                ):
                    report(declaration - 1)
                    pending = value, properties, uuid
                    start = _after(declaration, start)
        finally:
            report(end)

    def discover_descriptors(self, payload: bytes) -> None:
        number, start, end, _ = unpack("HHH", payload)
        _require_range(start + 1, end)

        async def procedure(bearer: Bearer) -> None:
            status = await _status(self._descriptors(bearer, start + 1, end))
            self.host.tell(ops.IRQ_GATTC_DESCRIPTOR_DONE, "HH", number, status)

        self._start(number, procedure)

    async def _descriptors(self, bearer: Bearer, start: int, end: int) -> None:
        while start and start <= end:
            response = await bearer.request(
                att.ATT_Find_Information_Request(starting_handle=start, ending_handle=end)
            )
            size = 4 if response.format == 1 else 18
            for handle, uuid in _entries(response.information_data, size, "H"):
                self.host.tell(ops.IRQ_GATTC_DESCRIPTOR_RESULT, "HHu", bearer.number, handle, uuid)
                start = _after(handle, start)

    def read(self, payload: bytes) -> None:
        """Not a long read: what does not fit the MTU is cut off, as by ble_gattc_read."""
        number, handle = struct.unpack("<HH", payload)

        async def procedure(bearer: Bearer) -> None:
            status, at = 0, handle
            try:
                response = await bearer.request(att.ATT_Read_Request(attribute_handle=handle))
                data = bytes(response.attribute_value)
                self.host.tell(ops.IRQ_GATTC_READ_RESULT, "HHv", number, handle, data)
            except Refused as refused:
                status, at = refused.status, refused.handle
            self.host.tell(ops.IRQ_GATTC_READ_DONE, "HHH", number, at, status)

        self._start(number, procedure)

    def write(self, payload: bytes) -> None:
        """What does not fit the MTU is cut off, as by ble_gattc_write_flat."""
        number, handle, mode, data = unpack("HHB", payload)
        if mode not in (0, 1):
            raise errors.host_error(errors.EINVAL, "write mode")
        bearer = self._bearer(number)
        data = data[: bearer.connection.att_mtu - 3]
        if mode == 0:
            self.host.require_room()
            bearer.send(att.ATT_Write_Command(attribute_handle=handle, attribute_value=data))
            return

        async def procedure(bearer: Bearer) -> None:
            status, at = 0, handle
            try:
                await bearer.request(att.ATT_Write_Request(attribute_handle=handle, attribute_value=data))
            except Refused as refused:
                status, at = refused.status, refused.handle
            self.host.tell(ops.IRQ_GATTC_WRITE_DONE, "HHH", number, at, status)

        self._start(number, procedure)

    def exchange_mtu(self, payload: bytes) -> None:
        (number,) = struct.unpack("<H", payload)
        if self._bearer(number).mtu_asked:
            raise errors.host_error(errors.EALREADY, "exchanged")

        async def procedure(bearer: Bearer) -> None:
            ours = self.host.device.gatt_server.max_mtu
            try:
                response = await bearer.request(att.ATT_Exchange_MTU_Request(client_rx_mtu=ours))
            except Refused:
                return
            mtu = max(att.ATT_DEFAULT_MTU, min(ours, response.server_rx_mtu))
            bearer.connection.on_att_mtu_update(mtu)

        self._start(number, procedure)
        self._bearer(number).mtu_asked = True


async def _status(discovery: Awaitable[None]) -> int:
    """0 when nothing more is found, else NimBLE's status."""
    try:
        await discovery
    except Refused as refused:
        if refused.status != errors.ATT_BASE + att.ATT_ATTRIBUTE_NOT_FOUND_ERROR:
            return refused.status
    return 0


def _entries(data: bytes, size: int, pattern: str) -> list[tuple[Any, ...]]:
    """Equal parts of a response, each with a UUID at its end."""
    return [unpack(pattern, data[at : at + size]) for at in range(0, len(data) - size + 1, size)]


def _after(handle: int, start: int) -> int:
    """Where to go on, 0 at the end of the table. Raises Refused if the peer goes backwards."""
    if handle < start:
        raise Refused(errors.EINVAL)
    return 0 if handle == LAST else handle + 1


def _require_range(start: int, end: int) -> None:
    if start == 0 or start > end:
        raise errors.host_error(errors.EINVAL, "handle range")
