"""machine.UART: bytes go to and come from the line that the board model has at these pins, at the line's speed."""

import struct
from io import IOBase

import _board
import machine
import utime
from _until import until
from micropython import const

_INIT = const(0)
_WRITE = const(1)
_IRQ = const(2)
_BREAK = const(3)
_EVENT = const(0x10)  # in an interrupt: not bytes, but what happened
_POLL = const(3)  # requests of ioctl
_FLUSH = const(1)
_CLOSE = const(4)
_READABLE = const(1)
_WRITABLE = const(4)
_FIFO = const(128)
_PIECE = const(1024)
_NAMES = ("tx", "rx", "rts", "cts", "txbuf", "rxbuf", "timeout", "timeout_char", "invert", "flow")
_TX = const(4)  # places in _set, after baudrate, bits, parity and stop
_TXBUF = const(8)
_RXBUF = const(9)
_TIMEOUT = const(10)
_TIMEOUT_CHAR = const(11)
_INVERT = const(12)
_FLOW = const(13)
_uarts = {}


class UART(IOBase):
    INV_TX, INV_RX, INV_RTS, INV_CTS, RTS, CTS = 32, 4, 64, 8, 1, 2
    IRQ_RX, IRQ_BREAK, IRQ_RXIDLE = 1, 128, 4096

    def __init__(self, id, baudrate=0, bits=0, parity=-1, stop=0, **more):
        if id not in (1, 2):  # 0 is the console's
            raise ValueError("UART(%d) does not exist" % id)
        self._id = id
        self.handler = None
        self.trigger = self.flags = 0
        tx, rx = (10, 9) if id == 1 else (17, 16)
        self._set = [115200, 8, None, 1, tx, rx, -1, -1, 256, 256, 0, 0, 0, 0]
        self._free = utime.ticks_us()  # when all that was written has gone out
        self._rx = b""
        _uarts[id] = self
        _board.post(_board.UART, _IRQ, bytes((id, 0, 0)))
        self.init(baudrate, bits, parity, stop, **more)

    def init(self, baudrate=0, bits=0, parity=-1, stop=0, **more):
        s = self._set
        for i, name in enumerate(_NAMES):
            x = more.pop(name, -1)
            if x != -1:
                s[_TX + i] = machine.Pin(x).gpio if i < 4 else x
        if more:
            raise TypeError("extra keyword arguments given")
        if not 0 <= baudrate <= 5000000:
            raise ValueError("invalid baudrate")
        if bits not in (0, 5, 6, 7, 8):
            raise ValueError("invalid data bits")
        if stop not in (0, 1, 2):
            raise ValueError("invalid stop bits")
        if s[_INVERT] & ~108:
            raise ValueError("invalid inversion mask")
        if s[_FLOW] & ~3:
            raise ValueError("invalid flow control mask")
        for i, x in ((0, baudrate), (1, bits), (3, stop)):
            s[i] = x or s[i]
        if parity != -1:
            s[2] = None if parity is None else parity & 1
        self._symbols = 1 + s[1] + (s[2] is not None) + s[3]
        self._configure(s[0])

    def _configure(self, baud):
        s = self._set
        parity = 0 if s[2] is None else 2 - s[2]
        told = (self._id, baud, self._symbols, s[_TX], s[_TX + 1], s[1], parity, s[3], s[_INVERT] & 0xFF)
        _board.call(_board.UART, _INIT, struct.pack("<BIBbbBBBB", *told))

    def deinit(self):
        self.handler = None
        if _uarts.get(self._id) is self:
            del _uarts[self._id]
            self._configure(0)

    def any(self):
        _board.pump()
        return len(self._rx)

    def read(self, size=-1):
        self._wait(size)
        data = self._rx if size < 0 else self._rx[:size]
        self._rx = self._rx[len(data) :]
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
        return self.read(self._rx.find(b"\n") + 1 or size)

    def write(self, data):
        data = data.encode() if isinstance(data, str) else bytes(data)
        for i in range(0, len(data), _PIECE):
            piece = data[i : i + _PIECE]
            self._send(len(piece))
            _board.post(_board.UART, _WRITE, bytes((self._id,)) + piece)
        # What neither the buffer nor the hardware has room for has to go out first.
        self._drain((self._set[_TXBUF] + _FIFO) * self._symbols * 1000000 // self._set[0])
        return len(data)

    def _send(self, count, stretch=1):
        now = utime.ticks_us()
        if utime.ticks_diff(self._free, now) < 0:
            self._free = now
        self._free = utime.ticks_add(
            self._free, int(count * self._symbols * stretch * 1000000 / self._set[0])
        )

    def _drain(self, but=0):
        until(utime.ticks_add(self._free, -but))

    def txdone(self):
        return utime.ticks_diff(utime.ticks_us(), self._free) >= 0

    def flush(self):
        self._drain()

    def sendbreak(self):
        self._drain()
        self._send(1, 2.5)
        _board.post(_board.UART, _BREAK, bytes((self._id,)))
        self._drain()

    def irq(self, handler=-1, trigger=0, hard=False):
        from _uart_more import Irq

        if handler != -1 or trigger:
            handler = None if handler == -1 else handler
            if handler is not None and not callable(handler):
                raise ValueError("handler must be None or callable")
            if trigger & ~4225:
                raise ValueError("trigger 0x%04x unsupported" % (trigger & ~4225))
            if hard:
                raise ValueError("hard IRQ is not supported")
            self.handler = handler
            self.watch(trigger)
        return Irq(self)

    def watch(self, trigger):
        self.trigger = trigger
        _board.handled()
        _board.post(_board.UART, _IRQ, struct.pack("<BH", self._id, trigger))

    def ioctl(self, request, arg):
        if request == _POLL:
            return arg & (_WRITABLE | (_READABLE if self._rx else 0))
        if request == _FLUSH:
            self._drain()
        return 0 if request in (_CLOSE, _FLUSH) else -1

    def __repr__(self):
        from _uart_more import described

        return described(self._id, self._set, self.trigger)

    def _wait(self, size, until=None):
        left = self._set[_TIMEOUT]
        had = self.any()
        while left and not (0 <= size <= had or (until and until in self._rx)):
            end = utime.ticks_add(utime.ticks_ms(), left)
            while self.any() == had and utime.ticks_diff(end, utime.ticks_ms()) > 0:
                _board.wait_ms(utime.ticks_diff(end, utime.ticks_ms()))
            if len(self._rx) == had:
                break
            had = len(self._rx)
            left = self._set[_TIMEOUT_CHAR]


def _received(op, payload):
    uart = _uarts.get(op & ~_EVENT)
    if uart is None:
        return False
    if op & _EVENT:
        return uart.handler and uart.trigger & struct.unpack("<H", payload)[0]
    uart._rx = (uart._rx + payload)[: uart._set[_RXBUF]]  # what does not fit is lost, as in the driver
    return uart.handler and uart.trigger & 1


def _happened(op, payload):
    uart = _uarts.get(op & ~_EVENT)
    if uart and uart.handler:
        uart.flags = struct.unpack("<H", payload)[0] if op & _EVENT else 1
        uart.handler(uart)


_board.on(_board.UART, _happened, _received)
