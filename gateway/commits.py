"""Group commit: everything that arrived while the last transaction was being written goes into the next one.

Nothing waits for a timer: one event on a quiet site is committed at once, a storm shares its fsyncs. A failed
commit (disk full) acknowledges nothing, so devices keep their records and offer them again.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from gateway import metrics
from gateway.spool import Arrival, Note, Spool, SpoolError, Stored

# Batches (of up to 32 records) that wait for the disk. More are not acknowledged: devices offer them again.
MAX_WAITING = 2048
MAX_PER_COMMIT = 512
RETRY_S = 1.0

log = structlog.get_logger(__name__)
T = TypeVar("T")


class Commits:
    """The only user of the spool: a queue in front of it and one worker thread that runs its calls."""

    def __init__(self, spool: Spool, on_durable: Callable[[dict[str, int]], None]) -> None:
        self._spool = spool
        self._on_durable = on_durable
        self._queue: asyncio.Queue[Arrival | Note] = asyncio.Queue(MAX_WAITING)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self.failing = False

    def offer(self, item: Arrival | Note) -> bool:
        """Queue for the next commit; False when too much waits already."""
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            return False
        return True

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < MAX_PER_COMMIT and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._commit(batch)

    async def drain(self) -> None:
        """Commit what waits, once: for a clean stop."""
        batch = []
        while not self._queue.empty():
            batch.append(self._queue.get_nowait())
        if batch:
            await self._commit(batch)

    async def acknowledge(self, stream: str, seq: int) -> int | None:
        """Delete what the cloud has; the new durable watermark, or None when the spool failed."""
        try:
            return await self._call(lambda: self._spool.acknowledge(stream, seq))
        except SpoolError as error:
            self._failed(error)  # the rows stay, and are sent and acknowledged once more
            return None

    async def fetch(self, stream: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        return await self._call(lambda: self._spool.fetch(stream, after, limit))

    async def backlog(self) -> dict[str, tuple[int, int]]:
        return await self._call(self._spool.backlog)

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._spool.close()

    async def _commit(self, batch: list[Arrival | Note]) -> None:
        try:
            stored = await self._call(lambda: self._spool.store(batch))
        except SpoolError as error:
            self._failed(error)
            metrics.DROPPED.labels(reason="spool_failed").inc(len(batch))
            await asyncio.sleep(RETRY_S)
            return
        if self.failing:
            self.failing = False
            metrics.SPOOL_FAILING.set(0)
            log.info("spool.works_again")
        self._count(stored)
        self._on_durable(stored.durable)

    def _count(self, stored: Stored) -> None:
        metrics.COMMITS.inc()
        metrics.REPEATED.inc(stored.repeated)
        if stored.over_limit:
            metrics.DROPPED.labels(reason="spool_stream_full").inc(stored.over_limit)
            log.warning("spool.stream_full", records=stored.over_limit)

    def _failed(self, error: SpoolError) -> None:
        if not self.failing:
            log.error("spool.failing", error=str(error))
        self.failing = True
        metrics.SPOOL_FAILING.set(1)
        metrics.SPOOL_ERRORS.inc()

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
