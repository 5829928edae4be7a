"""One simulated board: its processor with power and resets, and all that is on it: pins, door, memory, radio, console."""

import functools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hil.air.ops import Identity
from hil.air.seat import Seat
from hil.board import flash
from hil.board.brownout import BrownOut
from hil.board.core import FLASH_CUT, FLASH_WORN, Cause
from hil.board.description import Description
from hil.board.ethernet import Ethernet
from hil.board.flash import Cut, Wear, Worn
from hil.board.identity import ble_address, unique_id
from hil.board.network import Network
from hil.board.nvs import Nvs
from hil.board.partitions import Partitions
from hil.board.parts import Door
from hil.board.peripherals import Peripherals
from hil.board.pins import Pins
from hil.board.processor import ASLEEP, BOOTING, OFF, RUNNING, Crash, Processor
from hil.board.readers import KeyMatrix, WiegandReader
from hil.board.routes import Routes
from hil.board.signals import TraceSink
from hil.board.start import FLASH, SLOTS_KIB, VmStart
from hil.board.supply import Supply
from hil.board.uart import Uarts
from hil.board.wifi import Wifi
from hil.vm.link import BLE, CORE, Link
from hil.vm.spawner import Zygote

if TYPE_CHECKING:
    from hil.radio.medium import Medium
    from hil.radio.path_loss import Position

__all__ = ["ASLEEP", "BOOTING", "FLASH", "OFF", "RUNNING", "Board"]


class Board:
    """``start`` powers it on; ``stop`` takes the power and the console away for good.

    ``firmware`` is a ROM image (default: this repository's device and protocol); a ``bare`` board has none, and is
    MicroPython as it comes. ``medium`` gives it a radio at ``position``; ``air``, instead, one that other processes
    hear: its name (``hil.air.folder.air_name``). ``btsnoop``: a file for its HCI packets.
    ``trace`` records pins, door and power. The files in ``workdir`` are its flash and NVS: a new Board on the same folder is
    the same device.
    """

    def __init__(
        self,
        description: Description,
        name: str,
        workdir: Path,
        *,
        vm: Zygote,
        medium: "Medium | None" = None,
        air: str | None = None,
        position: "Position | None" = None,
        btsnoop: Path | None = None,
        firmware: Path | None = None,
        bare: bool = False,
        networked: bool = False,
        trace: TraceSink | None = None,
    ) -> None:
        self.description = description
        self.name = name
        self.workdir = workdir = workdir.resolve()  # the VM is started by a process in another folder
        self.bare = bare
        self.trace = trace
        self.unique_id = unique_id(name)
        self._vms = VmStart(vm, description, workdir, firmware=firmware, bare=bare, networked=networked)
        self.link = Link(name)
        self.pins = Pins(self.link, description.pins, description.wires)
        self.partitions = Partitions(self.link, workdir, description.mcu.flash_kib, SLOTS_KIB)
        self.nvs = Nvs(self.link, workdir / "nvs.json")
        self._processor = Processor(name, self.unique_id, self.link, self.pins, self.partitions, self._vms)
        self.state, self.boots = self._processor.state, self._processor.boots
        self.console, self.core = self._processor.console, self._processor.core
        self._connect_parts(description)
        self.supply = Supply(description.supply)
        self._brown_out = BrownOut(self.supply, self._processor)
        self.door = Door(description, self.pins, self.peripherals.adc, self.supply)
        self.seat: Seat | None = None
        self._leave: Callable[[], None] | None = None
        if medium is not None:
            self._stand_on(medium, position, btsnoop)
        elif air is not None:
            self._sit_in(air, position, btsnoop)
        self._connect_network(name, networked or bare)
        if trace is not None:
            for part in (self.state, self.pins, self.door, self.supply):
                part.trace(trace, name)

    def _connect_parts(self, description: Description) -> None:
        """What is at the pins besides the door; readers only if they are described."""
        self.uarts = Uarts(self.link, self.pins, description.uart)
        if description.wiegand is not None:
            self.wiegand = WiegandReader(description.wiegand, self.pins)
        if description.keypad is not None:
            self.keypad = KeyMatrix(description.keypad, self.pins)
        self.peripherals = Peripherals(self.link, self.pins, description)

    def _connect_network(self, seed: str, disturbed: bool) -> None:
        """``network`` is None where the connections of its firmware are the host's own."""
        self.routes = Routes(self.unique_id)
        self.wifi = Wifi(self.link, seat=self.seat, routes=self.routes)
        self.ethernet = Ethernet(self.link, self.routes)
        self._network = Network(self.link, seed, self.routes)
        self.network = self._network if disturbed else None

    def _stand_on(self, medium: "Medium", position: "Position | None", btsnoop: Path | None) -> None:
        from hil.radio.peripheral import Peripheral  # loads Bumble: only boards with a radio pay for it

        interrupt = functools.partial(self.link.interrupt, BLE)
        self.ble = Peripheral(medium, self.name, interrupt, self.ble_address, position, btsnoop)
        self.link.attach(BLE, self.ble)
        self._leave = self.ble.close

    def _sit_in(self, air: str, position: "Position | None", btsnoop: Path | None) -> None:
        place = None if position is None else (position.x, position.y, position.z)
        capture = str(btsnoop.resolve()) if btsnoop is not None else None
        self.seat = Seat(self.link, Identity(self.name, self.ble_address, place, capture), air)
        self._leave = self.seat.close

    @property
    def flash_path(self) -> Path:
        return self._vms.flash_path

    def wear(self) -> list[Wear]:
        """Program and erase operations of each block of the flash so far."""
        return flash.wear(self.flash_path)

    @property
    def slots_path(self) -> Path:
        """The partition of the two firmware slots; the first is the image of ``firmware`` until it is written over."""
        return self._vms.slots_path

    @property
    def ble_address(self) -> bytes:
        """The public address, as printed: two after the Wi-Fi one, as on an ESP32."""
        return ble_address(self.unique_id)

    @property
    def pid(self) -> int | None:
        """Process of the running VM."""
        return self._processor.pid

    @property
    def exits(self) -> list[int]:
        """Status of the last VMs that ended by themselves; a negative one is a signal."""
        return self._processor.exits

    @property
    def crash(self) -> Crash | None:
        """The last one."""
        return self._processor.crash

    async def start(self) -> None:
        await self.power_on()

    async def stop(self) -> None:
        """Power off and close the console. The board is not usable afterwards."""
        self._brown_out.stop()
        await self.power_cut()
        self.door.stop()
        self.uarts.close()
        self._network.close()
        self.console.close()
        if self._leave is not None:
            self._leave()

    async def power_on(self) -> None:
        """Returns when the VM runs; does nothing if the board has power."""
        await self._processor.power_on()

    async def power_cut(self) -> None:
        """Take the power away at once; returns when nothing runs any more."""
        self._vms.due = None
        await self._processor.power_cut()

    async def reset(self) -> None:
        """Pull the reset line; returns when the new VM runs."""
        await self._processor.restart(Cause.HARD)

    async def soft_reset(self) -> None:
        """As ``machine.soft_reset()``, whatever runs: pins stay as they are; returns when the new VM runs."""
        self.console.raw = False
        await self._processor.restart(Cause.SOFT)

    async def brown_out(self) -> None:
        """Let the supply sag until the chip's detector resets it, and rise again; returns when the new VM runs. Registers are
        lost, RTC memory is not, and ``machine.reset_cause()`` calls it a power-on."""
        await self._processor.restart(Cause.PWRON)

    def cut_power_at(self, cut: Cut, *, lasting: bool = False) -> None:
        """Lose power at that write to the flash, counted from now, or from the next boot if it is off. A reset takes it back,
        unless it is ``lasting``: then only the loss of power does."""
        cut.check()
        self._vms.due = Cut(self._vms.writes() + cut.write, cut.where) if lasting else None
        if self.state.value == OFF:
            self._vms.cut = cut
        else:
            self.link.interrupt(CORE, FLASH_CUT, struct.pack("<HBH", *cut))

    def wear_out(self, worn: Worn) -> None:
        """From the next time that its firmware waits, also after a reset, until told otherwise."""
        self._vms.worn = worn.packed()
        self.link.interrupt(CORE, FLASH_WORN, self._vms.worn)

    async def wait_off(self, timeout: float) -> None:
        await self.state.wait(OFF, timeout)
