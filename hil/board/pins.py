"""The board's pins: what the firmware drives, what the wiring drives, and the level that results.

Pins that the description wires to each other are one net and have one level. On a net a low wins: against an open drain
that is let go, and against an output that is high, which on hardware would be a short.
"""

import asyncio
import functools
import struct
from collections.abc import Callable, Iterable

from hil.board.pulse_row import PulseRow
from hil.board.signals import Observable, TraceSink, now_us
from hil.board.waves import NO_WAVE, Wave
from hil.vm.link import BUS, GPIO, Link

# A DRIVE is an OUT whose effect on the pin itself is told.
MODE, OUT, PWM, PIXELS, IRQ, DRIVE, NAME, PLAY = range(8)
IN, OUTPUT, OPEN_DRAIN = 1, 3, 7
_DRIVES, _OPEN = 2, 4  # bits of a mode
_PULL_UP = 2
_INPUT_LEVEL = 0  # an interrupt
_EDGE = struct.Struct("<BBQ")  # pin, level, microseconds of ``now_us``
_WAVE = 0x50  # an interrupt of channel BUS, as only bare boards look at it
_KEEP = 2
_NO_PIN = 255
MAX_IRQ_HZ = 5000  # of a PWM signal whose edges interrupt: a chip's core would be lost above it, too
_TAKEN_S = 1.0  # for a VM that has no processor
_MAX_LATE = 64  # edges that are told at once after the event loop was late; older ones are lost

PinListener = Callable[[str, int, int], None]


class Net:
    """Pins that are joined by a wire; most nets have one."""

    def __init__(self) -> None:
        self.pins: list[Pin] = []

    @property
    def wave(self) -> Wave | None:
        return next((pin.wave for pin in self.pins if pin.wave is not None), None)

    def resolve(self) -> int:
        driven = [level for pin in self.pins if (level := pin.drives) is not None]
        return min(driven) if driven else int(any(pin.pulls_up for pin in self.pins))


class Pin:
    """One GPIO. ``level`` is what a probe would show; a floating pin reads low."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.level = Observable[int](name, 0)
        self.duty = 0  # of PWM, 0..65535
        self.frequency = 0
        self.pixels = b""
        self.wave: Wave | None = None
        self.trigger = 0  # of its interrupt: 1 rising, 2 falling
        self.idle = 0  # 1: a resistor outside pulls it up
        self.net = Net()
        self._state = (IN, 0, 0)  # mode, pull, output latch
        self._held: tuple[int, int, int] | None = None
        self._wired: int | None = None
        self.join(self.net)

    def join(self, net: Net) -> None:
        self.net = net
        net.pins.append(self)

    @property
    def _pad(self) -> tuple[int, int, int]:
        return self._state if self._held is None else self._held

    @property
    def driven(self) -> bool:
        mode, _, _ = self._pad
        return mode & _DRIVES != 0 and not mode & _OPEN

    @property
    def sinks(self) -> bool:
        """The chip itself pulls it low, whatever else is connected."""
        mode, _, out = self._pad
        return mode & _DRIVES != 0 and out == 0

    @property
    def drives(self) -> int | None:
        """The level that it forces on its net, from the chip or from outside."""
        mode, _, out = self._pad
        if mode & _DRIVES and not (mode & _OPEN and out):
            return out
        return self._wired

    @property
    def pulls_up(self) -> bool:
        """By its own resistor, one outside, or the one that an open drain is assumed to have there."""
        mode, pull, _ = self._pad
        return bool(pull & _PULL_UP or mode & _OPEN or self.idle)

    def configure(self, mode: int, pull: int, out: int, hold: int = _KEEP) -> None:
        """``out`` is the latch's new level; ``hold`` 1 keeps the pad as it is from now on, 0 lets go of it."""
        if hold == 0:
            self._held = None
        self._state = (mode, pull, self._state[2] if out == _KEEP else out)
        if hold == 1:
            self._held = self._state

    def drive(self, out: int) -> None:
        self._state = (*self._state[:2], out)

    def wire(self, level: int | None) -> None:
        self._wired = level

    def release(self) -> None:
        """As after a reset: an input without a pull."""
        self._state, self._held = (IN, 0, 0), None
        self.duty = self.frequency = self.trigger = 0
        self.wave = None
        self.pixels = b""


class Pins:
    """Channel GPIO. ``names`` maps a role to its number; any other pin is called ``gpio<n>``. ``wires`` are groups of pins
    that are joined."""

    def __init__(self, link: Link, names: dict[str, int], wires: Iterable[Iterable[int]] = ()) -> None:
        self._link = link
        self._names = {number: name for name, number in names.items()}
        self._numbers = dict(names)
        self._pins: dict[int, Pin] = {}
        self._listeners: list[PinListener] = []
        self._sink: tuple[TraceSink, str] | None = None
        self._edges: dict[Net, asyncio.TimerHandle] = {}
        self._rows: dict[Pin, PulseRow] = {}
        self.waves: list[
            Callable[[], None]
        ] = []  # called when a pin begins or ends to be toggled by a peripheral
        for number in names.values():
            self._pin(number)
        for wire in wires:
            self.join(wire)
        link.attach(GPIO, self)

    def __getitem__(self, name: str | int) -> Pin:
        """A pin by role, by ``gpio<n>`` or by number; KeyError for a role that is not wired."""
        if isinstance(name, int):
            return self._pin(name)
        if name not in self._numbers and name.startswith("gpio") and name[4:].isdigit():
            return self._pin(int(name[4:]))
        return self._pin(self._numbers[name])

    def join(self, numbers: Iterable[int]) -> None:
        """Wire pins to each other."""
        nets = {self._pin(number).net: None for number in numbers}
        whole = Net()
        for net in nets:
            for pin in net.pins:
                pin.join(whole)
        self._settle(whole, now_us())

    def level(self, name: str | int) -> int:
        return self[name].level.value

    def set_input(self, name: str | int, level: int | None, t_us: int | None = None) -> None:
        """Drive a pin from outside, now or since ``t_us``; None lets go of it."""
        pin = self[name]
        pin.wire(level)
        self._settle(pin.net, now_us() if t_us is None else t_us)

    async def set_inputs(self, edges: Iterable[tuple[str, int | None, int]]) -> None:
        """Tell the firmware at once of edges that lie behind: (name, level, time) of each, in order. Returns when the VM has
        them, or does not take them in time."""
        with self._link.together():
            for edge in edges:
                self.set_input(*edge)
        await self._link.taken(_TAKEN_S)

    def set_idle(self, number: int, level: int) -> None:
        """Give a pin a resistor outside, that pulls it up or not while nothing drives it."""
        pin = self._pin(number)
        pin.idle = level
        self._settle(pin.net, now_us())

    async def wait_pin(self, name: str | int, level: int, timeout: float) -> int:
        """Microseconds at which the pin took ``level`` (at once if it has it); raises WaitTimeout."""
        return await self[name].level.wait(level, timeout)

    def listen(self, listener: PinListener) -> Callable[[], None]:
        """Call ``listener(name, level, t_us)`` at each change of any pin."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def trace(self, sink: TraceSink, scope: str) -> None:
        self._sink = (sink, scope)
        for pin in self._pins.values():
            pin.level.trace(sink, scope)

    def handle(self, op: int, payload: bytes) -> bytes | None:
        t_us = self._link.t_us
        if op == NAME:
            named = payload.decode()
            return bytes((self._numbers.get(named.lower(), _NO_PIN) if named.isupper() else _NO_PIN,))
        pin = self._pin(payload[0])
        if op == MODE:
            return self._configure(
                pin, payload, now_us()
            )  # the VM waits for the answer, and what it does next counts from it
        if op in (OUT, DRIVE):
            pin.drive(payload[1])
            self._settle(pin.net, t_us, pin if op == OUT else None)
        elif op == PWM:
            self._pwm(pin, payload, t_us)
        elif op == PIXELS:
            pin.pixels = payload[1:]
        elif op == PLAY:
            self._play(pin, payload, t_us)
        elif op == IRQ:
            pin.trigger = payload[1]
            self._follow(pin.net)
        return None

    def vm_lost(self) -> None:
        """Pins keep their levels over a soft reset, but what a peripheral plays on them ends; ``release_all`` is for the
        other resets. Nobody is interrupted meanwhile."""
        for row in self._rows.values():
            row.stop()
        for pin in self._pins.values():
            pin.trigger = 0
            if pin.wave is not None:
                pin.wave = None
                pin.configure(OUTPUT, 0, 0)
                self._follow(pin.net)
                self._settle(pin.net, now_us())

    def release_all(self, t_us: int) -> None:
        """The chip was reset or lost power: nothing is driven any more."""
        for row in self._rows.values():
            row.stop()
        for pin in self._pins.values():
            pin.release()
            self._follow(pin.net)
        for pin in self._pins.values():
            self._settle(pin.net, t_us)

    def _configure(self, pin: Pin, payload: bytes, t_us: int) -> bytes:
        """Answers with the level and whether another pin of the chip is on the net, and so has to be told at once."""
        was = pin.net.wave
        pin.wave = None
        pin.configure(*payload[1:5])
        self._settle(pin.net, t_us, pin)
        if was is not None:
            self._tell_wave(pin.net)
        return bytes((pin.level.value, len(pin.net.pins) > 1))

    def _pwm(self, pin: Pin, payload: bytes, t_us: int) -> None:
        _, pin.frequency, pin.duty, period_ns, high_ns = struct.unpack("<BIHQQ", payload)
        if period_ns == 0:
            pin.wave = None
            pin.configure(IN, 0, 0)
        else:
            # The duty changes at the beginning of a period; a new frequency begins a period.
            same = pin.wave is not None and pin.wave.period_ns == period_ns
            began = pin.wave.t0_us if same and pin.wave is not None else t_us
            pin.wave = Wave(began, period_ns, high_ns)
            pin.configure(OUTPUT, 0, 1 if pin.duty else 0)
        self._tell_wave(pin.net)
        self._settle(pin.net, t_us, pin)

    def _play(self, pin: Pin, payload: bytes, t_us: int) -> None:
        """Pulses of (level u8, nanoseconds u32) on a pin, then its idle level, or the same again. None stop what plays."""
        idle, again = payload[1], bool(payload[2])
        pulses = list(struct.iter_unpack("<BI", payload[3:]))
        if (row := self._rows.get(pin)) is None:
            row = self._rows[pin] = PulseRow(functools.partial(self._drive, pin))
        pin.configure(OUTPUT, 0, _KEEP)
        row.play(pulses, idle, again, t_us)

    def _drive(self, pin: Pin, level: int, t_us: int) -> None:
        pin.drive(level)
        self._settle(pin.net, t_us)

    def _tell_wave(self, net: Net) -> None:
        for changed in tuple(self.waves):
            changed()
        wave = net.wave
        for pin in net.pins:
            self._link.interrupt(BUS, _WAVE, bytes((pin.number,)) + (wave.packed() if wave else NO_WAVE))
        self._follow(net)

    def _follow(self, net: Net) -> None:
        """Interrupt at the edges of a wave, if somebody waits for them and they are not too many."""
        timer = self._edges.pop(net, None)
        if timer is not None:
            timer.cancel()
        wave = net.wave
        if wave is None or wave.constant or wave.frequency > MAX_IRQ_HZ:
            return
        if any(pin.trigger for pin in net.pins):
            self._at_edge(net, wave, wave.next_edge(now_us()))

    def _at_edge(self, net: Net, wave: Wave, due_us: int) -> None:
        def interrupt() -> None:
            at, now = due_us, now_us()
            for _ in range(_MAX_LATE):
                if at > now:
                    break
                for pin in net.pins:
                    if pin.trigger:
                        self._tell_edge(pin.number, wave.level(at), at)
                at = wave.next_edge(at)
            self._at_edge(net, wave, max(at, now))

        delay = max(0, due_us - now_us()) / 1e6
        self._edges[net] = asyncio.get_running_loop().call_later(delay, interrupt)

    def _pin(self, number: int) -> Pin:
        if number not in self._pins:
            pin = self._pins[number] = Pin(number, self._names.get(number, f"gpio{number}"))
            pin.level.listen(self._changed)
            if self._sink is not None:
                pin.level.trace(*self._sink)
        return self._pins[number]

    def _settle(self, net: Net, t_us: int, origin: Pin | None = None) -> None:
        """Give all pins of a net their level, and tell the firmware, but not of ``origin``: it knows that it drives it."""
        level = net.resolve()
        for pin in net.pins:
            if level != pin.level.value:
                pin.level.set(level, t_us)
                if pin is not origin:
                    self._tell_edge(pin.number, level, t_us)

    def _tell_edge(self, number: int, level: int, t_us: int) -> None:
        self._link.interrupt(GPIO, _INPUT_LEVEL, _EDGE.pack(number, level, t_us))

    def _changed(self, level: Observable[int]) -> None:
        for listener in tuple(self._listeners):
            listener(level.name, level.value, level.t_us)
