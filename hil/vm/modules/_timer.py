"""machine.Timer: its callbacks run where the board's interrupts do. Up to 1 ms late, as its clock counts whole
milliseconds, and never early."""

import _board
from _board import utime

_timers = {}


class Timer:
    ONE_SHOT, PERIODIC = 0, 1

    def __new__(cls, id=-1, **kwargs):
        if not -1 <= id <= 3:
            raise ValueError("invalid Timer number")
        timer = _timers.get(id)
        if timer is None:
            timer = super().__new__(cls)
            timer.callback = None
            timer._id = id
            timer.period = timer.due = 0
            timer.repeat = True
            if id >= 0:
                _timers[id] = timer  # one hardware timer, however many names
        return timer

    def __init__(self, id=-1, **kwargs):
        if kwargs:
            self.init(**kwargs)

    def init(self, *, mode=1, freq=-1, period=-1, callback=None, tick_hz=1000, hard=False):
        self.deinit()
        if freq > 0:
            period = max(1, int(1000 // freq))
        elif period >= 0:
            period = period * 1000 // tick_hz
        else:
            raise ValueError("freq or period")
        self.period = max(1, period)
        self.repeat = mode == Timer.PERIODIC
        self.callback = callback
        self.due = utime.ticks_add(utime.ticks_ms(), self.period + 1)  # part of this millisecond is over
        _board.alarms.append(self)

    def deinit(self):
        if self in _board.alarms:
            _board.alarms.remove(self)

    def value(self):
        left = utime.ticks_diff(self.due, utime.ticks_ms())
        return min(self.period, max(0, self.period - left))

    def ring(self):
        if self.repeat:
            now = utime.ticks_ms()
            self.due = utime.ticks_add(self.due, self.period)
            if utime.ticks_diff(self.due, now) < 0:
                self.due = now  # late by more than a period: one callback, not a burst
        else:
            _board.alarms.remove(self)
        if self.callback:
            self.callback(self)

    def __repr__(self):
        mode = "PERIODIC" if self.repeat else "ONE_SHOT"
        return "Timer(%d, mode=%s, period=%d)" % (self._id, mode, self.period)
