"""A chip with nothing attached: so much of MicroPython's `machine` that the firmware's parts can be built on a bare VM."""


class Pin:
    IN = OUT = PULL_UP = PULL_DOWN = IRQ_RISING = IRQ_FALLING = 1

    def __init__(self, *arguments, **options):
        self._value = 0

    def value(self, *value):
        if value:
            self._value = value[0]
        return self._value

    __call__ = value

    def init(self, *arguments, **options):
        pass

    irq = init

    def on(self):
        self._value = 1

    def off(self):
        self._value = 0


Signal = Pin


class Timer:
    ONE_SHOT, PERIODIC = range(2)

    def __init__(self, *arguments, **options):
        pass

    init = deinit = datetime = __init__


UART = Timer


class RTC(Timer):
    _memory = b""

    def memory(self, *data):
        if data:
            RTC._memory = data[0]
        return RTC._memory


def reset_cause():
    return 1
