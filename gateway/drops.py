"""Counts every message that is not passed on, and says so without letting a flood fill the log."""

from collections.abc import Callable

import structlog

from gateway import metrics

log = structlog.get_logger(__name__)

# Topics and names come from strangers.
MAX_TEXT = 128


class NotPassedOn(Exception):
    """A message that is in order, and still goes no further; the text is the reason's slug."""

    @property
    def reason(self) -> str:
        return str(self)


class Drops:
    """`drop(reason, …)` counts; it logs the 1st, 2nd, 4th, 8th … of a reason. Reasons are our own slugs."""

    def __init__(self, audit: Callable[..., None]) -> None:
        self._audit = audit
        self._counts: dict[str, int] = {}

    def drop(self, reason: str, who: str, topic: str, detail: str = "") -> None:
        """`who` is the device, where it is known: then it is audited too (the audit folds repetitions)."""
        metrics.DROPPED.labels(reason=reason).inc()
        count = self._counts[reason] = self._counts.get(reason, 0) + 1
        if count & (count - 1) == 0:
            log.warning(
                "message.dropped",
                reason=reason,
                who=who,
                topic=topic[:MAX_TEXT],
                detail=detail[:MAX_TEXT],
                count=count,
            )
        if who:
            self._audit("message_dropped", reason=reason, who=who)
