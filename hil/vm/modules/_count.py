"""machine.Counter and machine.Encoder on the pulse counter's units, as the ESP32 port has them."""

import machine
from _pcnt import PCNT

_counters = {}


class _OnUnit:
    def __new__(cls, id, *args, **more):
        counter = _counters.get(id)
        if counter is not None and type(counter) is not cls:
            raise ValueError("in use")
        if counter is None:
            unit = PCNT(id)
            counter = _counters[id] = super().__new__(cls)
            counter._id, counter._unit = id, unit
        return counter

    def __init__(self, id, *args, **more):
        if args or more:
            self.init(*args, **more)

    def deinit(self):
        if _counters.pop(self._id, None) is not None:
            self._unit.deinit()

    def value(self, value=None):
        return self._unit.value(value)


class Counter(_OnUnit):
    UP, DOWN = 0, 1
    RISING, FALLING = 1, 2

    def init(self, src, *, direction=UP, edge=RISING, filter_ns=0):
        if not edge & 3:
            raise ValueError("invalid edge")
        how, more = PCNT.INCREMENT, {"mode_pin": None, "mode_low": PCNT.NORMAL, "mode_high": PCNT.NORMAL}
        if isinstance(direction, machine.Pin):
            more["mode_pin"], more["mode_high"] = direction, PCNT.REVERSE
        elif direction:
            how = PCNT.DECREMENT
        rising = how if edge & self.RISING else PCNT.IGNORE
        falling = how if edge & self.FALLING else PCNT.IGNORE
        self._unit.init(channel=0, pin=src, rising=rising, falling=falling, value=0, **more)


class Encoder(_OnUnit):
    def init(self, phase_a, phase_b, *, phases=1, filter_ns=0):
        if phases not in (1, 2, 4):
            raise ValueError("phases")
        low = PCNT.HOLD if phases == 1 else PCNT.REVERSE
        up, down = PCNT.INCREMENT, PCNT.DECREMENT
        self._unit.init(
            channel=0, pin=phase_a, falling=up, rising=down, mode_pin=phase_b, mode_low=low, value=0
        )
        pin = phase_b if phases == 4 else None
        self._unit.init(channel=1, pin=pin, falling=down, rising=up, mode_pin=phase_a, mode_low=PCNT.REVERSE)
