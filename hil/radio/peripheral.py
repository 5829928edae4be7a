"""Channel BLE of a board: answers the VM's bluetooth module by a stack that lives while BLE is active."""

import errno
from pathlib import Path

from hil.radio import ble_ops as ops
from hil.radio.ble_host import Interrupt
from hil.radio.ble_stack import BleStack
from hil.radio.btsnoop import Capture
from hil.radio.medium import Medium
from hil.radio.path_loss import Position
from hil.vm.link import Answer


class Peripheral:
    """A ``hil.vm.link.Channel``. ``interrupt(op, payload)`` is ``Link.interrupt`` of channel BLE."""

    def __init__(
        self,
        medium: Medium,
        name: str,
        interrupt: Interrupt,
        mac: bytes,
        position: Position | None = None,
        btsnoop: Path | None = None,
    ) -> None:
        """``mac``: the Bluetooth address, 6 bytes big endian as printed on the board. ``btsnoop``: a file for its HCI packets."""
        self.medium = medium
        self.name = name
        self.position = position
        self._interrupt = interrupt
        self._mac = mac
        self._stack: BleStack | None = None
        self._capture = Capture(btsnoop) if btsnoop is not None else None

    def handle(self, op: int, payload: bytes) -> Answer:
        """Answer the VM (see hil.radio.ble_ops); raises OSError with the errno of the ESP32 port."""
        if op == ops.ACTIVE:
            return self._activate(payload[0])
        if op == ops.WAKE:
            return None
        if self._stack is None:
            raise OSError(errno.ENODEV, "BLE is not active")
        return self._stack.handle(op, payload)

    def vm_lost(self) -> None:
        """Reset or power cut: the radio falls silent in mid-word."""
        if self._stack is not None:
            self._stack.cut()
            self._stack = None

    def place(self, position: Position | None) -> None:
        self.position = position
        if self._stack is not None:
            self.medium.place(self._stack.station.controller, position)

    def close(self) -> None:
        """The board is gone for good."""
        self.vm_lost()
        if self._capture is not None:
            self._capture.close()

    async def _activate(self, on: int) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.stop()
        if on:
            stack = BleStack(self.medium, self.name, self._interrupt, self._mac, self.position)
            stack.station.device.host.snooper = self._capture
            try:
                await stack.start(on == ops.ON_WITH_HANDLER)
            except BaseException:
                stack.cut()  # the VM was lost meanwhile: nothing of the stack may stay on the air
                raise
            self._stack = stack
