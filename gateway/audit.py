"""The gateway's own audit events, in the same spool and with the same guarantees as a device's journal.

Whoever knocks at the broker's door decides how often something is refused, so equal events are folded: the
first is written at once, those that follow within FOLD_S become one event with a count.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import structlog

from gateway import metrics
from gateway.spool import Note

FOLD_S = 30.0
# Different events that are folded at once. A flood of invented names shares one place, "other".
MAX_FOLDED = 256
# No field of an event is longer: names and topics come from strangers.
MAX_TEXT = 128

log = structlog.get_logger(__name__)


class Audit:
    """Writes events as notes of the gateway's stream. `record` never blocks and never raises."""

    def __init__(
        self, gateway_id: str, offer: Callable[[Note], bool], clock: Callable[[], float] = time.time
    ) -> None:
        self._gateway_id = gateway_id
        self._offer = offer
        self._clock = clock
        self._folded: dict[str, tuple[str, dict[str, Any], int]] = {}

    def record(self, kind: str, /, **data: Any) -> None:
        """One event, with small JSON fields."""
        data = {k: v[:MAX_TEXT] if isinstance(v, str) else v for k, v in data.items()}
        key = json.dumps([kind, data], sort_keys=True)
        if key not in self._folded and len(self._folded) >= MAX_FOLDED:
            data = {"reason": "other"}
            key = json.dumps([kind, data])
        if key in self._folded:
            kind, data, count = self._folded[key]
            self._folded[key] = (kind, data, count + 1)
            return
        self._folded[key] = (kind, data, 0)
        self._write(kind, data)

    async def run(self) -> None:
        """Write what was folded, every FOLD_S."""
        while True:
            await asyncio.sleep(FOLD_S)
            self.flush()

    def flush(self) -> None:
        """Write what was folded since the last time."""
        folded, self._folded = self._folded, {}
        for kind, data, count in folded.values():
            if count:
                self._write(kind, {**data, "count": count})

    def _write(self, kind: str, data: dict[str, Any]) -> None:
        event = {"type": kind, "t": int(self._clock()), "data": data}
        if not self._offer(Note(self._gateway_id, json.dumps(event).encode())):
            metrics.AUDIT_LOST.inc()
            log.error("audit.lost", **event)
