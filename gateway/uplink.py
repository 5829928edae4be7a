"""Drains the spool towards the cloud: in order within a stream, batches in flight, again after a silence.

The cloud acknowledges with a watermark after its commit. Without one in time, or after a new session, a
stream goes back to its watermark; one that the cloud will not take backs off and never holds up the others.
"""

import asyncio
import collections
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from gateway import metrics
from gateway.spool import SpoolError

BATCH = 32
STREAM_WINDOW = 8
TOTAL_WINDOW = 64
ACK_DEADLINE_S = 5.0
MAX_BACK_OFF_S = 60.0
SPOOL_RETRY_S = 1.0

log = structlog.get_logger(__name__)
Rows = list[tuple[int, bytes]]


@dataclass
class _Stream:
    sent: int = 0
    in_flight: collections.deque[int] = field(default_factory=collections.deque)  # last seq of each batch
    deadline: float = 0.0
    not_before: float = 0.0
    silences: int = 0

    @property
    def window(self) -> int:
        return 1 if self.silences else STREAM_WINDOW


class Uplink:
    """Decides what to send when. `send(stream, rows)` returns False while the link cannot take more."""

    def __init__(
        self,
        fetch: Callable[[str, int, int], Awaitable[Rows]],
        backlog: Callable[[], Awaitable[dict[str, tuple[int, int]]]],
        send: Callable[[str, Rows], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._backlog = backlog
        self._send = send
        self._clock = clock
        self._streams: dict[str, _Stream] = {}
        self._ready: dict[str, None] = {}  # an ordered set: streams take turns
        self._in_flight = 0
        self._up = False
        self._restart = False
        self._wake = asyncio.Event()

    def link_changed(self, up: bool) -> None:
        """A new session starts every stream at its watermark again; what was in flight may be lost."""
        self._up = up
        self._restart = up
        self._wake.set()

    def writable(self) -> None:
        """The link takes data again."""
        self._wake.set()

    def stored(self, stream: str) -> None:
        """The stream has new rows."""
        self._streams.setdefault(stream, _Stream())
        self._ready[stream] = None
        self._wake.set()

    def knows(self, stream: str) -> bool:
        """Whether this stream had rows since we started."""
        return stream in self._streams

    def acknowledged(self, name: str, seq: int) -> None:
        """The cloud has everything of this stream up to `seq`."""
        stream = self._streams.get(name)
        if stream is None:
            return
        progress = False
        while stream.in_flight and stream.in_flight[0] <= seq:
            stream.in_flight.popleft()
            self._in_flight -= 1
            progress = True
        stream.sent = max(stream.sent, seq)
        if progress:
            stream.silences = 0
            stream.deadline = self._clock() + ACK_DEADLINE_S
            self._ready[name] = None
            self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            self._wake.clear()
            try:
                if self._up:
                    if self._restart:
                        await self._start_over()
                    await self._send_ready()
            except SpoolError as error:
                log.error("uplink.spool_failed", error=str(error))
                self._restart = True
                await asyncio.sleep(SPOOL_RETRY_S)
                self._wake.set()
            await self._wait()

    async def _wait(self) -> None:
        due = self._next_due()
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                await self._wake.wait()
        except TimeoutError:
            self._expire()

    def _next_due(self) -> float | None:
        if not self._up:
            return None
        times = [s.deadline for s in self._streams.values() if s.in_flight]
        now = self._clock()
        times += [self._streams[n].not_before for n in self._ready if self._streams[n].not_before > now]
        return min(times, default=None)

    def _expire(self) -> None:
        now = self._clock()
        for name, stream in self._streams.items():
            if stream.in_flight and stream.deadline <= now:
                self._rewind(name, stream)
                stream.silences += 1
                pause = min(ACK_DEADLINE_S * 2**stream.silences, MAX_BACK_OFF_S)
                stream.not_before = now + pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
                metrics.RESENT.inc()
                log.warning("uplink.no_acknowledgement", stream=name, silences=stream.silences)

    def _rewind(self, name: str, stream: _Stream) -> None:
        self._in_flight -= len(stream.in_flight)
        stream.in_flight.clear()
        stream.sent = 0  # rows that the cloud has acknowledged are gone: the first that is left is the next
        self._ready[name] = None

    async def _start_over(self) -> None:
        self._restart = False
        for name, stream in self._streams.items():
            self._rewind(name, stream)
            stream.silences, stream.not_before = 0, 0.0
        for name in await self._backlog():
            self.stored(name)

    async def _send_ready(self) -> None:
        for name in list(self._ready):
            if self._streams[name].not_before > self._clock():
                continue
            del self._ready[name]  # before the fetch: what is stored meanwhile makes it ready again
            if not await self._send_stream(name, self._streams[name]):
                self._ready[name] = None
                return

    async def _send_stream(self, name: str, stream: _Stream) -> bool:
        """Fill the stream's window. False when all streams must wait."""
        while len(stream.in_flight) < stream.window:
            if self._in_flight >= TOTAL_WINDOW:
                return False
            rows = await self._fetch(name, stream.sent, BATCH)
            if self._restart or not self._up:
                return False
            if not rows:
                return True
            if not self._send(name, rows):
                return False  # `writable` or `link_changed` brings us back
            if not stream.in_flight:
                stream.deadline = self._clock() + ACK_DEADLINE_S
            stream.sent = rows[-1][0]
            stream.in_flight.append(stream.sent)
            self._in_flight += 1
        return True  # its next acknowledgement makes it ready again
