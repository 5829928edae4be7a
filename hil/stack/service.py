"""A server of ours as a child process: started until it says that it is ready, stopped, or killed as by a fault."""

import asyncio
import json
import os
import signal
from collections import deque
from pathlib import Path
from typing import Any

from protocol.host.child import dying_with_us

READY_DEADLINE_S = 30.0
STOP_DEADLINE_S = 10.0
TAIL_LINES = 25


class ServiceError(Exception):
    """A server did not start; the message holds the end of its log."""


class Service:
    """`start` returns the JSON line that the server prints when it serves. Its log goes to `log`."""

    def __init__(self, name: str, arguments: list[str], log: Path, env: dict[str, str] | None = None) -> None:
        self.name = name
        self.ready: dict[str, Any] = {}
        self.ready_deadline_s = READY_DEADLINE_S
        self._arguments = arguments
        self._log = log
        self.environment = {**os.environ, **(env or {})}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self.running else None

    async def start(self) -> dict[str, Any]:
        """Start, and wait for the ready line. Raises ServiceError; then nothing is left running."""
        if self.running:
            raise ServiceError(f"{self.name} is already running")
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *dying_with_us(self._arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self.environment,
                start_new_session=True,  # Ctrl-C is the bench's to handle, in its order
            )
        try:
            async with asyncio.timeout(self.ready_deadline_s):
                self.ready = await self._ready_line(self._process)
        except (TimeoutError, ServiceError) as error:
            await self.kill()
            raise ServiceError(f"{self.name} did not start: {error}\n{self.tail()}") from None
        return self.ready

    async def _ready_line(self, process: asyncio.subprocess.Process) -> dict[str, Any]:
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line:
            raise ServiceError(f"it ended with status {await process.wait()}")
        facts = json.loads(line)
        if not isinstance(facts, dict) or not facts.get("ready"):
            raise ServiceError(f"it said {line!r}")
        return facts

    async def ended(self) -> int:
        """Wait until the process has ended, by whatever cause; its exit status."""
        if self._process is None:
            raise ServiceError(f"{self.name} was never started")
        return await self._process.wait()

    async def stop(self) -> int | None:
        """SIGTERM, then SIGKILL if it does not end in time; the exit status."""
        return await self._end(signal.SIGTERM)

    async def kill(self) -> int | None:
        """SIGKILL, as a crash or a power loss. Its children die with it."""
        return await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> int | None:
        process = self._process
        if process is None:
            return None
        if process.returncode is None:
            process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_DEADLINE_S):
                return await process.wait()
        except TimeoutError:
            process.kill()
            return await process.wait()

    def tail(self) -> str:
        """The end of the log."""
        with self._log.open(errors="replace") as log:
            return "".join(deque(log, TAIL_LINES))
