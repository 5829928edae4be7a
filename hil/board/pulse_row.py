"""A row of pulses that a peripheral plays on a pin, one row after the other."""

import asyncio
from collections.abc import Callable, Iterable

from hil.board.signals import now_us


class PulseRow:
    """``drive(level, t_us)`` is called at each edge, in order; an edge that is told late has its own time."""

    def __init__(self, drive: Callable[[int, int], None]) -> None:
        self._drive = drive
        self._timer: asyncio.TimerHandle | None = None
        self._edges: list[tuple[float, int]] = []  # what is still to come: time in microseconds, level
        self._end_us = 0.0
        self._loop: list[tuple[int, int]] = []

    def play(self, pulses: Iterable[tuple[int, int]], idle: int, again: bool, t_us: int) -> None:
        """After what plays already: (level, nanoseconds) each, then ``idle``. No pulses end what plays at once."""
        row = list(pulses)
        self._loop = row if again else []
        if not row:
            self.stop()
            self._drive(idle, t_us)
            return
        self._append(row, max(self._end_us, t_us))
        if not again:
            self._edges.append((self._end_us, idle))
        self._next()

    def stop(self) -> None:
        self._edges.clear()
        self._loop, self._end_us = [], 0.0
        self._cancel()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _append(self, row: list[tuple[int, int]], begin: float) -> None:
        if self._edges and self._edges[-1][0] == begin:
            self._edges.pop()  # the idle level between two rows takes no time
        for level, ns in row:
            self._edges.append((begin, level))
            begin += ns / 1000
        self._end_us = begin

    def _next(self) -> None:
        self._cancel()
        now = now_us()
        while self._edges and self._edges[0][0] <= now:
            t_us, level = self._edges.pop(0)
            self._drive(level, int(t_us))
        if not self._edges and self._loop:
            self._append(self._loop, max(self._end_us, now))
        if self._edges:
            delay = max(0.0, self._edges[0][0] - now) / 1e6
            self._timer = asyncio.get_running_loop().call_later(delay, self._next)
