"""Faults: what is done to the parts around a scenario's boards. Python: ``scenario.fault.kill("gateway")``."""

import os
import resource
import signal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from hil.demo.scribe import MEDIUM
from hil.rig import Position
from hil.rig.capabilities import AIR, BOLT, FLASH_FAULTS, SUPPLY, wired
from hil.scenario.bench import UNLIMITED, restore, said, service
from hil.scenario.faults_network import NetworkFaults
from hil.scenario.quantities import Duration
from hil.scenario.verb import StepFailed, needs, verb
from hil.scenario.verbs_board import BoardName
from hil.stack.service import Service

ServiceName = Literal["gateway", "cloud"]
BROKER = "nats-server"
BROKER_S = 30.0


class Faults(NetworkFaults):
    """Part of the Python API. What they do to gateway and cloud is undone after the scenario."""

    @verb
    async def kill(self, what: Literal["gateway", "cloud", "broker"]) -> None:
        """SIGKILL, as a crash or a loss of power. `broker` is the gateway's own, which it starts again."""
        said(self.world.bench, f"{what} killed")
        if what == "broker":
            os.kill(_broker(self._running("gateway")), signal.SIGKILL)
        else:
            await service(self.world.site, what).kill()

    @verb
    async def stop(self, what: ServiceName) -> None:
        """SIGTERM: an orderly end."""
        said(self.world.bench, f"{what} stopped")
        await service(self.world.site, what).stop()

    @verb
    async def start(self, what: ServiceName) -> None:
        """Start what was killed or stopped; returns when it serves."""
        said(self.world.bench, f"{what} started")
        await restore(service(self.world.site, what))

    @verb
    async def freeze(self, what: ServiceName) -> None:
        """It hangs: connections stay open, and nothing comes back."""
        said(self.world.bench, f"{what} frozen")
        os.kill(self._running(what), signal.SIGSTOP)

    @verb
    async def thaw(self, what: ServiceName) -> None:
        """It goes on where it was frozen."""
        said(self.world.bench, f"{what} thawed")
        os.kill(self._running(what), signal.SIGCONT)

    @verb
    async def full_disk(self, what: ServiceName, full: bool = True) -> None:
        """No file of it can grow any more; `full: false` makes room again."""
        said(self.world.bench, f"disk of the {what} {'full' if full else 'has room'}")
        limits = (0, UNLIMITED) if full else (UNLIMITED, UNLIMITED)
        resource.prlimit(self._running(what), resource.RLIMIT_FSIZE, limits)

    @verb
    @needs(FLASH_FAULTS)
    async def power_cut(
        self,
        write: Annotated[int, Field(ge=1, le=65535, description="Counted from now on.")] = 1,
        upto: Annotated[int | None, Field(ge=1, le=65535, description="One of those, by the seed.")] = None,
        where: Annotated[Literal["before", "within", "after"], Field(description="Of it.")] = "within",
        board: BoardName = None,
    ) -> None:
        """The board loses its power at a write to its flash."""
        unit = self.world.unit(board)
        dice = self.world.dice.for_(f"power-cut of {unit.name}")
        at = write if upto is None else dice.randint(write, max(write, upto))
        self.world.bench.scribe.said(unit.name, unit.name, f"power cut {where} write {at}", "fault")
        wired(unit.target.flash_faults, FLASH_FAULTS).cut_power_at(at, where)

    @verb
    async def brown_out(self, board: BoardName = None) -> None:
        """The supply sags until the chip resets itself, and rises again."""
        unit = self.world.unit(board)
        self.world.bench.scribe.said(unit.name, unit.name, "brown-out", "fault")
        await unit.target.power.brown_out()

    @verb
    @needs(BOLT)
    async def jam(self, board: BoardName = None, jammed: bool = True) -> None:
        """The bolt stays where it is, whatever the current does; `jammed: false` lets it go."""
        unit = self.world.unit(board)
        self.world.bench.scribe.said(unit.name, unit.name, "bolt jammed" if jammed else "bolt free", "fault")
        wired(unit.target.bolt, BOLT).jam(jammed)

    @verb
    @needs(AIR)
    async def radio_loss(
        self,
        probability: Annotated[float, Field(ge=0, le=1, description="Of a packet to be lost; 0: none is.")],
        between: Annotated[
            list[str], Field(max_length=2, description="Two boards or phones; absent: everywhere.")
        ] = [],  # noqa: B006
    ) -> None:
        """Bluetooth packets get lost, the same ones for the same seed."""
        if len(between) not in (0, 2):
            raise StepFailed("two stations to lose packets between", ", ".join(between))
        said(self.world.bench, f"{probability:.0%} lost", MEDIUM)
        wired(self.world.rig.air, AIR).lose(probability, (between[0], between[1]) if between else None)

    @verb
    @needs(AIR)
    async def noise(
        self,
        duty: Annotated[float, Field(ge=0, le=1, description="Of the time; 0: off.")],
        x: float = 0.0,
        y: float = 0.0,
        power: Annotated[float, Field(ge=-40, le=40, description="dBm.")] = 15.0,
    ) -> None:
        """Something on the same band, at a place."""
        said(self.world.bench, f"noise {duty:.0%}", MEDIUM)
        wired(self.world.rig.air, AIR).interfere(Position(x, y), power, duty)

    @verb
    @needs(FLASH_FAULTS)
    async def bad_blocks(
        self,
        blocks: Annotated[list[int], Field(max_length=64, description="Numbers; none: all are good again.")],
        noise_ppm: Annotated[
            int, Field(ge=0, le=1_000_000, description="Wrong bits in a million bytes that are read.")
        ] = 0,
        board: BoardName = None,
    ) -> None:
        """Blocks of the board's flash that no operation changes any more, from the next time that its firmware waits."""
        unit = self.world.unit(board)
        self.world.bench.scribe.said(unit.name, unit.name, f"bad blocks {blocks}", "fault")
        seed = self.world.dice.for_(f"flash of {unit.name}").randint(1, 0xFFFFFFFF)
        wired(unit.target.flash_faults, FLASH_FAULTS).wear_out(blocks, noise_ppm, seed)

    @verb
    @needs(SUPPLY)
    async def sag(
        self,
        volts: Annotated[float, Field(ge=0, le=60, description="What the supply gives meanwhile.")],
        time: Annotated[Duration, Field(description="How long.")] = 0.1,
        board: BoardName = None,
    ) -> None:
        """The supply sags, as under a load that it was not made for."""
        unit = self.world.unit(board)
        self.world.bench.scribe.said(unit.name, unit.name, f"supply at {volts:g} V", "fault")
        await wired(unit.target.supply, SUPPLY).sag(volts, time)

    def _running(self, what: str) -> int:
        one: Service = service(self.world.site, what)
        if one.pid is None:
            raise StepFailed(f"a {what} that runs", "it was killed or stopped: start it first")
        return one.pid


def _broker(gateway: int) -> int:
    """The process of the gateway's broker."""
    for task in Path(f"/proc/{gateway}/task").glob("*/children"):
        for child in task.read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == BROKER:
                return int(child)
    raise StepFailed("a broker of the gateway", "none that runs")
