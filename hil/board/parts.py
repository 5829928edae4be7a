"""The door the board is wired to: relay, strike or maglock, leaf, and the contacts around them.

Each part follows the one before it after its own mechanical time. Times are the model's, to the
microsecond, even when the event loop is late.
"""

import asyncio
import functools

from hil.board.description import Description, RelayPart
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
    """``relay`` (1: coil pulled in), ``strike`` (1: released), ``bolt`` (1: its sensor says thrown), ``leaf`` (1: open),
    ``rex`` (1: pressed), ``key`` (1: turned), ``tamper`` (1: enclosure open), ``fire`` (1: alarm)."""

    def __init__(self, description: Description, pins: Pins) -> None:
        self._about = description
        self._pins = pins
        self.relay = Observable[int]("relay_contact", 0)
        self.strike = Observable[int]("strike_released", self._released(0))
        self.leaf = Observable[int]("leaf_open", 0)
        self.rex = Observable[int]("rex_pressed", 0)
        self.bolt = Observable[int]("bolt_thrown", 1 - self.strike.value)
        self.key = Observable[int]("key_turned", 0)
        self.tamper = Observable[int]("enclosure_open", 0)
        self.fire = Observable[int]("fire", 0)
        self._jammed = False
        self._contact = _Lagging(self.relay)
        self._bolt = _Lagging(self.strike)
        if description.relay is not None:
            pins["relay"].level.listen(functools.partial(self._coil, description.relay))
        self.relay.listen(self._current)
        self.strike.listen(lambda strike: self.bolt.set(1 - strike.value, strike.t_us))
        for role, signal in self._contacts().items():
            part = getattr(description, role)
            if part is not None:
                self._wire_switch(role, part.active, signal)

    def _contacts(self) -> dict[str, Observable[int]]:
        return {
            "dps": self.leaf,
            "rex": self.rex,
            "bolt": self.bolt,
            "tamper": self.tamper,
            "key": self.key,
            "fire": self.fire,
        }

    def trace(self, sink: TraceSink, scope: str) -> None:
        wired = [s for role, s in self._contacts().items() if role in self._about.pins]
        for signal in (self.relay, self.strike, *wired):
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

    async def turn_key(self, hold_s: float = 0.4) -> None:
        """Turn the key switch and let it spring back."""
        self.key.set(1)
        await asyncio.sleep(hold_s)
        self.key.set(0)

    async def chatter(self, role: str, edges: int, each_s: float) -> float:
        """Toggle a contact's pin so often, as a bouncing contact or a hand on the wire does; it ends as it was. Returns
        the longest time that a level lasted, in seconds."""
        level, longest = self._pins.level(role), 0
        for edge in range(edges + edges % 2):
            self._pins.set_input(role, level ^ (1 - edge % 2))
            since = now_us()
            await asyncio.sleep(each_s)
            longest = max(longest, now_us() - since)
        return longest / 1e6

    def jam(self) -> None:
        """The bolt stays where it is, whatever the current does, until ``unjam``."""
        self._jammed = True

    def unjam(self) -> None:
        self._jammed = False
        self._current(self.relay)

    def stop(self) -> None:
        self._contact.stop()
        self._bolt.stop()

    def _coil(self, about: RelayPart, pin: Observable[int]) -> None:
        energised = int(pin.value == int(about.active == "high")) if self._pins["relay"].driven else 0
        self._contact.follow(energised, pin.t_us, about.operate_ms if energised else about.release_ms)

    def _current(self, contact: Observable[int]) -> None:
        if self._jammed:
            return
        about = self._about.strike
        released = self._released(contact.value)
        self._bolt.follow(released, contact.t_us, about.release_ms if released else about.lock_ms)

    def _released(self, coil: int) -> int:
        """Whether the lock is released when the relay's coil is in that state."""
        about = self._about.strike
        current = coil if about.contact == "normally-open" else 1 - coil
        return current if about.mode == "fail-secure" else 1 - current

    def _wire_switch(self, role: str, active: str, signal: Observable[int]) -> None:
        high = int(active == "high")

        def follow(changed: Observable[int]) -> None:
            self._pins.set_input(role, high if changed.value else 1 - high)

        signal.listen(follow)
        follow(signal)
