"""machine.PWM as the ESP32's LEDC does it: 16 channels on 8 timers in two groups, whose clock allows not every frequency and
duty. The resulting wave goes to the board model, which tells it to whatever is on the wire.
"""

import struct

import _board
import machine
from micropython import const

_PWM = const(2)
_CLOCK = const(80000000)
_SLOW_CLOCK = const(1000000)  # below 10 Hz
_SLOW = const(10)
_MAX_BITS = const(20)
_MAX = const(65535)
_CHANNELS = const(8)  # of each group
_TIMERS = const(4)
_channels = [None] * 16  # (pin, timer)
_timers = [0] * 8  # frequency


class _Timer:
    """What the hardware makes of a frequency."""

    def __init__(self, freq):
        clock = _SLOW_CLOCK if freq < _SLOW else _CLOCK
        bits = 0
        while bits < _MAX_BITS and clock // freq >> bits + 1:
            bits += 1
        divider = self._divider(clock, freq, bits)
        if divider < 256:
            bits -= 1
            divider = self._divider(clock, freq, bits)
        self.bits = bits
        self.period_ns = (divider * 1000000000 << bits) // (clock << 8)
        self.freq = ((clock << 8) + (divider << bits) // 2) // (divider << bits)

    @staticmethod
    def _divider(clock, freq, bits):
        return ((clock << 8) + (freq << bits) // 2) // (freq << bits)


class PWM:
    def __init__(self, dest, freq=-1, *, duty=-1, duty_u16=-1, duty_ns=-1, invert=-1):
        self._pin = machine.Pin(dest).gpio
        if self._pin >= 34:
            raise ValueError("PWM not supported on Pin(%d)" % self._pin)
        self._kind = None
        self._invert = 0
        self._channel = -1
        self.init(freq, duty=duty, duty_u16=duty_u16, duty_ns=duty_ns, invert=invert)

    def init(self, freq=-1, *, duty=-1, duty_u16=-1, duty_ns=-1, invert=-1):
        given = [(k, v) for k, v in (("duty", duty), ("duty_u16", duty_u16), ("duty_ns", duty_ns)) if v != -1]
        if len(given) > 1:
            raise ValueError("only one of parameters 'duty', 'duty_u16' or 'duty_ns' is allowed")
        channel = self._find_channel()
        if freq == -1:
            freq = _timers[_channels[channel][1]] if _channels[channel] else 5000
        self._check(freq)
        if invert != -1:
            self._invert = 1 if invert else 0
        self._take(channel, freq)
        if given:
            self._set(*given[0])
        elif self._kind is None:
            self._set("duty", 512)
        else:
            self._set(self._kind, self._value)

    def deinit(self):
        if self._channel >= 0:
            _channels[self._channel] = None
            _free_timers()
            self._channel = -1
            self._kind = None
            _board.call(_board.GPIO, _PWM, struct.pack("<BIHQQ", self._pin, 0, 0, 0, 0))

    def freq(self, value=None):
        self._active()
        if value is None:
            return self._timer.freq
        self._check(value)
        self._take(self._channel, value)
        self._set(self._kind, self._value)

    def duty_u16(self, value=None):
        self._active()
        if value is not None:
            return self._set("duty_u16", value)
        bits = self._timer.bits
        if self._raw == 1 << bits:
            return _MAX
        return self._raw << 16 - bits if bits <= 16 else self._raw >> bits - 16

    def duty(self, value=None):
        self._active()
        if value is None:
            return self.duty_u16() >> 6
        self._set("duty", value)

    def duty_ns(self, value=None):
        self._active()
        if value is None:
            return self._ns(self.duty_u16())
        self._set("duty_ns", value)

    def _active(self):
        if self._channel < 0:
            raise RuntimeError("PWM inactive")

    def _check(self, freq):
        if not 0 < freq <= 40000000:
            raise ValueError("frequency must be from 1Hz to 40MHz")

    def _ns(self, duty):
        freq = _timers[_channels[self._channel][1]]
        return (duty * 1000000000 + freq * _MAX // 2) // (freq * _MAX)

    def _find_channel(self):
        free = -1
        for i, used in enumerate(_channels):
            if used and used[0] == self._pin:
                return i
            if used is None and free < 0:
                free = i
        if free < 0:
            raise ValueError("out of PWM channels:%d" % len(_channels))
        return free

    def _take(self, channel, freq):
        """Have a channel on a timer of that frequency, in the group of its channel if that has one."""
        _channels[channel] = None
        _free_timers()
        timer = _find_timer(freq, channel // _CHANNELS)
        if timer < 0:
            timer = _find_timer(freq, 1 - channel // _CHANNELS)
            group = timer // _TIMERS
            free = [i for i in range(group * _CHANNELS, (group + 1) * _CHANNELS) if _channels[i] is None]
            if timer < 0 or not free:
                raise ValueError("out of PWM timers:%d" % len(_timers))
            channel = free[0]
        _timers[timer] = freq
        self._channel = channel
        _channels[channel] = (self._pin, timer)
        self._timer = _Timer(freq)

    def _set(self, kind, value):
        if kind == "duty":
            if not 0 <= value <= 1023:
                raise ValueError("duty must be from 0 to 1023")
            duty = value << 6
        elif kind == "duty_ns":
            most = self._ns(_MAX)
            if not 0 <= value <= most:
                raise ValueError("duty_ns must be from 0 to %d ns" % most)
            freq = _timers[_channels[self._channel][1]]
            duty = min(_MAX, (value * _MAX * freq + 500000000) // 1000000000)
            if value and not duty:
                duty = 1
        else:
            if not 0 <= value <= _MAX:
                raise ValueError("duty_u16 must be from 0 to %d" % _MAX)
            duty = value
        self._kind, self._value = kind, value
        bits = self._timer.bits
        if duty == _MAX or (kind == "duty" and value == 1023):
            self._raw = 1 << bits
        else:
            self._raw = duty >> 16 - bits if bits <= 16 else duty << bits - 16
        self._tell()

    def _tell(self):
        bits, period, freq = self._timer.bits, self._timer.period_ns, _timers[_channels[self._channel][1]]
        raw = (1 << bits) - self._raw if self._invert else self._raw
        duty = min(_MAX, raw << 16 >> bits)
        told = struct.pack("<BIHQQ", self._pin, freq, duty, period, period * raw >> bits)
        _board.call(_board.GPIO, _PWM, told)

    def __repr__(self):
        if self._channel < 0:
            return "PWM(Pin(%d))" % self._pin
        bits, timer = self._timer.bits, _channels[self._channel][1]
        return (
            "PWM(Pin(%d), freq=%d, %s=%d, resolution=%d, (duty=%.2f%%, resolution=%.3f%%), mode=%d, channel=%d, timer=%d)"
            % (
                self._pin,
                self._timer.freq,
                self._kind,
                getattr(self, self._kind)(),
                bits,
                100 * self._raw / (1 << bits),
                100 / (1 << bits),
                timer // _TIMERS,
                self._channel % _CHANNELS,
                timer % _TIMERS,
            )
        )


def _find_timer(freq, group):
    free = -1
    for i in range(group * _TIMERS, (group + 1) * _TIMERS):
        if _timers[i] == freq:
            return i
        if not _timers[i] and free < 0:
            free = i
    return free


def _free_timers():
    used = [channel[1] for channel in _channels if channel]
    for i in range(len(_timers)):
        if i not in used:
            _timers[i] = 0
