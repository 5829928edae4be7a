"""What an entry hands back: lines of the table, each against a limit or a peer of the same run, and the series behind them."""

from dataclasses import dataclass, field
from typing import Any

from hil.measure.series import Series

MET, MISSED, NO_TARGET = "met", "missed", "told"


@dataclass(frozen=True)
class Line:
    """One number. `value` may be at most `at_most` times `against`; without `at_most` it is only told."""

    what: str
    value: float
    unit: str
    against: float | None = None
    against_what: str = ""
    at_most: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.value / self.against if self.against else None

    @property
    def verdict(self) -> str:
        if self.against is None or self.at_most is None:
            return NO_TARGET
        return MET if self.value <= self.at_most * self.against else MISSED

    def report(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            "what": self.what,
            "value": round(self.value, 4),
            "unit": self.unit,
            "against": None if self.against is None else round(self.against, 4),
            "against_what": self.against_what,
            "ratio": None if self.ratio is None else round(self.ratio, 4),
            "at_most": self.at_most,
            "verdict": self.verdict,
        }


@dataclass
class Outcome:
    """An entry that was measured."""

    lines: list[Line] = field(default_factory=list)
    series: dict[str, Series] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
