"""``machine`` of an ESP32 board, wired to the board model: pins here, other peripherals in their modules."""

import _board
import umachine
from micropython import const
from umachine import mem8, mem16, mem32, soft_reset, time_pulse_us

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = range(1, 6)
SLEEP, DEEPSLEEP = 2, 4
PIN_WAKE, EXT0_WAKE, EXT1_WAKE, TIMER_WAKE = 2, 2, 3, 4

_IDLE_MS = const(10)  # one FreeRTOS tick
_MODE = const(0)  # operations of the GPIO channel; the model interrupts with (pin, level)
_OUT = const(1)
_MAX_PIN = const(48)
_PERIPHERALS = {"PWM": "_pwm", "Timer": "_timer", "RTC": "_rtc", "WDT": "_wdt", "UART": "_uart"}
_freq = 160000000
_pins = {}


def __getattr__(name):
    module = _PERIPHERALS.get(name)
    if module is None:
        raise AttributeError(name)
    return getattr(__import__(module), name)


class Pin(umachine.PinBase):
    IN, OUT, OPEN_DRAIN = 1, 3, 7
    PULL_DOWN, PULL_UP = 1, 2
    IRQ_RISING, IRQ_FALLING = 1, 2
    DRIVE_0, DRIVE_1, DRIVE_2, DRIVE_3 = range(4)

    def __new__(cls, id, *args, **kwargs):
        if isinstance(id, Pin):
            id = id.gpio
        if not (isinstance(id, int) and 0 <= id <= _MAX_PIN):
            raise ValueError("invalid pin")
        pin = _pins.get(id)
        if pin is None:
            pin = _pins[id] = super().__new__(cls)
            pin.gpio = id
            pin._mode = pin._pull = pin._level = pin._edges = 0
            pin._handler = None
        return pin

    def __init__(self, id, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        if mode != -1 or pull != -1 or value is not None:
            self.init(mode, pull, value=value)

    def init(self, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        if mode != -1:
            self._mode = mode
        if pull != -1:
            self._pull = pull or 0
        if value is not None:
            self._level = 1 if value else 0
        # The level goes with the mode: an output must not glitch through the other level.
        answer = _board.call(_board.GPIO, _MODE, bytes((self.gpio, self._mode, self._pull, self._level)))
        self._level = answer[0]

    def value(self, x=None):
        if x is None:
            if self._mode != Pin.OUT:
                _board.pump()
            return self._level
        self._level = 1 if x else 0
        _board.post(_board.GPIO, _OUT, bytes((self.gpio, self._level)))

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(1 - self._level)

    def irq(self, handler=None, trigger=3, *, priority=1, wake=None, hard=False):
        self._edges = trigger
        self._handler = handler
        return self

    def mode(self, mode=None):
        if mode is None:
            return self._mode
        self.init(mode)

    def pull(self, pull=-1):
        if pull == -1:
            return self._pull or None
        self.init(pull=pull)

    def __repr__(self):
        return "Pin(%d)" % self.gpio


def _level(op, payload):
    pin = _pins.get(payload[0])
    if pin is None or pin._level == payload[1]:
        return False
    pin._level = payload[1]
    return pin._handler and pin._edges & (Pin.IRQ_RISING if payload[1] else Pin.IRQ_FALLING)


def _edge(op, payload):
    pin = _pins[payload[0]]
    if pin._handler:
        pin._handler(pin)


_board.on(_board.GPIO, _edge, _level)


def Signal(pin, *args, invert=False, **kwargs):
    if not isinstance(pin, Pin):
        pin = Pin(pin, *args, **kwargs)
    return umachine.Signal(pin, invert=invert)


def unique_id():
    return _board.hello()[2]


def reset_cause():
    return _board.hello()[0]


def wake_reason():
    return TIMER_WAKE if reset_cause() == DEEPSLEEP_RESET else 0


def reset():
    _board.reset(HARD_RESET)


def deepsleep(time_ms=0):
    _board.reset(DEEPSLEEP_RESET, time_ms or 0xFFFFFFFF)


def lightsleep(time_ms=0):
    _board.sleep_ms(time_ms or _IDLE_MS)


def idle():
    _board.wait_ms(_IDLE_MS)


def freq(hz=None):
    global _freq
    if hz is None:
        return _freq
    if hz not in (20000000, 40000000, 80000000, 160000000, 240000000):
        raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
    _freq = hz


def disable_irq():
    return _board.hold(True)


def enable_irq(state):
    _board.hold(state)
    _board.pump()
