"""A controller's commands for scanning and for periodic advertising, and what it hears of the air."""

from typing import Any

from bumble import hci
from bumble.controller import Controller

from hil.radio.advertiser import CONNECTABLE, LEGACY, Advertisement
from hil.radio.scanner import Scanner

Error = hci.HCI_ErrorCode


class Scanning(Controller):  # type: ignore[misc]
    """Listens while the host scans, waits for a connection, or follows periodic advertising."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._scanner = Scanner(self)

    def on_hci_reset_command(self, command: Any) -> Any:
        self.le_scan_enable = False
        self._listen()
        return super().on_hci_reset_command(command)

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
