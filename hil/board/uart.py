"""The board's serial lines: bytes take the time that their baud rate says, and arrive only where the wires lead.

Each line ends at a device outside: a callable that is told what the board sent, or a pseudo-terminal. What is wired from
pin to pin is in hil/board/uart_port.py.
"""

import asyncio
import contextlib
import os
import pty
import tty
from collections.abc import Callable
from typing import TYPE_CHECKING

from hil.board.pins import Pins
from hil.board.signals import Observable, now_us
from hil.board.uart_port import SETTINGS, Port, Settings
from hil.vm.link import UART, Link

if TYPE_CHECKING:
    from hil.board.description import UartPart  # loads pydantic

INIT, WRITE, IRQ, SEND_BREAK = range(4)
_EVENT = 0x10  # added to the number of the UART in an interrupt; without it, bytes came
_BREAK_STRETCH = 2.5  # a break is a zero at 6/15 of the rate
_CHUNK = 4096


class Line:
    """One UART. ``baud`` is what the firmware chose, 0 while it has not. What is sent to a device that has
    another rate, or while the transceiver does not send, is not what arrives."""

    def __init__(self, part: "UartPart", pins: Pins, deliver: Callable[[bytes], None]) -> None:
        self.part = part
        self.baud = Observable[int](f"uart{part.number}_baud", 0)
        self._deliver = deliver
        self._de = None if part.de is None else pins[part.de].level
        self._listener: Callable[[bytes], None] | None = None
        self._symbol_us = 0.0
        self._wired = False
        self._out_free = self._in_free = 0.0
        self._pty: tuple[int, int] | None = None

    def attach(self, listener: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Connect a device: ``listener`` hears the board; what it says goes into the returned callable."""
        self._listener = listener
        return self.say

    def open_pty(self) -> str:
        """Connect a pseudo-terminal, and return the path that a device opens as it would ``/dev/ttyUSB0``."""
        if self._pty is None:
            master, slave = self._pty = pty.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            asyncio.get_running_loop().add_reader(master, self._from_pty, master)
        master, slave = self._pty
        self.attach(lambda data: _write(master, data))
        return os.ttyname(slave)

    def close(self) -> None:
        self._listener = None
        if self._pty is not None:
            asyncio.get_running_loop().remove_reader(self._pty[0])
            for fd in self._pty:
                os.close(fd)
            self._pty = None

    def say(self, data: bytes) -> None:
        """The device sends."""
        self._in_free = end = max(self._in_free, now_us()) + len(data) * self._symbol_us
        self._at(end, lambda: self._arrived(data))

    def configure(self, baud: int, symbols: int, tx: int, rx: int) -> None:
        self._wired = (tx, rx) == (self.part.tx, self.part.rx)
        self._symbol_us = symbols * 1e6 / baud if baud else 0.0
        self.baud.set(baud)

    def send(self, data: bytes, t_us: int) -> None:
        """The firmware sends."""
        begin = max(self._out_free, t_us)
        self._out_free = end = begin + len(data) * self._symbol_us
        if self._listener is None or not self._wired or (self._de is not None and not self._de.value):
            return
        symbol_us = self._symbol_us  # a reset may come in between
        self._at(end, lambda: self._sent(data, begin, symbol_us))

    def _at(self, t_us: float, act: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(max(0.0, t_us - now_us()) / 1e6, act)

    def _sent(self, data: bytes, begin: float, symbol_us: float) -> None:
        if self._de is not None and not self._de.value:
            # The transceiver was switched over: what was on its way then is cut off.
            data = data[: max(0, int((self._de.t_us - begin) / symbol_us))]
        if self._listener is not None and data:
            self._listener(self._as_heard(data))

    def _arrived(self, data: bytes) -> None:
        if self._wired and self.baud.value and not (self._de is not None and self._de.value):
            self._deliver(self._as_heard(data))

    def _as_heard(self, data: bytes) -> bytes:
        """At another rate than the sender's, other bytes."""
        if self.part.baud in (None, self.baud.value):
            return data
        return bytes(~byte & 0xFF for byte in data)

    def _from_pty(self, master: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self.say(os.read(master, _CHUNK))


class Uarts:
    """Channel UART: ``uarts[1]`` is the line at UART 1. A UART that the description does not have is not wired."""

    def __init__(self, link: Link, pins: Pins, parts: "tuple[UartPart, ...]" = ()) -> None:
        self._link = link
        self._pins = pins
        self._ports = {number: self._port(number) for number in (1, 2)}
        self._lines = {part.number: Line(part, pins, self._deliverer(part.number)) for part in parts}
        link.attach(UART, self)

    def __getitem__(self, number: int) -> Line:
        return self._lines[number]

    def handle(self, op: int, payload: bytes) -> bytes | None:
        number, port, line = payload[0], self._ports[payload[0]], self._lines.get(payload[0])
        if op == INIT:
            port.settings = about = Settings(*SETTINGS.unpack(payload[1:]))
            if line is not None:
                line.configure(about.baud, about.symbols, about.tx, about.rx)
        elif op == WRITE:
            if line is not None:
                line.send(payload[1:], self._link.t_us)
            begin, each = port.begin(len(payload) - 1, self._link.t_us)
            for other in self._wired_to(number):
                other.receive(payload[1:], port.settings, begin, each)
        elif op == IRQ:
            port.trigger = int.from_bytes(payload[1:], "little")
        elif op == SEND_BREAK:
            begin, each = port.begin(1, self._link.t_us, _BREAK_STRETCH)
            for other in self._wired_to(number):
                other.receive_break(begin + each)
        return None

    def vm_lost(self) -> None:
        """The chip's UARTs are off after a reset."""
        for port in self._ports.values():
            port.reset()
        for line in self._lines.values():
            line.configure(0, 1, -1, -1)

    def close(self) -> None:
        for line in self._lines.values():
            line.close()

    def _port(self, number: int) -> Port:
        return Port(
            lambda data: self._link.interrupt(UART, number, data),
            lambda flag: self._link.interrupt(UART, _EVENT | number, flag.to_bytes(2, "little")),
        )

    def _wired_to(self, number: int) -> list[Port]:
        """The UARTs whose RX is on the wire of this one's TX."""
        tx = self._ports[number].settings.tx
        if tx < 0:
            return []
        wire = {pin.number for pin in self._pins[tx].net.pins}
        return [port for port in self._ports.values() if port.settings.baud and port.settings.rx in wire]

    def _deliverer(self, number: int) -> Callable[[bytes], None]:
        def deliver(data: bytes) -> None:
            self._link.interrupt(UART, number, data)
            self._ports[number].heard()

        return deliver


def _write(fd: int, data: bytes) -> None:
    """As on a wire, what nobody reads is lost."""
    with contextlib.suppress(BlockingIOError):
        os.write(fd, data)
