"""The names of ``esp32`` that the firmware of a door does not use."""

import _sleep
import machine
from _pcnt import PCNT
from _rmt import RMT

WAKEUP_ALL_LOW, WAKEUP_ANY_HIGH = False, True
HEAP_DATA, HEAP_EXEC = 4, 1

# (size, free, largest free block, least ever free) of the regions that ESP-IDF has on a chip that has just started.
_DATA = ((7288, 0, 0, 0), (16648, 4, 0, 4), (79912, 35712, 35512, 35108), (15072, 15036, 14848, 15036))
_EXEC = ((66036, 28, 0, 28), (47136, 42, 0, 42), (15072, 15036, 14848, 15036))


def idf_heap_info(capabilities):
    return list({HEAP_DATA: _DATA, HEAP_EXEC: _EXEC}.get(capabilities, ()))


def raw_temperature():
    return 118  # degrees Fahrenheit


def gpio_deep_sleep_hold(enable):
    pass  # a pad that is held stays as it is in any case


def wake_on_touch(wake):
    if _sleep.ext0[0] != -1:
        raise ValueError("no resources")
    _sleep.touch[0] = bool(wake)


def wake_on_ulp(wake):
    if _sleep.ext0[0] != -1:
        raise ValueError("no resources")


def wake_on_ext0(pin=-1, level=-1):
    if _sleep.touch[0]:
        raise ValueError("no resources")
    if pin is None:
        _sleep.ext0[0] = -1
    elif pin != -1:
        _sleep.ext0[0] = _sleep.check(machine.Pin(pin).gpio)
    if level != -1:
        _sleep.ext0[1] = 1 if level else 0
    _sleep.ext0[2] = machine.SLEEP | machine.DEEPSLEEP


def wake_on_ext1(pins=None, level=-1):
    if pins is not None:
        _sleep.ext1[0] = tuple([_sleep.check(machine.Pin(pin).gpio) for pin in pins])
    if level != -1:
        _sleep.ext1[1] = 1 if level else 0
