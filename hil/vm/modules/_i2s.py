"""machine.I2S: samples leave and come at their rate. Nobody is at the other end: what is read is silence."""

from io import IOBase

import _board
import machine
from _board import utime
from _until import until
from micropython import const

_POLL = const(3)  # requests of ioctl
_READABLE = const(1)
_WRITABLE = const(4)
_ports = {}


class I2S(IOBase):
    RX, TX, MONO, STEREO = 9, 10, 0, 1

    def __init__(self, id, **settings):
        if id not in (0, 1):
            raise ValueError("invalid id")
        self._id = id
        if id in _ports:
            _ports[id].deinit()
        _ports[id] = self
        self.init(**settings)

    def init(self, *, sck, ws, sd, mode, bits, format, rate, ibuf, mck=None):
        if mode not in (I2S.RX, I2S.TX):
            raise ValueError("invalid mode")
        if bits not in (16, 32):
            raise ValueError("invalid bits")
        if format not in (I2S.MONO, I2S.STEREO):
            raise ValueError("invalid format")
        if rate <= 0:
            raise ValueError("invalid rate")
        if ibuf <= 0:
            raise ValueError("invalid ibuf")
        self._pins = tuple([machine.Pin(pin).gpio for pin in (sck, ws, sd)])
        self._about = (mode, bits, format, rate, ibuf)
        self._tx = mode == I2S.TX
        self._per_s = rate * bits // 8 * (2 if format == I2S.STEREO else 1)
        self._room = ibuf
        self._handler = self._pending = None
        # Of what is written: when the last byte is out. Of what is read: up to when it has been read.
        self._edge = utime.ticks_us()

    def deinit(self):
        self._room = 0
        if self in _board.alarms:
            _board.alarms.remove(self)

    def write(self, buf):
        return self._transfer(len(buf), True)

    def readinto(self, buf):
        count = self._transfer(len(buf), False)
        for i in range(len(buf)):
            buf[i] = 0
        return count

    def _transfer(self, count, tx):
        if self._tx != tx or not self._room:
            raise OSError(1)
        now = utime.ticks_us()
        full = self._us(self._room)
        behind = utime.ticks_diff(now, self._edge)
        if tx and behind > 0:
            self._edge = now  # the line ran dry
        elif not tx and behind > full:
            self._edge = utime.ticks_add(now, -full)  # what did not fit is lost
        self._edge = utime.ticks_add(self._edge, self._us(count))
        done = utime.ticks_add(self._edge, -full) if tx else self._edge
        if self._handler:
            self.due = utime.ticks_add(utime.ticks_ms(), max(0, utime.ticks_diff(done, now)) // 1000 + 1)
            _board.alarms.append(self)
        else:
            until(done)
        return count

    def _us(self, count):
        return count * 1000000 // self._per_s

    def irq(self, handler):
        if handler is not None and not callable(handler):
            raise ValueError("invalid callback")
        self._handler = handler

    def ring(self):
        _board.alarms.remove(self)
        self._handler(self)

    def ioctl(self, request, arg):
        if request != _POLL:
            return -1
        behind = utime.ticks_diff(utime.ticks_us(), self._edge)
        ready = behind > -self._us(self._room) if self._tx else behind > 0
        return arg & (_WRITABLE if self._tx else _READABLE) if ready else 0

    @staticmethod
    def shift(*, buf, bits, shift):
        size = bits // 8
        if bits not in (16, 32):
            raise ValueError("invalid bits")
        view = memoryview(buf)
        for i in range(0, len(buf) - size + 1, size):
            value = int.from_bytes(bytes(view[i : i + size]), "little")
            value -= (value >> bits - 1) << bits
            value = value << shift if shift >= 0 else value >> -shift
            view[i : i + size] = (value & (1 << bits) - 1).to_bytes(size, "little")

    def __repr__(self):
        text = "I2S(id=%d,\nsck=%d,\nws=%d,\nsd=%d,\nmode=%d,\nbits=%d, format=%d,\nrate=%d, ibuf=%d)"
        values = [self._id]
        values.extend(self._pins)
        values.extend(self._about)
        return text % tuple(values)
