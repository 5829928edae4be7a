"""The chip's pulse counters (PCNT): units with two channels, each with a pin that counts and one that says how."""

import struct
from collections.abc import Callable

from hil.board.pins import Pins
from hil.board.signals import Observable, now_us
from hil.board.waves import Wave

CHANNEL, VALUE, SET_VALUE, WATCH, FREE = range(5)
UNITS = 8
KEEP, REVERSE, HOLD = range(3)  # what the mode pin does
_DELTA = (0, 1, -1)  # of ignore, increment, decrement
_CHANNEL = struct.Struct("<BBbBBbBB")


class _Channel:
    """Counts edges of ``pin`` by ``rising`` and ``falling``; ``mode`` is the level of the pin that may turn or stop it."""

    def __init__(self, pins: Pins, about: tuple[int, ...], count: Callable[[int], None]) -> None:
        pin, rising, falling, mode_pin, self._low, self._high = about
        self._pins = pins
        self._pin = pins[pin]
        self._rising, self._falling = _DELTA[rising], _DELTA[falling]
        self._mode = pins[mode_pin].level if mode_pin >= 0 else None
        self._count = count
        self._wave: tuple[Wave, int] | None = None
        self._stop = self._pin.level.listen(self._edge)
        pins.waves.append(self.catch_up)
        self.catch_up()

    def stop(self) -> None:
        self._stop()
        self._pins.waves.remove(self.catch_up)

    def _edge(self, level: Observable[int]) -> None:
        if self._pin.net.wave is None:
            self._add(self._rising if level.value else self._falling, 1)

    def _add(self, delta: int, times: int) -> None:
        action = KEEP if self._mode is None else self._high if self._mode.value else self._low
        if action != HOLD and delta and times:
            self._count((-delta if action == REVERSE else delta) * times)

    def catch_up(self) -> None:
        """Count the edges of a wave up to now; its next ones begin here."""
        now = now_us()
        if self._wave is not None:
            wave, since = self._wave
            self._add(self._rising, wave.rises(now) - wave.rises(since))
            self._add(self._falling, wave.falls(now) - wave.falls(since))
        wave_now = self._pin.net.wave
        self._wave = (wave_now, now) if wave_now is not None and not wave_now.constant else None


class _Unit:
    def __init__(self) -> None:
        self.channels: dict[int, _Channel] = {}
        self.value = 0
        self.watched: set[int] = set()
        self.limits: tuple[int, int] | None = None


class Counters:
    """``reached(unit, value)`` is called when a watched value is passed."""

    def __init__(self, pins: Pins, reached: Callable[[int, int], None]) -> None:
        self._pins = pins
        self._reached = reached
        self._units: dict[int, _Unit] = {}

    def handle(self, op: int, payload: bytes) -> bytes:
        number = payload[0]
        unit = self._units.setdefault(number, _Unit())
        if op == CHANNEL:
            _, index, *about = _CHANNEL.unpack(payload)
            if (old := unit.channels.pop(index, None)) is not None:
                old.stop()
            if about[0] >= 0:
                counted = self._counter(number, unit)
                unit.channels[index] = _Channel(self._pins, tuple(about), counted)
        elif op == VALUE:
            for channel in unit.channels.values():
                channel.catch_up()
            return struct.pack("<q", unit.value)
        elif op == SET_VALUE:
            for channel in unit.channels.values():
                channel.catch_up()
            unit.value = int.from_bytes(payload[1:], "little", signed=True)
        elif op == WATCH:
            unit.watched = {value for (value,) in struct.iter_unpack("<q", payload[1:])}
        elif op == FREE:
            self._free(number)
        return b""

    def free_all(self) -> None:
        for number in tuple(self._units):
            self._free(number)

    def _free(self, number: int) -> None:
        for channel in self._units.pop(number).channels.values():
            channel.stop()

    def _counter(self, number: int, unit: _Unit) -> Callable[[int], None]:
        def counted(delta: int) -> None:
            before, unit.value = unit.value, unit.value + delta
            low, high = sorted((before, unit.value))
            for value in unit.watched:
                if low <= value <= high and value != before:
                    self._reached(number, value)

        return counted
