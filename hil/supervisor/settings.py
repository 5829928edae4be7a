"""What a board is started with; from the command to its supervisor as JSON."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """``board`` is the description's file, ``air`` the name of the air it is on, ``firmware`` whether it is a door controller.
    ``put`` is copied to its flash before it gets power."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    board: Path
    firmware: bool = False
    air: str | None = None
    put: Path | None = None


class Status(BaseModel):
    """A running board. ``state`` is that of its power, and ``program`` whether one runs; ``exits`` are the exit codes of its VMs
    that ended by themselves, negative for the signal that killed one, of which ``crash`` has the end of the console."""

    name: str
    state: str
    program: bool = False
    pid: int
    vm_pid: int | None = None
    tty: str = ""
    link: str = ""
    air: str | None = None
    firmware: bool = False
    boots: int = 0
    exits: list[int] = []
    crash: str | None = None
    uptime_s: float = 0
    lost: int = 0
