"""What a network does to what is sent over it: how late it comes."""

import random
from dataclasses import dataclass

SEGMENT = 1460
RTO_S = 0.2  # a lost segment is sent again after so long, and twice as long each time
MAX_LOSSES = 6  # of one segment in a row
MAX_QUEUE_S = 1.0  # of datagrams before a slow line; more are lost


@dataclass(frozen=True)
class Quality:
    """``latency_ms`` one way, plus up to ``jitter_ms``; ``loss`` of segments, which TCP sends again, and of datagrams, 0 to 1;
    ``kbit_s``, 0 for no limit."""

    latency_ms: float = 0
    jitter_ms: float = 0
    loss: float = 0
    kbit_s: float = 0

    def __post_init__(self) -> None:
        if min(self.latency_ms, self.jitter_ms, self.kbit_s) < 0 or not 0 <= self.loss < 1:
            raise ValueError("a link has no negative time or rate, and a loss from 0 to less than 1")


class Way:
    """One direction of a connection, or of a UDP socket. It has dice of its own: its n-th packet has the same fate in each run
    with the same seed, whatever happens on others."""

    def __init__(self, seed: str) -> None:
        self._jitter = random.Random(f"{seed} jitter")  # noqa: S311 - repeatable, not secret
        self._loss = random.Random(f"{seed} loss")  # noqa: S311
        self._free = 0.0  # when all that was sent before is on the line
        self._last = 0.0

    def arrival(self, now: float, size: int, link: Quality) -> float:
        """When the last of ``size`` bytes that are sent now is there; nothing overtakes in a stream."""
        sending = size * 8 / (link.kbit_s * 1000) if link.kbit_s else 0.0
        self._free = max(self._free, now) + sending
        late = (link.latency_ms + link.jitter_ms * self._jitter.random()) / 1000
        for _ in range(-(-size // SEGMENT)) if link.loss else ():
            late += self._repeated(link.loss)
        self._last = max(self._last, self._free + late)
        return self._last

    def datagram(self, now: float, size: int, link: Quality) -> float | None:
        """When one that is sent now is there; None: never. Jitter lets them overtake."""
        late = (link.latency_ms + link.jitter_ms * self._jitter.random()) / 1000
        if self._free - now > MAX_QUEUE_S or (link.loss and self._loss.random() < link.loss):
            return None
        self._free = max(self._free, now) + (size * 8 / (link.kbit_s * 1000) if link.kbit_s else 0.0)
        return self._free + late

    def _repeated(self, loss: float) -> float:
        """Seconds until a segment gets through."""
        late, lost = 0.0, 0
        while lost < MAX_LOSSES and self._loss.random() < loss:
            late += RTO_S * 2**lost
            lost += 1
        return late
