"""Where stations stand and how strong they hear each other: a log-distance path loss model.

RSSI = transmit power - loss at 1 m - 10 n log10(d), with n = 2.5 for an office with doors and thin walls
(ITU-R P.1238 gives 2.2 to 3.0 at 2.4 GHz). No fading: the same place always gives the same number.
"""

import math
from dataclasses import dataclass

UNPLACED_RSSI = -50  # what Bumble reports; a station without a position is about 2.5 m from everything
MIN_DISTANCE = 0.1  # metres; nearer than this the far field formula means nothing


@dataclass(frozen=True)
class Position:
    """A place in metres; z is the height."""

    x: float
    y: float
    z: float = 1.0

    def distance(self, other: "Position") -> float:
        return math.dist((self.x, self.y, self.z), (other.x, other.y, other.z))


@dataclass(frozen=True)
class PathLoss:
    """Turns two positions into an RSSI in dBm, and says whether a receiver still hears it."""

    tx_power: float = 0.0  # dBm, an ESP32's default is +3, a phone's about 0
    loss_at_1m: float = 40.0  # dB, free space at 2.44 GHz
    exponent: float = 2.5
    sensitivity: float = -95.0  # dBm at LE 1M

    def rssi(self, a: Position | None, b: Position | None) -> int:
        if a is None or b is None:
            return UNPLACED_RSSI
        distance = max(a.distance(b), MIN_DISTANCE)
        return round(self.tx_power - self.loss_at_1m - 10 * self.exponent * math.log10(distance))

    def hears(self, rssi: int) -> bool:
        return rssi >= self.sensitivity
