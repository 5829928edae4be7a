"""A controller's connections: how they are asked for, come about as either role, and end."""

from collections.abc import Callable
from functools import partial
from typing import Any

from bumble import hci, ll
from bumble.controller import Connection, Controller
from bumble.core import PhysicalTransport

from hil.radio.advertiser import Advertisement, RadioAdvertisingSet
from hil.radio.scanner import Request

Error = hci.HCI_ErrorCode


class RadioConnection(Connection):  # type: ignore[misc]
    """A connection that tells its host when what it sent has got there, so that the host can wait."""

    ending = False
    _parts = 0

    def on_hci_acl_data_packet(self, packet: hci.HCI_AclDataPacket) -> None:
        self._parts += 1
        self.assembler.feed_packet(packet)

    def on_acl_pdu(self, pdu: bytes) -> None:
        parts, self._parts = self._parts, 0
        sent = partial(self.controller.sent, self.handle, parts)
        self.link.send_acl_data(self.controller, self.peer_address, self.transport, pdu, sent)

    def control(self, packet: ll.ControlPdu, sent: Callable[[], None]) -> None:
        """Send a control PDU; ``sent`` is called when the peer has it."""
        self.link.send_ll_control_pdu(self.self_address, self.peer_address, packet, sent)


class Connecting(Controller):  # type: ignore[misc]
    """``slots``: connections at most; None: any number."""

    pending_le_connection: Any
    slots: int | None = None

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._request: Request | None = None

    def on_hci_reset_command(self, command: Any) -> Any:
        self.pending_le_connection = self._request = None
        return super().on_hci_reset_command(command)

    @property
    def _is_full(self) -> bool:
        return self.slots is not None and len(self.le_connections) >= self.slots

    def on_hci_le_create_connection_command(self, command: Any) -> None:
        self._create(command, super().on_hci_le_create_connection_command)

    def on_hci_le_extended_create_connection_command(self, command: Any) -> None:
        self._create(command, super().on_hci_le_extended_create_connection_command)

    def _create(self, command: Any, create: Callable[[Any], None]) -> None:
        refusal = None
        if self._is_full:
            refusal = Error.CONNECTION_LIMIT_EXCEEDED_ERROR
        elif not command.initiator_filter_policy & 1 and command.peer_address in self.le_connections:
            refusal = Error.CONNECTION_ALREADY_EXISTS_ERROR
        if refusal is not None and self.pending_le_connection is None:
            self._send_hci_command_status(refusal, command.op_code)
            return
        create(command)
        if self.pending_le_connection is command:
            self._request = Request.of(command)
            self._listen()

    def on_hci_le_create_connection_cancel_command(self, _command: Any) -> Any:
        """Core Vol 4 Part E 7.8.13: the attempt ends with a Connection Complete event."""
        pending = self.pending_le_connection
        if pending is None:
            return hci.HCI_StatusReturnParameters(Error.COMMAND_DISALLOWED_ERROR)
        self.pending_le_connection = self._request = None
        self._listen()
        self._complete(Error.UNKNOWN_CONNECTION_IDENTIFIER_ERROR, 0, hci.Role.CENTRAL, pending.peer_address)
        return hci.HCI_StatusReturnParameters(Error.SUCCESS)

    def _initiate(self, request: Request, pdu: Advertisement) -> None:
        """Answer an advertisement with a connection request, if it is the one that was waited for."""
        air, command = pdu.advertiser_address, request.command
        wanted = self.accepts(air) if request.any_accepted else self.is_same(command.peer_address, air)
        own = self._own_address(command.own_address_type)
        meant = pdu.target is None or pdu.target == own or self.is_meant(pdu.target)
        listens = self.link.eager or request.window.is_open()
        if not (wanted and meant and listens) or air in self.le_connections:
            return
        connection = self._connection(hci.Role.CENTRAL, own, air)
        packet = ll.ConnectInd(own, air, request.interval, request.latency, request.timeout)
        self.send_advertising_pdu(packet)
        self._complete(Error.SUCCESS, connection.handle, hci.Role.CENTRAL, air, packet)
        self.pending_le_connection = self._request = None
        self._listen()

    def _own_address(self, kind: int) -> hci.Address:
        public = kind in (hci.OwnAddressType.PUBLIC, hci.OwnAddressType.RESOLVABLE_OR_PUBLIC)
        return self.public_address if public else self.random_address

    def _connection(self, role: hci.Role, own: hci.Address, peer: hci.Address) -> RadioConnection:
        connection = RadioConnection(
            controller=self,
            handle=self.allocate_connection_handle(),
            role=role,
            self_address=own,
            peer_address=peer,
            link=self.link,
            transport=PhysicalTransport.LE,
            link_type=hci.HCI_Connection_Complete_Event.LinkType.ACL,
        )
        self.le_connections[peer] = connection
        return connection

    def on_le_connect_ind(self, packet: ll.ConnectInd) -> None:
        """Become the peripheral of a link, with the parameters the central asked for."""
        advertiser = self.advertiser_at(packet.advertiser_address)
        peer = packet.initiator_address
        if advertiser is None or peer in self.le_connections or self._is_full:
            return
        if not advertiser.answers(peer, connect=True):
            return
        advertiser.stop()
        connection = self._connection(hci.Role.PERIPHERAL, packet.advertiser_address, peer)
        self._complete(Error.SUCCESS, connection.handle, hci.Role.PERIPHERAL, peer, packet)
        if isinstance(advertiser, RadioAdvertisingSet):
            self._set_terminated(advertiser, Error.SUCCESS, connection.handle)

    def _complete(
        self, status: int, handle: int, role: int, air: hci.Address, packet: ll.ConnectInd | None = None
    ) -> None:
        peer = self.resolved(air)
        fields: dict[str, Any] = {
            "status": status,
            "connection_handle": handle,
            "role": role,
            "peer_address_type": peer.address_type,
            "peer_address": peer,
            "connection_interval": packet.interval if packet else 0,
            "peripheral_latency": packet.latency if packet else 0,
            "supervision_timeout": packet.timeout if packet else 0,
            "central_clock_accuracy": 0,
        }
        if peer == air:
            self.send_hci_packet(hci.HCI_LE_Connection_Complete_Event(**fields))
            return
        nobody = hci.Address("00:00:00:00:00:00")
        private = {"local_resolvable_private_address": nobody, "peer_resolvable_private_address": air}
        self.send_hci_packet(hci.HCI_LE_Enhanced_Connection_Complete_Event(**fields, **private))

    def on_hci_disconnect_command(self, command: Any) -> None:
        """The connection is over when the peer has acknowledged its end, or is not heard any more."""
        connection = self.find_le_connection_by_handle(command.connection_handle)
        if not isinstance(connection, RadioConnection):
            super().on_hci_disconnect_command(command)
            return
        self._send_hci_command_status(hci.HCI_COMMAND_STATUS_PENDING, command.op_code)
        if not connection.ending:
            connection.ending = True
            reason = Error.CONNECTION_TERMINATED_BY_LOCAL_HOST_ERROR
            over = partial(self.on_le_disconnected, connection, reason)
            connection.control(ll.TerminateInd(command.reason), over)

    def on_le_disconnected(self, connection: Connection, reason: int) -> None:
        if self.le_connections.get(connection.peer_address) is connection:
            super().on_le_disconnected(connection, reason)

    def on_hci_read_rssi_command(self, command: Any) -> Any:
        connection = self.find_le_connection_by_handle(command.handle)
        rssi = self.link.link_rssi(self, connection.peer_address) if connection else None
        status = Error.SUCCESS
        if rssi is None:
            status, rssi = Error.UNKNOWN_CONNECTION_IDENTIFIER_ERROR, 127
        return hci.HCI_Read_RSSI_ReturnParameters(status=status, handle=command.handle, rssi=rssi)
