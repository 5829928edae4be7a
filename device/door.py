"""The door: lock, leaf and contacts, driven by `door_table`.

What the table calls released is the relay's on here; the pin map knows what that is in current. A pulse ends in a
machine.Timer callback, so it ends even if no task runs any more; and every path out of `run` secures, but in a fire.
`release` is a plain call: the lock is released before it returns.
"""

import asyncio

from machine import Pin, Signal, Timer
from micropython import const

from device import door_table as table
from device.alarms import TICK_MS, Alarms
from device.contact import STABLE_MS, Contact
from protocol.journal import (
    EVENT_DOOR_CLOSED,
    EVENT_DOOR_FORCED,
    EVENT_DOOR_HELD,
    EVENT_DOOR_JAMMED,
    EVENT_DOOR_OPENED,
    EVENT_FIRE,
    EVENT_TAMPER,
    METHOD_KEY_SWITCH,
    METHOD_REX,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Sequence

    from device.pinmap import PinRole

_PULSE_TIMER = const(0)
_TICK_TIMER = const(1)
_MIN_OPERATE_MS = const(100)
_EXTENDED = const(5)  # a place in `_times` that no state has


def _output(role: "Optional[PinRole]") -> "Any":
    """An output that is off from its first microsecond, or None if the role is not wired."""
    if role is None:
        return None
    pin = Pin(role.number, Pin.OUT, value=1 if role.invert else 0)
    return Signal(pin, invert=role.invert)


class Door:
    """`report(event, value=0, subject=…)` hears what the journal must have, and event 0 when only the state changed;
    `asked(method)` decides on a press of the exit button or a turn of the key switch.
    """

    def __init__(
        self, pins: "Dict[str, PinRole]", report: "Callable[..., None]", asked: "Callable[[int], Any]"
    ) -> None:
        self.relay = _output(pins["relay"])
        self._report = report
        self._asked = asked
        self.alarms = Alarms(_output(pins.get("led")), _output(pins.get("buzzer")), report)
        self._flag = asyncio.ThreadSafeFlag()
        self.edges = self._time_over = self._ticked = self._ticking = self._pulse = False
        self._held = self._fire = False
        self._wrong = 0  # ticks for which the bolt has not been where it should
        self._timer = Timer(_PULSE_TIMER)
        self._ticker = Timer(_TICK_TIMER)
        self._on_time = self._time_up
        self._fail_safe = pins["relay"].fail_safe
        self.configure(5, ())
        self._contacts: "Dict[str, Contact]" = {}
        # The exit button before the leaf: who presses and opens at once has pressed first.
        for name in ("fire", "rex", "key", "dps", "tamper", "bolt"):
            if name in pins:
                self._contacts[name] = Contact(pins[name], self._edge_seen)
        # What is pressed or turned at boot is stuck, and no wish. A fire is seen by the first look.
        self.state = table.boot_state(self._active("dps"))
        self._enter(0)
        if "fire" in self._contacts:
            self._contacts["fire"].active = 0

    @property
    def released(self) -> bool:
        """Whether the lock is released, for a pulse or until further notice."""
        return bool(table.TRAITS[self.state] & table.RELEASED)

    def configure(self, open_s: float, policy: "Sequence[int]") -> None:
        """Operate time, and the numbers of `door_table.POLICY` (else its defaults); each counts when it is next used."""
        (held_s, warn_s, extended_s, relock_ms, jam_s, self.alarms.silence_s, fire, self._free_egress) = (
            policy or [int(default) for default in table.POLICY.split()[1::3]]
        )
        warn_ms = max(0, min(warn_s, held_s - 1)) * 1000
        held_ms = max(1, held_s) * 1000 - warn_ms
        open_ms = max(_MIN_OPERATE_MS, int(open_s * 1000))
        self._times = (0, open_ms, held_ms, warn_ms, relock_ms, max(open_ms, extended_s * 1000))
        self._jam_ticks = jam_s * 1000 // TICK_MS
        self._fire_releases = self._fail_safe or fire == 1

    def release(self, extended: bool = False) -> None:
        """Release for the operate time, or for the extended one. The caller has decided."""
        self._step(table.GRANT, _EXTENDED if extended else 0)

    def let_out(self) -> None:
        """Somebody leaves: release, or expect the leaf to open if the way out needs no release."""
        self._step(table.SHUNT if self._free_egress else table.GRANT)

    def lock(self) -> None:
        """End a pulse now. What a mode or a fire holds released stays so."""
        self._step(table.RELOCK)

    def hold(self, released: bool) -> None:
        """Hold released until told otherwise, or secure: also what was released for a pulse."""
        self._held = released
        self._enforce()

    def alarm(self, kind: int, subject: bytes = bytes(8)) -> None:
        """Raise EVENT_DURESS or EVENT_WRONG_CODES; it ends by itself."""
        self.alarms.set(kind, 0)
        self.alarms.set(kind, 1, subject)
        self._flag.set()

    def wake(self) -> None:
        """Make the task look at everything once."""
        self._flag.set()

    async def run(self, beat: "Callable[[], None]") -> None:
        """Follow the inputs for ever; calls `beat` before each wait."""
        try:
            # Edges between construction and now, or during a restart of this task.
            self.edges = True
            if self._held or self._fire:
                self._enforce()
            while True:
                await self._look()
                beat()
                await self._flag.wait()
        finally:
            if not self._fire:
                self.relay.off()
                self._step(table.SECURE)

    async def _look(self) -> None:
        if self._time_over:
            self._time_over = False
            self._step(table.TIME)
        if self.edges:
            self.edges = False
            await asyncio.sleep_ms(STABLE_MS)
            storm = 0
            for name, contact in self._contacts.items():
                if not contact.look(name, self._changed):
                    self._edge_seen()
                storm |= contact.storm
            self.alarms.set(EVENT_TAMPER, self._active("tamper") | storm)
        self._indicate()

    def _active(self, name: str) -> int:
        contact = self._contacts.get(name)
        return contact.active if contact else 0

    def _indicate(self) -> None:
        """Watch the bolt, show the alarms, and tick while there is need."""
        ticked, self._ticked = self._ticked, False
        released = self.released
        # A bolt that is thrown though released, or not thrown though secured in a closed leaf.
        wrong = "bolt" in self._contacts and self._active("bolt") == released
        wrong = wrong and (released or not self._active("dps"))
        if not wrong:
            self._wrong = 0
        elif ticked:
            self._wrong += 1
        self.alarms.set(EVENT_DOOR_JAMMED, wrong and self._wrong >= self._jam_ticks)
        warning = table.TRAITS[self.state] & table.WARNING
        self.alarms.show(released, warning, ticked)
        ticking = wrong or warning or self.alarms.on
        if bool(ticking) != self._ticking:
            self._ticking = bool(ticking)
            self._ticker.deinit()
            if ticking:
                self._ticker.init(mode=Timer.PERIODIC, period=TICK_MS, callback=self._tick_due)

    def _changed(self, name: str, active: int) -> None:
        if name == "dps":
            self._step(table.LEAF_OPENED if active else table.LEAF_CLOSED)
        elif name == "fire":
            self._report(EVENT_FIRE, active)
            self._fire = self._fire_releases and bool(active)
            self._enforce()
        elif active and name == "rex":
            self._asked(METHOD_REX)
        elif active and name == "key":
            self._asked(METHOD_KEY_SWITCH)

    def _enforce(self) -> None:
        self._step(table.HOLD if self._held or self._fire else table.SECURE)

    def _step(self, event: int, time: int = 0) -> None:
        before = self.state
        after = table.step(before, event)
        if after < 0:
            return
        self.state = after
        was, now = table.TRAITS[before], table.TRAITS[after]
        # A leaf that opens in the operate time does not begin another one.
        over = (event != table.LEAF_OPENED or (was ^ now) & table.TIMER) and self._enter(time)
        if event == table.LEAF_CLOSED:
            self._report(EVENT_DOOR_CLOSED)
        elif event == table.LEAF_OPENED and not now & table.FORCED:
            self._report(EVENT_DOOR_OPENED)
        self.alarms.set(EVENT_DOOR_FORCED, now & table.FORCED)
        self.alarms.set(EVENT_DOOR_HELD, now & table.HELD)
        self._report(0)
        self._flag.set()
        if over:
            self._step(table.TIME)

    def _enter(self, time: int) -> bool:
        """Make lock and timer follow the state; True: its time is over at once.

        The operate time counts from the contact on; without a timer to end it there is no pulse.
        """
        trait = table.TRAITS[self.state]
        released = trait & table.RELEASED
        time = time or (trait & table.TIMER) >> 1
        ms = self._times[time]
        self._timer.deinit()
        self._time_over = False
        self._pulse = bool(released and time)
        self.relay.value(released and (ms or not time))
        timed = False
        try:
            if ms:
                self._timer.init(mode=Timer.ONE_SHOT, period=ms, callback=self._on_time)
            timed = True
        finally:
            if not timed:
                self.relay.off()
                self.state = table.boot_state(self._active("dps"))
        return time > 0 and not ms

    def _time_up(self, _timer: "Any") -> None:
        if self._pulse:
            self.relay.off()
        self._time_over = True
        self._flag.set()

    def _tick_due(self, _timer: "Any") -> None:
        self._ticked = True
        self._flag.set()

    def _edge_seen(self) -> None:
        self.edges = True
        self._flag.set()
