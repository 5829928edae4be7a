"""The driver for a simulated board: every protocol, on a ``hil.board.Board``."""

import asyncio
from collections.abc import Mapping, Sequence
from re import Match

from hil.board.board import OFF, Board
from hil.board.signals import Observable
from hil.radio.path_loss import Position
from hil.rig.capabilities import Unwired
from hil.rig.expect import Expecter
from hil.rig.protocols import Target
from hil.rig.simulated_faults import (
    FlashFaults,
    SimulatedAccessPoint,
    SimulatedBolt,
    SimulatedLink,
    SimulatedSupply,
)
from hil.rig.simulated_reader import reader
from hil.rig.wiring import CONTACTS, CONTROLS, LEVEL, no_control, no_pin
from hil.stack.station import execute


class Power:
    """PowerProtocol."""

    def __init__(self, board: Board) -> None:
        self._board = board

    @property
    def is_on(self) -> bool:
        return self._board.state.value != OFF

    async def on(self) -> None:
        await self._board.power_on()

    async def off(self) -> None:
        await self._board.power_cut()

    async def cycle(self) -> None:
        await self._board.power_cut()
        await self._board.power_on()

    async def reset(self) -> None:
        await self._board.reset()

    async def brown_out(self) -> None:
        await self._board.brown_out()

    async def wait_off(self, timeout: float) -> None:
        await self._board.wait_off(timeout)


class SimulatedConsole:
    """ConsoleProtocol."""

    def __init__(self, board: Board) -> None:
        self._console = board.console
        self._reader = Expecter()
        self._console.listen(self._reader.feed)

    @property
    def path(self) -> str:
        return self._console.path

    @property
    def text(self) -> str:
        return self._reader.text

    def skip(self) -> None:
        self._reader.skip()

    def forget(self) -> None:
        self._reader.forget()

    def write(self, data: str | bytes) -> None:
        self._console.write(data)

    async def expect(self, patterns: str | Sequence[str], timeout: float) -> Match[str]:
        return await self._reader.expect(patterns, timeout)

    async def expect_exact(self, texts: str | Sequence[str], timeout: float) -> str:
        return await self._reader.expect_exact(texts, timeout)

    async def execute(self, code: str) -> str:
        return await asyncio.to_thread(execute, self.path, code)


class SimulatedPins:
    """PinsProtocol. A part is a role of the description, ``gpio<n>``, or ``strike``."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def level(self, part: str, pin: str = "") -> int:
        return self._signal(part, pin or LEVEL).value

    def set(self, part: str, control: str, value: int) -> None:
        self._refuse(no_control(self._board.name, self._board.description, part, control))
        if control == LEVEL:
            self._board.pins.set_input(part, value)
            return
        contact: Observable[int] = getattr(self._board.door, CONTROLS[part, control])
        contact.set(value)

    async def wait(self, part: str, pin: str, value: int, timeout: float) -> int:
        return await self._signal(part, pin or LEVEL).wait(value, timeout)

    def _signal(self, part: str, pin: str) -> Observable[int]:
        self._refuse(no_pin(self._board.name, self._board.description, part, pin))
        if pin == LEVEL:
            return self._board.pins[part].level
        contact: Observable[int] = getattr(self._board.door, CONTACTS[part, pin])
        return contact

    @staticmethod
    def _refuse(why: str) -> None:
        if why:
            raise Unwired(why)


class SimulatedRadio:
    """RadioProtocol."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def place(self, position: Position | None) -> None:
        ble = getattr(self._board, "ble", None)
        if ble is None:
            raise Unwired(f"{self._board.name} has no radio")
        ble.place(position)


class SimulatedFlash(FlashFaults):
    """FlashProtocol and FlashFaultsProtocol."""

    async def put(self, files: Mapping[str, bytes]) -> None:
        if files:
            await asyncio.to_thread(execute, self._board.console.path, _write(files))


def _write(files: Mapping[str, bytes]) -> str:
    """A program that writes the files, and the folders above them."""
    lines = ["import os"]
    for name, data in files.items():
        path = "/" + name.lstrip("/")
        parts = path.split("/")[1:-1]
        for depth in range(len(parts)):
            folder = "/" + "/".join(parts[: depth + 1])
            lines.append(f"try: os.mkdir({folder!r})\nexcept OSError: pass")
        lines.append(f"with open({path!r}, 'wb') as f: f.write({data!r})")
    return "\n".join(lines)


def target(board: Board) -> Target:
    """All drivers of a board."""
    flash = SimulatedFlash(board)
    return Target(
        board.name,
        board.description,
        Power(board),
        SimulatedConsole(board),
        SimulatedPins(board),
        flash,
        SimulatedRadio(board),
        reader(board),
        supply=SimulatedSupply(board),
        link=SimulatedLink(board.network) if board.network is not None else None,
        access_point=SimulatedAccessPoint(board),
        flash_faults=flash,
        bolt=SimulatedBolt(board) if board.description.relay is not None else None,
    )
