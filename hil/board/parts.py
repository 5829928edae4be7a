"""The door the board is wired to: relay, strike, leaf, position switch, exit button.

Each part follows the one before it after its own mechanical time. Times are the model's, to the
microsecond, even when the event loop is late.
"""

import asyncio

from hil.board.description import Description
from hil.board.pins import Pins
from hil.board.signals import Observable, TraceSink, now_us


class DoorLocked(Exception):
    """Somebody pulled at a leaf that the strike holds."""


class _Lagging:
    """A value that follows its cause after a delay; a cause that is gone before that moves nothing."""

    def __init__(self, target: Observable[int]) -> None:
        self._target = target
        self._timer: asyncio.TimerHandle | None = None

    def follow(self, value: int, t_us: int, delay_ms: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if value == self._target.value:
            return
        due = t_us + int(delay_ms * 1000)
        wait = max(0.0, (due - now_us()) / 1e6)
        self._timer = asyncio.get_running_loop().call_later(wait, self._target.set, value, due)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Door:
    """``relay`` (1: contact closed), ``strike`` (1: released), ``leaf`` (1: open), ``rex`` (1: pressed)."""

    def __init__(self, description: Description, pins: Pins) -> None:
        self._about = description
        self._pins = pins
        self.relay = Observable[int]("relay_contact", 0)
        self.strike = Observable[int]("strike_released", int(description.strike.mode == "fail-safe"))
        self.leaf = Observable[int]("leaf_open", 0)
        self.rex = Observable[int]("rex_pressed", 0)
        self._contact = _Lagging(self.relay)
        self._bolt = _Lagging(self.strike)
        pins["relay"].level.listen(self._coil)
        self.relay.listen(self._current)
        self._wire_switch("dps", description.dps.active, self.leaf)
        if description.rex is not None:
            self._wire_switch("rex", description.rex.active, self.rex)

    def trace(self, sink: TraceSink, scope: str) -> None:
        for signal in (self.relay, self.strike, self.leaf, self.rex):
            signal.trace(sink, scope)

    @property
    def unlocked(self) -> bool:
        return self.strike.value == 1

    def open(self) -> None:
        """A person opens the leaf; raises DoorLocked if the strike holds it."""
        if not self.unlocked:
            raise DoorLocked("the strike is locked")
        self.leaf.set(1)

    def force(self) -> None:
        """The leaf is torn open whatever the strike does."""
        self.leaf.set(1)

    def close(self) -> None:
        """The leaf falls into the latch; a locked strike lets a closing latch in."""
        self.leaf.set(0)

    async def pass_through(self, open_s: float = 0.05) -> None:
        """Open, walk through, let it close."""
        self.open()
        await asyncio.sleep(open_s)
        self.close()

    def press_rex(self) -> None:
        self.rex.set(1)

    def release_rex(self) -> None:
        self.rex.set(0)

    async def tap_rex(self, hold_s: float = 0.4) -> None:
        """Press for 400 ms: what a standard says must be seen (IEC 60839-11-1)."""
        self.press_rex()
        await asyncio.sleep(hold_s)
        self.release_rex()

    def stop(self) -> None:
        self._contact.stop()
        self._bolt.stop()

    def _coil(self, pin: Observable[int]) -> None:
        about = self._about.relay
        energised = int(pin.value == int(about.active == "high")) if self._pins["relay"].driven else 0
        self._contact.follow(energised, pin.t_us, about.operate_ms if energised else about.release_ms)

    def _current(self, contact: Observable[int]) -> None:
        about = self._about.strike
        released = contact.value if about.mode == "fail-secure" else 1 - contact.value
        self._bolt.follow(released, contact.t_us, about.release_ms if released else about.lock_ms)

    def _wire_switch(self, role: str, active: str, signal: Observable[int]) -> None:
        high = int(active == "high")

        def follow(changed: Observable[int]) -> None:
            self._pins.set_input(role, high if changed.value else 1 - high)

        signal.listen(follow)
        follow(signal)
