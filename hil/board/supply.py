"""The voltage that feeds the board and its lock, and what becomes of them when it sags."""

import asyncio

from hil.board.description import SupplyPart
from hil.board.signals import Observable, TraceSink

GOOD, LOW, GONE = "good", "low", "gone"


class Supply:
    """``millivolts`` at the board's terminals, under the present load; ``state`` is GOOD, LOW (the chip is in reset) or GONE
    (as without power)."""

    def __init__(self, about: SupplyPart) -> None:
        self.about = about
        self._source = about.volts
        self._load_ma = about.board_ma
        self.millivolts = Observable[int]("supply_mv", 0, width=16)
        self.state = Observable[str]("supply", GOOD)
        self.holds = Observable[int]("supply_holds_coils", 1)
        self._settle()

    def set(self, volts: float) -> None:
        """What the source gives without a load."""
        if not 0 <= volts <= 60:
            raise ValueError(f"{volts} V is outside 0..60 V")
        self._source = volts
        self._settle()

    def restore(self) -> None:
        """What the description says."""
        self.set(self.about.volts)

    async def sag(self, volts: float, seconds: float) -> None:
        """For so long."""
        self.set(volts)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.restore()

    def load(self, coil: int, lock: int) -> None:
        """What draws current now, besides the board."""
        about = self.about
        self._load_ma = about.board_ma + about.coil_ma * coil + about.lock_ma * lock
        self._settle()

    def trace(self, sink: TraceSink, scope: str) -> None:
        self.millivolts.trace(sink, scope)

    def _settle(self) -> None:
        about = self.about
        volts = max(0.0, self._source - about.ohms * self._load_ma / 1000)
        self.millivolts.set(round(volts * 1000))
        self.holds.set(int(volts >= about.hold_volts))
        self.state.set(GONE if volts < about.off_volts else LOW if volts < about.brown_out_volts else GOOD)
