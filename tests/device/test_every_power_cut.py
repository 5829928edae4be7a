"""The power is cut at every single write to the flash of a scenario, whole and torn.

The board boots each time, its door is locked, one of two configurations is whole and in force, no record that anybody
was told of is lost, and the chain goes on. Several boards at once, each with a site of its own.
"""

import asyncio
import contextlib
import shutil
from collections import Counter
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
from tests.device.power_steps import STEPS, Scene, Step, online
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
        self._kept = rig.folder / "flash.kept"
        self._records: dict[int, bytes] = {}
        self._leaving = phones

    async def run(self) -> None:
        rig = self.rig
        await rig.provision()
        await rig.site.synchronised()
        await self._keep()
        for step in STEPS:
            if step.prepare is not None:
                await step.prepare(Scene(rig, Phone.on(rig.medium, "nobody")))
                await self._keep()
            for where in TORN:
                write, unharmed = 1 + self._number, 0
                while unharmed < 2:  # a run may need a write less than another: records of two commits in one
                    if await self._cut(step, Cut(write, where)):
                        self.cuts[step.name] += 1
                    else:
                        unharmed += 1
                    write += LANES
            # Once more unharmed, for the next step to begin with.
            await self._cut(step, Cut(MAX_CUT))
            rig.site.acknowledges = True
            await self._keep()

    async def _keep(self) -> None:
        """What is on the flash now, and what the site has of it, is what the next cuts begin with."""
        await self.rig.board.power_cut()
        await asyncio.to_thread(shutil.copyfile, self.rig.board.flash_path, self._kept)
        self._records = dict(self.rig.site.records)

    async def _restore(self) -> None:
        await self.rig.board.power_cut()
        await asyncio.to_thread(shutil.copyfile, self._kept, self.rig.board.flash_path)
        self.rig.site.records = dict(self._records)
        self.rig.site.booted()

    async def _cut(self, step: Step, cut: Cut) -> bool:
        """Whether the power was lost in the step. If not, the board goes on as it is."""
        await self._restore()
        rig, board = self.rig, self.rig.board
        phone = Phone.on(rig.medium, "phone")
        scene = Scene(rig, phone)
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
        self._leave(phone, acting, off)
        rig.door.release_rex()
        rig.door.close()
        rig.site.acknowledges = True
        if harmed:
            try:
                await self._check(scene)
            except Exception as error:
                error.add_note(
                    f"{step.name}, cut {cut.where.name} write {cut.write}\n{board.console.text[-2000:]}"
                )
                raise
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
        rig.site.booted()
        await rig.board.power_on()
        state = await rig.site.synchronised()
        assert not rig.door.unlocked
        assert state["door"] == "locked"
        assert state["cfg"] in scene.cfg
        assert state["rev"] == state["cfg"]
        records = {record.seq for record in rig.site.verify()}
        assert set(scene.records) <= records
        for check in scene.checks:
            phone = Phone.on(rig.medium, "another phone")
            await check(Scene(rig, phone))
            await phone.aclose()


@contextlib.asynccontextmanager
async def _lane(folder: Path, number: int, zygote: Zygote, phones: "list[asyncio.Task[None]]") -> Any:
    medium = Medium()
    board = Board(
        builtin(), "board", folder / "board", vm=zygote, medium=medium, firmware=image.firmware_image(ROOT)
    )
    rig = Rig(folder, board, medium)
    async with rig.site.serving():
        try:
            await board.start()
            yield Lane(rig, number, phones)
        finally:
            await board.stop()
            await medium.aclose()


async def test_a_power_cut_at_every_write_of_a_scenario_harms_nothing(
    tmp_path: Path, record_property: Any
) -> None:
    phones: list[asyncio.Task[None]] = []
    async with contextlib.AsyncExitStack() as stack:
        zygote = await stack.enter_async_context(Zygote())
        lanes = [
            await stack.enter_async_context(_lane(tmp_path / str(number), number, zygote, phones))
            for number in range(LANES)
        ]
        async with asyncio.TaskGroup() as group:
            for lane in lanes:
                group.create_task(lane.run())
        await asyncio.gather(*phones)
    cuts: Counter[str] = sum((lane.cuts for lane in lanes), Counter())
    told = ", ".join(f"{step.name} {cuts[step.name]}" for step in STEPS)
    record_property("summary", f"power cut at {cuts.total()} points, torn and whole: {told}")
    assert all(cuts[step.name] >= len(TORN) for step in STEPS), told
