"""What a controller hears of the advertising channels: scan windows, scan requests, reports, and whom it connects to."""

import asyncio
from typing import Any, NamedTuple

from bumble import hci

from hil.radio.advertiser import ANONYMOUS, CONNECTABLE, DIRECTED, LEGACY, SCANNABLE, UNIT, Advertisement
from hil.radio.loss import ADVERTISING

ReportType = hci.HCI_LE_Advertising_Report_Event.EventType
ExtendedReport = hci.HCI_LE_Extended_Advertising_Report_Event
LegacyReport = hci.HCI_LE_Advertising_Report_Event

ACTIVE = 1
FILTERED, ALL_DIRECTED = 1, 2  # bits of the scanning filter policy
SCAN_RESPONSE = int(ExtendedReport.EventType.SCAN_RESPONSE)
_EVENT_TYPE = CONNECTABLE | SCANNABLE | DIRECTED | LEGACY
_MAX_REPORTED = 10_000  # devices that a filter of duplicates remembers
_REPORT_DATA = 229  # bytes of data in one extended report


class Window(NamedTuple):
    """When a receiver listens: ``window`` of each ``interval``, from ``began`` on; seconds."""

    began: float
    interval: float
    window: float

    @classmethod
    def of(cls, interval: int, window: int) -> "Window":
        """From HCI's units, beginning now."""
        return cls(asyncio.get_running_loop().time(), interval * UNIT, window * UNIT)

    def is_open(self) -> bool:
        if self.window >= self.interval:
            return True
        return (asyncio.get_running_loop().time() - self.began) % self.interval < self.window


class Scanner:
    """Reports to the host of ``controller`` what it should hear."""

    def __init__(self, controller: Any) -> None:
        self.window = Window(0.0, 0.0, 0.0)
        self._controller = controller
        self._reported: set[tuple[hci.Address, int]] = set()

    def began(self) -> None:
        """Scanning was enabled: listen from now on, and report everybody again."""
        controller = self._controller
        self._reported.clear()
        self.window = Window.of(controller.le_scan_interval, controller.le_scan_window)

    def hear(self, pdu: Advertisement, rssi: int) -> None:
        controller = self._controller
        if not (controller.link.eager or self.window.is_open()):
            return
        address = controller.resolved(pdu.advertiser_address)
        policy = controller.le_scanning_filter_policy
        if policy & FILTERED and not controller.accepts(address):
            return
        if pdu.target is not None and not self._is_for_us(pdu.target):
            return
        kind = pdu.properties & _EVENT_TYPE
        heard = [(kind, pdu.data)]
        if pdu.has(SCANNABLE) and controller.le_scan_type == ACTIVE and self._is_answered(pdu):
            heard.append((kind | SCAN_RESPONSE, pdu.scan_response))
        self._report(pdu, address, heard, rssi)

    def _is_for_us(self, target: hci.Address) -> bool:
        unresolved = self._controller.le_scanning_filter_policy & ALL_DIRECTED and target.is_resolvable
        return bool(unresolved) or self._controller.is_meant(target)

    def _is_answered(self, pdu: Advertisement) -> bool:
        """Ask for the scan response; both the request and the answer may get lost."""
        me, other = self._controller, pdu.advertiser.controller
        if not pdu.advertiser.answers(me.scan_address, connect=False):
            return False
        medium = me.link
        return not medium.lost(me, other, ADVERTISING) and not medium.lost(other, me, ADVERTISING)

    def _report(
        self, pdu: Advertisement, address: hci.Address, heard: list[tuple[int, bytes]], rssi: int
    ) -> None:
        if self._controller.filter_duplicates:
            heard = [(kind, data) for kind, data in heard if (address, kind) not in self._reported]
            if len(self._reported) < _MAX_REPORTED:
                self._reported.update((address, kind) for kind, _ in heard)
        for kind, data in heard:
            if self._controller.is_extended:
                self._report_extended(pdu, address, kind, data, rssi)
            else:
                self._report_legacy(address, kind, data, rssi)

    def _report_legacy(self, address: hci.Address, kind: int, data: bytes, rssi: int) -> None:
        name = (
            ReportType.SCAN_RSP
            if kind & SCAN_RESPONSE
            else ExtendedReport.LEGACY_PDU_TYPE_MAP[kind & ~LEGACY]
        )
        report = LegacyReport.Report(
            event_type=name, address_type=address.address_type, address=address, data=data, rssi=rssi
        )
        self._controller.send_hci_packet(LegacyReport([report]))

    def _report_extended(
        self, pdu: Advertisement, address: hci.Address, kind: int, data: bytes, rssi: int
    ) -> None:
        anonymous = bool(pdu.properties & ANONYMOUS)
        target = pdu.target or hci.Address.ANY
        parts = [data[at : at + _REPORT_DATA] for at in range(0, len(data), _REPORT_DATA)] or [b""]
        for number, part in enumerate(parts, 1):
            more = ExtendedReport.DATA_INCOMPLETE_MORE_TO_COME if number < len(parts) else 0
            report = ExtendedReport.Report(
                event_type=kind | more << 5,
                address_type=ExtendedReport.ANONYMOUS_ADDRESS_TYPE if anonymous else address.address_type,
                address=hci.Address.ANY if anonymous else address,
                primary_phy=pdu.primary_phy,
                secondary_phy=pdu.secondary_phy,
                advertising_sid=pdu.sid,
                tx_power=pdu.tx_power,
                rssi=rssi,
                periodic_advertising_interval=0,
                direct_address_type=target.address_type if pdu.target else 0,
                direct_address=target,
                data=part,
            )
            self._controller.send_hci_packet(ExtendedReport([report]))


class Request(NamedTuple):
    """A Create Connection command, of either kind; ``interval`` is the longest that it allows, as most controllers choose."""

    command: Any
    window: Window
    interval: int
    latency: int
    timeout: int

    @classmethod
    def of(cls, command: Any) -> "Request":
        if isinstance(command, hci.HCI_LE_Extended_Create_Connection_Command):
            window = Window.of(command.scan_intervals[0], command.scan_windows[0])
            parameters = (
                command.connection_interval_maxs,
                command.max_latencies,
                command.supervision_timeouts,
            )
            return cls(command, window, *(values[0] for values in parameters))
        window = Window.of(command.le_scan_interval, command.le_scan_window)
        return cls(
            command, window, command.connection_interval_max, command.max_latency, command.supervision_timeout
        )

    @property
    def any_accepted(self) -> bool:
        """The peer is whoever is on the accept list."""
        return bool(self.command.initiator_filter_policy & 1)
