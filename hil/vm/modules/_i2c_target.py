"""machine.I2CTarget: this board as a device on a bus. Its controller is this board, too, over wires between its pins."""

import _board
import machine
from micropython import const

_BUS = const(16)  # the channel of the board model
_NETS = const(5)
_PINS = ((18, 19), (25, 26))
targets = {}  # by id


def wire(scl, sda):
    """What tells two pairs of pins that are joined from others."""
    return _board.call(_BUS, _NETS, bytes((scl, sda)))


def find(scl, sda, addr):
    for target in targets.values():
        if target.addr == addr and wire(target.scl, target.sda) == wire(scl, sda):
            return target


class _Irq:
    def __init__(self, target):
        self._target = target

    def flags(self):
        return self._target.flags

    def trigger(self, new=None):
        was = self._target.trigger
        if new is not None:
            self._target.trigger = new
        return was

    def __call__(self):
        self._target.handler(self._target)


class I2CTarget:
    IRQ_ADDR_MATCH_READ, IRQ_ADDR_MATCH_WRITE, IRQ_READ_REQ, IRQ_WRITE_REQ = 1, 2, 4, 8
    IRQ_END_READ, IRQ_END_WRITE = 16, 32

    def __init__(self, id=0, addr=None, *, addrsize=7, mem=None, mem_addrsize=8, scl=None, sda=None):
        if id not in (0, 1):
            raise ValueError("I2CTarget(%d) doesn't exist" % id)
        if addr is None:
            raise TypeError("'addr' argument required")
        if addrsize != 7:
            raise ValueError("unsupported addrsize")
        if mem_addrsize & 7 or mem_addrsize > 32:
            raise ValueError("invalid mem_addrsize")
        self.scl = _PINS[id][0] if scl is None else machine.Pin(scl).gpio
        self.sda = _PINS[id][1] if sda is None else machine.Pin(sda).gpio
        self.addr = addr
        self.memaddr = 0
        self._id, self._mem, self._width = id, mem, mem_addrsize // 8
        self.handler = None
        self.trigger = self.flags = 0
        self._in, self._out = bytearray(), bytearray()
        self._phase = None  # "r" or "w" while it is addressed
        targets[id] = self

    def deinit(self):
        if targets.get(self._id) is self:
            del targets[self._id]

    def readinto(self, buf):
        count = min(len(buf), len(self._in))
        buf[:count] = self._in[:count]
        self._in = self._in[count:]
        return count

    def write(self, buf):
        self._out += bytes(buf)
        return len(buf)

    def irq(self, handler=-1, trigger=IRQ_END_READ | IRQ_END_WRITE, hard=False):
        if handler != -1:
            self.handler = handler
            self.trigger = trigger if handler else 0
        return _Irq(self)

    def __repr__(self):
        return "I2CTarget(%d, addr=%d, scl=%d, sda=%d)" % (self._id, self.addr, self.scl, self.sda)

    def start(self, reading):
        self.stop()
        self._phase = "r" if reading else "w"
        self._left = self._width  # bytes of the memory's address that are still to come
        if not reading:
            self._in = bytearray()
        self._out = bytearray()
        self._fire(self.IRQ_ADDR_MATCH_READ if reading else self.IRQ_ADDR_MATCH_WRITE)

    def take(self, byte):
        if self._mem is None:
            self._in.append(byte)
            self._fire(self.IRQ_WRITE_REQ)
        elif self._left:
            first = self._left == self._width
            self._left -= 1
            self.memaddr = (0 if first else self.memaddr << 8) | byte
            self._at = self.memaddr % len(self._mem)
        else:
            self._mem[self._at] = byte
            self._at = (self._at + 1) % len(self._mem)

    def give(self):
        if self._mem is not None:
            byte = self._mem[self._at]
            self._at = (self._at + 1) % len(self._mem)
            return byte
        if not self._out:
            self._fire(self.IRQ_READ_REQ)
        if not self._out:
            return 0xFF
        byte = self._out[0]
        self._out = self._out[1:]
        return byte

    def stop(self):
        if self._phase:
            ended = self.IRQ_END_READ if self._phase == "r" else self.IRQ_END_WRITE
            self._phase = None
            self._fire(ended)

    _at = 0

    def _fire(self, flag):
        if self.trigger & flag and self.handler:
            self.flags = flag
            self.handler(self)


def transfer(target, flags, count, data):
    """One transfer of a controller on the same wires; flags as in _i2c."""
    if not flags & 1 or flags & 4:
        target.start(False)
        for byte in data:
            target.take(byte)
    answer = bytearray()
    if flags & 1:
        target.start(True)
        for _ in range(count):
            answer.append(target.give())
    if flags & 2:
        target.stop()
    return len(data), bytes(answer)
