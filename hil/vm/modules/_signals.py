"""machine.Signal as a class, which the VM's own is not for a pin that is given by its number."""

import machine


class Signal(machine.PinBase):
    def __init__(self, pin, *args, invert=False, **more):
        self._pin = pin if isinstance(pin, machine.PinBase) else machine.Pin(pin, *args, **more)
        self._invert = 1 if invert else 0

    def value(self, x=None):
        if x is None:
            return self._pin.value() ^ self._invert
        self._pin.value((1 if x else 0) ^ self._invert)

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)
