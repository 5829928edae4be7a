"""Takes boards through the steps of a scenario and cuts the power at every single write to the flash, whole and torn.

The board boots each time, its door is locked, one of two configurations is whole and in force, no record that anybody
was told of is lost, and the chain goes on. Several boards at once, each with a site of its own.
"""

import asyncio
import contextlib
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from hil.board.board import OFF, Board
from hil.board.description import builtin
from hil.board.flash import MAX_CUT, Cut, Where
from hil.phone import Phone, PhoneError
from hil.radio.medium import Medium
from hil.vm import image
from hil.vm.spawner import Zygote
from tests.device.on_vm import ROOT
from tests.device.power_steps import Scene, Step, online
from tests.device.rig import DEADLINE, Rig

LANES = 6
# What comes after the write is cut before the next one: two variants are all there are.
TORN = (Where.BEFORE, Where.WITHIN)


class Lane:
    """One board that goes through all steps; it takes every `LANES`-th cut."""

    def __init__(self, rig: Rig, number: int, phones: "list[asyncio.Task[None]]") -> None:
        self.rig = rig
        self.cuts: Counter[str] = Counter()
        self._number = number
        self._files = (rig.board.flash_path, rig.board.slots_path)
        self._records: dict[int, bytes] = {}
        self._boot = 0
        self._leaving = phones
        self._configuration = rig.configuration  # in force after the step

    async def run(self, steps: Sequence[Step]) -> None:
        rig = self.rig
        await rig.wire()
        await rig.provision()
        await rig.site.synchronised()
        await self._keep()
        for step in steps:
            if step.prepare is not None:
                await step.prepare(Scene(rig, Phone.on(rig.medium, "nobody")))
                await self._keep()
            for where in TORN:
                write, unharmed = 1 + self._number * step.every, 0
                # A run may need a write less than another: records of two commits in one.
                while unharmed < (2 if step.every == 1 else 1):
                    if await self._cut(step, Cut(write, where, step.slots)):
                        self.cuts[step.name] += 1
                    else:
                        unharmed += 1
                    write += LANES * step.every
            if step.stays:
                # Once more unharmed, for the next step to begin with.
                await self._cut(step, Cut(MAX_CUT))
                rig.configuration = self._configuration
                rig.site.acknowledges = True
                await self._keep()
            else:
                await self._restore()

    async def _keep(self) -> None:
        """What is on the flash now, and what the site has of it, is what the next cuts begin with."""
        await self.rig.board.power_cut()
        self.rig.site.switched_off()
        for path in self._files:
            await asyncio.to_thread(shutil.copyfile, path, _kept(path))
        self._records = dict(self.rig.site.records)
        self._boot = self.rig.site.boot

    async def _restore(self) -> None:
        await self.rig.board.power_cut()
        for path in self._files:
            await asyncio.to_thread(shutil.copyfile, _kept(path), path)
        self.rig.site.records = dict(self._records)
        self.rig.site.boot = self._boot
        self.rig.site.switched_off()

    async def _cut(self, step: Step, cut: Cut) -> bool:
        """Whether the power was lost in the step. If not, the board goes on as it is."""
        try:
            return await self._cut_once(step, cut)
        except Exception as error:
            text = self.rig.board.console.text[-2000:]
            error.add_note(f"{step.name}, cut {cut.where.name} write {cut.write}\n{text}")
            raise

    async def _cut_once(self, step: Step, cut: Cut) -> bool:
        await self._restore()
        rig, board = self.rig, self.rig.board
        phone = Phone.on(rig.medium, "phone")
        scene = Scene(rig, phone, {rig.configuration})
        acknowledges = rig.site.acknowledges
        if not step.off:
            await board.power_on()
            await online(rig)
        board.cut_power_at(cut)
        acting = asyncio.ensure_future(step.act(scene))
        off = asyncio.ensure_future(self._off(board.boots.value + step.off))
        await asyncio.wait((acting, off), return_when=asyncio.FIRST_COMPLETED)
        harmed = board.state.value == OFF
        if not harmed:
            await acting
            self._configuration = max(scene.cfg)
        self._leave(phone, acting, off)
        rig.door.release_rex()
        rig.door.close()
        rig.site.acknowledges = True
        if harmed:
            await self._check(scene)
        # Nothing of this life may come later: in the next one, the same sequences are other records.
        await rig.site.heard()
        rig.site.acknowledges = acknowledges
        return harmed

    async def _off(self, boots: int) -> None:
        """Off, after it was on so often."""
        await self.rig.board.boots.wait(boots, DEADLINE)
        await self.rig.board.wait_off(DEADLINE)

    def _leave(self, phone: Phone, *tasks: "asyncio.Future[Any]") -> None:
        """The phone waits for the end of its link; nobody waits for the phone."""

        async def leave() -> None:
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(PhoneError):
                await phone.aclose()

        for task in tasks:
            task.cancel()
        self._leaving.append(asyncio.create_task(leave()))

    async def _check(self, scene: Scene) -> None:
        """Boot, and look at everything."""
        rig = self.rig
        await rig.door.strike.wait(0, DEADLINE)
        before = rig.site.boot
        rig.site.switched_off()
        await rig.board.power_on()
        while (state := await rig.site.synchronised())["boot"] <= before:
            pass  # the last words of the life before, however late
        scene.state = state
        assert not rig.door.unlocked
        assert state["door"] == "locked", state
        assert state["cfg"] in scene.cfg
        assert state["rev"] == state["cfg"]
        records = {record.seq for record in rig.site.verify()}
        assert set(scene.records) <= records
        for check in scene.checks:
            scene.phone = Phone.on(rig.medium, "another phone")
            await check(scene)
            await scene.phone.aclose()


def _kept(path: Path) -> Path:
    return path.with_suffix(".kept")


@contextlib.asynccontextmanager
async def _started(lane: Lane) -> AsyncIterator[Lane]:
    rig = lane.rig
    async with rig.site.serving():
        try:
            await rig.board.start()
            yield lane
        finally:
            await rig.board.stop()
            await rig.medium.aclose()


async def cut_everywhere(
    folder: Path, steps: Sequence[Step], description: str = "strike_door", firmware: Path | None = None
) -> str:
    """Take boards through the steps and cut at every write; what the summary of the tests says of it."""
    phones: list[asyncio.Task[None]] = []
    made = firmware or image.firmware_image(ROOT)
    async with contextlib.AsyncExitStack() as stack:
        zygote = await stack.enter_async_context(Zygote())
        lanes = []
        for number in range(LANES):
            medium, place = Medium(), folder / str(number)
            board = Board(
                builtin(description), "board", place / "board", vm=zygote, medium=medium, firmware=made
            )
            lane = Lane(Rig(place, board, medium), number, phones)
            lanes.append(await stack.enter_async_context(_started(lane)))
        async with asyncio.TaskGroup() as group:
            for lane in lanes:
                group.create_task(lane.run(steps))
        await asyncio.gather(*phones)
    cuts: Counter[str] = sum((lane.cuts for lane in lanes), Counter())
    told = ", ".join(f"{step.name} {cuts[step.name]}" for step in steps)
    assert all(cuts[step.name] >= len(TORN) for step in steps), told
    return f"power cut at {cuts.total()} points, torn and whole: {told}"
