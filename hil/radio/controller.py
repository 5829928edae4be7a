"""A Bumble controller that behaves as the radio of an ESP32 or a phone: Bluetooth 4.2, legacy advertising.

Bumble's own (0.0.236) takes the interval of legacy advertising for milliseconds (it is in units of 0.625 ms),
puts the advertising data into scan responses, knows ADV_IND only, cannot cancel a connection attempt, reports
-50 dBm and invents the connection parameters of the peripheral. Each method here replaces one of those.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from bumble import hci, ll
from bumble.controller import Connection, Controller, LegacyAdvertiser
from bumble.core import PhysicalTransport

from hil.radio.medium import Medium

UNIT = 0.625e-3  # seconds per unit of an advertising interval
MIN_INTERVAL = 0.02  # seconds: Core Vol 4 Part E 7.8.5

AdvertisingType = hci.HCI_LE_Set_Advertising_Parameters_Command.AdvertisingType
ReportType = hci.HCI_LE_Advertising_Report_Event.EventType

_EXTENDED = hci.LeFeatureMask.LE_EXTENDED_ADVERTISING | hci.LeFeatureMask.LE_PERIODIC_ADVERTISING
_REPORTS = {
    AdvertisingType.ADV_IND: ReportType.ADV_IND,
    AdvertisingType.ADV_SCAN_IND: ReportType.ADV_SCAN_IND,
    AdvertisingType.ADV_NONCONN_IND: ReportType.ADV_NONCONN_IND,
}
_SCANNABLE = (ReportType.ADV_IND, ReportType.ADV_SCAN_IND)
_ACTIVE_SCANNING = 1


@dataclass
class ConnectableAdv(ll.AdvInd):  # type: ignore[misc]
    """ADV_IND with the answer to a scan request along with it."""

    scan_response: bytes = b""


@dataclass
class BroadcastAdv(ll.AdvNonConnInd):  # type: ignore[misc]
    """ADV_SCAN_IND or ADV_NONCONN_IND."""

    scan_response: bytes = b""
    report_type: int = ReportType.ADV_NONCONN_IND


class RadioAdvertiser(LegacyAdvertiser):  # type: ignore[misc]
    """Advertises at exact multiples of its interval since it was started, heard or not."""

    _epoch = 0.0
    timer_handle: asyncio.TimerHandle | None

    # A dataclass with eq=True has no hash; the medium keeps advertisers in a set.
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    @property
    def interval(self) -> float:
        """Seconds between two advertising events."""
        asked = 0.0 if self.controller.link.eager else float(self.advertising_interval_min) * UNIT
        return max(asked, MIN_INTERVAL)

    def start(self) -> None:
        self.stop()
        self.enabled = True
        self._epoch = asyncio.get_running_loop().time()
        self.controller.link.started_advertising(self)

    def stop(self) -> None:
        self.disarm()
        self.enabled = False
        if self.controller.link is not None:
            self.controller.link.stopped_advertising(self)

    def arm(self) -> None:
        """Wait for the next event on the grid of the interval."""
        if self.enabled and self.timer_handle is None:
            loop = asyncio.get_running_loop()
            events = -((self._epoch - loop.time()) // self.interval)
            self.timer_handle = loop.call_at(self._epoch + events * self.interval, self._on_timer_fired)

    def disarm(self) -> None:
        if self.timer_handle is not None:
            self.timer_handle.cancel()
            self.timer_handle = None

    def _on_timer_fired(self) -> None:
        self.timer_handle = None
        self.send_advertising_data()
        if self.controller.link.has_listeners:
            loop = asyncio.get_running_loop()
            events = round((loop.time() - self._epoch) / self.interval) + 1
            self.timer_handle = loop.call_at(self._epoch + events * self.interval, self._on_timer_fired)

    def send_advertising_data(self) -> None:
        if not self.enabled:
            return
        if self.advertising_type == AdvertisingType.ADV_IND:
            pdu = ConnectableAdv(self.address, self.advertising_data, self.scan_response_data)
        else:
            report = _REPORTS.get(AdvertisingType(self.advertising_type), ReportType.ADV_NONCONN_IND)
            pdu = BroadcastAdv(self.address, self.advertising_data, self.scan_response_data, report)
        self.controller.send_advertising_pdu(pdu)


class RadioController(Controller):  # type: ignore[misc]
    """One station on a Medium, which gives it advertisements with their RSSI by ``on_advertisement``."""

    le_features = Controller.le_features & ~_EXTENDED
    pending_le_connection: Any

    def __init__(self, name: str, medium: Medium, public_address: hci.Address) -> None:
        super().__init__(name, link=medium, public_address=public_address)
        self.le_legacy_advertiser = RadioAdvertiser(self)
        self._reported: set[tuple[hci.Address, int]] = set()

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

    def _listen(self) -> None:
        if self.le_scan_enable or self.pending_le_connection is not None:
            self.link.started_listening(self)
        else:
            self.link.stopped_listening(self)

    def on_hci_le_set_scan_enable_command(self, command: Any) -> Any:
        answer = super().on_hci_le_set_scan_enable_command(command)
        self._reported.clear()
        self._listen()
        return answer

    def on_hci_le_create_connection_command(self, command: Any) -> None:
        super().on_hci_le_create_connection_command(command)
        self._listen()

    def on_hci_le_create_connection_cancel_command(self, _command: Any) -> Any:
        """Core Vol 4 Part E 7.8.13: the attempt ends with a Connection Complete event."""
        pending = self.pending_le_connection
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        self.pending_le_connection = None
        self._listen()
        self._complete(
            hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR, 0, hci.Role.CENTRAL, pending.peer_address
        )
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def on_advertisement(self, pdu: Any, rssi: int) -> None:
        """Take one advertising event from the air."""
        connectable = isinstance(pdu, ll.AdvInd)
        if self.le_scan_enable and isinstance(pdu, ll.AdvInd | ll.AdvNonConnInd):
            other = getattr(pdu, "report_type", ReportType.ADV_NONCONN_IND)
            kind = ReportType.ADV_IND if connectable else other
            found = {kind: pdu.data}
            if kind in _SCANNABLE and self.le_scan_type == _ACTIVE_SCANNING:
                found[ReportType.SCAN_RSP] = getattr(pdu, "scan_response", b"")
            self._report(pdu.advertiser_address, found, rssi)
        pending = self.pending_le_connection
        if connectable and pending is not None and pending.peer_address == pdu.advertiser_address:
            self.create_le_connection(pdu.advertiser_address)
            self._listen()

    def _report(self, address: hci.Address, found: dict[int, bytes], rssi: int) -> None:
        if self.filter_duplicates:
            found = {kind: data for kind, data in found.items() if (address, kind) not in self._reported}
            self._reported.update((address, kind) for kind in found)
        reports = [
            hci.HCI_LE_Advertising_Report_Event.Report(
                event_type=kind, address_type=address.address_type, address=address, data=data, rssi=rssi
            )
            for kind, data in found.items()
        ]
        if reports:
            self.send_hci_packet(hci.HCI_LE_Advertising_Report_Event(reports))

    def on_le_connect_ind(self, packet: ll.ConnectInd) -> None:
        """Become the peripheral of a link, with the parameters the central asked for."""
        advertiser = self.le_legacy_advertiser
        if not advertiser.enabled or advertiser.advertising_type != AdvertisingType.ADV_IND:
            return
        if packet.advertiser_address != advertiser.address or packet.initiator_address in self.le_connections:
            return
        advertiser.stop()
        connection = Connection(
            controller=self,
            handle=self.allocate_connection_handle(),
            role=hci.Role.PERIPHERAL,
            self_address=packet.advertiser_address,
            peer_address=packet.initiator_address,
            link=self.link,
            transport=PhysicalTransport.LE,
            link_type=hci.HCI_Connection_Complete_Event.LinkType.ACL,
        )
        self.le_connections[packet.initiator_address] = connection
        self._complete(0, connection.handle, hci.Role.PERIPHERAL, packet.initiator_address, packet)

    def _complete(
        self, status: int, handle: int, role: int, peer: hci.Address, packet: ll.ConnectInd | None = None
    ) -> None:
        self.send_hci_packet(
            hci.HCI_LE_Connection_Complete_Event(
                status=status,
                connection_handle=handle,
                role=role,
                peer_address_type=peer.address_type,
                peer_address=peer,
                connection_interval=packet.interval if packet else 0,
                peripheral_latency=packet.latency if packet else 0,
                supervision_timeout=packet.timeout if packet else 0,
                central_clock_accuracy=0,
            )
        )

    def on_le_disconnected(self, connection: Connection, reason: int) -> None:
        if self.le_connections.get(connection.peer_address) is connection:
            super().on_le_disconnected(connection, reason)

    def on_hci_read_rssi_command(self, command: Any) -> Any:
        connection = self.find_le_connection_by_handle(command.handle)
        rssi = self.link.link_rssi(self, connection.peer_address) if connection else None
        status = hci.HCI_ErrorCode.SUCCESS
        if rssi is None:
            status, rssi = hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR, 127
        return hci.HCI_Read_RSSI_ReturnParameters(status=status, handle=command.handle, rssi=rssi)
