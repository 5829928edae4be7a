"""Long-polls on action attempts: who waits for which attempt to finish, in this process."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Waiters:
    """Wakes every request that waits for an attempt."""

    def __init__(self) -> None:
        self._events: dict[str, tuple[asyncio.Event, int]] = {}

    @contextmanager
    def watch(self, attempt_id: str) -> Iterator[asyncio.Event]:
        """The event that is set when the attempt finishes; enter *before* reading its status."""
        event, count = self._events.get(attempt_id, (asyncio.Event(), 0))
        self._events[attempt_id] = (event, count + 1)
        try:
            yield event
        finally:
            event, count = self._events[attempt_id]
            if count == 1:
                del self._events[attempt_id]
            else:
                self._events[attempt_id] = (event, count - 1)

    def wake(self, attempt_id: str) -> None:
        """The attempt has finished and that is committed."""
        if attempt_id in self._events:
            self._events[attempt_id][0].set()
