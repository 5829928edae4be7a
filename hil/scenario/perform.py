"""Does steps: one after the other, repeated, at the same time; and once for each write, with the power cut there."""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

import httpx

from hil.report import Step as Shown
from hil.rig import Unwired, WaitTimeout
from hil.rig.capabilities import FLASH_FAULTS, wired
from hil.scenario.api import Scenario
from hil.scenario.dice import branch
from hil.scenario.header import ExhaustiveIn
from hil.scenario.load import Case
from hil.scenario.steps import PARALLEL, REPEAT, Step
from hil.scenario.verb import StepFailed
from hil.scenario.world import Unit, World
from hil.stack.api import ApiError

LAP_S = 300.0  # a bound: the timeout of the scenario is shorter
QUIET_S, MAX_BOOT_S = 0.25, 10.0
SETTLE_S = 2.0  # in which a step that failed by a power cut learns that it was one


class Misstep(Exception):
    """A step failed; ``step`` is the innermost."""

    def __init__(self, step: Step, cause: StepFailed) -> None:
        super().__init__(f"line {step.line}: {cause}")
        self.step = step
        self.cause = cause


async def perform(scenario: Scenario, steps: Iterable[Step]) -> None:
    """Raises Misstep."""
    for step in steps:
        await perform_one(scenario, step)


async def perform_one(scenario: Scenario, step: Step) -> None:
    """Raises Misstep."""
    if step.word == REPEAT:
        for _ in range(step.times):
            await perform(scenario, step.steps)
    elif step.word == PARALLEL:
        await _together(scenario, step.steps)
    else:
        await _act(scenario, step)


async def _act(scenario: Scenario, step: Step) -> None:
    method: Any = scenario
    for name in step.path:
        method = getattr(method, name)
    try:
        await method(**dict(step.arguments))
    except StepFailed as error:
        raise Misstep(step, error) from None
    except (WaitTimeout, Unwired) as error:
        raise Misstep(step, StepFailed(step.title, str(error))) from None
    except (ApiError, httpx.TransportError) as error:
        told = str(error) or type(error).__name__
        raise Misstep(step, StepFailed("an answer of the API that allows it", told)) from None


async def _together(scenario: Scenario, steps: Iterable[Step]) -> None:
    """The first that fails ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            for number, step in enumerate(steps):
                group.create_task(_branch(scenario, step, number))
    except* Misstep as errors:
        raise errors.exceptions[0] from None


async def _branch(scenario: Scenario, step: Step, number: int) -> None:
    branch(number)
    await perform_one(scenario, step)


async def exhaust(scenario: Scenario, world: World, case: Case, about: ExhaustiveIn, shown: Shown) -> None:
    """Steps and afterwards, once for each write to a board's flash. Raises Misstep, or StepFailed for what is no step's."""
    unit = world.unit(about.board)
    laps: dict[str, int] = {}
    for where in about.where:
        write = about.every
        while await _lap(scenario, unit, case, write, where):
            laps[where] = laps.get(where, 0) + 1
            shown.summary = ", ".join(f"{count} cuts {name} a write" for name, count in laps.items())
            write += about.every
            if write > about.limit:
                raise StepFailed(
                    f"at most {about.limit} writes", "more: raise exhaustive.limit if that is right"
                )
    shown.evidence["cuts"] = dict(laps)
    if not sum(laps.values()):
        raise StepFailed("a write to cut the power at", "steps that write nothing")


async def _lap(scenario: Scenario, unit: Unit, case: Case, write: int, where: str) -> bool:
    """One run of the steps; whether the power was cut in it. The board runs again afterwards."""
    await _settled(unit)
    unit.target.console.skip()  # what the board said before is no answer to what the steps do
    wired(unit.target.flash_faults, FLASH_FAULTS).cut_power_at(write, where)
    cut = await _cut_short(scenario, unit, case.steps)
    unit.target.console.skip()  # what follows is about what comes after the cut
    await unit.target.power.cycle()  # takes back a cut that was never reached
    try:
        await perform(scenario, case.afterwards)
    except Misstep as error:
        told = f"{error.cause.seen}, after a power cut {where} write {write}" if cut else error.cause.seen
        raise Misstep(error.step, StepFailed(error.cause.expected, told)) from None
    return cut


async def _settled(unit: Unit) -> None:
    """Until the board has written nothing for a while: the writes of its boot are not those of the steps."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(MAX_BOOT_S):
            before, flash = -1, wired(unit.target.flash_faults, FLASH_FAULTS)
            while before != (before := flash.writes()):  # noqa: ASYNC110 - a counter in a file
                await asyncio.sleep(QUIET_S)


async def _cut_short(scenario: Scenario, unit: Unit, steps: tuple[Step, ...]) -> bool:
    """Whether the board lost its power while it did the steps."""
    working = asyncio.create_task(perform(scenario, steps))
    dying = asyncio.create_task(unit.target.power.wait_off(LAP_S))
    try:
        await asyncio.wait((working, dying), return_when=asyncio.FIRST_COMPLETED)
        if dying.done():
            await dying
            return True
        if working.exception() is None:
            return False
        # A phone may notice a power cut before we do.
        await asyncio.wait((dying,), timeout=SETTLE_S)
        if not dying.done():
            await working
        return True
    finally:
        for task in (working, dying):
            task.cancel()
        await asyncio.gather(working, dying, return_exceptions=True)
