"""Writes what happened to the journal: stamps it with the time, commits it in groups, tells who waits for
records.
"""

import asyncio

from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from device.clock import Clock
    from device.counters import Counters
    from device.journal_store import JournalStore

_RETRY_MS = const(1000)
_MAX_RETRY_MS = const(60_000)


class Recorder:
    """`committed` is called after each commit; it must not wait."""

    def __init__(self, store: "JournalStore", clock: "Clock", counters: "Counters") -> None:
        self.store = store
        self._clock = clock
        self._counters = counters
        self._dirty = asyncio.Event()
        self.committed: "Callable[[], None]" = lambda: None

    def record(
        self, kind: int, method: int = 0, status: int = 0, subject: bytes = bytes(8), value: int = 0
    ) -> int:
        """Add one record and return its sequence; it is durable after the next commit."""
        t, u = self._clock.stamp()
        sequence = self.store.add(kind, t, u, method, status, subject, value)
        self._dirty.set()
        return sequence

    def commit(self) -> None:
        """Commit now, before an answer that promises a record. A flash that refuses is counted and tried
        again.
        """
        try:
            if self.store.commit():
                self.committed()
        except OSError:
            self._counters.up("journal_write")

    async def run(self) -> None:
        """Commit what others recorded; back off while the flash refuses."""
        wait = _RETRY_MS
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            failures = self._counters.get("journal_write")
            self.commit()
            if self._counters.get("journal_write") == failures:
                wait = _RETRY_MS
                continue
            await asyncio.sleep_ms(wait)
            wait = min(_MAX_RETRY_MS, wait * 2)
            self._dirty.set()
