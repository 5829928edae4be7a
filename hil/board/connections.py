"""The TCP connections of a board that pass through the bench, by whomever they were made."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from hil.board.passage import Passage
from hil.board.routes import Routes
from hil.board.way import Quality
from hil.log import Log

log = Log(__name__)

MAX_CONNECTIONS = 64  # of a board, those that are being made among them


class Host(Protocol):
    """What decides the fate of packets."""

    quality: Quality
    seed: int | str


class Connections:
    """``resets`` counts how often all were reset: who makes one tells ``join`` what it was as he began.

    ``on_new`` is called before each is made."""

    def __init__(self, host: Host, routes: Routes, on_new: Callable[[], None]) -> None:
        self.routes = routes
        self.resets = 0
        self._host = host
        self._on_new = on_new
        self._made = 0
        self._passages: set[Passage] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._passages)

    @property
    def full(self) -> bool:
        return len(self._tasks) >= MAX_CONNECTIONS

    @property
    def quality(self) -> Quality:
        return self._host.quality

    def reseed(self) -> None:
        self._made = 0

    def next_seed(self) -> str:
        self._made += 1
        return f"{self._host.seed} {self._made}"

    def half_open(self) -> None:
        for passage in self._passages:
            passage.forget()

    def reset(self) -> None:
        self.resets += 1
        for passage in self._passages:
            passage.abort()

    def spawn(self, work: "Coroutine[Any, Any, None]") -> None:
        """Make a connection, and see it to its end."""
        self._on_new()
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def join(
        self,
        near: socket.socket,
        far: socket.socket,
        seed: str,
        passes: Callable[[], bool],
        resets: int,
        window: int,
    ) -> None:
        """Carry what is said between the board and a peer. Ends with the connection."""
        passage = Passage(near, far, seed, lambda: self._host.quality, self.routes, passes, window)
        self._passages.add(passage)
        if resets != self.resets:
            asyncio.get_running_loop().call_soon(passage.abort)
        try:
            await passage.run()
        finally:
            self._passages.discard(passage)

    async def flushed(self, timeout: float) -> None:
        """Wait for them to end, at most so many seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)

    def close(self) -> None:
        self.reset()
        for task in tuple(self._tasks):
            task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, OSError):  # those are how connections end
            log.error("connection_failed", exc_info=error)
