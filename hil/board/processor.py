"""A board's processor and its console: one VM after the other, from power-on to power-off, and why each begins."""

import asyncio
import functools
import signal
import socket
import time
from typing import NamedTuple

from hil.board.console import Console
from hil.board.core import BREAK, Cause, Core, Wake
from hil.board.partitions import Partitions
from hil.board.pins import Pins
from hil.board.signals import Observable, now_us
from hil.board.start import VmStart
from hil.log import Log
from hil.vm.link import CORE, Link
from hil.vm.spawner import VmProcess

log = Log(__name__)

OFF, BOOTING, RUNNING, ASLEEP = "off", "booting", "running", "asleep"
BOOT_S = 30.0  # for a VM to run
CRASH_PAUSE_MS = 500  # before a VM that crashed starts again: a crash loop must not eat the bench
# So many programs in a row that reset the board so soon after their start are a loop: it goes on as fast as a chip boots.
HASTY_S, HASTY_LIVES, CHIP_BOOT_MS = 0.25, 4, 300
TAIL = 2000  # characters of the console that are kept of a crash
MAX_EXITS = 16  # of which the status is kept
FOREVER_MS = 0xFFFFFFFF  # machine.deepsleep() without a time


class Crash(NamedTuple):
    """A VM that ended by ``signal``, and the end of what it had printed."""

    signal: int
    tail: str


class Processor:
    """``end`` is how whatever resets it or takes its power does so; ``held``: a supply that is too low keeps it in reset."""

    def __init__(
        self, name: str, unique_id: bytes, link: Link, pins: Pins, partitions: Partitions, start: VmStart
    ) -> None:
        self.name = name
        self.state = Observable[str]("power", OFF)
        self.boots = Observable[int]("boots", 0)
        self.exits: list[int] = []
        self.crash: Crash | None = None
        self.held = False
        self.console = Console(
            functools.partial(link.interrupt, CORE, BREAK), self._catches, self._keyboard_interrupt
        )
        self.core = Core(link, unique_id, self.end, self.console.claim_break, self._poke)
        self._link = link
        self._pins = pins
        self._partitions = partitions
        self._start = start
        self._powered = False
        self._loops = False
        self._vm: VmProcess | None = None
        self._ending: asyncio.Future[tuple[Cause, int]] | None = None
        self._life: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._vm.pid if self._vm is not None else None

    async def power_on(self) -> None:
        """Returns when the VM runs; does nothing if there is power."""
        if self._life is not None and not self._life.done():
            return
        self.state.set(BOOTING)
        self._life = asyncio.create_task(self._live(), name=f"board {self.name}")
        running = asyncio.ensure_future(self.state.wait(RUNNING, BOOT_S))
        await asyncio.wait((self._life, running), return_when=asyncio.FIRST_COMPLETED)
        if self._life.done():
            running.cancel()
            self._life.result()
        else:
            await running

    async def power_cut(self) -> None:
        """Returns when nothing runs any more."""
        self.kill()
        self.end(Cause.POWER_LOST, 0)
        await self.wait_dead()

    async def wait_dead(self) -> None:
        """Until its life is over, which something else has ended."""
        if self._life is not None:
            await asyncio.wait((self._life,))

    async def restart(self, cause: Cause) -> None:
        """Returns when the new VM runs. Raises RuntimeError without power."""
        if self.state.value == OFF:
            raise RuntimeError(f"{self.name} has no power")
        next_boot = self.boots.value + 1
        self.end(cause, 0)
        await self.boots.wait(next_boot, BOOT_S)

    def kill(self) -> None:
        """Stop the VM in the middle of whatever it does."""
        if self._vm is not None:
            self._vm.kill()

    def end(self, cause: Cause, after_ms: int) -> None:
        """End the VM or the sleep; the next VM starts after a time, for that reason."""
        if cause == Cause.POWER_LOST:
            self._powered = False
        if self._ending is not None and not self._ending.done():
            self._ending.set_result((cause, after_ms))

    async def _live(self) -> None:
        """From power-on to power-off: one VM after the other."""
        cause, hasty, self._loops = Cause.PWRON, 0, False
        self.core.power_lost()
        self._powered = True
        if self.held:
            await self._pause(cause, FOREVER_MS)
        try:
            while self._powered:
                self.core.cause = cause
                began = time.monotonic()
                cause = await self._session(cause)
                hasty = hasty + 1 if self._by_program(cause) and time.monotonic() - began < HASTY_S else 0
                self._loops = hasty >= HASTY_LIVES
                if self._loops:
                    self.console.hold()
                    cause = await self._pause(cause, CHIP_BOOT_MS)
                if cause == Cause.PWRON:
                    self.core.registers_lost()
        except Exception as error:
            log.error("board_failed", board=self.name, exc_info=error)
            raise
        finally:
            self._chip_reset()
            self.state.set(OFF)

    def _by_program(self, cause: Cause) -> bool:
        """A reset that is not a tool's, which ends each of its lives in the raw REPL by one."""
        return cause in (Cause.HARD, Cause.WDT) or (cause == Cause.SOFT and not self.console.raw)

    async def _session(self, cause: Cause) -> Cause:
        """One VM, from its start to its end; returns why the next one starts."""
        if cause != Cause.SOFT:
            self._partitions.chip_reset()
        self.state.set(BOOTING)
        self._ending = asyncio.get_running_loop().create_future()
        self._vm = vm = await self._boot(raw=cause == Cause.SOFT and self.console.raw)
        self.state.set(RUNNING)
        self.boots.set(self.boots.value + 1)
        gone = asyncio.ensure_future(vm.wait())
        await asyncio.wait((gone, self._ending), return_when=asyncio.FIRST_COMPLETED)
        asked = self._ending.result() if self._ending.done() else None
        vm.kill()
        status = await gone
        self._vm = None
        self._link.disconnect()
        if asked is None:
            return await self._exited(status)
        if asked[0] == Cause.SOFT:
            return await self._exited(0)
        self._chip_reset()
        return await self._pause(*asked)

    async def _boot(self, raw: bool) -> VmProcess:
        ours, theirs = socket.socketpair()
        with theirs:
            self._link.connect(ours)
            broken_into = self.console.restarted(held=self._loops)
            vm = await self._start.spawn(self.console.vm_terminal, theirs, raw or broken_into)
        if raw:
            self.console.write(b"\x01")  # the raw REPL outlives a soft reset
        return vm

    def _poke(self) -> None:
        if self._vm is not None:
            self._vm.poke()

    def _keyboard_interrupt(self) -> None:
        if self._vm is not None:
            self._vm.interrupt()

    def _catches(self) -> bool:
        """The running VM handles SIGINT: while it reads and compiles it does not."""
        return self._vm is not None and self._vm.catches(signal.SIGINT)

    async def _exited(self, status: int) -> Cause:
        """The VM ended by itself: a soft reset, unless it crashed."""
        self.exits = [*self.exits[1 - MAX_EXITS :], status]
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
        if not ms or not self._powered or (cause == Cause.PWRON and not self.held):
            return cause
        self._ending = asyncio.get_running_loop().create_future()
        self.state.set(ASLEEP)
        stop = self._pins.listen(lambda *_: self._wake_by_pin(cause))
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
        if cause == Cause.DEEPSLEEP and (wake := self.core.wake_pins.woken(self._pins.level)):
            self.core.wake = wake
            self.end(cause, 0)

    def _chip_reset(self) -> None:
        self._pins.release_all(now_us())
        self.console.raw = False
