"""Counters by reason: what was refused, dropped or went wrong, for `up/log`. Bounded and in RAM."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict

MAX_REASONS = 48  # reasons are slugs of our own code, but a bug must not fill the heap with them
MAX_COUNT = 0x3FFFFFFF  # stays a small integer on a 32-bit board


class Counters:
    """A few dozen named counts; `version` rises with each change, so a reporter knows when there is news."""

    def __init__(self) -> None:
        self._counts: "Dict[str, int]" = {}
        self.version = 0

    def up(self, reason: str, by: int = 1) -> None:
        """Count `reason`; a new reason beyond the bound is counted as `other`."""
        if reason not in self._counts and len(self._counts) >= MAX_REASONS:
            reason = "other"
        self._counts[reason] = min(MAX_COUNT, self._counts.get(reason, 0) + by)
        self.version += 1

    def get(self, reason: str) -> int:
        """How often `reason` was counted since boot."""
        return self._counts.get(reason, 0)

    def snapshot(self) -> "Dict[str, int]":
        """A copy, for a report."""
        return dict(self._counts)
