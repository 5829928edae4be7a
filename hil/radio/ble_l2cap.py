"""L2CAP channels of a board's Bluetooth stack: one at a time, as MicroPython allows, listening or connecting."""

import struct
from collections import deque
from typing import Any

from bumble import l2cap

from hil.radio import ble_errors as errors
from hil.radio import ble_ops as ops
from hil.radio.ble_channel import MPS, Channel, credits_for
from hil.radio.ble_host import BleHost, number_of, unpack

Response = l2cap.L2CAP_LE_Credit_Based_Connection_Response
Result: Any = Response.Result

# ble_l2cap_sig_coc_err2ble_hs_err, and back
_STATUS = {
    Result.CONNECTION_REFUSED_LE_PSM_NOT_SUPPORTED: errors.ENOTSUP,
    Result.CONNECTION_REFUSED_NO_RESOURCES_AVAILABLE: errors.ENOMEM,
    Result.CONNECTION_REFUSED_INSUFFICIENT_AUTHENTICATION: errors.EAUTHEN,
    Result.CONNECTION_REFUSED_INSUFFICIENT_AUTHORIZATION: errors.EAUTHOR,
    Result.CONNECTION_REFUSED_INSUFFICIENT_ENCRYPTION: errors.EENCRYPT,
    Result.CONNECTION_REFUSED_INSUFFICIENT_ENCRYPTION_KEY_SIZE: errors.EENCRYPT_KEY_SZ,
    Result.CONNECTION_REFUSED_UNACCEPTABLE_PARAMETERS: errors.EINVAL,
    Result.CONNECTION_REFUSED_INVALID_SOURCE_CID: errors.EREJECT,
}
_RESULT = {status: result for result, status in _STATUS.items()}


class L2cap:
    """At most one channel, or one listener and its channel."""

    def __init__(self, host: BleHost) -> None:
        self._host = host
        self._manager = host.device.l2cap_channel_manager
        self._manager.on_l2cap_le_credit_based_connection_request = self._on_request
        self._listening: tuple[int, int] | None = None
        self._used = False  # a channel is there or is being made
        self._channel: Channel | None = None
        self._arrived: deque[bytes] = deque()  # the program is not told yet
        self._pending = b""  # it is told, and has not taken it
        self._in_handler = False

    def listen(self, payload: bytes) -> None:
        psm, mtu = struct.unpack("<HH", payload)
        if self._listening is not None or self._used:
            raise errors.host_error(errors.EALREADY, "a channel is in use")
        self._listening = psm, mtu

    def _on_request(self, connection: Any, cid: int, request: Any) -> None:
        self._host.spawn(self._accept(connection, cid, request))

    async def _accept(self, connection: Any, cid: int, request: Any) -> None:
        result = Result.CONNECTION_SUCCESSFUL
        if self._listening is None or self._listening[0] != request.le_psm:
            result = Result.CONNECTION_REFUSED_LE_PSM_NOT_SUPPORTED
        elif self._used:
            result = Result.CONNECTION_REFUSED_NO_RESOURCES_AVAILABLE
        if result != Result.CONNECTION_SUCCESSFUL:
            self._respond(connection, cid, request, result, 0, MPS)
            return
        self._used = True
        _, mtu = self._listening or (0, 0)
        channel = self._open(connection, request.le_psm, mtu)
        refused: ops.Answer
        try:
            refused = await self._host.ask(ops.IRQ_L2CAP_ACCEPT, "HHHHH", *_fields(channel, request.mtu))
        except TimeoutError:
            refused = errors.ENOMEM
        if not isinstance(refused, int):
            refused = 0  # None, as from most handlers
        if refused or not self._host.is_open(connection):
            self._forget(channel)
            result = _RESULT.get(refused, Result.CONNECTION_REFUSED_NO_RESOURCES_AVAILABLE)
            self._respond(connection, cid, request, result, 0, mtu)
            return
        channel.destination_cid, channel.peer_mtu, channel.peer_mps = (
            request.source_cid,
            request.mtu,
            request.mps,
        )
        channel.credits = request.initial_credits
        channel.state = channel.State.CONNECTED
        self._register(channel)
        self._respond(connection, cid, request, result, channel.source_cid, mtu)
        self._host.tell(ops.IRQ_L2CAP_CONNECT, "HHHHH", *_fields(channel, request.mtu))

    def _respond(
        self, connection: Any, cid: int, request: Any, result: Result, source: int, mtu: int
    ) -> None:
        if not self._host.is_open(connection):
            return
        response = Response(
            identifier=request.identifier,
            destination_cid=source,
            mtu=mtu,
            mps=MPS,
            initial_credits=credits_for(mtu) if source else 0,
            result=result,
        )
        self._manager.send_control_frame(connection, cid, response)

    def connect(self, payload: bytes) -> None:
        number, psm, mtu = struct.unpack("<HHH", payload)
        connection = self._host.connection(number)
        if self._listening is not None or self._used:
            raise errors.host_error(errors.EALREADY, "a channel is in use")
        self._used = True
        self._host.spawn(self._connect(connection, self._open(connection, psm, mtu)))

    async def _connect(self, connection: Any, channel: Channel) -> None:
        try:
            await channel.connect()
        except Exception as error:  # refused, or the link broke
            status = _STATUS.get(getattr(error, "error_code", None), errors.EUNKNOWN)
            self._forget(channel)
            if self._host.is_open(connection):
                fields = number_of(connection), channel.source_cid, channel.psm, status
                self._host.tell(ops.IRQ_L2CAP_DISCONNECT, "HHHH", *fields)
            return
        self._register(channel)
        self._host.tell(ops.IRQ_L2CAP_CONNECT, "HHHHH", *_fields(channel, channel.peer_mtu))

    def _open(self, connection: Any, psm: int, mtu: int) -> Channel:
        channels = self._manager.channels.setdefault(connection.handle, {})
        channel = Channel(
            manager=self._manager,
            connection=connection,
            psm=psm,
            source_cid=self._manager.find_free_le_cid(channels),
            destination_cid=0,
            mtu=mtu,
            mps=MPS,
            credits=0,
            peer_mtu=0,
            peer_mps=0,
            peer_credits=credits_for(mtu),
            connected=False,
        )
        channels[channel.source_cid] = channel
        self._pending = b""
        self._arrived.clear()
        self._channel = channel
        channel.on_sdu = lambda sdu: self._on_sdu(channel, sdu)
        channel.on_unstalled = lambda: self._host.tell(
            ops.IRQ_L2CAP_SEND_READY, "HHB", number_of(connection), channel.source_cid, 0
        )
        channel.on(channel.EVENT_CLOSE, lambda: self._on_close(channel))
        return channel

    def _register(self, channel: Channel) -> None:
        """Bumble finds the channel of credits and disconnections by the peer's number of it."""
        known = self._manager.le_coc_channels.setdefault(channel.connection.handle, {})
        known[channel.destination_cid] = channel

    def _forget(self, channel: Channel) -> None:
        self._manager.channels.get(channel.connection.handle, {}).pop(channel.source_cid, None)
        if self._channel is channel:
            self._channel = None
            self._used = False

    def _on_close(self, channel: Channel) -> None:
        if self._channel is channel:
            self._channel = None
            self._used = False
            fields = number_of(channel.connection), channel.source_cid, channel.psm, 0
            self._host.tell(ops.IRQ_L2CAP_DISCONNECT, "HHHH", *fields)

    def broken(self, connection: Any) -> None:
        channel = self._channel
        if channel is not None and channel.connection is connection:
            channel.abort()
            self._forget(channel)

    def _find(self, number: int, cid: int) -> Channel:
        channel = self._channel
        if channel is None or number_of(channel.connection) != number or channel.source_cid != cid:
            raise errors.host_error(errors.EINVAL, "no such channel")
        return channel

    def disconnect(self, payload: bytes) -> None:
        channel = self._find(*struct.unpack("<HH", payload))
        if channel.state != channel.State.CONNECTED:
            raise errors.host_error(errors.ENOTCONN, "not connected")
        self._host.spawn(channel.disconnect())

    def send(self, payload: bytes) -> bytes:
        number, cid, data = unpack("HH", payload)
        channel = self._find(number, cid)
        if len(data) > channel.peer_mtu or len(data) > 2 * channel.mtu:
            raise errors.host_error(errors.EINVAL, "more than the peer takes")
        if channel.state != channel.State.CONNECTED:
            raise errors.host_error(errors.ENOTCONN, "not connected")
        return b"\1" if channel.send_sdu(data) else b"\0"

    def _on_sdu(self, channel: Channel, sdu: bytes) -> None:
        self._arrived.append(sdu)  # bounded by the credits
        if not self._in_handler:
            self._in_handler = True
            self._host.spawn(self._offer(channel))

    async def _offer(self, channel: Channel) -> None:
        """Tell the program of each packet; the peer may send more when it has taken all."""
        try:
            while self._arrived and channel is self._channel:
                self._pending += self._arrived.popleft()
                await self._host.ask(
                    ops.IRQ_L2CAP_RECV, "HH", number_of(channel.connection), channel.source_cid
                )
                if channel is self._channel and not self._pending:
                    channel.grant()
        except TimeoutError:
            pass  # it is still there to be taken
        finally:
            self._in_handler = False

    def receive(self, payload: bytes) -> bytes:
        number, cid, size, peek = struct.unpack("<HHHB", payload)
        channel = self._find(number, cid)
        if peek:
            return struct.pack("<H", min(len(self._pending), 0xFFFF))
        data, self._pending = self._pending[:size], self._pending[size:]
        if data and not self._pending and not self._in_handler:
            channel.grant()
        return data


def _fields(channel: Channel, peer_mtu: int) -> tuple[int, int, int, int, int]:
    return number_of(channel.connection), channel.source_cid, channel.psm, channel.mtu, peer_mtu
