"""The simulated rig: boards that are VMs, on an air of their own or on one that other processes hear."""

import shutil
from collections.abc import Callable
from pathlib import Path

from hil.board.board import FLASH, Board
from hil.board.signals import TraceSink
from hil.phone import Phone
from hil.radio.medium import Medium
from hil.radio.path_loss import Position
from hil.rig.capabilities import EVERYTHING
from hil.rig.protocols import Order, Target
from hil.rig.simulated import target
from hil.rig.simulated_faults import SimulatedAir
from hil.vm.spawner import Zygote


class SimulatedRig:
    """RigProtocol. ``seed`` decides the losses of air and links; ``air`` is the name of a shared one, which has no phones;
    ``watch`` is told of every board."""

    def __init__(
        self,
        folder: Path,
        zygote: Zygote,
        seed: int,
        *,
        air: str | None = None,
        trace: TraceSink | None = None,
        watch: Callable[[Board], None] = lambda board: None,
    ) -> None:
        self.offers = EVERYTHING
        self._folder = folder
        self._zygote = zygote
        self._seed = seed
        self._air_name = air
        self._trace = trace
        self._watch = watch
        self._medium = Medium(eager=True, seed=seed)
        self.air = SimulatedAir(self._medium)
        self._boards: list[Board] = []

    def board(self, name: str, order: Order, crashed: Callable[[str], None]) -> Target:
        if order.image is not None:
            (self._folder / name).mkdir()
            shutil.copyfile(order.image, self._folder / name / FLASH)
        description = order.description
        if order.drift_ppm:
            mcu = description.mcu.model_copy(update={"drift_ppm": order.drift_ppm})
            description = description.model_copy(update={"mcu": mcu})
        board = Board(
            description,
            name,
            self._folder / name,
            vm=self._zygote,
            medium=self._medium if self._air_name is None else None,
            air=self._air_name,
            position=order.position,
            bare=order.bare,
            firmware=order.firmware,
            networked=order.networked,
            trace=self._trace,
        )
        if board.network is not None:
            board.network.seed = f"{self._seed} {name}"
        board.state.listen(lambda _: _look(board, crashed))
        self._watch(board)
        self._boards.append(board)
        return target(board)

    def phone(self, name: str, position: Position | None) -> Phone:
        return Phone.on(self._medium, name, position=position)

    async def stop(self) -> None:
        for board in self._boards:
            await board.stop()
        await self._medium.aclose()


def _look(board: Board, crashed: Callable[[str], None]) -> None:
    """A VM that was killed by a signal: what it would do next is chance."""
    if board.exits and board.exits[-1] < 0:
        crashed(f"the VM of {board.name} ended by signal {-board.exits[-1]}")
