"""machine.I2C and machine.SoftI2C: transfers go to the bus that the board model has at these pins."""

import struct

import _board
import machine
from _board import utime
from _i2c_target import find, targets, transfer
from _until import until
from micropython import const

_BUS = const(16)  # the channel of the board model

_START = const(0)
_STOP = const(1)
_WRITE = const(2)
_READ = const(3)
_TRANSFER = const(4)
_F_READ = const(1)  # flags of a transfer
_F_STOP = const(2)
_F_WRITE_FIRST = const(4)
_ENODEV = const(19)


def _memory_address(memaddr, addrsize):
    if addrsize & 7 or addrsize > 32:
        raise ValueError("invalid addrsize")
    return memaddr.to_bytes(addrsize // 8, "big")


def _bus_pin(pin):
    """Take a pin for the bus, and let go of its line."""
    pin = machine.Pin(pin)
    pin.init(pin.OPEN_DRAIN, pin.PULL_UP, value=1)
    return pin.gpio


class _Controller:
    def _ask(self, op, payload=b"", count=0):
        end = utime.ticks_add(utime.ticks_us(), (len(payload) + count) * 9000000 // self._freq)
        head = bytes((self._scl, self._sda))
        answer = _board.call(_BUS, op, head + payload)
        until(end)
        return answer

    def _transfer(self, addr, flags, count=0, data=b""):
        if targets:
            target = find(self._scl, self._sda, addr)
            if target is not None:
                return transfer(target, flags, count, data)
        answer = self._ask(_TRANSFER, struct.pack("<HBH", addr, flags, count) + data, count)
        return answer[0] | answer[1] << 8, answer[2:]

    def _primitive(self):
        raise OSError("I2C operation not supported")

    def start(self):
        self._primitive()
        self._ask(_START)

    def stop(self):
        self._primitive()
        self._ask(_STOP)

    def readinto(self, buf, nack=True):
        self._primitive()
        buf[:] = self._ask(_READ, struct.pack("<H", len(buf)), len(buf))

    def write(self, buf):
        self._primitive()
        return struct.unpack("<H", self._ask(_WRITE, bytes(buf)))[0]

    def scan(self):
        found = []
        for addr in range(0x08, 0x78):
            try:
                self._transfer(addr, _F_STOP)
                found.append(addr)
            except OSError as e:
                if e.errno != _ENODEV:
                    raise
        return found

    def readfrom(self, addr, nbytes, stop=True):
        return self._transfer(addr, _F_READ | (_F_STOP if stop else 0), nbytes)[1]

    def readfrom_into(self, addr, buf, stop=True):
        buf[:] = self.readfrom(addr, len(buf), stop)

    def writeto(self, addr, buf, stop=True):
        data = buf.encode() if isinstance(buf, str) else bytes(buf)
        return self._transfer(addr, _F_STOP if stop else 0, 0, data)[0]

    def writevto(self, addr, vector, stop=True):
        return self.writeto(addr, b"".join([bytes(part) for part in vector]), stop)

    def readfrom_mem(self, addr, memaddr, nbytes, *, addrsize=8):
        flags = _F_WRITE_FIRST | _F_READ | _F_STOP
        return self._transfer(addr, flags, nbytes, _memory_address(memaddr, addrsize))[1]

    def readfrom_mem_into(self, addr, memaddr, buf, *, addrsize=8):
        buf[:] = self.readfrom_mem(addr, memaddr, len(buf), addrsize=addrsize)

    def writeto_mem(self, addr, memaddr, buf, *, addrsize=8):
        data = buf.encode() if isinstance(buf, str) else bytes(buf)
        self.writeto(addr, _memory_address(memaddr, addrsize) + data)


class SoftI2C(_Controller):
    def __init__(self, scl, sda, *, freq=400000, timeout=50000):
        self.init(scl, sda, freq=freq, timeout=timeout)

    def init(self, scl, sda, *, freq=400000, timeout=50000):
        self._scl, self._sda = _bus_pin(scl), _bus_pin(sda)
        self._freq = 500000 // (500000 // freq or 1)

    def _primitive(self):
        pass

    def __repr__(self):
        return "SoftI2C(scl=%d, sda=%d, freq=%d)" % (self._scl, self._sda, self._freq)


_pins = {0: (18, 19), 1: (25, 26)}  # those that a bus was last given


class I2C(_Controller):
    def __new__(cls, id=0, **more):
        if id == -1:
            print("Warning: I2C(-1, ...) is deprecated, use SoftI2C(...) instead")
            return SoftI2C(**more)
        return super().__new__(cls)

    def __init__(self, id=0, *, scl=None, sda=None, freq=400000, timeout=50000):
        if id not in _pins:
            raise ValueError("I2C(%d) doesn't exist" % id)
        was = _pins[id]
        self._id = id
        self._scl = _bus_pin(was[0] if scl is None else scl)
        self._sda = _bus_pin(was[1] if sda is None else sda)
        _pins[id] = self._scl, self._sda
        self._freq = 80000000 // (80000000 // freq)

    def init(self, *args, **more):
        self._primitive()

    def __repr__(self):
        return "I2C(%d, scl=%d, sda=%d, freq=%d)" % (self._id, self._scl, self._sda, self._freq)
