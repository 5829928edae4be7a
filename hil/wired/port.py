"""A board on a serial port, taken from what it was doing: code runs on it over MicroPython's raw REPL."""

import ast
import contextlib
import errno
import io
import struct
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import serial
from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport
from serial.tools import list_ports

BAUD = 115200
ANSWER_S = 10
ATTEMPTS = 3  # a board that is booting takes no Ctrl-C
KNOCK_S = 1  # opening the port resets many a board, and MicroPython is there after a second or two
KNOCKS = 5

# The firmware's watchdog outlives the interruption of its program on an ESP32, and would reset the board in the midst
# of this. Who takes a board resets it at the end.
_FEED = "import machine\nmachine.WDT(timeout=60000).feed()"
_RESET = "import machine\nmachine.reset()"


class PortError(Exception):
    """There is no board to work with; the message says what to do."""


class Silent(PortError):
    """Nobody answers on the port."""


class Refused(Exception):
    """The board raised an exception: ``kind`` and what it says."""

    def __init__(self, traceback: str) -> None:
        last = (traceback.strip().splitlines() or ["nothing"])[-1]
        self.kind, _, self.what = last.partition(": ")
        super().__init__(last)


class BoardPort:
    """``with BoardPort(port) as board``: its program is interrupted, its heap is empty, and it restarts at the end."""

    def __init__(self, port: str) -> None:
        self.port = port
        self._transport: Any = None
        self._lost = False

    def __enter__(self) -> Self:
        _try_to_open(self.port)
        with self._telling():
            self._transport = SerialTransport(self.port, BAUD, timeout=ANSWER_S)
        try:
            self._take()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._lost:
            with contextlib.suppress(PortError), self._telling():
                self._transport.exec_raw_no_follow(_RESET)
        self._close()

    def run(self, code: str) -> str:
        """What the code prints. Raises Refused if it raises, PortError if the board is gone."""
        with self._telling():
            try:
                return str(self._transport.exec(code).decode())
            except TransportExecError as error:
                raise Refused(error.error_output) from None

    def ask(self, code: str) -> Any:
        """The value that the code prints as a literal."""
        printed = self.run(code)
        try:
            return ast.literal_eval(printed.strip())
        except (ValueError, SyntaxError):
            raise PortError(f"the board on {self.port} answers {printed[-100:]!r}") from None

    def feed(self) -> None:
        """Keep a watchdog that was started before from resetting the board."""
        with contextlib.suppress(Refused):
            self.run(_FEED)

    def _take(self) -> None:
        for attempt in range(ATTEMPTS):
            try:
                self._knock()
                with self._telling():
                    self._transport.enter_raw_repl(soft_reset=True)
                self._lost = False
                self.feed()
                return
            except Silent:
                raise
            except PortError:
                if attempt == ATTEMPTS - 1:
                    raise PortError(
                        f"no MicroPython answers on {self.port}: is it the right port, and is MicroPython on the board?"
                    ) from None

    def _knock(self) -> None:
        """Interrupt its program; raises Silent for a port on which nobody answers."""
        stream = self._transport.serial
        stream.timeout = KNOCK_S
        for _ in range(KNOCKS):
            with contextlib.suppress(PortError), self._telling():
                self._transport.enter_raw_repl(soft_reset=False, timeout_overall=KNOCK_S)
                stream.timeout = ANSWER_S
                return
        raise Silent(
            f"nothing answers on {self.port} within {KNOCKS * KNOCK_S} s: check that it is the board's port and that the board "
            "has power; press its reset button and run this again at once. A board without MicroPython needs that first."
        )

    @contextlib.contextmanager
    def _telling(self) -> Any:
        """What mpremote and pyserial raise, as one error; and what mpremote prints, not at all."""
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        except (TransportError, OSError, struct.error) as error:
            self._lost = True
            reason = str(error) or type(error).__name__
            raise PortError(f"the board on {self.port} was lost: {reason}") from error

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            self._transport.close()


def _try_to_open(port: str) -> None:
    """Say why a port cannot be opened, which mpremote does not."""
    try:
        serial.Serial(port, BAUD, exclusive=True).close()
    except serial.SerialException as error:
        raise PortError(_reason(port, error)) from None


def _reason(port: str, error: serial.SerialException) -> str:
    if not Path(port).exists() or error.errno == errno.ENOENT:
        ports = ", ".join(sorted(found.device for found in list_ports.comports())) or "none"
        return f"there is no port {port}; the serial ports of this machine: {ports}"
    if error.errno in (errno.EBUSY, errno.EAGAIN):
        return f"{port} is in use: close the program that has it open (a terminal, another mpremote)"
    if error.errno == errno.EACCES:
        return f"you may not open {port}: join the group that owns it (often dialout), or use sudo"
    return f"{port} cannot be opened: {error}"
