"""machine.UART: bytes go to and come from the line that the board model has at these pins, at the line's speed."""

import struct
from io import IOBase

import _board
import machine
from _board import utime
from micropython import const

_INIT = const(0)
_WRITE = const(1)
_IRQ = const(2)
_EVENT = const(0x10)  # in an interrupt: not bytes, but what happened
_POLL = const(3)  # requests of ioctl
_FLUSH = const(1)
_CLOSE = const(4)
_READABLE = const(1)
_WRITABLE = const(4)
_uarts = {}


class UART(IOBase):
    INV_TX, INV_RX, RTS, CTS = 32, 4, 1, 2
    IRQ_RX, IRQ_BREAK, IRQ_RXIDLE = 1, 128, 4096
    invert = 0

    def __init__(self, id, *args, **kwargs):
        if id not in (1, 2):  # 0 is the console's
            raise ValueError("UART(%d) does not exist" % id)
        self.id = id
        self.baudrate, self.bits, self.parity, self.stop = 115200, 8, None, 1
        self.tx, self.rx = (10, 9) if id == 1 else (17, 16)
        self.timeout = self.timeout_char = self.flags = 0
        self.rxbuf = 256
        self.buf = b""
        self._free = utime.ticks_us()  # when all that was written has gone out
        _uarts[id] = self
        self.irq(None)
        self.init(*args, **kwargs)

    def init(self, baudrate=0, bits=0, parity=-1, stop=0, *, tx=-1, rx=-1, **more):
        if not 0 <= baudrate <= 5000000:
            raise ValueError("invalid baudrate")
        if bits and not 5 <= bits <= 8:
            raise ValueError("invalid data bits")
        if not 0 <= stop <= 2:
            raise ValueError("invalid stop bits")
        self.baudrate, self.bits, self.stop = baudrate or self.baudrate, bits or self.bits, stop or self.stop
        if parity != -1:
            self.parity = None if parity is None else parity & 1
        if tx != -1:
            self.tx = machine.Pin(tx).gpio
        if rx != -1:
            self.rx = machine.Pin(rx).gpio
        self.timeout = more.pop("timeout", self.timeout)
        self.timeout_char = more.pop("timeout_char", self.timeout_char)
        self.rxbuf = more.pop("rxbuf", self.rxbuf)
        if more:
            raise TypeError("extra keyword arguments given")
        self._symbols = 1 + self.bits + (self.parity is not None) + self.stop
        self._configure(self.baudrate)

    def _configure(self, baud):
        parity = 0 if self.parity is None else 2 - self.parity
        told = (self.id, baud, self._symbols, self.tx, self.rx, self.bits, parity, self.stop, self.invert)
        _board.call(_board.UART, _INIT, struct.pack("<BIBbbBBBB", *told))

    def deinit(self):
        self._handler = None
        if _uarts.get(self.id) is self:
            del _uarts[self.id]
            self._configure(0)

    def any(self):
        _board.pump()
        return len(self.buf)

    def read(self, size=-1):
        self._wait(size)
        data = self.buf if size < 0 else self.buf[:size]
        self.buf = self.buf[len(data) :]
        return data or None

    def readinto(self, buf, size=-1):
        if size < 0 or size > len(buf):
            size = len(buf)
        data = self.read(size)
        if data is None:
            return None
        buf[: len(data)] = data
        return len(data)

    def readline(self, size=-1):
        self._wait(size, b"\n")
        return self.read(self.buf.find(b"\n") + 1 or size)

    def write(self, data):
        data = data.encode() if isinstance(data, str) else bytes(data)
        now = utime.ticks_us()
        if utime.ticks_diff(self._free, now) < 0:
            self._free = now
        self._free = utime.ticks_add(self._free, len(data) * self._symbols * 1000000 // self.baudrate)
        for i in range(0, len(data), 1024):
            _board.post(_board.UART, _WRITE, bytes((self.id,)) + data[i : i + 1024])
        return len(data)

    def txdone(self):
        return utime.ticks_diff(utime.ticks_us(), self._free) >= 0

    def flush(self, size=0):
        """Wait until at most ``size`` bytes are left to go out."""
        end = utime.ticks_add(self._free, -size * self._symbols * 1000000 // self.baudrate)
        if _board.bare:
            __import__("_until").until(end)
            return
        left = utime.ticks_diff(end, utime.ticks_us())
        if left > 0:
            utime.sleep_us(left)

    def irq(self, handler=None, trigger=0, hard=False):
        self._handler = handler if trigger else None
        self._trigger = trigger
        _board.post(_board.UART, _IRQ, struct.pack("<BH", self.id, trigger if handler else 0))
        return self

    def ioctl(self, request, arg):
        if request == _POLL:
            return arg & (_WRITABLE | (_READABLE if self.buf else 0))
        if request == _FLUSH:
            self.flush()
        return 0 if request in (_CLOSE, _FLUSH) else -1

    def _wait(self, size, until=None):
        left = self.timeout
        had = self.any()
        while left and not (0 <= size <= had or (until and until in self.buf)):
            end = utime.ticks_add(utime.ticks_ms(), left)
            while self.any() == had and utime.ticks_diff(end, utime.ticks_ms()) > 0:
                _board.wait_ms(utime.ticks_diff(end, utime.ticks_ms()))
            if len(self.buf) == had:
                break
            had = len(self.buf)
            left = self.timeout_char


def _received(op, payload):
    uart = _uarts.get(op & ~_EVENT)
    if uart is None:
        return False
    if op & _EVENT:
        return uart._handler and uart._trigger & struct.unpack("<H", payload)[0]
    uart.buf = (uart.buf + payload)[: uart.rxbuf]  # what does not fit is lost, as in the driver
    return uart._handler and uart._trigger & 1


def _happened(op, payload):
    uart = _uarts.get(op & ~_EVENT)
    if uart and uart._handler:
        uart.flags = struct.unpack("<H", payload)[0] if op & _EVENT else 1
        uart._handler(uart)


_board.on(_board.UART, _happened, _received)
