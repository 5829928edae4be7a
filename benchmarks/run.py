"""What an entry is given: a folder of its own, how thorough to be, and a way to say how far it is."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.outcome import Outcome

QUICK = 10


@dataclass(frozen=True)
class Run:
    """One run of one entry."""

    folder: Path
    quick: bool
    say: Callable[[str], None]

    def count(self, samples: int) -> int:
        """That many samples, or a tenth of them if the run is to be quick."""
        return max(2, samples // QUICK) if self.quick else samples


@dataclass(frozen=True)
class Entry:
    """A benchmark by its name, which is also the name of its file."""

    name: str
    title: str
    measure: Callable[[Run], Coroutine[Any, Any, Outcome]]
