"""machine.UART: bytes go to and come from the line that the board model has at these pins, at the line's speed."""

import struct
from io import IOBase

import _board
import utime
from micropython import const

_INIT = const(0)
_WRITE = const(1)
_POLL = const(3)  # requests of ioctl
_CLOSE = const(4)
_READABLE = const(1)
_WRITABLE = const(4)
_uarts = {}


def _number(pin):
    return pin.gpio if hasattr(pin, "gpio") else -1 if pin is None else pin


class UART(IOBase):
    INV_TX, INV_RX, RTS, CTS = 32, 4, 1, 2
    IRQ_RX, IRQ_BREAK, IRQ_RXIDLE = 1, 128, 4096

    def __new__(cls, id, *args, **kwargs):
        uart = _uarts.get(id)
        if uart is None:
            if id not in (1, 2):  # 0 is the console's
                raise ValueError("UART(%d) doesn't exist" % id)
            uart = _uarts[id] = super().__new__(cls)
            uart._id = id
            uart._handler = None
            uart._set = [115200, 8, None, 1, -1, -1, 0, 0, 256]
            uart._free = utime.ticks_us()  # when all that was written has gone out
        return uart

    def __init__(self, id, *args, **kwargs):
        self.init(*args, **kwargs)

    def init(self, baudrate=-1, bits=-1, parity=-1, stop=-1, *, tx=-1, rx=-1, **more):
        s = self._set
        for i, x in enumerate((baudrate, bits, parity, stop, _number(tx), _number(rx))):
            if x != -1:
                s[i] = x
        for i, name in ((6, "timeout"), (7, "timeout_char"), (8, "rxbuf")):
            s[i] = more.get(name, s[i])
        if not 0 < s[0] <= 5000000 or not 5 <= s[1] <= 8 or s[2] not in (None, 0, 1) or s[3] not in (1, 2):
            raise ValueError("invalid UART setting")
        self._rx = b""
        self._symbols = 1 + s[1] + (s[2] is not None) + s[3]
        _board.call(_board.UART, _INIT, struct.pack("<BIBbb", self._id, s[0], self._symbols, s[4], s[5]))

    def deinit(self):
        _uarts.pop(self._id, None)
        _board.call(_board.UART, _INIT, struct.pack("<BIBbb", self._id, 0, 1, -1, -1))

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
        data = bytes(data)
        now = utime.ticks_us()
        if utime.ticks_diff(self._free, now) < 0:
            self._free = now
        self._free = utime.ticks_add(self._free, len(data) * self._symbols * 1000000 // self._set[0])
        for i in range(0, len(data), 1024):
            _board.post(_board.UART, _WRITE, bytes((self._id,)) + data[i : i + 1024])
        return len(data)

    def txdone(self):
        return utime.ticks_diff(utime.ticks_us(), self._free) >= 0

    def flush(self):
        left = utime.ticks_diff(self._free, utime.ticks_us())
        if left > 0:
            utime.sleep_us(left)

    def irq(self, handler=None, trigger=0, hard=False):
        self._handler = handler if trigger else None
        return self

    def ioctl(self, request, arg):
        if request == _POLL:
            return arg & (_WRITABLE | (_READABLE if self._rx else 0))
        return 0 if request == _CLOSE else -1

    def _wait(self, size, until=None):
        left = self._set[6]
        had = self.any()
        while left and not (0 <= size <= had or (until and until in self._rx)):
            end = utime.ticks_add(utime.ticks_ms(), left)
            while self.any() == had and utime.ticks_diff(end, utime.ticks_ms()) > 0:
                _board.wait_ms(utime.ticks_diff(end, utime.ticks_ms()))
            if len(self._rx) == had:
                break
            had = len(self._rx)
            left = self._set[7]


def _received(op, payload):
    uart = _uarts.get(op)
    if uart is None:
        return False
    uart._rx = (uart._rx + payload)[: uart._set[8]]  # what does not fit is lost, as in the driver
    return uart._handler


def _idle(op, payload):
    uart = _uarts.get(op)
    if uart and uart._handler:
        uart._handler(uart)


_board.on(_board.UART, _idle, _received)
