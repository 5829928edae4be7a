"""A member with a Bluetooth host of its own, such as a phone: the air has its controller, and HCI packets go over channel BLE."""

from functools import partial
from typing import TYPE_CHECKING

from hil.air.early_radio import Spectrum, position
from hil.air.ops import BLE, HCI, Identity, Place
from hil.vm.link import Answer, Link

if TYPE_CHECKING:
    from hil.radio.controller import RadioController
    from hil.radio.medium import Medium


class HciPort:
    """Channel BLE of such a member: each payload is one packet as H4 has it."""

    def __init__(self, spectrum: Spectrum, who: Identity, link: Link) -> None:
        self._spectrum = spectrum
        self._who = who
        self._place = who.position
        self._interrupt = partial(link.interrupt, BLE, HCI)
        self._radio: tuple[Medium, RadioController] | None = None

    def handle(self, _op: int, payload: bytes) -> Answer:
        if self._radio is None:
            return self._open(payload)
        self._radio[1].on_packet(payload)
        return None

    async def _open(self, payload: bytes) -> None:
        medium = await self._spectrum.ready()
        from bumble.hci import Address

        public = Address(self._who.mac[::-1], Address.PUBLIC_DEVICE_ADDRESS)
        controller = medium.controller(self._who.name, public)
        controller.set_packet_sink(self)
        self._radio = medium, controller
        self.place(self._place)
        controller.on_packet(payload)

    def on_packet(self, packet: bytes) -> None:
        """From the controller, for the host."""
        self._interrupt(packet)

    def vm_lost(self) -> None:
        if self._radio is not None:
            medium, controller = self._radio
            controller.set_packet_sink(None)
            medium.silence(controller)
            self._radio = None

    def close(self) -> None:
        """The member has left."""
        self.vm_lost()

    def place(self, place: Place) -> None:
        self._place = place
        if self._radio is not None:
            medium, controller = self._radio
            medium.place(controller, position(place))
