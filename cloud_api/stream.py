"""Live events: one bounded queue per WebSocket client, fed after each commit, and caught up from the store.

A client names the last event it has seen. Its last read of the store comes after its subscription, so what
commits in between arrives twice here and is dropped once: nothing is missed and nothing is repeated. A client
that cannot keep up is closed with a clear code and comes back with its cursor; it never slows the others or
grows our memory.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.db.database import Database
from cloud_api.db.models import Event
from cloud_api.events import show_event
from cloud_api.metrics import Metrics
from cloud_api.settings import STREAM_CLIENTS, STREAM_QUEUE

CATCH_UP_PAGE = 200


@dataclass(frozen=True)
class Committed:
    """An event that is in the store."""

    order: int
    organisation_id: str
    body: dict[str, Any]


@dataclass(eq=False)
class Subscription:
    """One client's queue. `overflowed` is set once and for all when it falls too far behind."""

    organisation_id: str
    queue: asyncio.Queue[Committed] = field(default_factory=lambda: asyncio.Queue(STREAM_QUEUE))
    overflowed: bool = False


class Hub:
    """Fans committed events out to the clients of their organisation."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._clients: dict[str, set[Subscription]] = {}
        self.closing = asyncio.Event()
        self._sockets = 0
        self._all_left = asyncio.Event()

    @contextmanager
    def socket(self) -> Iterator[None]:
        """One open WebSocket, whatever it does."""
        self._sockets += 1
        try:
            yield
        finally:
            self._sockets -= 1
            if self._sockets == 0:
                self._all_left.set()

    async def close(self, deadline: float) -> None:
        """Tell every client that the server goes away, and let them hear it."""
        self._all_left.clear()
        self.closing.set()
        if self._sockets:
            with suppress(TimeoutError):
                async with asyncio.timeout(deadline):
                    await self._all_left.wait()

    def subscribe(self, organisation_id: str) -> Subscription | None:
        """Start to receive; None when too many clients are connected."""
        if sum(len(s) for s in self._clients.values()) >= STREAM_CLIENTS:
            return None
        subscription = Subscription(organisation_id)
        self._clients.setdefault(organisation_id, set()).add(subscription)
        self._metrics.streams.inc()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop to receive."""
        clients = self._clients.get(subscription.organisation_id, set())
        clients.discard(subscription)
        if not clients:
            self._clients.pop(subscription.organisation_id, None)
        self._metrics.streams.dec()

    def publish(self, events: list[Event]) -> None:
        """Hand on what has just been committed, in the order of commits."""
        for event in events:
            clients = self._clients.get(event.organisation_id)
            if clients:
                self._fan_out(
                    clients,
                    Committed(event.ord, event.organisation_id, show_event(event).model_dump(mode="json")),
                )

    @staticmethod
    def _fan_out(clients: set[Subscription], event: Committed) -> None:
        for client in clients:
            try:
                client.queue.put_nowait(event)
            except asyncio.QueueFull:
                client.overflowed = True


def _page(session: Session, organisation_id: str, after: int) -> list[Committed]:
    rows = session.scalars(
        select(Event)
        .where(Event.organisation_id == organisation_id, Event.ord > after)
        .order_by(Event.ord)
        .limit(CATCH_UP_PAGE)
    )
    return [Committed(r.ord, r.organisation_id, show_event(r).model_dump(mode="json")) for r in rows]


async def catch_up(db: Database, organisation_id: str, after: int) -> list[Committed]:
    """The next page of stored events after position `after`; empty when there are none."""
    return await db.read(lambda session: _page(session, organisation_id, after))
