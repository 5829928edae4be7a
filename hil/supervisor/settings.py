"""What a board is started with; from the command to its supervisor as JSON."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """``board`` is the description's file, ``air`` the name of the air it is on, ``firmware`` whether it is a door controller,
    ``networked`` whether its connections pass through its supervisor. ``put`` is copied to its flash before it gets power."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    board: Path
    firmware: bool = False
    air: str | None = None
    put: Path | None = None
    networked: bool = False


class LinkFaults(BaseModel):
    """What is wrong with a board's network; nothing, as it stands here. Milliseconds, parts of 1, kbit/s."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency_ms: float = Field(default=0, ge=0, le=60_000)
    jitter_ms: float = Field(default=0, ge=0, le=60_000)
    loss: float = Field(default=0, ge=0, lt=1)
    kbit_s: float = Field(default=0, ge=0)
    partition: bool = False
    refuse: bool = False
    no_names: bool = False
    half_open: bool = False
    reset: bool = False
    seed: int | None = None


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
