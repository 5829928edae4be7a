"""The door the board is wired to: relay, strike or maglock, leaf, and the contacts around them.

Each part follows the one before it after its own mechanical time. Times are the model's, to the
microsecond, even when the event loop is late.
"""

import asyncio

from hil.board.analog import Analog
from hil.board.contact import Bounce, Contact
from hil.board.description import Description, RelayPart
from hil.board.pins import Pins
from hil.board.signals import Observable, TraceSink, WaitTimeout, now_us
from hil.board.supply import Supply


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

    def __init__(self, description: Description, pins: Pins, analog: Analog, supply: Supply) -> None:
        self._about = description
        self._pins = pins
        self._supply = supply
        self.relay = Observable[int]("relay_contact", 0)
        self.strike = Observable[int]("strike_released", self._released(0))
        self.leaf = Observable[int]("leaf_open", 0)
        self.rex = Observable[int]("rex_pressed", 0)
        self.bolt = Observable[int]("bolt_thrown", 1 - self.strike.value)
        self.key = Observable[int]("key_turned", 0)
        self.tamper = Observable[int]("enclosure_open", 0)
        self.fire = Observable[int]("fire", 0)
        self._jammed = False
        self._propped = False
        self._drawn = (0, 0)  # by the coil, by the lock
        self._closer: asyncio.TimerHandle | None = None
        self._armature = Observable[int]("armature", 0)
        self._coil = _Lagging(self._armature)
        self._chatter = Bounce(self.relay.set)
        self._bolt = _Lagging(self.strike)
        if description.relay is not None:
            self._wire_relay(description.relay)
        self.relay.listen(self._current)
        if description.supply.lock_ma:
            supply.holds.listen(lambda _: self._current(self.relay))
        self.strike.listen(lambda strike: self.bolt.set(1 - strike.value, strike.t_us))
        self.contacts = {
            role: Contact(role, part, signal, pins, analog)
            for role, signal in self._signals().items()
            if (part := getattr(description, role)) is not None
        }

    def _signals(self) -> dict[str, Observable[int]]:
        return {
            "dps": self.leaf,
            "rex": self.rex,
            "bolt": self.bolt,
            "tamper": self.tamper,
            "key": self.key,
            "fire": self.fire,
        }

    def trace(self, sink: TraceSink, scope: str) -> None:
        wired = [s for role, s in self._signals().items() if role in self._about.pins]
        for signal in (self.relay, self.strike, *wired):
            signal.trace(sink, scope)

    @property
    def unlocked(self) -> bool:
        return self.strike.value == 1

    def open(self) -> None:
        """A person opens the leaf and holds it; raises DoorLocked if the strike holds it."""
        if not self.unlocked:
            raise DoorLocked("the strike is locked")
        self._stop_closer()
        self.leaf.set(1)

    async def push(self, patience_s: float) -> None:
        """A person leans against the leaf until the strike lets go of it; raises DoorLocked when they have enough."""
        try:
            await self.strike.wait(1, patience_s)
        except WaitTimeout:
            raise DoorLocked(f"the strike was locked for {patience_s:g} s") from None
        self.open()

    def force(self) -> None:
        """The leaf is torn open whatever the strike does."""
        self._stop_closer()
        self.leaf.set(1)

    def close(self) -> None:
        """The leaf falls into the latch, which a locked strike lets in. A wedge keeps it open."""
        self._stop_closer()
        if not self._propped:
            self.leaf.set(0)

    def let_go(self) -> None:
        """Whoever held the leaf walks on: its closer shuts it, if it has one."""
        closer_ms = self._about.leaf.closer_ms
        if closer_ms and self.leaf.value:
            self._stop_closer()
            self._closer = asyncio.get_running_loop().call_later(closer_ms / 1000, self.close)

    def prop(self) -> None:
        """Put a wedge under the open leaf."""
        if not self.leaf.value:
            raise ValueError("the leaf is shut: open it before you prop it")
        self._propped = True

    def unprop(self) -> None:
        """Take the wedge away: the closer has the leaf again."""
        self._propped = False
        self.let_go()

    async def pass_through(self, open_s: float = 0.05) -> None:
        """Open, walk through, let it close."""
        self.open()
        await asyncio.sleep(open_s)
        self.close()

    def _stop_closer(self) -> None:
        if self._closer is not None:
            self._closer.cancel()
            self._closer = None

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
        self._coil.stop()
        self._chatter.stop()
        self._bolt.stop()
        self._stop_closer()
        for contact in self.contacts.values():
            contact.stop()

    def _wire_relay(self, about: RelayPart) -> None:
        level, holds = self._pins["relay"].level, self._supply.holds

        def driven(changed: Observable[int]) -> None:
            on = self._pins["relay"].driven and level.value == int(about.active == "high")
            energised = int(on and holds.value)
            self._load(coil=energised)
            self._coil.follow(energised, changed.t_us, about.operate_ms if energised else about.release_ms)

        def moved(armature: Observable[int]) -> None:
            self._chatter.to(armature.value, armature.t_us, about.bounce_ms if armature.value else 0.0)

        level.listen(driven)
        holds.listen(driven)
        self._armature.listen(moved)

    def _load(self, *, coil: int | None = None, lock: int | None = None) -> None:
        self._drawn = (self._drawn[0] if coil is None else coil, self._drawn[1] if lock is None else lock)
        self._supply.load(*self._drawn)

    def _current(self, contact: Observable[int]) -> None:
        """The lock's current goes through the relay's contact."""
        about = self._about.strike
        current = contact.value if about.contact == "normally-open" else 1 - contact.value
        if self._about.supply.lock_ma:
            current &= self._supply.holds.value
            self._load(lock=current)
        if self._jammed:
            return
        released = self._moved_by(current)
        self._bolt.follow(released, contact.t_us, about.release_ms if released else about.lock_ms)

    def _released(self, coil: int) -> int:
        """Whether the lock is released when the relay's coil is in that state."""
        return self._moved_by(coil if self._about.strike.contact == "normally-open" else 1 - coil)

    def _moved_by(self, current: int) -> int:
        """Whether the lock is released with that current."""
        return current if self._about.strike.mode == "fail-secure" else 1 - current
