"""What some rigs can do to boards and their surroundings, and others cannot: each is a protocol with a name.

A simulated bench has all of it. A wired rig has what it is wired for: a supply that can be set, an access point or a router that
it commands. A scenario that asks for more is refused before anything is powered.

Times are seconds.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from hil.radio.path_loss import Position

SUPPLY, LINK, ACCESS_POINT, FLASH_FAULTS = "supply", "link", "access-point", "flash-faults"
FLASH_IMAGE, BOLT, AIR, CRYSTAL = "flash-image", "bolt", "air", "crystal"
ABOUT = {
    SUPPLY: "a supply whose voltage can be set",
    LINK: "boards whose network it is",
    ACCESS_POINT: "an access point that can be switched off",
    FLASH_FAULTS: "flash that fails when it is told to",
    FLASH_IMAGE: "flash that is written as a whole",
    BOLT: "a bolt that can be held",
    AIR: "the air between the radios",
    CRYSTAL: "crystals that can be made to drift",
}
EVERYTHING = frozenset(ABOUT)
T = TypeVar("T")


class Unwired(LookupError):
    """There is no such part, pin, control, radio, reader or capability; the message names those that there are."""


class SupplyProtocol(Protocol):
    """What feeds the board."""

    async def sag(self, volts: float, seconds: float) -> None:
        """Give less for so long."""
        ...


class LinkProtocol(Protocol):
    """The network between a board and everybody else; each holds for connections that exist and for new ones."""

    def shape(self, latency: float, jitter: float, loss: float, kbit_s: float) -> None:
        """Latency is one way, with up to ``jitter`` more; ``kbit_s`` 0 is no limit."""
        ...

    def partition(self, parted: bool) -> None:
        """Nothing passes, and nobody is told."""
        ...

    def refuse(self, refused: bool) -> None:
        """New connections."""
        ...

    def hide_names(self, hidden: bool) -> None:
        """No name is resolved."""
        ...

    def half_open(self) -> None:
        """The peers forget their connections."""
        ...

    def reset(self) -> None:
        """All connections end with RST."""
        ...


class AccessPointProtocol(Protocol):
    """What the board's Wi-Fi joins."""

    def switch(self, on: bool) -> None: ...


class FlashFaultsProtocol(Protocol):
    """The board's memory at its worst moments."""

    def writes(self) -> int:
        """Program and erase operations so far."""
        ...

    def cut_power_at(self, write: int, where: str) -> None:
        """Lose power at a write from now on, counted from 1: before, within or after it. Resets in between change nothing."""
        ...

    def wear_out(self, blocks: Sequence[int], noise_ppm: int, seed: int) -> None:
        """Blocks that nothing changes any more, and wrong bits in a million bytes that are read."""
        ...


class BoltProtocol(Protocol):
    """The bolt of the lock."""

    def jam(self, jammed: bool) -> None:
        """It stays where it is, whatever the current does."""
        ...


class AirProtocol(Protocol):
    """What is between all radios of the rig."""

    def lose(self, probability: float, between: tuple[str, str] | None) -> None:
        """Of all packets, or of those between two stations."""
        ...

    def interfere(self, position: Position, power: float, duty: float) -> None:
        """A source of noise, in dBm; a duty of 0 ends it."""
        ...


def wired(driver: T | None, capability: str) -> T:
    """Raises Unwired for what this rig does not have."""
    if driver is None:
        raise Unwired(lacking(capability))
    return driver


def lacking(capability: str) -> str:
    return f"this rig has no {capability}: it needs {ABOUT[capability]}"
