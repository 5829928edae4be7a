"""What a scenario may do to a board, by role. Nothing else of a board is known to scenarios and tests.

Times are seconds; a wait that is over raises WaitTimeout. What not every rig has is in ``hil.rig.capabilities``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from re import Match
from typing import TYPE_CHECKING, Protocol

from hil.board.description import Description
from hil.radio.path_loss import Position
from hil.rig.capabilities import (
    AccessPointProtocol,
    AirProtocol,
    BoltProtocol,
    FlashFaultsProtocol,
    LinkProtocol,
    SupplyProtocol,
)

if TYPE_CHECKING:
    from hil.phone import Phone


class PowerProtocol(Protocol):
    """The board's supply and its reset line."""

    async def on(self) -> None: ...

    async def off(self) -> None: ...

    async def cycle(self) -> None: ...

    async def reset(self) -> None: ...

    async def brown_out(self) -> None:
        """Let the supply sag until the chip resets itself."""
        ...

    async def wait_off(self, timeout: float) -> None: ...

    @property
    def is_on(self) -> bool: ...


class ConsoleProtocol(Protocol):
    """The serial line. Each ``expect`` goes on where the one before it matched, as a person reads."""

    @property
    def path(self) -> str:
        """What mpremote connects to."""
        ...

    @property
    def text(self) -> str:
        """All that was printed, as far as it is kept."""
        ...

    def skip(self) -> None:
        """What was printed until now counts as read."""
        ...

    def forget(self) -> None:
        """What was printed until now is nobody's business: ``text`` and the next ``expect`` begin here."""
        ...

    def write(self, data: str | bytes) -> None: ...

    async def expect(self, patterns: str | Sequence[str], timeout: float) -> Match[str]:
        """The next match of a regular expression, or of the one of several that comes first."""
        ...

    async def expect_exact(self, texts: str | Sequence[str], timeout: float) -> str:
        """The next text, literally."""
        ...

    async def execute(self, code: str) -> str:
        """What the code prints, run over the raw REPL. Ends a program that is running."""
        ...


class PinsProtocol(Protocol):
    """Parts of the board and their pins: ``relay.contact``, ``led.level``, ``gpio4.level``."""

    def level(self, part: str, pin: str = "") -> int: ...

    def set(self, part: str, control: str, value: int) -> None:
        """Move a control: ``dps.open``, ``rex.pressed``, ``gpio4.level``."""
        ...

    async def wait(self, part: str, pin: str, value: int, timeout: float) -> int:
        """Microseconds of the bench's clock at which it took that value; at once if it has it."""
        ...


class RadioProtocol(Protocol):
    """The board's antenna."""

    def place(self, position: Position | None) -> None: ...


class ReaderProtocol(Protocol):
    """The reader and keypad at the door."""

    def install(self, root_key: bytes) -> None:
        """Power it, with the key of its line if it has one (OSDP), from the root key of the board."""
        ...

    def remove(self) -> None: ...

    async def card(self, facility: int, number: int) -> None: ...

    async def key(self, keys: str) -> None: ...


class FlashProtocol(Protocol):
    """The board's memory."""

    async def put(self, files: Mapping[str, bytes]) -> None:
        """Write files. Ends a program that is running."""
        ...


@dataclass(frozen=True)
class Target:
    """A board: what it is wired as, and the drivers that it is reached by. None stands for what the rig cannot do."""

    name: str
    description: Description
    power: PowerProtocol
    console: ConsoleProtocol
    pins: PinsProtocol
    flash: FlashProtocol
    radio: RadioProtocol
    reader: ReaderProtocol
    supply: SupplyProtocol | None = None
    link: LinkProtocol | None = None
    access_point: AccessPointProtocol | None = None
    flash_faults: FlashFaultsProtocol | None = None
    bolt: BoltProtocol | None = None


@dataclass(frozen=True)
class Order:
    """What a board shall be. ``firmware`` None is this tree's, and ``bare`` none at all; ``image`` is its flash as a whole;
    connections of one that is ``networked`` pass through the rig."""

    description: Description
    bare: bool = False
    firmware: Path | None = None
    image: Path | None = None
    position: Position | None = None
    networked: bool = False
    drift_ppm: int = 0


class RigProtocol(Protocol):
    """Where boards come from, and phones that their radios reach."""

    @property
    def offers(self) -> frozenset[str]:
        """Names of ``hil.rig.capabilities``."""
        ...

    @property
    def air(self) -> AirProtocol | None: ...

    def board(self, name: str, order: Order, crashed: Callable[[str], None]) -> Target:
        """Without power. ``crashed`` is told in words if it ends as no board may."""
        ...

    def phone(self, name: str, position: Position | None) -> "Phone": ...

    async def stop(self) -> None:
        """Boards and air are given back; the phones before."""
        ...
