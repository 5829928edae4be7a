"""The cloud's live stream, followed over every restart of the cloud: what came, when, and waiting for what comes."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from hil.stack.api import Api

Event = dict[str, Any]
RETRY_S = 0.2


class EventLog:
    """``events`` grows while it is followed; ``heard_s`` is when each came, by id, of ``time.monotonic()``."""

    def __init__(self, api: Callable[[], Api], on_event: Callable[[Event], None] | None = None) -> None:
        """``api`` is asked for at each connection: a cloud that was restarted may be elsewhere."""
        self.events: list[Event] = []
        self.heard_s: dict[str, float] = {}
        self._api = api
        self._on_event = on_event
        self._news = asyncio.Event()
        self._ready = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    def follow(self) -> None:
        """From now on, until ``stop``."""
        self._watcher = asyncio.create_task(self._watch(), name="live stream")

    async def listening(self) -> None:
        """Wait until the stream is open: nothing that happens afterwards is missed."""
        await self._ready.wait()

    async def stop(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])

    async def wait(self, fits: Callable[[Event], bool], deadline_s: float, since: int = 0) -> Event:
        """The first that fits, from the ``since``-th on, past ones included; raises TimeoutError."""
        async with asyncio.timeout(deadline_s):
            while True:
                while since < len(self.events):
                    if fits(self.events[since]):
                        return self.events[since]
                    since += 1
                self._news.clear()
                await self._news.wait()

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(ConnectionClosed, InvalidHandshake, OSError, TimeoutError):
                async with self._api().stream(self.events[-1]["id"] if self.events else None) as stream:
                    self._ready.set()
                    while True:
                        self._take(await stream.next_event())
            await asyncio.sleep(RETRY_S)

    def _take(self, event: Event) -> None:
        self.events.append(event)
        self.heard_s[event["id"]] = time.monotonic()
        if self._on_event is not None:
            self._on_event(event)
        self._news.set()
