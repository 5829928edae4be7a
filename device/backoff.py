"""How long to wait after the n-th failure in a row: doubling up to a cap, with jitter so that a fleet does
not march.
"""

import os


class Backoff:
    """Milliseconds between tries. The jitter takes away up to half."""

    def __init__(self, first_ms: int, cap_ms: int) -> None:
        self._first = first_ms
        self._cap = cap_ms
        self._next = first_ms

    def reset(self) -> None:
        """It went well: the next failure waits for the first step."""
        self._next = self._first

    def next_ms(self, cap_ms: int = 0) -> int:
        """The wait after one more failure; `cap_ms`: of this kind, where kinds have caps of their own."""
        cap = cap_ms or self._cap
        step = min(self._next, cap)
        self._next = min(cap, step * 2)
        return step - step * os.urandom(1)[0] // 512
