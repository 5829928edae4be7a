"""A Bumble host and controller on a medium, as one device: the Bluetooth chip of a board or of a phone."""

from typing import Any

from bumble.device import Device, DeviceConfiguration
from bumble.hci import Address, HCI_AclDataPacket, HCI_Event, HCI_Packet
from bumble.host import Host
from bumble.snoop import Snooper
from bumble.transport.common import AsyncPipeSink

from hil.radio.medium import TIMEOUT, Medium
from hil.radio.path_loss import Position

SLOTS = 9  # connections of an ESP32's controller; its host takes fewer


class QuietHost(Host):  # type: ignore[misc]
    """Bumble's host without the debug lines it renders for every packet; it still feeds a snooper."""

    def on_hci_packet(self, packet: HCI_Packet) -> None:
        if self.snooper:
            self.snooper.snoop(bytes(packet), Snooper.Direction.CONTROLLER_TO_HOST)
        if isinstance(packet, HCI_Event):
            self.on_hci_event_packet(packet)
        elif isinstance(packet, HCI_AclDataPacket):
            self.on_hci_acl_data_packet(packet)

    def send_hci_packet(self, packet: HCI_Packet) -> None:
        data = bytes(packet)
        if self.snooper:
            self.snooper.snoop(data, Snooper.Direction.HOST_TO_CONTROLLER)
        if self.hci_sink:
            self.hci_sink.on_packet(data)


class Station:
    """``device`` is Bumble's; ``on`` and ``off`` are orderly, ``cut`` is the plug pulled."""

    def __init__(
        self,
        medium: Medium,
        name: str,
        public_address: Address,
        random_address: Address,
        position: Position | None = None,
        *,
        extended: bool = False,
    ) -> None:
        """``extended``: a chip with Bluetooth 5 advertising, which an ESP32 has not."""
        self.medium = medium
        self.controller = medium.controller(name, public_address, extended=extended, slots=SLOTS)
        medium.place(self.controller, position)
        host = QuietHost(self.controller, AsyncPipeSink(self.controller))
        config = DeviceConfiguration(name=name, address=random_address)
        config.gap_service_enabled = False
        config.gatt_service_enabled = False
        self.device: Any = Device(config=config, host=host)

    async def on(self) -> None:
        await self.device.power_on()

    async def off(self) -> None:
        """End every link properly, then leave the air. Nothing is left to do after ``cut``."""
        if self.controller.host is None:
            return
        for connection in list(self.device.connections.values()):
            await connection.disconnect()
        await self.device.power_off()
        self.medium.remove_controller(self.controller)

    def cut(self) -> None:
        """Leave the air without a word; peers notice by their supervision timeout."""
        self.controller.set_packet_sink(None)  # nothing reaches the host any more
        self.medium.silence(self.controller)
        for connection in list(self.device.connections.values()):
            connection.emit(connection.EVENT_DISCONNECTION, TIMEOUT)  # for who waits on our side of the plug


def parse_address(text: str, public: bool) -> Address:
    kind = Address.PUBLIC_DEVICE_ADDRESS if public else Address.RANDOM_DEVICE_ADDRESS
    return Address(text, kind)


def static_address(seed: bytes) -> Address:
    """A random static address (two top bits set) that is the same for the same seed."""
    octets = bytearray(seed[:6])
    octets[5] |= 0xC0
    return Address(bytes(octets), Address.RANDOM_DEVICE_ADDRESS)
