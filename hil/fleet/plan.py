"""What a fleet is asked to do, and what the machine must grant for it."""

import resource
from dataclasses import dataclass
from pathlib import Path

from protocol.host.cloud_messages import MAX_DEVICES

FILES_PER_BOARD = 3  # both ends of a pseudo-terminal, the board link
FILES_SPARE = 200
PTYS_PER_BOARD = 1
PTYS_SPARE = 16  # of those that are being provisioned, for the tool
MIB_PER_BOARD = (
    2  # measured: 1.4 with its part of the bench; the rest is the servers' part and room to breathe
)
_PTY_MAX = Path("/proc/sys/kernel/pty/max")
_MEMORY = Path("/proc/meminfo")


class NoRoom(Exception):
    """The machine does not grant what so many boards need; the message says what to raise."""


@dataclass(frozen=True)
class Plan:
    """``ramp`` is boards switched on per second, 0: as fast as they connect. ``unlocks`` per second are tried
    while it holds. ``chaos``
    is the share of boards that lose their power in the chaos phase, 0: no such phase.
    """

    devices: int
    hold_s: float = 10.0
    ramp: float = 0.0
    unlocks: float = 5.0
    chaos: float = 0.1
    seed: int = 1

    def claim(self) -> None:
        """Raise this process's limit of open files as far as it may be; raises NoRoom."""
        if self.devices > MAX_DEVICES:
            raise NoRoom(
                f"a site has at most {MAX_DEVICES} devices, and a fleet is one site: run several side by side"
            )
        need = self.devices * FILES_PER_BOARD + FILES_SPARE
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < need:
            raise NoRoom(
                f"{self.devices} boards need {need} open files, and the limit is {hard}: raise it (ulimit -Hn)"
            )
        if soft != resource.RLIM_INFINITY and soft < need:
            resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))
        if _PTY_MAX.exists() and (most := int(_PTY_MAX.read_text())) < self._ptys:
            need = self._ptys
            how = f"sysctl kernel.pty.max={need + 100}"
            raise NoRoom(
                f"{self.devices} boards need {need} pseudo-terminals, and the kernel has {most}: {how}"
            )
        if _MEMORY.exists() and (free := _available_mib()) < self.devices * MIB_PER_BOARD:
            raise NoRoom(
                f"{self.devices} boards need about {self.devices * MIB_PER_BOARD} MiB of memory, and {free} are free: take fewer"
            )

    @property
    def _ptys(self) -> int:
        return self.devices * PTYS_PER_BOARD + PTYS_SPARE


def _available_mib() -> int:
    for line in _MEMORY.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 1 << 30
