"""Verbs for a board: its power, its console, its pins."""

import asyncio
from typing import Annotated, Literal

from pydantic import Field

from hil.rig import Unwired, WaitTimeout
from hil.rig.capabilities import FLASH_FAULTS, wired
from hil.scenario.quantities import Duration, Level, Regex, shown
from hil.scenario.verb import StepFailed, needs, rule, verb
from hil.scenario.world import World

BoardName = Annotated[str | None, Field(description="Absent: the first.")]
Part = Annotated[
    str,
    Field(
        description="`relay`, `strike`, `dps`, `rex`, `bolt`, `tamper`, `key`, `fire`, `led`, `buzzer`, or `gpio<n>`."
    ),
]
SERIAL_S = 10.0
POWER_S = 30.0
STARTS = ("on", "cycle", "reset", "brown-out")


class BoardVerbs:
    """Part of the Python API."""

    def __init__(self, world: World) -> None:
        self.world = world

    @verb
    @rule(
        lambda given: "upto is less than time" if given.upto is not None and given.upto < given.time else ""
    )
    async def delay(
        self,
        time: Duration,
        upto: Annotated[Duration | None, Field(description="A time between the two, by the seed.")] = None,
    ) -> None:
        """Let time pass."""
        if upto is not None:
            time = self.world.dice.for_("delay").uniform(time, upto)
        await asyncio.sleep(time)

    @verb
    async def set_control(
        self,
        part: Part,
        control: Annotated[
            str,
            Field(
                description="`dps`: open. `rex`: pressed. `key`: turned. `tamper`: open. `fire`: active. "
                "`strike`: jammed. Of any pin: level."
            ),
        ] = "level",
        value: Level = 1,
        board: BoardName = None,
    ) -> None:
        """Move a control of a part, as a hand would."""
        try:
            self.world.unit(board).target.pins.set(part, control, value)
        except Unwired as error:
            raise StepFailed(f"a control {part}.{control}", str(error)) from None

    @verb
    async def expect_pin(
        self,
        part: Part,
        value: Level,
        pin: Annotated[
            str,
            Field(
                description="Absent: the level at the chip's pin. `relay`: contact. `strike`: released. "
                "`dps`: open, and so on as controls are named."
            ),
        ] = "level",
        within: Annotated[Duration, Field(description="0: now.")] = 0.0,
        steady: Annotated[Duration, Field(description="It must then keep the value for so long.")] = 0.0,
        board: BoardName = None,
    ) -> None:
        """A pin has a value, or takes it in time."""
        pins = self.world.unit(board).target.pins
        try:
            if within:
                await pins.wait(part, pin, value, within)
            if pins.level(part, pin) != value:
                raise StepFailed(f"{part}.{pin} = {value}", f"{pins.level(part, pin)}")
            if steady:
                await _steady(self.world, board, part, pin, value, steady)
        except WaitTimeout:
            expected = f"{part}.{pin} = {value} within {shown(within)}"
            raise StepFailed(expected, f"{pins.level(part, pin)} all the time") from None
        except Unwired as error:
            raise StepFailed(f"a pin {part}.{pin}", str(error)) from None

    @verb
    @rule(lambda given: "" if bool(given.text) != bool(given.regex) else "give either text or regex")
    async def wait_serial(
        self,
        text: Annotated[str, Field(description="What the console must print, literally.")] = "",
        regex: Annotated[Regex, Field(description="The same as a regular expression.")] = "",
        within: Duration = SERIAL_S,
        board: BoardName = None,
    ) -> None:
        """Wait for text on the console, after what an earlier step has waited for."""
        console = self.world.unit(board).target.console
        try:
            if regex:
                await console.expect(regex, within)
            else:
                await console.expect_exact(text, within)
        except WaitTimeout as error:
            raise StepFailed(f"{regex or text!r} on the console", str(error)) from None

    @verb
    async def write_serial(
        self,
        text: Annotated[str, Field(description=r"`\r\n` ends a line at the prompt.")],
        board: BoardName = None,
    ) -> None:
        """Type at the console."""
        self.world.unit(board).target.console.write(text)

    @verb
    @needs(FLASH_FAULTS, of="write")
    @rule(lambda given: "" if given.write is None or given.state == "cut" else "write is for cut only")
    async def power(
        self,
        state: Literal["on", "off", "cycle", "reset", "brown-out", "cut"],
        write: Annotated[
            int | None,
            Field(
                ge=1,
                le=65535,
                description="For `cut`: the power goes at this write to the flash from now on.",
            ),
        ] = None,
        where: Annotated[
            Literal["before", "within", "after"], Field(description="Of that write.")
        ] = "within",
        board: BoardName = None,
    ) -> None:
        """Give a board power, or take it away. `cut` without a write is `off`. Where it starts anew, so does the reading of its
        console."""
        unit = self.world.unit(board)
        self.world.bench.scribe.said(unit.name, unit.name, f"power {state}", "fault")
        supply = unit.target.power
        if state == "cut" and write is not None:
            wired(unit.target.flash_faults, FLASH_FAULTS).cut_power_at(write, where)
        elif state in ("reset", "brown-out") and not supply.is_on:
            raise StepFailed(f"{unit.name} with power", "it is off")
        else:
            act = {
                "on": supply.on,
                "off": supply.off,
                "cut": supply.off,
                "cycle": supply.cycle,
                "reset": supply.reset,
                "brown-out": supply.brown_out,
            }[state]
            if state in STARTS and not (state == "on" and supply.is_on):
                unit.target.console.skip()  # what the program said before is not what it says as it starts
            await act()

    @verb
    async def expect_power(
        self, state: Literal["on", "off"], within: Duration = POWER_S, board: BoardName = None
    ) -> None:
        """A board has power, or loses it in time: at a write that an earlier step has named."""
        unit = self.world.unit(board)
        try:
            if state == "off":
                await unit.target.power.wait_off(within)
            elif not unit.target.power.is_on:
                raise StepFailed(f"{unit.name} on", "off")
        except WaitTimeout:
            raise StepFailed(f"{unit.name} off within {shown(within)}", "it still runs") from None


async def _steady(world: World, board: str | None, part: str, pin: str, value: int, for_s: float) -> None:
    """Raises StepFailed at the first change."""
    pins = world.unit(board).target.pins
    try:
        await pins.wait(part, pin, 1 - value, for_s)
    except WaitTimeout:
        return
    raise StepFailed(f"{part}.{pin} = {value} for {shown(for_s)}", f"{1 - value} before that")
