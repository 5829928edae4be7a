"""Messages that are not accepted: counted, and told of without letting a flood fill the log."""

import time

import structlog

from cloud_api.metrics import Metrics

LOG_EVERY_S = 5.0  # a hostile gateway does not fill the log: one line per reason in this time

log = structlog.get_logger(__name__)


class Refused(Exception):
    """A well-formed message that we do not accept; the text is the reason's slug."""


class Drops:
    """Of all workers that take messages."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._logged: dict[str, float] = {}

    def drop(self, reason: str, topic: str) -> None:
        """Count a message that is not accepted, and say so now and then."""
        self._metrics.dropped.labels(reason).inc()
        now = time.monotonic()
        if now - self._logged.get(reason, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged[reason] = now
            log.warning("message_dropped", reason=reason, topic=topic[:128])
