"""The board's pins: what the firmware drives, what the wiring drives, and the level that results."""

import struct
from collections.abc import Callable

from hil.board.signals import Observable, TraceSink, now_us
from hil.vm.link import GPIO, Link

MODE, OUT, PWM, PIXELS = range(4)
IN, OUTPUT, OPEN_DRAIN = 1, 3, 7
_PULL_UP = 2
_INPUT_LEVEL = 0

PinListener = Callable[[str, int, int], None]


class Pin:
    """One GPIO. ``level`` is what a probe would show; a floating pin reads low."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.level = Observable[int](name, 0)
        self.duty = 0  # of PWM, 0..65535
        self.frequency = 0
        self.pixels = b""
        self._mode = IN
        self._pull = 0
        self._out = 0
        self._wired: int | None = None

    @property
    def driven(self) -> bool:
        return self._mode == OUTPUT

    @property
    def sinks(self) -> bool:
        """The chip itself pulls it low, whatever else is connected."""
        return self._mode in (OUTPUT, OPEN_DRAIN) and self._out == 0

    def resolve(self) -> int:
        if self._mode == OUTPUT:
            return self._out
        if self._mode == OPEN_DRAIN and self._out == 0:
            return 0
        if self._wired is not None:
            return self._wired
        return 1 if self._pull == _PULL_UP or self._mode == OPEN_DRAIN else 0

    def configure(self, mode: int, pull: int, out: int) -> None:
        self._mode, self._pull, self._out = mode, pull, out

    def drive(self, out: int) -> None:
        self._out = out

    def wire(self, level: int | None) -> None:
        self._wired = level

    def release(self) -> None:
        """As after a reset: an input without a pull."""
        self._mode, self._pull, self._out, self.duty, self.frequency, self.pixels = IN, 0, 0, 0, 0, b""


class Pins:
    """Channel GPIO. ``names`` maps a role to its number; any other pin is called ``gpio<n>``."""

    def __init__(self, link: Link, names: dict[str, int]) -> None:
        self._link = link
        self._names = {number: name for name, number in names.items()}
        self._numbers = dict(names)
        self._pins: dict[int, Pin] = {}
        self._listeners: list[PinListener] = []
        self._sink: tuple[TraceSink, str] | None = None
        for number in names.values():
            self._pin(number)
        link.attach(GPIO, self)

    def __getitem__(self, name: str | int) -> Pin:
        """A pin by role, by ``gpio<n>`` or by number; KeyError for a role that is not wired."""
        if isinstance(name, int):
            return self._pin(name)
        if name not in self._numbers and name.startswith("gpio") and name[4:].isdigit():
            return self._pin(int(name[4:]))
        return self._pin(self._numbers[name])

    def level(self, name: str | int) -> int:
        return self[name].level.value

    def set_input(self, name: str | int, level: int | None) -> None:
        """Drive a pin from outside; None lets go of it."""
        pin = self[name]
        pin.wire(level)
        self._settle(pin, now_us())

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
        pin = self._pin(payload[0])
        if op == MODE:
            pin.configure(*payload[1:4])
            self._settle(pin, t_us, tell=False)
            return bytes((pin.level.value,))
        if op == OUT:
            pin.drive(payload[1])
            self._settle(pin, t_us, tell=pin.resolve() != payload[1])
        elif op == PWM:
            _, pin.frequency, pin.duty = struct.unpack("<BIH", payload)
            pin.configure(OUTPUT, 0, 1 if pin.duty else 0)
            self._settle(pin, t_us, tell=False)
        elif op == PIXELS:
            pin.pixels = payload[1:]
        return None

    def vm_lost(self) -> None:
        """Nothing: pins keep their levels over a soft reset; ``release_all`` is for the others."""

    def release_all(self, t_us: int) -> None:
        """The chip was reset or lost power: nothing is driven any more."""
        for pin in self._pins.values():
            pin.release()
            self._settle(pin, t_us, tell=False)

    def _pin(self, number: int) -> Pin:
        if number not in self._pins:
            pin = self._pins[number] = Pin(number, self._names.get(number, f"gpio{number}"))
            pin.level.listen(self._changed)
            if self._sink is not None:
                pin.level.trace(*self._sink)
        return self._pins[number]

    def _settle(self, pin: Pin, t_us: int, tell: bool = True) -> None:
        level = pin.resolve()
        if level == pin.level.value:
            return
        pin.level.set(level, t_us)
        if tell and not pin.driven:
            self._link.interrupt(GPIO, _INPUT_LEVEL, bytes((pin.number, level)))

    def _changed(self, level: Observable[int]) -> None:
        for listener in tuple(self._listeners):
            listener(level.name, level.value, level.t_us)
