"""The board's SPI buses: devices that listen while their chip select is low, or a wire from MOSI to MISO."""

import struct
from typing import NamedTuple, Protocol

from hil.board.pins import Net, Pins
from hil.board.signals import Observable

_HEAD = struct.Struct("<BBB")
NO_PIN = 255


class SpiDevice(Protocol):
    """``select`` when its chip select falls, ``deselect`` when it rises; between them bytes are exchanged."""

    def select(self) -> None: ...

    def exchange(self, byte: int) -> int:
        """Take one byte and give one."""

    def deselect(self) -> None: ...


class _Attached(NamedTuple):
    bus: tuple[Net, Net, Net]
    select: Observable[int]
    device: SpiDevice


class SpiBuses:
    """``attach(sck, mosi, miso, cs, device)``: the device is selected while ``cs`` is low. A bus where nothing drives MISO
    reads what is wired to it: MOSI, or a level."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins
        self._attached: list[_Attached] = []

    def attach(self, sck: int, mosi: int, miso: int, cs: int, device: SpiDevice) -> None:
        select = self._pins[cs].level

        def changed(level: Observable[int]) -> None:
            if level.value:
                device.deselect()
            else:
                device.select()

        self._pins.set_idle(cs, 1)
        select.listen(changed)
        nets = (self._pins[sck].net, self._pins[mosi].net, self._pins[miso].net)
        self._attached.append(_Attached(nets, select, device))

    def exchange(self, payload: bytes) -> bytes:
        """What comes back while the bytes of ``payload`` go out."""
        sck, mosi, miso = _HEAD.unpack_from(payload)
        data = payload[_HEAD.size :]
        selected = [
            at.device
            for at in self._attached
            if not at.select.value and self._on(sck, at.bus[0]) and self._on(mosi, at.bus[1])
        ]
        if selected:
            answers = [bytes(device.exchange(byte) for byte in data) for device in selected]
            return (
                bytes(min(byte) for byte in zip(*answers, strict=True))
                if miso != NO_PIN
                else bytes(len(data))
            )
        if NO_PIN not in (mosi, miso) and self._pins[mosi].net is self._pins[miso].net:
            return data
        level = 0 if miso == NO_PIN else self._pins[miso].level.value
        return (b"\xff" if level else b"\0") * len(data)

    def _on(self, pin: int, net: Net) -> bool:
        return pin != NO_PIN and self._pins[pin].net is net
