"""esp32.PCNT: the units of the board model's pulse counter."""

import struct

import _board
import _bus
import machine
from micropython import const

_BUS = const(16)  # the channel of the board model

_CHANNEL = const(0x40)
_VALUE = const(0x41)
_SET_VALUE = const(0x42)
_WATCH = const(0x43)
_FREE = const(0x44)
_UNITS = const(8)
_units = {}


class _Irq:
    def __init__(self, unit):
        self._unit = unit

    def flags(self):
        return self._unit.flags

    def trigger(self, new=None):
        was = self._unit.trigger
        if new is not None:
            self._unit.watch(new)
        return was

    def __call__(self):
        self._unit.handler(self._unit)


class PCNT:
    IGNORE, INCREMENT, DECREMENT = range(3)
    NORMAL, REVERSE, HOLD = range(3)
    IRQ_ZERO, IRQ_MIN, IRQ_MAX, IRQ_THRESHOLD0, IRQ_THRESHOLD1 = 1, 2, 4, 8, 16

    def __new__(cls, id, **more):
        if not 0 <= id < _UNITS:
            raise ValueError("invalid id")
        unit = _units.get(id)
        if unit is None:
            unit = _units[id] = super().__new__(cls)
            unit._id = id
            unit._channels = {}
            unit._bounds = {}
            unit._runs = True
            unit.handler = None
            unit.trigger = unit.flags = 0
        return unit

    def __init__(self, id, **more):
        if more:
            self.init(**more)

    def init(self, *, channel=0, value=None, filter=0, **more):
        if channel not in (0, 1):
            raise ValueError("invalid channel")
        about = self._channels.setdefault(channel, {})
        for name in ("pin", "rising", "falling", "mode_pin", "mode_low", "mode_high"):
            if name in more:
                about[name] = more.pop(name)
        for name in ("min", "max", "threshold0", "threshold1"):
            if name in more:
                self._bounds[name] = more.pop(name)
        if more:
            raise TypeError("extra keyword arguments given")
        self._tell(channel)
        if value is not None:
            self.value(value)
        self.watch(self.trigger)

    def deinit(self):
        if _units.pop(self._id, None) is not None:
            _board.call(_BUS, _FREE, bytes((self._id,)))

    def _tell(self, channel):
        about = self._channels[channel]
        pin, mode_pin = about.get("pin"), about.get("mode_pin")
        _board.call(
            _BUS,
            _CHANNEL,
            struct.pack(
                "<BBbBBbBB",
                self._id,
                channel,
                -1 if pin is None or not self._runs else machine.Pin(pin).gpio,
                about.get("rising", 0),
                about.get("falling", 0),
                -1 if mode_pin is None else machine.Pin(mode_pin).gpio,
                about.get("mode_low", 0),
                about.get("mode_high", 0),
            ),
        )

    def start(self):
        self._run(True)

    def stop(self):
        self._run(False)

    def _run(self, runs):
        self._runs = runs
        for channel in self._channels:
            self._tell(channel)

    def value(self, value=None):
        was = struct.unpack("<q", _board.call(_BUS, _VALUE, bytes((self._id,))))[0]
        if value is not None:
            _board.call(_BUS, _SET_VALUE, struct.pack("<Bq", self._id, value))
        return was

    def irq(self, handler=-1, trigger=31):
        if handler != -1:
            self.handler = handler
            self.watch(trigger if handler else 0)
        return _Irq(self)

    def watch(self, trigger):
        self.trigger = trigger
        values = [value for flag, value in self._points() if trigger & flag]
        told = bytes((self._id,)) + b"".join([struct.pack("<q", value) for value in values])
        _board.call(_BUS, _WATCH, told)

    def _points(self):
        yield self.IRQ_ZERO, 0
        for flag, name in (
            (self.IRQ_MIN, "min"),
            (self.IRQ_MAX, "max"),
            (self.IRQ_THRESHOLD0, "threshold0"),
            (self.IRQ_THRESHOLD1, "threshold1"),
        ):
            if name in self._bounds:
                yield flag, self._bounds[name]

    def reached(self, value):
        self.flags = 0
        for flag, point in self._points():
            if point == value:
                self.flags |= flag & self.trigger
        if self.flags and self.handler:
            self.handler(self)


def _reached(payload):
    number, value = struct.unpack("<Bq", payload)
    if number in _units:
        _units[number].reached(value)


_bus.on(_CHANNEL, _reached)
