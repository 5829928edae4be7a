"""Channel BLE of a board that may never use it: the Bluetooth stack is loaded at the first operation."""

import functools
from typing import TYPE_CHECKING

from hil.vm.link import BLE, Answer, Link

if TYPE_CHECKING:
    from hil.radio.peripheral import Peripheral


class RadioOnDemand:
    """Alone on an air of its own."""

    def __init__(self, link: Link, address: bytes) -> None:
        self._interrupt = functools.partial(link.interrupt, BLE)
        self._address = address
        self._radio: Peripheral | None = None

    def handle(self, op: int, payload: bytes) -> Answer:
        if self._radio is None:
            from hil.radio.medium import Medium
            from hil.radio.peripheral import Peripheral

            self._radio = Peripheral(Medium(), "micropython", self._interrupt, self._address)
        return self._radio.handle(op, payload)

    def vm_lost(self) -> None:
        if self._radio is not None:
            self._radio.vm_lost()
