"""The door: strike relay, position switch, exit button, LED and buzzer, driven by `door_table`.

The pulse of the relay ends in a machine.Timer callback, so it ends even if no task runs any more; and every
path out of `run` de-energises. `release` is a plain call: the relay is energised before it returns.
"""

import asyncio

from machine import Pin, Signal, Timer
from micropython import const

from device import door_table as table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional

    from device.pinmap import PinRole

_SETTLE_MS = const(
    30
)  # contacts bounce for a few ms; what is active for 400 ms must be seen (IEC 60839-11-1)
_OPERATE_TIMER = const(0)
_HELD_TIMER = const(1)
_MIN_OPERATE_MS = const(100)
_MAX_OPERATE_MS = const(60_000)  # a door that stays released is a door policy, not a pulse


def _input_pin(role: "PinRole", handler: "Callable[[Any], None]") -> "Any":
    pull = {"up": Pin.PULL_UP, "down": Pin.PULL_DOWN}.get(role.pull or "")
    pin = Pin(role.number, Pin.IN, pull)  # type: ignore[arg-type]  # None is no pull, says the documentation
    pin.irq(handler, Pin.IRQ_RISING | Pin.IRQ_FALLING)
    return Signal(pin, invert=role.invert)


def _output(role: "Optional[PinRole]") -> "Any":
    """An output that is off from its first microsecond, or None if the role is not wired."""
    if role is None:
        return None
    pin = Pin(role.number, Pin.OUT, value=1 if role.invert else 0)
    return Signal(pin, invert=role.invert)


class Door:
    """`report(reports)` hears of each change of state; `exit_requested()` decides on a press of the exit
    button.
    """

    def __init__(
        self,
        pins: "Dict[str, PinRole]",
        report: "Callable[[int], None]",
        exit_requested: "Callable[[], None]",
    ) -> None:
        self._relay = _output(pins["relay"])
        self._led = _output(pins.get("led"))
        self._buzzer = _output(pins.get("buzzer"))
        self._report = report
        self._exit_requested = exit_requested
        self._flag = asyncio.ThreadSafeFlag()
        self._edges = False
        self._operate_over = False
        self._held_over = False
        self._operate = Timer(_OPERATE_TIMER)
        self._held = Timer(_HELD_TIMER)
        self._on_operate_over = self._operate_ended
        self._on_held_over = self._held_ended
        edge = self._edge_seen
        self._dps = _input_pin(pins["dps"], edge) if "dps" in pins else None
        self._rex = _input_pin(pins["rex"], edge) if "rex" in pins else None
        self._leaf_open = self._dps is not None and bool(self._dps.value())
        # A button that is stuck at boot is not a press.
        self._pressed = self._rex is not None and bool(self._rex.value())
        self.open_ms = 5000
        self.held_ms = 30_000
        self.state, actions = table.boot_state(self._leaf_open)
        self._act(actions)

    @property
    def leaf_open(self) -> bool:
        """Whether the position switch says that the leaf is open."""
        return self._leaf_open

    @property
    def energised(self) -> bool:
        """Whether the strike is released."""
        return self.state in table.ENERGISED

    def configure(self, open_s: float, held_s: int) -> None:
        """Operate time and held-open time; takes effect with the next release."""
        self.open_ms = max(_MIN_OPERATE_MS, min(_MAX_OPERATE_MS, int(open_s * 1000)))
        self.held_ms = max(1000, int(held_s * 1000))

    def release(self) -> None:
        """Energise the strike for the operate time. The caller has decided."""
        self._step(table.GRANT)

    def lock(self) -> None:
        """De-energise now."""
        self._step(table.RELOCK)

    def wake(self) -> None:
        """Make the task look at everything once."""
        self._flag.set()

    async def run(self, beat: "Callable[[], None]") -> None:
        """Follow the inputs for ever; calls `beat` before each wait."""
        try:
            # Edges between construction and now, or during a restart of this task.
            self._edges = True
            while True:
                await self._look()
                beat()
                await self._flag.wait()
        finally:
            self._relay.off()
            self.lock()

    async def _look(self) -> None:
        if self._operate_over:
            self._operate_over = False
            # A grant may have come between the callback and this task: then the pulse is a new one.
            if not self._relay.value():
                self._step(table.RELOCK)
        if self._held_over:
            self._held_over = False
            self._step(table.HELD_TIME)
        if self._edges:
            self._edges = False
            await asyncio.sleep_ms(_SETTLE_MS)
            self._read_exit_button()
            self._read_leaf()

    def _read_exit_button(self) -> None:
        if self._rex is None:
            return
        pressed = bool(self._rex.value())
        if pressed != self._pressed:
            self._pressed = pressed
            if pressed:
                self._exit_requested()

    def _read_leaf(self) -> None:
        if self._dps is None:
            return
        leaf_open = bool(self._dps.value())
        if leaf_open != self._leaf_open:
            self._leaf_open = leaf_open
            self._step(table.LEAF_OPENED if leaf_open else table.LEAF_CLOSED)

    def _step(self, event: int) -> None:
        before = self.state
        self.state, actions = table.step(before, event)
        self._act(actions)
        if self.state != before:
            self._report(actions & ~(table.REPORT_OPENED - 1))

    def _act(self, actions: int) -> None:
        if actions & table.ENERGISE:
            self._operate_over = False
            self._pulse()
        if actions & table.DE_ENERGISE:
            self._relay.off()
            self._operate.deinit()
        if actions & table.STOP_HELD:
            self._held.deinit()
        if actions & table.START_HELD:
            self._held.init(mode=Timer.ONE_SHOT, period=self.held_ms, callback=self._on_held_over)
        self._indicate()

    def _pulse(self) -> None:
        """The operate time counts from the contact on; without a timer to end it there is no pulse."""
        timed = False
        self._relay.on()
        try:
            self._operate.init(mode=Timer.ONE_SHOT, period=self.open_ms, callback=self._on_operate_over)
            timed = True
        finally:
            if not timed:
                self._relay.off()

    def _indicate(self) -> None:
        if self._led is not None:
            self._led.value(1 if self.energised else 0)
        if self._buzzer is not None:
            self._buzzer.value(1 if self.state in table.ALARMED else 0)

    def _operate_ended(self, _timer: "Any") -> None:
        self._relay.off()
        self._operate_over = True
        self._flag.set()

    def _held_ended(self, _timer: "Any") -> None:
        self._held_over = True
        self._flag.set()

    def _edge_seen(self, _pin: "Any") -> None:
        self._edges = True
        self._flag.set()
