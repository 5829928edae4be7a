"""The parts of a running cloud, in one place: made by `server`, handed to routes and workers."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from cloud_api.attempts import Waiters
from cloud_api.auth import Tokens
from cloud_api.authority import Authority
from cloud_api.db.database import Database
from cloud_api.doorkeeper import Doorkeeper
from cloud_api.fleet import Fleet
from cloud_api.metrics import Metrics
from cloud_api.mqtt import Link
from cloud_api.secrets import Vault
from cloud_api.settings import Settings
from cloud_api.stream import Hub

if TYPE_CHECKING:
    from cloud_api.commands import AttemptOut

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Cloud:
    """Everything that a request or a worker may need."""

    settings: Settings
    db: Database
    vault: Vault
    authority: Authority
    tokens: Tokens
    fleet: Fleet
    link: Link
    hub: Hub
    waiters: "Waiters[AttemptOut]"
    metrics: Metrics
    doorkeeper: Doorkeeper
    # Idempotency keys whose first request still runs here: (organisation, key).
    running_posts: set[tuple[str, str]] = field(default_factory=set)
    # Some device may have an older configuration than it should, or lack a file; some attempt may be due.
    converge: asyncio.Event = field(default_factory=asyncio.Event)
    offers: asyncio.Event = field(default_factory=asyncio.Event)
    expiry: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` beside the request that started it; what it raises is logged, not lost."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.metrics.worker_errors.labels("background").inc()
            log.error("background_failed", exc_info=error)

    async def drain(self) -> None:
        """Wait for what runs in the background; each has its own deadline."""
        if self._tasks:
            await asyncio.wait(self._tasks)
