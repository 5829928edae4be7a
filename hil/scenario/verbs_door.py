"""Verbs for people at a door: the leaf, the exit button, the key switch, the reader."""

import asyncio
from typing import Annotated, Literal

from pydantic import Field

from hil.rig import Unwired, WaitTimeout
from hil.scenario.quantities import Duration
from hil.scenario.verb import StepFailed, verb
from hil.scenario.verbs_board import BoardName, BoardVerbs

TAP_S = 0.4  # what a standard says must be seen (IEC 60839-11-1)
PULL_S = 1.0
Button = Literal["rex", "key", "tamper", "fire"]
BUTTONS: dict[Button, str] = {"rex": "pressed", "key": "turned", "tamper": "open", "fire": "active"}


class DoorVerbs(BoardVerbs):
    """Part of the Python API."""

    @verb
    async def open(
        self,
        board: BoardName = None,
        within: Annotated[Duration, Field(description="For so long a person pulls.")] = PULL_S,
    ) -> None:
        """A person opens the leaf. Fails if the strike holds it."""
        try:
            await self.world.unit(board).target.pins.wait("strike", "released", 1, within)
        except WaitTimeout:
            raise StepFailed("the strike released", "it holds the leaf") from None
        await self.set_control("dps", "open", 1, board)

    @verb
    async def close(self, board: BoardName = None) -> None:
        """The leaf falls into its latch."""
        await self.set_control("dps", "open", 0, board)

    @verb
    async def force(self, board: BoardName = None) -> None:
        """The leaf is torn open, whatever the strike does."""
        await self.set_control("dps", "open", 1, board)

    @verb
    async def prop(self, time: Duration, board: BoardName = None) -> None:
        """A person opens the leaf, holds it for some time, and lets it close."""
        await self.open(board)
        await asyncio.sleep(time)
        await self.close(board)

    @verb
    async def press(
        self,
        button: Annotated[Button, Field(description="`key` is the switch.")] = "rex",
        time: Annotated[Duration | None, Field(description="How long; 0: until a `release`.")] = TAP_S,
        board: BoardName = None,
    ) -> None:
        """Press the exit button, or another contact."""
        await self._contact(button, 1, board)
        if time:
            await asyncio.sleep(time)
            await self._contact(button, 0, board)

    @verb
    async def release(
        self,
        button: Annotated[Button, Field(description="As of `press`.")] = "rex",
        board: BoardName = None,
    ) -> None:
        """Let go of a button that is held."""
        await self._contact(button, 0, board)

    @verb
    async def card(
        self,
        number: Annotated[int, Field(ge=0, le=65535)],
        facility: Annotated[int, Field(ge=0, le=255)] = 1,
        board: BoardName = None,
    ) -> None:
        """Show a card of 26 bits to the reader at the door."""
        try:
            await self.world.unit(board).target.reader.card(facility, number)
        except (Unwired, WaitTimeout) as error:
            raise StepFailed("a card at the reader", str(error)) from None

    @verb
    async def key(
        self,
        keys: Annotated[str, Field(pattern="^[0-9*#]+$", description="`#` ends a code.")],
        board: BoardName = None,
    ) -> None:
        """Type at the keypad of the door."""
        try:
            await self.world.unit(board).target.reader.key(keys)
        except (Unwired, WaitTimeout) as error:
            raise StepFailed("keys at the keypad", str(error)) from None

    async def _contact(self, button: Button, value: int, board: str | None) -> None:
        if button not in BUTTONS:
            raise StepFailed("a button", f"{button}; there are {', '.join(BUTTONS)}")
        await self.set_control(button, BUTTONS[button], value, board)
