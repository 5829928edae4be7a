"""The end of a board's console that outside tools open, as they would open ``/dev/ttyUSB0``."""

import asyncio
import contextlib
import os
import pty
import termios
import tty
from collections.abc import Callable

MAX_OUTPUT = 64 * 1024  # bytes waiting for a tool; more holds the VM up if the tool reads, else is lost
READS_S = 1.0  # a tool that took nothing for so long does not read


class ToolEnd:
    """A pseudo-terminal, which there is only so many of: it is there from the first look at ``path``, until ``unplug``.

    ``readable`` is called when a tool has typed, ``roomy`` when what it was sent has gone out.
    """

    def __init__(self, readable: Callable[[], None], roomy: Callable[[], None]) -> None:
        self._readable = readable
        self._roomy = roomy
        self._master = self._slave = -1
        self._path = ""
        self._listening = True
        self._output = bytearray()
        self._taken_at = -READS_S  # when a tool last made room
        self.lost = 0

    @property
    def path(self) -> str:
        if not self._path:
            self._master, self._slave = pty.openpty()
            self._path = os.ttyname(self._slave)
            tty.setraw(self._slave)
            os.set_blocking(self._master, False)
            self.listen(self._listening)
            self._deliver()
        return self._path

    def unplug(self) -> None:
        """No tool is wanted any more: the next look at ``path`` finds another one."""
        if not self._path:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._master)
        loop.remove_writer(self._master)
        os.close(self._master)
        os.close(self._slave)
        self._path = ""

    def listen(self, on: bool) -> None:
        """Whether ``readable`` is called; else the tool waits."""
        self._listening = on
        if self._path and on:
            asyncio.get_running_loop().add_reader(self._master, self._readable)
        elif self._path:
            asyncio.get_running_loop().remove_reader(self._master)

    def read(self, size: int) -> bytes:
        """What a tool has typed; raises BlockingIOError."""
        return os.read(self._master, size)

    def send(self, data: bytes) -> None:
        waiting = bool(self._output)
        self._output += data
        if not waiting:
            self._deliver()

    @property
    def is_full(self) -> bool:
        return len(self._output) > MAX_OUTPUT

    @property
    def reads(self) -> bool:
        """A tool takes what it is sent."""
        return asyncio.get_running_loop().time() - self._taken_at < READS_S

    def forget(self) -> None:
        """What nobody reads is old by the time somebody does."""
        self.lost += len(self._output)
        self._output.clear()
        if self._path:
            termios.tcflush(self._slave, termios.TCIFLUSH)
            asyncio.get_running_loop().remove_writer(self._master)

    def _deliver(self) -> None:
        """Pass on what the terminal takes."""
        if not self._path:
            return
        loop = asyncio.get_running_loop()
        with contextlib.suppress(BlockingIOError):
            del self._output[: os.write(self._master, self._output)]
        if self._output:
            loop.add_writer(self._master, self._taken)
        else:
            loop.remove_writer(self._master)
            self._roomy()

    def _taken(self) -> None:
        self._taken_at = asyncio.get_running_loop().time()
        self._deliver()
