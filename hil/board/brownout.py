"""What the supply's voltage does to a processor: held in reset below one threshold, dead below another."""

import asyncio

from hil.board.core import Cause
from hil.board.processor import FOREVER_MS, OFF, Processor
from hil.board.signals import Observable
from hil.board.supply import GONE, GOOD, LOW, Supply


class BrownOut:
    """The brown-out detector of a board. A board that lost its power by its supply has it again with its supply."""

    def __init__(self, supply: Supply, processor: Processor) -> None:
        self._processor = processor
        self._dark = False  # it will have power when the supply does
        self._restoring: asyncio.Task[None] | None = None
        supply.state.listen(self._passed)

    def stop(self) -> None:
        """Restore nothing any more."""
        if self._restoring is not None:
            self._restoring.cancel()

    def _passed(self, supply: Observable[str]) -> None:
        """The voltage passed a threshold."""
        processor = self._processor
        processor.held = supply.value == LOW
        if supply.value == GOOD:
            self._risen()
            return
        processor.kill()
        if supply.value == GONE:
            self._dark = self._dark or processor.state.value != OFF
            processor.end(Cause.POWER_LOST, 0)
        elif not self._dark:
            processor.end(Cause.PWRON, FOREVER_MS)

    def _risen(self) -> None:
        if self._dark:
            self._dark = False
            self._restoring = asyncio.create_task(self._restored())
        else:
            self._processor.end(Cause.PWRON, 0)

    async def _restored(self) -> None:
        await self._processor.wait_dead()
        await self._processor.power_on()
