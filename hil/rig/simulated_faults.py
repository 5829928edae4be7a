"""Drivers for what only a bench can do to a board: its supply, its network, its flash, its bolt."""

from collections.abc import Sequence

from hil.board.board import Board
from hil.board.flash import Cut, Where, Worn
from hil.board.network import Network
from hil.board.way import Quality
from hil.radio.loss import Noise
from hil.radio.medium import Medium
from hil.radio.path_loss import Position

NOISE = "noise"


class SimulatedSupply:
    """SupplyProtocol."""

    def __init__(self, board: Board) -> None:
        self._supply = board.supply

    async def sag(self, volts: float, seconds: float) -> None:
        await self._supply.sag(volts, seconds)


class SimulatedLink:
    """LinkProtocol."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def shape(self, latency: float, jitter: float, loss: float, kbit_s: float) -> None:
        self._network.quality = Quality(latency * 1000, jitter * 1000, loss, kbit_s)

    def partition(self, parted: bool) -> None:
        self._network.partition(parted)

    def refuse(self, refused: bool) -> None:
        self._network.refusing = refused

    def hide_names(self, hidden: bool) -> None:
        self._network.no_names = hidden

    def half_open(self) -> None:
        self._network.half_open()

    def reset(self) -> None:
        self._network.reset()


class SimulatedAccessPoint:
    """AccessPointProtocol: each board has one of its own."""

    def __init__(self, board: Board) -> None:
        self._wifi = board.wifi

    def switch(self, on: bool) -> None:
        self._wifi.set_up(on)


class FlashFaults:
    """FlashFaultsProtocol."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def writes(self) -> int:
        return sum(block.programs + block.erases for block in self._board.wear())

    def cut_power_at(self, write: int, where: str) -> None:
        self._board.cut_power_at(Cut(write, Where[where.upper()]), lasting=True)

    def wear_out(self, blocks: Sequence[int], noise_ppm: int, seed: int) -> None:
        self._board.wear_out(Worn(tuple(blocks), noise_ppm, seed))


class SimulatedBolt:
    """BoltProtocol."""

    def __init__(self, board: Board) -> None:
        self._door = board.door

    def jam(self, jammed: bool) -> None:
        if jammed:
            self._door.jam()
        else:
            self._door.unjam()


class SimulatedAir:
    """AirProtocol."""

    def __init__(self, medium: Medium) -> None:
        self._medium = medium

    def lose(self, probability: float, between: tuple[str, str] | None) -> None:
        self._medium.lose(probability, between)

    def interfere(self, position: Position, power: float, duty: float) -> None:
        self._medium.interfere(NOISE, Noise(position, power=power, duty=duty) if duty else None)
