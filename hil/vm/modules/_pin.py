"""machine.Pin with all that the port's has: names, waves of peripherals, wake-up, and the object of its interrupt."""

import _board
import _bus
import machine
from _wave import level, unpack

waves = {}  # by GPIO: what a peripheral makes of its level meanwhile


class _Named:
    """``Pin.board``: the pins by the roles that the board's description gives them, in capitals."""

    def __getattr__(self, name):
        try:
            return Pin(name)
        except ValueError:
            raise AttributeError("type object 'board' has no attribute '%s'" % name)


class _Irq:
    def __init__(self, pin):
        self._pin = pin

    def trigger(self, new=None):
        was = self._pin.trigger
        if new is not None:
            self._pin.irq(self._pin.handler, new)
        return was

    def flags(self):
        return self._pin.trigger & (Pin.IRQ_RISING if self._pin.value() else Pin.IRQ_FALLING)

    def __call__(self):
        self._pin.handler(self._pin)

    def __repr__(self):
        return "<IRQ>"


class Pin(machine.Pin):
    WAKE_LOW, WAKE_HIGH = 4, 5
    DRIVE_0, DRIVE_1, DRIVE_2, DRIVE_3 = range(4)
    board = _Named()
    handler = None
    trigger = 0

    def value(self, x=None):
        if x is None:
            now = super().value()
            wave = waves.get(self.gpio)
            return now if wave is None else level(wave)
        super().value(x)

    __call__ = value

    def irq(self, handler=-1, trigger=-1, wake=None, hard=False):
        if hard:
            raise TypeError("extra keyword arguments given")
        if trigger > 3 and wake is not None:
            from _sleep import wake_on_pin

            wake_on_pin(self.gpio, trigger, wake)
        elif handler != -1 or trigger != -1:
            self.handler = None if handler == -1 else handler
            self.trigger = 0 if self.handler is None else 3 if trigger == -1 else trigger
            super().irq(self.handler, self.trigger)
        return _Irq(self)


def _changed(payload):
    waves[payload[0]] = unpack(payload)


_bus.on(0x50, _changed, stores=True)
