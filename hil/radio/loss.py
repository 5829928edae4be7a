"""What is lost on the air, and why: weak signals, interference, and losses that a test asks for.

The dice of each directed pair of stations are a stream of their own, seeded by the medium's seed, the two names and what the
stream is for (``DATA``: connections, ``ADVERTISING``: the advertising channels, ``POLL``: the empty packets of an idle link).
Each packet that may be lost takes one number of its stream, and one that cannot be lost takes none. So the n-th packet of a
link has the same fate in each run with the same seed, whatever the clock says.
"""

import random
from dataclasses import dataclass

from hil.radio.path_loss import PathLoss, Position

DATA, ADVERTISING, POLL = "data", "advertising", "poll"

# At the sensitivity of its data sheet a receiver loses 30.8 % of packets (Core Vol 6 Part A 4.1), and ten times less with
# each 1.5 dB more.
_AT_SENSITIVITY = 0.308
_DB_PER_DECADE = 1.5
_CLEAR_DB = 6.0  # over the sensitivity: less than one packet in 30,000
CO_CHANNEL_DB = 21  # a signal this much over the interference is received: Core Vol 6 Part A 4.2


@dataclass(frozen=True)
class Noise:
    """Interference: on the air for ``duty`` of the time, on ``share`` of the channels (a Wi-Fi access point: 0.28)."""

    position: Position
    power: float = 15.0  # dBm
    duty: float = 0.5
    share: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.duty <= 1 and 0 <= self.share <= 1):
            raise ValueError("duty and share are between 0 and 1")


def probability(part: float) -> float:
    """The number itself; raises ValueError if it is none."""
    if not 0 <= part <= 1:
        raise ValueError("a probability is between 0 and 1")
    return part


class Losses:
    """``lost`` rolls the dice of one packet."""

    def __init__(self, seed: int, path_loss: PathLoss) -> None:
        self.seed = seed
        self.noise: dict[str, Noise] = {}
        self._path_loss = path_loss
        self._everywhere = 0.0
        self._pairs: dict[frozenset[str], float] = {}
        self._streams: dict[tuple[str, str, str], random.Random] = {}

    def configure(self, part: float, pair: tuple[str, str] | None = None) -> None:
        """Lose this part of all packets, or of those between two stations by name (either way)."""
        if pair is None:
            self._everywhere = probability(part)
        else:
            self._pairs[frozenset(pair)] = probability(part)

    def reseed(self, seed: int) -> None:
        """Throw all dice anew."""
        self.seed = seed
        self._streams.clear()

    def probability(self, sender: str, receiver: str, rssi: int, at: Position | None) -> float:
        """Of a packet that arrives with ``rssi`` at a receiver who is ``at``."""
        kept = 1 - self._pairs.get(frozenset((sender, receiver)), self._everywhere)
        over = rssi - self._path_loss.sensitivity
        if over < _CLEAR_DB:
            kept *= 1 - min(1.0, _AT_SENSITIVITY * 10 ** (-over / _DB_PER_DECADE))
        for noise in self.noise.values():
            if rssi - self._interference(noise, at) < CO_CHANNEL_DB:
                kept *= 1 - noise.duty * noise.share
        return 1 - kept

    def lost(self, probability: float, sender: str, receiver: str, stream: str) -> bool:
        if probability <= 0:
            return False
        key = (sender, receiver, stream)
        dice = self._streams.get(key)
        if dice is None:
            dice = self._streams[key] = random.Random(f"{self.seed} {' '.join(key)}")  # noqa: S311
        return dice.random() < probability

    def _interference(self, noise: Noise, at: Position | None) -> float:
        """dBm of a noise source at a receiver; one without a place is near everything."""
        return self._path_loss.rssi(noise.position, at) - self._path_loss.tx_power + noise.power
