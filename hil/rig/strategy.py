"""The states that a board is brought to, one after the other: off, at its console, with a program, online."""

from collections.abc import Mapping
from typing import Any, Protocol

from hil.rig.protocols import Target

PROMPT_S = 20.0  # a board's REPL answers in far less
OFF, CONSOLE, PROGRAM, ONLINE = "off", "console", "program", "online"


class Provisioner(Protocol):
    """Makes a board a door of a site."""

    async def __call__(self, title: str, policy: Mapping[str, Any]) -> None: ...


class Strategy:
    """``state`` is where the board is; each move takes it from where it is."""

    def __init__(self, target: Target, provisioner: Provisioner | None = None) -> None:
        self.target = target
        self.state = OFF
        self._provision = provisioner

    async def console(self) -> None:
        """Powered, at its prompt: it has no program, or a firmware that waits to be provisioned."""
        await self.target.power.on()
        await self.target.console.expect(r">>> $", PROMPT_S)
        self.state = CONSOLE

    async def program(self, files: Mapping[str, bytes]) -> None:
        """From ``console``: files on its flash, and the program among them runs; the console begins with it."""
        if self.state != CONSOLE:
            await self.console()
        if files:
            await self.target.flash.put(files)
            self.target.console.forget()
            await self.target.power.reset()
        self.state = PROGRAM

    async def online(self, title: str, policy: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        """From ``console``: a door of its site, connected to it."""
        if self._provision is None:
            raise ValueError(f"{self.target.name} has no site to be online at")
        if self.state != CONSOLE:
            await self.console()
        await self.target.flash.put(files)
        await self._provision(title, policy)
        self.state = ONLINE

    async def off(self) -> None:
        await self.target.power.off()
        self.state = OFF
