"""Long-polls on action attempts: who waits for which attempt to finish, in this process."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiters(Generic[T]):
    """Hands the finished attempt to every request that waits for it."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[T]]] = {}

    @contextmanager
    def watch(self, attempt_id: str) -> Iterator[asyncio.Future[T]]:
        """A future of the finished attempt; enter *before* reading its status."""
        ended: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(attempt_id, set())
        waiting.add(ended)
        try:
            yield ended
        finally:
            waiting.remove(ended)
            if not waiting:
                self._waiting.pop(attempt_id, None)

    def wake(self, attempt_id: str, attempt: T) -> None:
        """The attempt has finished as `attempt`, and that is committed."""
        for ended in self._waiting.get(attempt_id, ()):
            if not ended.done():
                ended.set_result(attempt)
