"""machine.ADC and machine.ADCBlock of an ESP32: its channels, attenuations and widths; the voltage is the board model's."""

import struct

import _board
import machine
from micropython import const

_BUS = const(16)  # the channel of the board model

_ADC = const(0x30)
_CHANNELS = (
    (36, 37, 38, 39, 32, 33, 34, 35),  # GPIO numbers of block 1, then of block 2
    (4, 0, 2, 15, 13, 12, 14, 27, 25, 26),
)
_FULL_SCALE_UV = (1100000, 1467000, 2195000, 3903000)  # 1.1 V behind each attenuation
_adcs = {}


class ADCBlock:
    def __new__(cls, id, *, bits=-1):
        if id not in (1, 2):
            raise ValueError("invalid block id")
        return _blocks[id - 1]

    def __init__(self, id, *, bits=-1):
        self.init(bits=bits)

    def init(self, *, bits=-1):
        if bits != -1:
            if bits not in (9, 10, 11, 12):
                raise ValueError("invalid bits")
            self.bits = bits

    def connect(self, *where, **more):
        pins = _CHANNELS[self.id - 1]
        pin = None
        for it in where:
            if isinstance(it, int):
                if not 0 <= it < len(pins):
                    raise ValueError("no matching ADC")
                found = pins[it]
            else:
                found = machine.Pin(it).gpio
            if found not in pins or pin not in (None, found):
                raise ValueError("no matching ADC")
            pin = found
        return ADC(machine.Pin(pin), **more)

    def __repr__(self):
        return "ADCBlock(%d, bits=%d)" % (self.id, self.bits)


def _block(number):
    block = object.__new__(ADCBlock)
    block.id, block.bits = number, 12
    return block


_blocks = (_block(1), _block(2))


class ADC:
    ATTN_0DB, ATTN_2_5DB, ATTN_6DB, ATTN_11DB = range(4)
    WIDTH_9BIT, WIDTH_10BIT, WIDTH_11BIT, WIDTH_12BIT = range(9, 13)

    def __new__(cls, id, **more):
        gpio = machine.Pin(id).gpio
        adc = _adcs.get(gpio)
        if adc is None:
            for number, pins in enumerate(_CHANNELS):
                if gpio in pins:
                    adc = _adcs[gpio] = super().__new__(cls)
                    adc._gpio, adc._atten = gpio, 0
                    adc._in = _blocks[number]
                    machine.Pin(gpio).init(machine.Pin.IN, None)
        if adc is None:
            raise ValueError("invalid pin")
        return adc

    def __init__(self, id, *, atten=-1):
        self.init(atten=atten)

    def init(self, *, atten=-1):
        if atten != -1:
            self.atten(atten)

    def atten(self, atten):
        if not 0 <= atten <= 3:
            raise ValueError("invalid atten")
        self._atten = atten

    def width(self, bits):
        self._in.init(bits=bits)

    def block(self):
        return self._in

    def _uv(self):
        uv = struct.unpack("<I", _board.call(_BUS, _ADC, bytes((self._gpio,))))[0]
        return min(uv, _FULL_SCALE_UV[self._atten])

    def read(self):
        top = (1 << self._in.bits) - 1
        return (self._uv() * top + _FULL_SCALE_UV[self._atten] // 2) // _FULL_SCALE_UV[self._atten]

    def read_u16(self):
        bits, raw = self._in.bits, self.read()
        return raw << 16 - bits | raw >> 2 * bits - 16

    def read_uv(self):
        return self._uv() // 1000 * 1000

    def __repr__(self):
        return "ADC(Pin(%d), atten=%d)" % (self._gpio, self._atten)
