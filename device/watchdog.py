"""Feeds the hardware watchdog only while every critical task answers.

Each critical task owns a `Heart`. The watchdog asks it to beat by waking the task through its own event
source; a task that did not beat since the last question is stuck, the watchdog is starved, and the board
resets with the strike locked. Asking instead of ticking lets an idle board sleep.
"""

import asyncio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List

TIMEOUT_MS = 30_000
ASK_MS = 8_000  # two questions may fail before the hardware resets


class Heart:
    """The pulse of one critical task. `wake` makes the task run once, and then it calls `beat`."""

    def __init__(self, name: str, wake: "Callable[[], None]") -> None:
        self.name = name
        self.wake = wake
        self.alive = True

    def beat(self) -> None:
        """Called by the task, each time it is about to wait again."""
        self.alive = True


class Watchdog:
    """`wdt` has `feed()`: machine.WDT on a board."""

    def __init__(self, wdt: "Any", hearts: "List[Heart]") -> None:
        self._wdt = wdt
        self._hearts = hearts

    def check(self) -> bool:
        """Feed if all answered the last question, then ask again; return whether it fed."""
        alive = True
        for heart in self._hearts:
            alive = alive and heart.alive
        if alive:
            self._wdt.feed()
        for heart in self._hearts:
            if alive:
                heart.alive = False
            heart.wake()
        return alive

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            self.check()
            await asyncio.sleep_ms(ASK_MS)
