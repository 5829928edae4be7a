"""machine.PWM: frequency and duty go to the board model; no edges are simulated one by one."""

import struct

import _board

_PWM = 2


class PWM:
    def __init__(self, dest, freq=5000, duty=None, duty_u16=None, duty_ns=None, invert=False):
        self._pin = dest
        self._freq = freq
        self._duty = 32768
        self._invert = invert
        self.init(duty=duty, duty_u16=duty_u16, duty_ns=duty_ns)

    def init(self, freq=None, duty=None, duty_u16=None, duty_ns=None):
        if freq is not None:
            if not 1 <= freq <= 40000000:
                raise ValueError("frequency must be from 1Hz to 40MHz")
            self._freq = freq
        if duty is not None:
            duty_u16 = duty << 6
        if duty_ns is not None:
            duty_u16 = duty_ns * self._freq * 65535 // 1000000000
        if duty_u16 is not None:
            self._duty = min(max(duty_u16, 0), 65535)
        on = 65535 - self._duty if self._invert else self._duty
        _board.post(_board.GPIO, _PWM, struct.pack("<BIH", self._pin.gpio, self._freq, on))

    def deinit(self):
        _board.post(_board.GPIO, _PWM, struct.pack("<BIH", self._pin.gpio, 0, 0))

    def freq(self, value=None):
        if value is None:
            return self._freq
        self.init(freq=value)

    def duty(self, value=None):
        if value is None:
            return self._duty >> 6
        self.init(duty=value)

    def duty_u16(self, value=None):
        if value is None:
            return self._duty
        self.init(duty_u16=value)

    def duty_ns(self, value=None):
        if value is None:
            return self._duty * 1000000000 // (65535 * self._freq)
        self.init(duty_ns=value)
