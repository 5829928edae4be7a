"""A MicroPython VM with only the Bluetooth channel connected: what the radio's tests run firmware on."""

import asyncio
import os
import socket
import sys
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from hil.radio.medium import Medium
from hil.radio.path_loss import Position
from hil.radio.peripheral import Peripheral
from hil.vm import wire
from hil.vm.image import ROOT, bench_folder
from hil.vm.link import Link

DEADLINE = 20.0
MAX_LINES = 1000
MICROPYTHON = Path(sys.executable).parent / "micropython"


class RadioVm:
    """``script`` runs at once; what it prints comes out of ``line``."""

    def __init__(
        self, medium: Medium, script: Path, *arguments: str, mac: str, position: Position | None = None
    ) -> None:
        self.link = Link(mac)
        interrupt = partial(self.link.interrupt, wire.BLE)
        self.peripheral = Peripheral(medium, mac, interrupt, bytes.fromhex(mac), position)
        self.link.attach(wire.BLE, self.peripheral)
        self.printed: list[str] = []
        self._command = [str(MICROPYTHON), "-X", "heapsize=160K", str(script), *arguments]
        self._lines: asyncio.Queue[str] = asyncio.Queue(MAX_LINES)
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        ours, theirs = socket.socketpair()
        path = os.pathsep.join((str(bench_folder()), ".frozen", str(ROOT)))
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env={"LATCHWORK_LINK": str(theirs.fileno()), "MICROPYPATH": path},
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        self.link.connect(ours)
        self._reader = asyncio.create_task(self._read(self._process.stdout))

    async def _read(self, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        async for raw in stream:
            line = raw.decode().rstrip()
            self.printed.append(line)
            self.on_line(line)
            self._lines.put_nowait(line)

    def on_line(self, line: str) -> None:
        """For who looks at more than ``line``."""

    def write(self, data: bytes) -> None:
        """To the VM's stdin."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(data)

    async def line(self, start: str) -> str:
        """The rest of the next printed line that begins with ``start``."""
        try:
            async with asyncio.timeout(DEADLINE):
                while not (line := await self._lines.get()).startswith(start):
                    assert "Traceback" not in line, "\n".join(self.printed)
        except TimeoutError:
            raise AssertionError(f"no line {start!r} in\n" + "\n".join(self.printed)) from None
        return line[len(start) :].strip()

    async def power_cut(self) -> None:
        """Kill the VM; its radio falls silent."""
        assert self._process is not None
        assert self._reader is not None
        if self._process.returncode is None:
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()
        await self._reader
        self.link.disconnect()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.power_cut()
        if kind is not None:
            print("\n".join(self.printed))
