"""Which pulses of a relay no grant explains. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

TOLERANCE_S = 2.0  # a record has whole seconds, and is made after the pulse began


@dataclass(frozen=True)
class Grant:
    """A record that says that the door opened: when at the earliest and at the latest, in unix seconds."""

    earliest: float
    latest: float

    @classmethod
    def of(
        cls,
        event: dict[str, Any],
        instant: Callable[[str], float],
        attempt: dict[str, Any] | None,
        silent: Iterable[dict[str, Any]],
    ) -> Self:
        """By the record's own time, if the door knew it; a command's also by its expiry."""
        earliest, latest = float("-inf"), float("inf")
        if event["time"] is not None:
            margin = event["uncertainty_s"] + TOLERANCE_S
            earliest, latest = instant(event["time"]) - margin, instant(event["time"]) + margin
        if event["method"] == "remote":
            # Only a door that knows the time obeys; its command is the one that succeeded, or a silent one.
            assert event["time"] is not None
            possible = [attempt] if attempt is not None else list(silent)
            ends = [instant(a["expires_at"]) for a in possible if instant(a["created_at"]) <= latest]
            latest = min(latest, max(ends))
        return cls(earliest, latest)


def unexplained(
    pulses: Sequence[float], grants: Sequence[Grant], excused: Callable[[float], bool]
) -> list[float]:
    """Pulses that have no excuse and are left over by the best assignment of each to a grant of its own, in order.

    A grant may have no pulse: it found the relay energised.
    """
    # best[i][j]: the most of pulses[i:] that grants[j:] explain or that are excused
    best = [[0] * (len(grants) + 1) for _ in range(len(pulses) + 1)]
    for i in reversed(range(len(pulses))):
        for j in reversed(range(len(grants) + 1)):
            best[i][j] = best[i + 1][j] + excused(pulses[i])
            if j < len(grants):
                fits = grants[j].earliest <= pulses[i] <= grants[j].latest
                best[i][j] = max(best[i][j], best[i][j + 1], fits + best[i + 1][j + 1])
    left, i, j = [], 0, 0
    while i < len(pulses):
        if j < len(grants) and best[i][j] == best[i][j + 1]:
            j += 1
        elif best[i][j] == best[i + 1][j] + excused(pulses[i]):
            left += [] if excused(pulses[i]) else [pulses[i]]
            i += 1
        else:
            i, j = i + 1, j + 1
    return left
