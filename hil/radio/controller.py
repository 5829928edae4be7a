"""A Bumble controller that behaves as the radio of an ESP32 or a phone.

Bumble's own (0.0.236) takes the interval of legacy advertising for milliseconds (it is in units of 0.625 ms), puts the
advertising data into scan responses, knows undirected connectable advertising only, cannot cancel a connection attempt,
reports -50 dBm, invents the connection parameters of the peripheral, has no accept list, resolving list, PHY or data length,
and lets the host send without end. Each method here replaces one of those. ``RadioController`` hears only its like.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from bumble import hci, ll
from bumble.controller import Connection, Controller
from bumble.core import PhysicalTransport
from bumble.smp import AddressResolver

from hil.radio.advertiser import (
    CONNECTABLE,
    LEGACY,
    Advertisement,
    RadioAdvertiser,
    RadioAdvertisingSet,
    Timed,
)
from hil.radio.scanner import Request, Scanner

_EXTENDED = hci.LeFeatureMask.LE_EXTENDED_ADVERTISING | hci.LeFeatureMask.LE_PERIODIC_ADVERTISING
MAX_OCTETS = (
    251  # of a data PDU with data length extension, which all chips since Bluetooth 4.2 agree on at once
)
BUFFERS = 24  # ACL packets in the controller, as in an ESP32's
LIST_SIZE = 12  # of the accept list and the resolving list
_PHYS = ((2, 2), (4, 3), (1, 1))  # bit of a preference, PHY: the fastest first

Error = hci.HCI_ErrorCode


@dataclass
class PhyUpdateInd(ll.ControlPdu):  # type: ignore[misc]
    """LL_PHY_UPDATE_IND, of one PHY for both directions."""

    opcode = ll.ControlPdu.Opcode.LL_PHY_UPDATE_IND
    phy: int


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


class RadioController(Controller):  # type: ignore[misc]
    """One station on a Medium, which gives it advertisements with their RSSI by ``on_advertisement``.

    ``extended``: Bluetooth 5 advertising; else the host uses the commands of Bluetooth 4. ``slots``: connections at most.
    """

    pending_le_connection: Any
    le_acl_data_packet_length = MAX_OCTETS
    total_num_le_acl_data_packets = BUFFERS
    supported_max_tx_octets = supported_max_rx_octets = MAX_OCTETS
    suggested_max_tx_octets = MAX_OCTETS
    filter_accept_list_size = resolving_list_size = LIST_SIZE

    def __init__(
        self,
        name: str,
        host_source: Any = None,
        host_sink: Any = None,
        link: Any = None,
        public_address: Any = None,
        *,
        extended: bool = True,
        slots: int | None = None,
    ) -> None:
        super().__init__(name, host_source, host_sink, link, public_address)
        if not extended:
            self.le_features = Controller.le_features & ~_EXTENDED
        self.is_extended = extended
        self.slots = slots
        self.le_legacy_advertiser = RadioAdvertiser(self)
        self._scanner = Scanner(self)
        self._request: Request | None = None
        self._accepted: set[hci.Address] = set()
        self._resolving: dict[hci.Address, tuple[bytes, bytes]] = {}

    # --- Packets of the host

    def on_hci_packet(self, packet: hci.HCI_Packet) -> None:
        # Bumble renders every packet in colour for a debug line nobody reads: a third of its running time.
        if isinstance(packet, hci.HCI_Command):
            self.on_hci_command_packet(packet)
        elif isinstance(packet, hci.HCI_AclDataPacket):
            self.on_hci_acl_data_packet(packet)
        else:
            super().on_hci_packet(packet)

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        if self.host is not None:
            asyncio.get_running_loop().call_soon(self.host.on_packet, bytes(packet))

    def sent(self, handle: int, count: int) -> None:
        """Give the host its buffers back."""
        if self.find_le_connection_by_handle(handle) is not None:
            self.send_hci_packet(hci.HCI_Number_Of_Completed_Packets_Event([handle], [count]))

    def on_hci_reset_command(self, command: Any) -> Any:
        for advertiser in self.advertisers():
            advertiser.stop()
        self.advertising_sets.clear()
        self.le_scan_enable = False
        self.pending_le_connection = self._request = None
        self._accepted.clear()
        self._resolving.clear()
        self._listen()
        return super().on_hci_reset_command(command)

    # --- Advertising

    def advertisers(self) -> list[Timed]:
        return [self.le_legacy_advertiser, *self.advertising_sets.values()]

    def advertiser_at(self, address: hci.Address) -> Timed | None:
        """Which of them takes connections at an address."""
        for advertiser in self.advertisers():
            if advertiser.enabled and advertiser.properties & CONNECTABLE and advertiser.address == address:
                return advertiser
        return None

    @property
    def _is_full(self) -> bool:
        return self.slots is not None and len(self.le_connections) >= self.slots

    def on_hci_le_set_advertising_enable_command(self, command: Any) -> Any:
        if (
            command.advertising_enable
            and self._is_full
            and self.le_legacy_advertiser.properties & CONNECTABLE
        ):
            return hci.HCI_StatusReturnParameters(Error.CONNECTION_LIMIT_EXCEEDED_ERROR)
        return super().on_hci_le_set_advertising_enable_command(command)

    def _set(self, handle: int) -> None:
        """Make an advertising set before Bumble makes one of its own."""
        if handle not in self.advertising_sets:
            self.advertising_sets[handle] = RadioAdvertisingSet(controller=self, handle=handle)

    def on_hci_le_set_advertising_set_random_address_command(self, command: Any) -> Any:
        self._set(command.advertising_handle)
        return super().on_hci_le_set_advertising_set_random_address_command(command)

    def on_hci_le_set_extended_advertising_parameters_command(self, command: Any) -> Any:
        self._set(command.advertising_handle)
        return super().on_hci_le_set_extended_advertising_parameters_command(command)

    def on_hci_le_set_extended_advertising_enable_command(self, command: Any) -> Any:
        if not command.enable:
            return super().on_hci_le_set_extended_advertising_enable_command(command)
        for handle, duration in zip(command.advertising_handles, command.durations, strict=True):
            wanted = self.advertising_sets.get(handle)
            if wanted is None:
                return hci.HCI_StatusReturnParameters(Error.UNKNOWN_ADVERTISING_IDENTIFIER_ERROR)
            if wanted.properties & CONNECTABLE and self._is_full:
                return hci.HCI_StatusReturnParameters(Error.CONNECTION_LIMIT_EXCEEDED_ERROR)
            wanted.start(duration / 100)
        return hci.HCI_StatusReturnParameters(Error.SUCCESS)

    def advertising_timed_out(self, advertiser: Timed) -> None:
        """Tell the host: Core Vol 4 Part E 7.7.65.1 and 7.7.65.18."""
        if isinstance(advertiser, RadioAdvertisingSet):
            self._set_terminated(advertiser, Error.ADVERTISING_TIMEOUT_ERROR, 0)
        else:
            peer = self.le_legacy_advertiser.peer_address
            self._complete(Error.ADVERTISING_TIMEOUT_ERROR, 0, hci.Role.PERIPHERAL, peer)

    def _set_terminated(self, advertiser: RadioAdvertisingSet, status: int, handle: int) -> None:
        self.send_hci_packet(
            hci.HCI_LE_Advertising_Set_Terminated_Event(
                status=status,
                advertising_handle=advertiser.handle,
                connection_handle=handle,
                num_completed_extended_advertising_events=0,
            )
        )

    # --- Scanning

    def _listen(self) -> None:
        syncs = self.pending_periodic_advertising_syncs or self.established_periodic_advertising_syncs
        if self.le_scan_enable or self.pending_le_connection is not None or syncs:
            self.link.started_listening(self)
        else:
            self.link.stopped_listening(self)

    @property
    def scan_address(self) -> hci.Address:
        public = self.le_scan_own_address_type == hci.AddressType.PUBLIC_DEVICE
        return self.public_address if public else self.random_address

    def on_hci_le_set_scan_enable_command(self, command: Any) -> Any:
        answer = super().on_hci_le_set_scan_enable_command(command)
        self._scanner.began()
        self._listen()
        return answer

    def on_hci_le_set_extended_scan_parameters_command(self, command: Any) -> Any:
        if self.le_scan_enable:
            return hci.HCI_StatusReturnParameters(Error.COMMAND_DISALLOWED_ERROR)
        self.le_scan_type = command.scan_types[0]
        self.le_scan_interval, self.le_scan_window = command.scan_intervals[0], command.scan_windows[0]
        return super().on_hci_le_set_extended_scan_parameters_command(command)

    def on_hci_le_set_extended_scan_enable_command(self, command: Any) -> Any:
        answer = super().on_hci_le_set_extended_scan_enable_command(command)
        self._scanner.began()
        self._listen()
        return answer

    def on_hci_le_periodic_advertising_create_sync_command(self, command: Any) -> Any:
        answer = super().on_hci_le_periodic_advertising_create_sync_command(command)
        self._listen()
        return answer

    def on_advertisement(self, pdu: Any, rssi: int) -> None:
        """Take one advertising event from the air."""
        if not isinstance(pdu, Advertisement) or not (self.is_extended or pdu.properties & LEGACY):
            return
        self._hear_periodic(pdu, rssi)
        if self.le_scan_enable:
            self._scanner.hear(pdu, rssi)
        if self._request is not None and pdu.properties & CONNECTABLE:
            self._initiate(self._request, pdu)

    def _hear_periodic(self, pdu: Advertisement, rssi: int) -> None:
        key = (pdu.advertiser_address, pdu.sid)
        handle = self.pending_periodic_advertising_syncs.pop(key, None)
        if handle is not None:
            self.established_periodic_advertising_syncs[handle] = key
            self.send_hci_packet(
                hci.HCI_LE_Periodic_Advertising_Sync_Established_Event(
                    status=Error.SUCCESS,
                    sync_handle=handle,
                    advertising_sid=pdu.sid,
                    advertiser_address_type=pdu.advertiser_address.address_type,
                    advertiser_address=pdu.advertiser_address,
                    advertiser_phy=hci.Phy.LE_1M,
                    periodic_advertising_interval=80,
                    advertiser_clock_accuracy=0,
                )
            )
        for synced, other in self.established_periodic_advertising_syncs.items():
            if other == key and pdu.periodic_data is not None:
                self.send_hci_packet(
                    hci.HCI_LE_Periodic_Advertising_Report_Event(
                        sync_handle=synced,
                        tx_power=0,
                        rssi=rssi,
                        cte_type=0xFF,
                        data_status=0,
                        data=pdu.periodic_data,
                    )
                )

    # --- Accept list, resolving list

    def accepts(self, address: hci.Address) -> bool:
        """Whether an address, or the identity behind it, is on the accept list."""
        return _plain(address) in self._accepted or _plain(self.resolved(address)) in self._accepted

    def on_hci_le_clear_filter_accept_list_command(self, _command: Any) -> Any:
        self._accepted.clear()
        return hci.HCI_StatusReturnParameters(Error.SUCCESS)

    def on_hci_le_add_device_to_filter_accept_list_command(self, command: Any) -> Any:
        if len(self._accepted) >= LIST_SIZE:
            return hci.HCI_StatusReturnParameters(Error.MEMORY_CAPACITY_EXCEEDED_ERROR)
        self._accepted.add(_plain(command.address))
        return hci.HCI_StatusReturnParameters(Error.SUCCESS)

    def on_hci_le_remove_device_from_filter_accept_list_command(self, command: Any) -> Any:
        self._accepted.discard(_plain(command.address))
        return hci.HCI_StatusReturnParameters(Error.SUCCESS)

    def on_hci_le_clear_resolving_list_command(self, _command: Any) -> Any:
        self._resolving.clear()
        return hci.HCI_StatusReturnParameters(Error.SUCCESS)

    def on_hci_le_add_device_to_resolving_list_command(self, command: Any) -> Any:
        if len(self._resolving) >= LIST_SIZE:
            return hci.HCI_StatusReturnParameters(Error.MEMORY_CAPACITY_EXCEEDED_ERROR)
        self._resolving[_plain(command.peer_identity_address)] = (command.peer_irk, command.local_irk)
        return hci.HCI_StatusReturnParameters(Error.SUCCESS)

    def on_hci_le_remove_device_from_resolving_list_command(self, command: Any) -> Any:
        self._resolving.pop(_plain(command.peer_identity_address), None)
        return hci.HCI_StatusReturnParameters(Error.SUCCESS)

    def resolved(self, address: hci.Address) -> hci.Address:
        """The identity behind a resolvable private address, if the resolving list knows it."""
        if not (self.le_address_resolution and address.is_resolvable):
            return address
        keys = [(peer, identity) for identity, (peer, _) in self._resolving.items() if any(peer)]
        found = AddressResolver(keys).resolve(address)
        if found is None:
            return address
        kind = hci.AddressType.PUBLIC_IDENTITY if found.is_public else hci.AddressType.RANDOM_IDENTITY
        return hci.Address(bytes(found), kind)

    def is_same(self, wanted: hci.Address, address: hci.Address) -> bool:
        """Whether an address on the air is the one wanted, or resolves to it."""
        return _plain(wanted) in (_plain(address), _plain(self.resolved(address)))

    def is_meant(self, target: hci.Address) -> bool:
        """Whether a directed advertisement is for this station, also by a private address made with its own key."""
        if target in (self.public_address, self.random_address):
            return True
        if not (self.le_address_resolution and target.is_resolvable):
            return False
        keys = [(local, identity) for identity, (_, local) in self._resolving.items() if any(local)]
        return AddressResolver(keys).resolve(target) is not None

    # --- Connections

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

    # --- Link control

    def on_ll_control_pdu(self, sender_address: hci.Address, packet: ll.ControlPdu) -> None:
        connection = self.le_connections.get(sender_address)
        if isinstance(packet, PhyUpdateInd) and connection is not None:
            self._phy_updated(connection, packet.phy)
        else:
            super().on_ll_control_pdu(sender_address, packet)

    def on_hci_le_connection_update_command(self, command: Any) -> None:
        """The new parameters hold for both ends when the peer has them."""
        connection = self._asked(command)
        if connection is None:
            return
        update = ll.ConnectionUpdateInd(
            interval=command.connection_interval_max,
            latency=command.max_latency,
            timeout=command.supervision_timeout,
        )
        event = hci.HCI_LE_Connection_Update_Complete_Event(
            status=Error.SUCCESS,
            connection_handle=connection.handle,
            connection_interval=update.interval,
            peripheral_latency=update.latency,
            supervision_timeout=update.timeout,
        )
        connection.control(update, partial(self.send_hci_packet, event))

    def _asked(self, command: Any) -> RadioConnection | None:
        """The connection that a command is about; answers the command with its status."""
        connection = self.find_le_connection_by_handle(command.connection_handle)
        if not isinstance(connection, RadioConnection):
            self._send_hci_command_status(Error.UNKNOWN_CONNECTION_IDENTIFIER_ERROR, command.op_code)
            return None
        self._send_hci_command_status(hci.HCI_COMMAND_STATUS_PENDING, command.op_code)
        return connection

    def on_hci_le_set_phy_command(self, command: Any) -> None:
        connection = self._asked(command)
        if connection is None:
            return
        wanted = int(command.tx_phys) & int(command.rx_phys) or 1
        phy = next(phy for bit, phy in _PHYS if wanted & bit) if not int(command.all_phys) else 1
        connection.control(PhyUpdateInd(phy), partial(self._phy_updated, connection, phy))

    def _phy_updated(self, connection: Connection, phy: int) -> None:
        link = self.link.link_of(connection)
        if link is not None:
            link.phy = phy
            self.send_hci_packet(
                hci.HCI_LE_PHY_Update_Complete_Event(
                    status=Error.SUCCESS, connection_handle=connection.handle, tx_phy=phy, rx_phy=phy
                )
            )

    def on_hci_le_read_phy_command(self, command: Any) -> Any:
        connection = self.find_le_connection_by_handle(command.connection_handle)
        link = self.link.link_of(connection) if connection else None
        status = Error.SUCCESS if link else Error.UNKNOWN_CONNECTION_IDENTIFIER_ERROR
        phy = link.phy if link else 1
        return hci.HCI_LE_Read_PHY_ReturnParameters(
            status=status, connection_handle=command.connection_handle, tx_phy=phy, rx_phy=phy
        )

    def on_hci_le_set_data_length_command(self, command: Any) -> Any:
        connection = self.find_le_connection_by_handle(command.connection_handle)
        link = self.link.link_of(connection) if connection else None
        status = Error.SUCCESS
        if link is None:
            status = Error.UNKNOWN_CONNECTION_IDENTIFIER_ERROR
        elif not 27 <= command.tx_octets <= MAX_OCTETS:
            status = Error.INVALID_HCI_COMMAND_PARAMETERS_ERROR
        else:
            self.link.set_octets(link, command.tx_octets)
        return hci.HCI_StatusAndConnectionHandleReturnParameters(
            status=status, connection_handle=command.connection_handle
        )

    def octets_changed(self, connection: Connection, octets: int) -> None:
        """Tell the host how long data PDUs are from now on."""
        us = (octets + 14) * 8
        self.send_hci_packet(hci.HCI_LE_Data_Length_Change_Event(connection.handle, octets, us, octets, us))


def _plain(address: hci.Address) -> hci.Address:
    """An identity address as the device address that it is."""
    kind = hci.AddressType.PUBLIC_DEVICE if address.is_public else hci.AddressType.RANDOM_DEVICE
    return hci.Address(bytes(address), kind)
