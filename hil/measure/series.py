"""Samples of one quantity, and what is told of them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

PERCENTILES = (50, 90, 99)


@dataclass
class Series:
    """Samples in `unit`, in the order in which they were taken."""

    unit: str
    samples: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        self.samples.append(value)

    def extend(self, values: Iterable[float]) -> None:
        self.samples.extend(values)

    def percentile(self, percent: float) -> float:
        """Nearest rank: a value that was measured. Raises ValueError without samples."""
        if not self.samples:
            raise ValueError("no samples")
        rank = max(1, math.ceil(percent / 100 * len(self.samples)))
        return sorted(self.samples)[rank - 1]

    @property
    def median(self) -> float:
        return self.percentile(50)

    def summary(self) -> dict[str, float | int | str]:
        """For the report."""
        values = {f"p{percent}": round(self.percentile(percent), 4) for percent in PERCENTILES}
        return {
            "unit": self.unit,
            "n": len(self.samples),
            "min": round(min(self.samples), 4),
            **values,
            "max": round(max(self.samples), 4),
        }
