"""A board's Bluetooth stack in an air that may still be loading Bumble, which takes longer than all else of a start.

Like a chip, the radio answers that it is on while it comes up; whatever is asked of it next waits for that.
"""

import asyncio
import gc
import importlib
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hil.air.ops import BLE, Identity, Place
from hil.air.precompiled import precompiled
from hil.air.wifi import WifiAir
from hil.vm.cache import cache_dir
from hil.vm.link import Answer, Link

if TYPE_CHECKING:
    from hil.radio.medium import Medium
    from hil.radio.path_loss import Position
    from hil.radio.peripheral import Peripheral

OFF = b"\0"
_SWITCH_S = 5e-4  # Python's own would have members wait 5 ms for each step while Bumble is loaded
WAKE, ACTIVE = 0, 1  # hil.radio.ble_ops, which is not loaded yet


class Spectrum:
    """The medium of an air, loaded in a thread when the first radio comes on, so that members are served meanwhile."""

    def __init__(self) -> None:
        self.medium: Medium | None = None
        self.wifi = WifiAir()
        self._loading: asyncio.Task[Medium] | None = None

    async def _load(self) -> "Medium":
        usual = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_S)
        try:
            await asyncio.to_thread(_load_bumble)
        finally:
            sys.setswitchinterval(usual)
        from hil.radio.medium import Medium

        self.medium = Medium(paced=True)
        return self.medium

    def load(self) -> "asyncio.Task[Medium]":
        """Begin, if nobody has."""
        if self._loading is None:
            self._loading = asyncio.ensure_future(self._load())
        return self._loading

    async def ready(self) -> "Medium":
        return await asyncio.shield(self.load())


def _load_bumble() -> None:
    gc.disable()  # what is loaded stays: to look through it again and again is a tenth of the time
    try:
        with precompiled(cache_dir()):
            for module in ("hil.radio.peripheral", "hil.radio.controller"):
                importlib.import_module(module)
    finally:
        gc.enable()


class EarlyRadio:
    """Channel BLE of a board on an air."""

    def __init__(self, spectrum: Spectrum, who: Identity, link: Link) -> None:
        self._spectrum = spectrum
        self._who = who
        self._position = who.position
        self._interrupt = partial(link.interrupt, BLE)
        self._radio: Peripheral | None = None
        self._power: asyncio.Task[None] | None = None

    def handle(self, op: int, payload: bytes) -> Answer:
        if op == WAKE:
            self._spectrum.load()
            return None
        if self._radio is not None and self._power is None:
            return self._radio.handle(op, payload)
        if op == ACTIVE and payload != OFF and self._power is None:
            self._power = asyncio.ensure_future(self._power_on(payload))
            return None
        return self._late(op, payload)

    def vm_lost(self) -> None:
        if self._power is not None:
            self._power.cancel()
            self._power = None
        if self._radio is not None:
            self._radio.vm_lost()

    def close(self) -> None:
        """The board has left."""
        self.vm_lost()
        if self._radio is not None:
            self._radio.close()

    def place(self, place: Place) -> None:
        self._position = place
        if self._radio is not None:
            self._radio.place(position(place))

    async def _loaded(self) -> "Peripheral":
        medium = await self._spectrum.ready()
        if self._radio is None:
            from hil.radio.peripheral import Peripheral

            where = position(self._position)
            capture = Path(self._who.btsnoop) if self._who.btsnoop else None
            self._radio = Peripheral(medium, self._who.name, self._interrupt, self._who.mac, where, capture)
        return self._radio

    async def _power_on(self, payload: bytes) -> None:
        radio = await self._loaded()
        await self._of(radio, ACTIVE, payload)

    async def _late(self, op: int, payload: bytes) -> bytes | None:
        radio = await self._loaded()
        if self._power is not None:
            try:
                await asyncio.shield(self._power)
            finally:
                if self._power is not None and self._power.done():
                    self._power = None
        return await self._of(radio, op, payload)

    async def _of(self, radio: "Peripheral", op: int, payload: bytes) -> bytes | None:
        answer = radio.handle(op, payload)
        return answer if answer is None or isinstance(answer, bytes) else await answer


def position(place: Place) -> "Position | None":
    from hil.radio.path_loss import Position

    return None if place is None else Position(*place)
