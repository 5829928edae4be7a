"""The board's serial console: the VM's terminal on one side, a pty for outside tools on the other.

Two pseudo-terminals, because each has one reader: the VM is on ``vm_terminal`` (a Ctrl-C interrupts
it), tools open ``path`` as they would open ``/dev/ttyUSB0``, and this copies between them and keeps a
bounded log. What nobody reads is lost, as on a UART; a tool that reads is waited for, as by a USB bridge, and so is a
VM that has not yet read what was typed.
"""

import asyncio
import contextlib
import os
import pty
import re
import sys
import termios
from collections.abc import Callable
from fcntl import ioctl

from hil.board.frames import Frames
from hil.board.newlines import Newlines
from hil.board.signals import WaitTimeout
from hil.board.tool_end import READS_S, ToolEnd

MAX_LOG = 256 * 1024
MAX_INPUT = (
    64 * 1024
)  # bytes waiting for a VM that does not read: then tools wait, and what ``write`` types is lost
_CHUNK = 4096
BREAK_S = 0.1  # after which a program that does not take a Ctrl-C is signalled
_CTRL_A, _CTRL_B, _CTRL_C = 0x01, 0x02, 0x03


class Console:
    """``text`` is what the board has printed, ``write`` types at it, ``path`` is the tools' end."""

    def __init__(
        self, interrupt: Callable[[], None], catches: Callable[[], bool], signal: Callable[[], None]
    ) -> None:
        """``interrupt`` asks the VM to raise KeyboardInterrupt, and to ask ``claim_break`` before it does; ``signal`` makes
        it raise one wherever it is. ``catches`` says whether a program runs that Ctrl-C ends, not the REPL, or one that
        takes it as a character, or the compiler, which a signal would kill."""
        self._interrupt = interrupt
        self._catches = catches
        self._send_signal = signal
        self._breaking: asyncio.TimerHandle | None = None
        self._late: asyncio.TimerHandle | None = None
        self._vm_master, self.vm_terminal = pty.openpty()
        self._tool = ToolEnd(self._from_tool, self._tool_has_room)
        _quiet(self.vm_terminal)
        self._log = bytearray()
        self._listeners: list[Callable[[bytes], None]] = []
        self._input = bytearray()
        self._deaf = False  # the input is full
        self._holds = False  # the input waits for a VM
        self._held: asyncio.TimerHandle | None = None
        self._grown = asyncio.Event()
        self._overrun = 0
        self.raw = False
        self._newlines = Newlines()
        self._frames = Frames()
        os.set_blocking(self._vm_master, False)
        asyncio.get_running_loop().add_reader(self._vm_master, self._from_vm)

    @property
    def path(self) -> str:
        return self._tool.path

    def unplug(self) -> None:
        """Give up the tools' end until the next look at ``path``: there are only so many pseudo-terminals."""
        self._tool.unplug()

    @property
    def lost(self) -> int:
        """Bytes that nobody took, of those printed and those typed."""
        return self._overrun + self._tool.lost

    @property
    def text(self) -> str:
        return self._log.decode(errors="replace").replace("\r\n", "\n")

    def clear(self) -> None:
        self._log.clear()

    def write(self, data: bytes | str) -> None:
        """Type at the board."""
        self._to_vm(data.encode() if isinstance(data, str) else data)

    async def wait_for(self, pattern: str, timeout: float) -> re.Match[str]:
        """The first match of a regular expression in the log; raises WaitTimeout with the log's end."""
        compiled = re.compile(pattern, re.MULTILINE)
        try:
            async with asyncio.timeout(timeout):
                while (match := compiled.search(self.text)) is None:
                    self._grown.clear()
                    await self._grown.wait()
                return match
        except TimeoutError:
            tail = self.text[-500:]
            raise WaitTimeout(f"no {pattern!r} on the console after {timeout} s; it ends: {tail!r}") from None

    def listen(self, listener: Callable[[bytes], None]) -> None:
        """Give all that the board prints from now on to ``listener``."""
        self._listeners.append(listener)

    def say(self, text: str) -> None:
        """What the chip itself prints, such as the banner of a soft reset; behind what its VM has printed."""
        while self._from_vm():
            pass
        self._show(self._frames.rest() + text.encode())

    def hold(self) -> None:
        """No VM is behind the console for some time: what is typed meanwhile is for the next one."""
        self._input.clear()
        self._stop_breaking()
        self._holds = True

    def restarted(self, held: bool = False) -> bool:
        """A new VM is behind the console: forget what was typed for the old one, unless it was ``held``, and its terminal
        modes. Whether there is a Ctrl-C for it, which is to find no program."""
        if not held:
            self._input.clear()
        broken_into = _CTRL_C in self._input
        self._holds = False
        self._newlines.restarted()
        self._listen()
        self._stop_breaking()
        termios.tcflush(self.vm_terminal, termios.TCIFLUSH)
        _quiet(self.vm_terminal)
        self._flush()
        return broken_into

    def close(self) -> None:
        self._stop_breaking()
        if self._held is not None:
            self._held.cancel()
        self._tool.unplug()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._vm_master)
        loop.remove_writer(self._vm_master)
        for fd in (self._vm_master, self.vm_terminal):
            os.close(fd)

    def _from_vm(self) -> bool:
        """Show what it has printed; False if that is nothing."""
        try:
            data = os.read(self._vm_master, _CHUNK)
        except BlockingIOError:
            return False
        self._show(self._frames.rest() + data if self._newlines.binary else self._frames.cut(data))
        return True

    def _show(self, data: bytes) -> None:
        """To the log as it is, and to everybody else as a UART would send it."""
        self._log += data
        del self._log[:-MAX_LOG]
        self._grown.set()
        data = data if self._newlines.binary else self._newlines.cooked(data)
        for listener in self._listeners:
            listener(data)
        self._tool.send(data)
        if self._tool.is_full:
            self._overflow()

    def _tool_has_room(self) -> None:
        if self._held is not None:
            self._release()

    def _overflow(self) -> None:
        """Hold the VM up for a tool that reads; forget what nobody reads."""
        loop = asyncio.get_running_loop()
        if self._tool.reads:
            loop.remove_reader(self._vm_master)
            if self._held is None:
                self._held = loop.call_later(READS_S, self._waited)
            return
        self._tool.forget()

    def _waited(self) -> None:
        self._held = None
        if self._tool.is_full:
            self._overflow()
        if self._held is None:
            self._release()

    def _release(self) -> None:
        """Listen to the VM again."""
        if self._held is not None:
            self._held.cancel()
            self._held = None
        asyncio.get_running_loop().add_reader(self._vm_master, self._from_vm)

    def _from_tool(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._to_vm(self._tool.read(min(_CHUNK, MAX_INPUT - len(self._input))))
        if len(self._input) >= MAX_INPUT:
            self._deaf = True
            self._tool.listen(False)

    def _listen(self) -> None:
        """To the tools."""
        self._deaf = False
        self._tool.listen(True)

    def _to_vm(self, data: bytes) -> None:
        space = MAX_INPUT - len(self._input)
        self._overrun += max(0, len(data) - space)
        self._input += data[:space]
        if self._breaking is None and not self._holds:
            self._flush()

    def _flush(self) -> None:
        """Pass on what was typed, up to a Ctrl-C that has to wait for the program to take it."""
        while self._input and self._breaking is None:
            if self._input[0] == _CTRL_C and self._catches():
                self._breaking = asyncio.get_running_loop().call_later(BREAK_S, self._signal)
                self._interrupt()
                break
            end = self._input.find(_CTRL_C, 1)
            if self._input[0] == _CTRL_C:
                if self._late is not None:
                    self._late.cancel()
                self._late = asyncio.get_running_loop().call_later(BREAK_S, self._overtaken)
            if not self._pass_on(len(self._input) if end < 0 else end):
                asyncio.get_running_loop().add_writer(self._vm_master, self._flush)
                return
        asyncio.get_running_loop().remove_writer(self._vm_master)

    def _pass_on(self, count: int) -> bool:
        """Write the first ``count`` bytes; False if the terminal does not take all of them now."""
        try:
            sent = os.write(self._vm_master, self._input[:count])
        except BlockingIOError:
            return False
        self._newlines.typed(bytes(self._input[:sent]))
        for byte in self._input[:sent]:
            if byte in (_CTRL_A, _CTRL_B):
                self.raw = byte == _CTRL_A
        del self._input[:sent]
        if self._deaf and len(self._input) < MAX_INPUT:
            self._listen()
        return sent == count

    @property
    def at_prompt(self) -> bool:
        """The REPL reads, or waits for what a tool types."""
        return not termios.tcgetattr(self.vm_terminal)[3] & termios.ISIG and not self._catches()

    def claim_break(self) -> bool:
        """The VM asks whether it may raise KeyboardInterrupt; False if the signal was faster."""
        if self._breaking is None:
            return False
        self._breaking.cancel()
        self._breaking = None
        del self._input[:1]
        self._flush()
        return True

    def _signal(self) -> None:
        """The program waits for nothing and reads no pin."""
        self._breaking = None
        if self._catches():
            del self._input[:1]
            self._send_signal()
        else:
            self._pass_on(1)
        self._flush()

    def _overtaken(self) -> None:
        """A Ctrl-C typed at the REPL is still unread because a program started first: on a board it would end that."""
        unread = int.from_bytes(ioctl(self.vm_terminal, termios.FIONREAD, bytes(4)), sys.byteorder)
        if unread and self._breaking is None and self._catches():
            self._input[:0] = bytes((_CTRL_C,))
            self._flush()

    def _stop_breaking(self) -> None:
        for timer in (self._breaking, self._late):
            if timer is not None:
                timer.cancel()
        self._breaking = self._late = None


def _quiet(terminal: int) -> None:
    """No echo, no line editing and no byte changed, as a UART. ISIG has no effect: the REPL takes it away while it reads."""
    modes = termios.tcgetattr(terminal)
    modes[0] &= ~(termios.ICRNL | termios.IXON | termios.ISTRIP | termios.INLCR)
    modes[1] &= ~termios.OPOST
    modes[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
    modes[3] |= termios.ISIG
    modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
    for key in (termios.VINTR, termios.VQUIT, termios.VSUSP):
        modes[6][key] = b"\x00"
    termios.tcsetattr(terminal, termios.TCSANOW, modes)
