"""One simulated board: power, resets and the VM's life, around its pins, door, memory and console."""

import asyncio
import functools
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import structlog

from hil.air.ops import Identity
from hil.air.seat import Seat
from hil.board import flash
from hil.board.console import Console
from hil.board.core import BREAK, FLASH_CUT, FLASH_WORN, Cause, Core, Wake
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
from hil.board.readers import KeyMatrix, WiegandReader
from hil.board.signals import Observable, TraceSink, now_us
from hil.board.supply import GONE, GOOD, LOW, Supply
from hil.board.uart import Uarts
from hil.board.wifi import Wifi
from hil.vm import image
from hil.vm.footprint import BENCH_KIB, NETWORK_KIB
from hil.vm.link import BLE, CORE, Link
from hil.vm.spawner import VmProcess, Zygote

if TYPE_CHECKING:
    from hil.radio.medium import Medium
    from hil.radio.path_loss import Position

log = structlog.get_logger(__name__)

# Mounts the bench's modules before anything is imported; the rest of the boot is hil/vm/modules/_boot.py.
BOOT = (
    "import sys,os,vfs,uctypes;a,_,n=os.getenv('LATCHWORK_BENCH').partition(',');"
    "vfs.mount(vfs.VfsRom(uctypes.bytearray_at(int(a),int(n))),'/bench');sys.path.insert(0,'/bench');"
    "del a,_,n,sys,os,vfs,uctypes;import _boot;_boot.boot();del _boot"
)
OFF, BOOTING, RUNNING, ASLEEP = "off", "booting", "running", "asleep"
SLOTS_KIB = 256
FLASH = "flash.img"
CRASH_PAUSE_MS = 500  # before a VM that crashed starts again: a crash loop must not eat the bench
TAIL = 2000  # characters of the console that are kept of a crash
FOREVER_MS = 0xFFFFFFFF  # machine.deepsleep() without a time


class Crash(NamedTuple):
    """A VM that ended by ``signal``, and the end of what it had printed."""

    signal: int
    tail: str


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
        self.trace = trace
        self.seat: Seat | None = None
        self._leave: Callable[[], None] | None = None
        self.state = Observable[str]("power", OFF)
        self.boots = Observable[int]("boots", 0)
        self.exits: list[int] = []
        self.crash: Crash | None = None
        self.unique_id = unique_id(name)
        self._zygote = vm
        self._firmware = firmware
        self.bare = bare
        self._vm: VmProcess | None = None
        self._cut: Cut | None = None
        self._worn = b""
        self._powered = False
        self._held = False  # in reset, by a supply that is low
        self._dark = False  # it will have power when the supply does
        self._restoring: asyncio.Task[None] | None = None
        self._ending: asyncio.Future[tuple[Cause, int]] | None = None
        self._life: asyncio.Task[None] | None = None
        workdir.mkdir(parents=True, exist_ok=True)
        flash.create(self.flash_path, description.mcu.flash_kib)
        flash.create(self.slots_path, SLOTS_KIB)
        self.link = Link(name)
        self.console = Console(
            functools.partial(self.link.interrupt, CORE, BREAK), self._catches, self._keyboard_interrupt
        )
        self.core = Core(self.link, self.unique_id, self._end, self.console.claim_break)
        self.pins = Pins(self.link, description.pins, description.wires)
        self.uarts = Uarts(self.link, self.pins, description.uart)
        if description.wiegand is not None:
            self.wiegand = WiegandReader(description.wiegand, self.pins)
        if description.keypad is not None:
            self.keypad = KeyMatrix(description.keypad, self.pins)
        self.peripherals = Peripherals(self.link, self.pins, description)
        self.supply = Supply(description.supply)
        self.supply.state.listen(self._supplied)
        self.door = Door(description, self.pins, self.peripherals.adc, self.supply)
        self.partitions = Partitions(self.link, workdir, description.mcu.flash_kib, SLOTS_KIB)
        self.nvs = Nvs(self.link, workdir / "nvs.json")
        if medium is not None:
            from hil.radio.peripheral import Peripheral  # loads Bumble: only boards with a radio pay for it

            interrupt = functools.partial(self.link.interrupt, BLE)
            self.ble = Peripheral(medium, name, interrupt, self.ble_address, position, btsnoop)
            self.link.attach(BLE, self.ble)
            self._leave = self.ble.close
        elif air is not None:
            place = None if position is None else (position.x, position.y, position.z)
            capture = str(btsnoop.resolve()) if btsnoop is not None else None
            self.seat = Seat(self.link, Identity(name, self.ble_address, place, capture), air)
            self._leave = self.seat.close
        self.wifi = Wifi(self.link, seat=self.seat)
        self.ethernet = Ethernet(self.link)
        self.network = Network(self.link, seed=name) if networked else None
        if trace is not None:
            self.state.trace(trace, name)
            self.pins.trace(trace, name)
            self.door.trace(trace, name)
            self.supply.trace(trace, name)

    @property
    def flash_path(self) -> Path:
        return self.workdir / FLASH

    def wear(self) -> list[Wear]:
        """Program and erase operations of each block of the flash so far."""
        return flash.wear(self.flash_path)

    @property
    def slots_path(self) -> Path:
        """The partition of the two firmware slots; the first is the image of ``firmware`` until it is written over."""
        return self.workdir / "slots.img"

    @property
    def ble_address(self) -> bytes:
        """The public address, as printed: two after the Wi-Fi one, as on an ESP32."""
        return ble_address(self.unique_id)

    @property
    def pid(self) -> int | None:
        """Process of the running VM."""
        return self._vm.pid if self._vm is not None else None

    async def start(self) -> None:
        await self.power_on()

    async def stop(self) -> None:
        """Power off and close the console. The board is not usable afterwards."""
        if self._restoring is not None:
            self._restoring.cancel()
        await self.power_cut()
        self.door.stop()
        self.uarts.close()
        if self.network is not None:
            self.network.close()
        self.console.close()
        if self._leave is not None:
            self._leave()

    async def power_on(self) -> None:
        """Returns when the VM runs; does nothing if the board has power."""
        if self._life is not None and not self._life.done():
            return
        self.state.set(BOOTING)
        self._life = asyncio.create_task(self._live(), name=f"board {self.name}")
        running = asyncio.ensure_future(self.state.wait(RUNNING, timeout=30))
        await asyncio.wait((self._life, running), return_when=asyncio.FIRST_COMPLETED)
        if self._life.done():
            running.cancel()
            self._life.result()
        else:
            await running

    async def power_cut(self) -> None:
        """Take the power away at once; returns when nothing runs any more."""
        if self._vm is not None:
            self._vm.kill()
        self._end(Cause.POWER_LOST, 0)
        if self._life is not None:
            await asyncio.wait((self._life,))

    async def reset(self) -> None:
        """Pull the reset line; returns when the new VM runs."""
        await self._restart(Cause.HARD)

    async def soft_reset(self) -> None:
        """As ``machine.soft_reset()``, whatever runs: pins stay as they are; returns when the new VM runs."""
        self.console.raw = False
        await self._restart(Cause.SOFT)

    async def brown_out(self) -> None:
        """Let the supply sag until the chip's detector resets it, and rise again; returns when the new VM runs. Registers are
        lost, RTC memory is not, and ``machine.reset_cause()`` calls it a power-on."""
        await self._restart(Cause.PWRON)

    def _supplied(self, supply: Observable[str]) -> None:
        """The supply's voltage passed a threshold: of the chip's brown-out detector, or of anything to work at all."""
        self._held = supply.value == LOW
        if supply.value == GOOD:
            if self._dark:
                self._dark = False
                self._restoring = asyncio.create_task(self._restored())
            else:
                self._end(Cause.PWRON, 0)
            return
        if self._vm is not None:
            self._vm.kill()
        if supply.value == GONE:
            self._dark = self._dark or self.state.value != OFF
            self._end(Cause.POWER_LOST, 0)
        elif not self._dark:
            self._end(Cause.PWRON, FOREVER_MS)

    async def _restored(self) -> None:
        if self._life is not None:
            await asyncio.wait((self._life,))
        await self.power_on()

    def cut_power_at(self, cut: Cut) -> None:
        """Lose power at that write to the flash, counted from now, or from the next boot if it is off."""
        cut.check()
        if self.state.value == OFF:
            self._cut = cut
        else:
            self.link.interrupt(CORE, FLASH_CUT, struct.pack("<HBH", *cut))

    def wear_out(self, worn: Worn) -> None:
        """From the next time that its firmware waits, also after a reset, until told otherwise."""
        self._worn = worn.packed()
        self.link.interrupt(CORE, FLASH_WORN, self._worn)

    async def wait_off(self, timeout: float) -> None:
        await self.state.wait(OFF, timeout)

    async def _restart(self, cause: Cause) -> None:
        if self.state.value == OFF:
            raise RuntimeError(f"{self.name} has no power")
        next_boot = self.boots.value + 1
        self._end(cause, 0)
        await self.boots.wait(next_boot, timeout=30)

    def _end(self, cause: Cause, after_ms: int) -> None:
        if cause == Cause.POWER_LOST:
            self._powered = False
        if self._ending is not None and not self._ending.done():
            self._ending.set_result((cause, after_ms))

    async def _live(self) -> None:
        """From power-on to power-off: one VM after the other."""
        cause = Cause.PWRON
        self.core.power_lost()
        self._powered = True
        if self._held:
            await self._pause(cause, FOREVER_MS)
        try:
            while self._powered:
                self.core.cause = cause
                cause = await self._session(cause)
                if cause == Cause.PWRON:
                    self.core.registers_lost()
        except Exception as error:
            log.error("board_failed", board=self.name, exc_info=error)
            raise
        finally:
            self._chip_reset()
            self.state.set(OFF)

    async def _session(self, cause: Cause) -> Cause:
        """One VM, from its start to its end; returns why the next one starts."""
        if cause != Cause.SOFT:
            self.partitions.chip_reset()
        self.state.set(BOOTING)
        self._ending = asyncio.get_running_loop().create_future()
        ours, theirs = socket.socketpair()
        with theirs:
            self.link.connect(ours)
            self.console.restarted()
            self._vm = await self._spawn(theirs, raw=cause == Cause.SOFT and self.console.raw)
        self.state.set(RUNNING)
        self.boots.set(self.boots.value + 1)
        gone = asyncio.ensure_future(self._vm.wait())
        await asyncio.wait((gone, self._ending), return_when=asyncio.FIRST_COMPLETED)
        asked = self._ending.result() if self._ending.done() else None
        self._vm.kill()
        status = await gone
        self._vm = None
        self.link.disconnect()
        if asked is None:
            return await self._exited(status)
        if asked[0] == Cause.SOFT:
            return await self._exited(0)
        self._chip_reset()
        return await self._pause(*asked)

    async def _spawn(self, link: socket.socket, raw: bool) -> VmProcess:
        images = {"LATCHWORK_BENCH": await asyncio.to_thread(image.bench_image)}
        rom = self._firmware
        if rom is None and not self.bare:
            rom = await asyncio.to_thread(image.firmware_image)
        if rom is not None:
            images["LATCHWORK_ROM"] = rom
        cut, self._cut = self._cut or Cut(0, flash.Where.BEFORE), None
        env = {
            "MICROPYPATH": ".frozen",
            "TZ": "UTC",
            "LATCHWORK_FLASH": str(self.flash_path),
            "LATCHWORK_ROM_FILE": str(self.slots_path),
            "LATCHWORK_CUT": f"{cut.write},{int(cut.where)},{cut.slots}",
            "LATCHWORK_WORN": self._worn.hex(),
            "LATCHWORK_NETWORK": "1" if self.network is not None else "0",
            "LATCHWORK_RAW": "1" if raw else "0",
            "LATCHWORK_BARE": "1" if self.bare or self.description.bare else "0",
            "LATCHWORK_DRIFT": str(self.description.mcu.drift_ppm),
        }
        heap = f"heapsize={self.description.mcu.heap_kib + BENCH_KIB + (NETWORK_KIB if self.network else 0)}K"
        vm = await self._zygote.spawn(
            ["-X", heap, "-c", BOOT],
            terminal=self.console.vm_terminal,
            link=link,
            cwd=self.workdir,
            env=env,
            images=images,
            own={"LATCHWORK_SLOTS": self.slots_path},
        )
        if raw:
            self.console.write(b"\x01")  # the raw REPL outlives a soft reset
        return vm

    def _keyboard_interrupt(self) -> None:
        if self._vm is not None:
            self._vm.interrupt()

    def _catches(self) -> bool:
        """The running VM handles SIGINT: while it reads and compiles it does not."""
        return self._vm is not None and self._vm.catches(signal.SIGINT)

    async def _exited(self, status: int) -> Cause:
        """The VM ended by itself: a soft reset, unless it crashed."""
        self.exits = [*self.exits[-15:], status]
        if status < 0:
            self.crash = Crash(-status, self.console.text[-TAIL:])
            log.error("vm_crashed", board=self.name, signal=-status)
            self.console.say(f"\r\nVM ended by signal {-status}\r\n")
            self.console.raw = False
            return await self._pause(Cause.SOFT, CRASH_PAUSE_MS)
        self.console.say("\r\nMPY: soft reboot\r\n")
        return Cause.SOFT

    async def _pause(self, cause: Cause, ms: int) -> Cause:
        """Wait between two VMs; a reset or a power cut in that time ends it, and is then the cause."""
        if not ms or not self._powered or (cause == Cause.PWRON and not self._held):
            return cause
        self._ending = asyncio.get_running_loop().create_future()
        self.state.set(ASLEEP)
        stop = self.pins.listen(lambda *_: self._wake_by_pin(cause))
        self.core.wake = Wake.NONE
        try:
            self._wake_by_pin(cause)
            woken = await asyncio.wait_for(self._ending, None if ms == FOREVER_MS else ms / 1000)
        except TimeoutError:
            self.core.wake = Wake.TIMER
            return cause
        finally:
            stop()
        return await self._pause(*woken)

    def _wake_by_pin(self, cause: Cause) -> None:
        if cause == Cause.DEEPSLEEP and (wake := self.core.wake_pins.woken(self.pins.level)):
            self.core.wake = wake
            self._end(cause, 0)

    def _chip_reset(self) -> None:
        self.pins.release_all(now_us())
        self.console.raw = False
