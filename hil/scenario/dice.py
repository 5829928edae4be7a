"""What a scenario leaves to chance: numbers that the seed decides, and not the clock.

Each purpose has a stream of its own, and each branch of ``parallel`` its own streams: which of two branches is the first to draw
changes nothing.
"""

import random
from contextvars import ContextVar

BRANCH: ContextVar[str] = ContextVar("branch", default="")


class Dice:
    """``for_`` gives the stream of a purpose, which goes on where it was."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._streams: dict[str, random.Random] = {}

    def for_(self, purpose: str) -> random.Random:
        key = f"{self._seed} {purpose}{BRANCH.get()}"
        return self._streams.setdefault(key, random.Random(key))  # noqa: S311 - for faults, not secrets


def branch(number: int) -> None:
    """The task that says this is that branch of the one that began it."""
    BRANCH.set(f"{BRANCH.get()}/{number}")
