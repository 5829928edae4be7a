"""``machine`` of an ESP32 board, wired to the board model: what the firmware of a door uses. The rest is in _machine, which a
bare board loads at once, and a door when a program asks for it: what it defines would cost a door heap.
"""

import struct

import _board
import umachine
from _board import utime
from micropython import const
from umachine import PinBase, mem8, mem16, mem32, soft_reset

_IDLE_MS = const(10)  # one FreeRTOS tick
_HARD_RESET = const(2)
_LATE_US = const(2000)
_EDGE = const("<BBQ")  # pin, level, time: an interrupt of the GPIO channel
_MODE = const(0)  # operations of it
_OUT = const(1)
_IRQ = const(4)
_DRIVE = const(5)
_NAME = const(6)
_KEEP = const(2)  # an output or a hold that stays as it is
_PINS = const(0xFF0EFFFFFF)  # those that an ESP32 has
_FIRST_INPUT_ONLY = const(34)
_freq = 160000000
_pins = {}


def __getattr__(name):
    alone = name in ("PWM", "Timer", "RTC", "WDT", "UART")
    return getattr(__import__("_" + name.lower() if alone else "_machine"), name)


class Pin(PinBase):
    IN, OUT, OPEN_DRAIN = 1, 3, 7
    PULL_DOWN, PULL_UP = 1, 2
    IRQ_RISING, IRQ_FALLING = 1, 2

    def __new__(cls, id, *args, **kwargs):
        if isinstance(id, Pin):
            return id
        if isinstance(id, str):
            id = _board.call(_board.GPIO, _NAME, id.encode())[0]
        if not (isinstance(id, int) and 0 <= id < 40 and _PINS >> id & 1):
            raise ValueError("invalid pin")
        pin = _pins.get(id)
        if pin is None:
            pin = _pins[id] = super().__new__(cls)
            pin.gpio = id
            pin._mode = pin._pull = pin._level = pin._edges = 0
            pin._told = -1  # what its level is, it knows when it is configured
            pin._handler = None
            pin._net = 0  # 1 if another pin of this chip is on its wire
        return pin

    def __init__(self, id, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        if mode != -1 or pull != -1 or value is not None or hold is not None:
            self.init(mode, pull, value=value, hold=hold)

    def init(self, mode=None, pull=-1, *, value=None, drive=None, hold=None):
        if mode is not None and mode != -1:
            if mode & 2 and self.gpio >= _FIRST_INPUT_ONLY:
                raise ValueError("pin can only be input")
            self._mode = mode
        if pull != -1:
            self._pull = pull or 0
        out = _KEEP if value is None else 1 if value else 0
        hold = _KEEP if hold is None else 1 if hold else 0
        # The level goes with the mode: an output must not glitch through the other level.
        answer = _board.call(_board.GPIO, _MODE, bytes((self.gpio, self._mode, self._pull, out, hold)))
        self._level = self._told = answer[0]
        self._net = answer[1]

    def value(self, level=None):
        if level is None:
            if self._mode != Pin.OUT:
                _board.pump()
            return self._level
        level = 1 if level else 0
        if self._net or self._handler or self._mode != Pin.OUT:
            _board.call(_board.GPIO, _DRIVE, bytes((self.gpio, level)))
            _board.pump()
        else:
            self._level = self._told = level
            _board.post(_board.GPIO, _OUT, bytes((self.gpio, level)))

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(1 - self._level)

    def irq(self, handler=None, trigger=3):
        self._edges = trigger
        self._handler = handler
        _board.post(_board.GPIO, _IRQ, bytes((self.gpio, trigger if handler else 0)))
        return self

    def __repr__(self):
        return "Pin(%d)" % self.gpio


def _level(op, payload):
    pin = _pins.get(payload[0])
    if pin is None or pin._told == payload[1]:
        return False
    pin._level = pin._told = payload[1]
    return pin._handler and pin._edges & (Pin.IRQ_RISING if payload[1] else Pin.IRQ_FALLING)


def _edge(op, payload):
    # The host may have had no processor for this board since the edge, which is nothing that happens to a chip: the handler
    # then finds level and time as they were. It does not where the program itself held interrupts back.
    number, level, at = struct.unpack(_EDGE, payload)
    pin = _pins[number]
    if pin._handler:
        at = max(at, _board.end)
        late = 0
        if utime.ticks_us() - at < _LATE_US:
            pin._handler(pin)
        else:
            pin._level = level
            try:
                late = __import__("_late").run(pin._handler, pin, at)
            finally:
                pin._level = pin._told
        _board.end = utime.ticks_us() - late


_board.on(_board.GPIO, _edge, _level)


def Signal(pin, *args, invert=False, **kwargs):
    if not isinstance(pin, PinBase):
        pin = Pin(pin, *args, **kwargs)
    return umachine.Signal(pin, invert=invert)


def unique_id():
    return _board.hello()[2]


def reset_cause():
    return _board.hello()[0]


def reset():
    _board.reset(_HARD_RESET)


def idle():
    _board.wait_ms(_IDLE_MS)


def freq(hz=None):
    global _freq
    if hz is None:
        return _freq
    if hz // 1000000 not in (20, 40, 80, 160, 240):
        raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
    _freq = hz // 1000000 * 1000000


def disable_irq():
    return _board.hold(True)


def enable_irq(state):
    _board.hold(state)
    _board.pump()


if _board.bare:
    import gc

    import _spin
    from _machine import *

    gc.collect()  # what loading leaves behind would lie between what stays
    del gc, _spin, __getattr__  # what is not there is not to be imported, too
    _board.hello()  # the model is there from now on: what follows takes its own time only
