"""machine.UART with all that the port's has: breaks, a transmitter that blocks, inversion, the object of its interrupt."""

import _board
import _uart
import machine
from _until import until
from micropython import const

_BREAK = const(3)
_FIFO = const(128)
_LINES = (("INV_TX", 32), ("INV_RX", 4), ("INV_RTS", 64), ("INV_CTS", 8))
_FLOWS = (("RTS", 1), ("CTS", 2))
_IRQS = const(4225)  # IRQ_RX, IRQ_BREAK and IRQ_RXIDLE


class _Irq:
    def __init__(self, uart):
        self._uart = uart

    def flags(self):
        return self._uart.flags

    def trigger(self, new=None):
        was = self._uart.trigger
        if new is not None:
            self._uart.irq(self._uart.handler, new)
        return was

    def __call__(self):
        self._uart.handler(self._uart)


class UART(_uart.UART):
    INV_RTS, INV_CTS = 64, 8
    rts = cts = -1
    txbuf, flow = 256, 0
    handler = None
    trigger = 0

    def init(self, baudrate=0, bits=0, parity=-1, stop=0, *, invert=None, flow=None, **more):
        if invert is not None and invert & ~108:
            raise ValueError("invalid inversion mask")
        if flow is not None and flow & ~3:
            raise ValueError("invalid flow control mask")
        self.invert = self.invert if invert is None else invert
        self.flow = self.flow if flow is None else flow
        self.txbuf = more.pop("txbuf", self.txbuf)
        for name in ("rts", "cts"):
            if name in more:
                setattr(self, name, machine.Pin(more.pop(name)).gpio)
        super().init(baudrate, bits, parity, stop, **more)
        machine.Pin(self.tx).init(
            machine.Pin.OUT, None, value=not self.invert & self.INV_TX
        )  # an idle line is high
        machine.Pin(self.rx).init(machine.Pin.IN, machine.Pin.PULL_UP)

    def write(self, data):
        count = super().write(data)
        self.flush(
            self.txbuf + _FIFO
        )  # what neither the buffer nor the hardware has room for has to go out first
        return count

    def sendbreak(self):
        from _board import utime

        self.flush()
        symbols = 1 + self.bits + (self.parity is not None) + self.stop
        end = utime.ticks_add(utime.ticks_us(), symbols * 2500000 // self.baudrate)
        _board.post(_board.UART, _BREAK, bytes((self.id,)))
        until(end)

    def irq(self, handler=-1, trigger=0, hard=False):
        if handler != -1 or trigger:
            handler = None if handler == -1 else handler
            if handler is not None and not callable(handler):
                raise ValueError("handler must be None or callable")
            if trigger & ~_IRQS:
                raise ValueError("trigger 0x%04x unsupported" % (trigger & ~_IRQS))
            if hard:
                raise ValueError("hard IRQ is not supported")
            self.handler, self.trigger = handler, trigger
            super().irq(handler, trigger)
        return _Irq(self)

    def __repr__(self):
        values = (
            self.id,
            self.baudrate,
            self.bits,
            self.parity,
            self.stop,
            self.tx,
            self.rx,
            self.rts,
            self.cts,
        )
        text = "UART(%d, baudrate=%d, bits=%d, parity=%s, stop=%d, tx=%d, rx=%d, rts=%d, cts=%d" % values
        values = (self.txbuf, self.rxbuf, self.timeout, self.timeout_char, self.trigger)
        text += ", txbuf=%d, rxbuf=%d, timeout=%d, timeout_char=%d, irq=%d" % values
        for name, value, flags in (("invert", self.invert, _LINES), ("flow", self.flow, _FLOWS)):
            if value:
                text += ", %s=%s" % (name, "|".join([flag for flag, bit in flags if value & bit]))
        return text + ")"
