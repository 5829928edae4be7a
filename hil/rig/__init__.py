"""Boards as a test sees them: protocols that a simulated board and a wired one both implement.

The split is labgrid's. A *resource* is passive data (a board's description, a port), a *driver* does
(``hil.rig.simulated``), a *strategy* moves a board between named states (``hil.rig.strategy``).
"""

from hil.board.signals import WaitTimeout
from hil.radio.path_loss import Position
from hil.rig.capabilities import Unwired
from hil.rig.protocols import (
    ConsoleProtocol,
    FlashProtocol,
    PinsProtocol,
    PowerProtocol,
    RadioProtocol,
    ReaderProtocol,
    RigProtocol,
    Target,
)

__all__ = [
    "ConsoleProtocol",
    "FlashProtocol",
    "PinsProtocol",
    "Position",
    "PowerProtocol",
    "RadioProtocol",
    "ReaderProtocol",
    "RigProtocol",
    "Target",
    "Unwired",
    "WaitTimeout",
]
