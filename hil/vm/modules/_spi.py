"""machine.SPI and machine.SoftSPI: what goes out and comes back is what the board model has at these pins."""

import _board
import machine
from _board import utime
from _until import until
from micropython import const

_BUS = const(16)  # the channel of the board model

_SPI = const(0x10)
_NO_PIN = const(255)
_CLOCK = const(80000000)
_PIECE = const(4096)


def _number(pin):
    return -1 if pin is None else machine.Pin(pin).gpio


def _take(sck, mosi, miso, polarity):
    """Drive the clock and what goes out, listen to what comes in."""
    for pin, mode, level in (
        (sck, machine.Pin.OUT, polarity),
        (mosi, machine.Pin.OUT, 0),
        (miso, machine.Pin.IN, None),
    ):
        if pin >= 0:
            machine.Pin(pin).init(mode, None, value=level)


def _reversed(data):
    return bytes([int("".join(reversed("{:08b}".format(byte))), 2) for byte in data])


class _Controller:
    MSB, LSB = 0, 1

    def read(self, nbytes, write=0):
        return self._exchange(bytes((write,)) * nbytes)

    def readinto(self, buf, write=0):
        buf[:] = self._exchange(bytes((write,)) * len(buf))

    def write(self, buf):
        self._exchange(buf.encode() if isinstance(buf, str) else bytes(buf))

    def write_readinto(self, write_buf, read_buf):
        if len(write_buf) != len(read_buf):
            raise ValueError("buffers must be the same length")
        data = write_buf.encode() if isinstance(write_buf, str) else bytes(write_buf)
        read_buf[:] = self._exchange(data)

    def _exchange(self, data):
        end = utime.ticks_add(utime.ticks_us(), len(data) * 8000000 // self._baudrate)
        head = bytes([_NO_PIN if pin < 0 else pin for pin in (self._sck, self._mosi, self._miso)])
        if self._firstbit:
            data = _reversed(data)
        answer = b""
        for i in range(0, len(data), _PIECE):
            answer += _board.call(_BUS, _SPI, head + data[i : i + _PIECE])
        until(end)
        return _reversed(answer) if self._firstbit else answer


class SoftSPI(_Controller):
    def __init__(
        self, baudrate=500000, *, polarity=0, phase=0, bits=8, firstbit=0, sck=None, mosi=None, miso=None
    ):
        if bits != 8:
            raise ValueError("bits must be 8")
        if sck is None or mosi is None or miso is None:
            raise ValueError("must specify all of sck/mosi/miso")
        self.init(baudrate, polarity, phase, firstbit=firstbit, sck=sck, mosi=mosi, miso=miso)

    def init(self, baudrate=-1, polarity=-1, phase=-1, *, firstbit=-1, sck=None, mosi=None, miso=None):
        if baudrate != -1:
            fastest = machine.freq() // 200
            half = -(-500000 // baudrate)
            self._baudrate = fastest if baudrate >= fastest else 500000 // half
        self._polarity = self._polarity if polarity == -1 else polarity
        self._phase = self._phase if phase == -1 else phase
        self._firstbit = self._firstbit if firstbit == -1 else firstbit
        self._sck = self._sck if sck is None else _number(sck)
        self._mosi = self._mosi if mosi is None else _number(mosi)
        self._miso = self._miso if miso is None else _number(miso)
        _take(self._sck, self._mosi, self._miso, self._polarity)

    def deinit(self):
        pass

    def __repr__(self):
        return "SoftSPI(baudrate=%d, polarity=%d, phase=%d, firstbit=%d, sck=%d, mosi=%d, miso=%d)" % (
            self._baudrate,
            self._polarity,
            self._phase,
            self._firstbit,
            self._sck,
            self._mosi,
            self._miso,
        )


_DEFAULT_PINS = {1: (14, 13, 12), 2: (18, 23, 19)}
_KEEP = const(-2)


class SPI(_Controller):
    def __new__(cls, id, *args, **more):
        if id == -1:
            print("Warning: SPI(-1, ...) is deprecated, use SoftSPI(...) instead")
            return SoftSPI(*args, **more)
        return super().__new__(cls)

    def __init__(
        self,
        id,
        baudrate=500000,
        *,
        polarity=0,
        phase=0,
        bits=8,
        firstbit=0,
        sck=_KEEP,
        mosi=_KEEP,
        miso=_KEEP,
    ):
        if id not in _DEFAULT_PINS:
            raise ValueError("SPI(%d) doesn't exist" % id)
        self._id = id
        self._sck, self._mosi, self._miso = _DEFAULT_PINS[id]
        self.init(
            baudrate,
            polarity=polarity,
            phase=phase,
            bits=bits,
            firstbit=firstbit,
            sck=sck,
            mosi=mosi,
            miso=miso,
        )

    def init(
        self, baudrate=-1, *, polarity=-1, phase=-1, bits=-1, firstbit=-1, sck=_KEEP, mosi=_KEEP, miso=_KEEP
    ):
        if bits != -1 and bits <= 0:
            raise ValueError("invalid bits")
        if baudrate != -1:
            self._baudrate = _actual(baudrate)
        self._polarity = self._polarity if polarity == -1 else polarity
        self._phase = self._phase if phase == -1 else phase
        self._bits = self._bits if bits == -1 else bits
        self._firstbit = self._firstbit if firstbit == -1 else firstbit
        self._sck = self._sck if sck == _KEEP else _number(sck)
        self._mosi = self._mosi if mosi == _KEEP else _number(mosi)
        self._miso = self._miso if miso == _KEEP else _number(miso)
        _take(self._sck, self._mosi, self._miso, self._polarity)
        self._open = True

    def deinit(self):
        self._open = False

    def _exchange(self, data):
        if not self._open:
            raise OSError("transfer on deinitialized SPI")
        if len(data) * 8 < self._bits:
            raise ValueError("buffer too short")
        return super()._exchange(data)

    def __repr__(self):
        return (
            "SPI(id=%d, baudrate=%d, polarity=%d, phase=%d, bits=%d, firstbit=%d, sck=%d, mosi=%d, miso=%d)"
            % (
                self._id,
                self._baudrate,
                self._polarity,
                self._phase,
                self._bits,
                self._firstbit,
                self._sck,
                self._mosi,
                self._miso,
            )
        )


def _actual(wanted):
    """The rate that the clock's two dividers come nearest to."""
    if wanted > _CLOCK // 4 * 3:
        return _CLOCK
    best = error = None
    for n in range(2, 65):
        pre = min(8192, max(1, (_CLOCK // n + wanted // 2) // wanted))
        rate = _CLOCK // (pre * n)
        if error is None or abs(rate - wanted) <= error:
            best, error = rate, abs(rate - wanted)
    return best
