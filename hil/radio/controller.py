"""A Bumble controller that behaves as the radio of an ESP32 or a phone.

Bumble's own (0.0.236) takes the interval of legacy advertising for milliseconds (it is in units of 0.625 ms), puts the
advertising data into scan responses, knows undirected connectable advertising only, cannot cancel a connection attempt,
reports -50 dBm, invents the connection parameters of the peripheral, has no accept list, resolving list, PHY or data length,
and lets the host send without end. Each method here replaces one of those. ``RadioController`` hears only its like.
"""

import asyncio
from typing import Any

from bumble import hci
from bumble.controller import Controller

from hil.radio.address_lists import AddressLists
from hil.radio.advertising import Advertising
from hil.radio.connecting import Connecting
from hil.radio.link_control import LinkControl
from hil.radio.scanning import Scanning

_EXTENDED = hci.LeFeatureMask.LE_EXTENDED_ADVERTISING | hci.LeFeatureMask.LE_PERIODIC_ADVERTISING
BUFFERS = 24  # ACL packets in the controller, as in an ESP32's


class RadioController(Advertising, Connecting, LinkControl, Scanning, AddressLists):
    """One station on a Medium, which gives it advertisements with their RSSI by ``on_advertisement``.

    ``extended``: Bluetooth 5 advertising; else the host uses the commands of Bluetooth 4. ``slots``: connections at most.
    """

    total_num_le_acl_data_packets = BUFFERS

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

    def on_hci_packet(self, packet: hci.HCI_Packet) -> None:
        if self.host is None:
            return  # cut: what was on its way must not have a chip without power advertise
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
