"""The head of a scenario: its boards, phones, site, parameters, and how it is run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hil.rig.capabilities import CRYSTAL, FLASH_FAULTS, FLASH_IMAGE
from hil.rig.hints import near
from hil.scenario.quantities import Duration
from hil.scenario.verb import kebab

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]
Place = Annotated[
    list[float],
    Field(min_length=2, max_length=3, description="Metres: `[x, y]` or `[x, y, z]`."),
]
Value = str | int | float | bool
MAX_BOARDS, MAX_PHONES = 50, 50


class Part(BaseModel):
    """A part of a scenario's head."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, alias_generator=lambda name: kebab(name)
    )


def _nothing_said(value: object) -> object:
    """``anna:`` alone is a phone like any other."""
    return {} if value is None else value


class BoardIn(Part):
    """A board. With a program or files it runs plain MicroPython; else it is a door with this tree's firmware."""

    description: str = Field(
        default="strike_door",
        description="How it is wired: the name of a description of the bench, or a TOML file beside the scenario.",
    )
    program: str = Field(default="", description="A `main.py`, as text.")
    files: dict[str, str] = Field(
        default={},
        description="On its flash: the path there, and a file beside the scenario.",
    )
    image: str = Field(
        default="",
        description="Its flash as a whole, of the size that the description says: a file beside the scenario.",
    )
    firmware: Literal["door", "none"] | None = Field(
        default=None, description="`none`: plain MicroPython, which is also what a program or files mean."
    )
    at: Place | None = None
    policy: dict[str, Any] = Field(default={}, description="Fields of `POST /v1/doors`, such as `open_s: 1`.")
    networked: bool = Field(
        default=True,
        description="Its connections pass through the rig, for the faults of its network; else they are the host's own.",
    )
    updates: bool = Field(default=False, description="It trusts the vendor of `update` steps.")
    drift_ppm: Annotated[int, Field(ge=-100_000, le=100_000)] = Field(
        default=0, description="How fast its crystal runs."
    )

    @property
    def is_door(self) -> bool:
        return self.firmware == "door" or (
            self.firmware is None and not (self.program or self.files or self.image)
        )

    @model_validator(mode="after")
    def _one_main(self) -> Self:
        if self.program and "main.py" in {name.lstrip("/") for name in self.files}:
            raise ValueError("give either program or a main.py among files")
        if self.image and (self.program or self.files):
            raise ValueError("give either an image of the whole flash, or a program and files")
        if self.firmware == "door" and (self.program or self.files):
            raise ValueError("a board with a program or files of its own runs no door firmware")
        return self


class PhoneIn(Part):
    """A phone, and the doors that it has keys for."""

    at: Place | None = None
    keys: list[str] | None = Field(default=None, description="Names of boards; absent: every door.")
    terms: dict[str, Any] = Field(
        default={}, description="More fields of `POST /v1/keys`, such as `one_time: true`."
    )


class ExhaustiveIn(Part):
    """Run the steps once for each write to a board's flash, and lose its power at that write."""

    fault: Literal["power-cut"] = "power-cut"
    board: str | None = Field(default=None, description="Absent: the first.")
    where: list[Literal["before", "within", "after"]] = Field(
        default=["within"], min_length=1, description="Of the write: each is a run of its own."
    )
    every: int = Field(default=1, ge=1, le=1000, description="Only every so many writes.")
    limit: int = Field(
        default=200, ge=1, le=5000, description="A mistake if there are more writes than this."
    )


class Header(Part):
    """A whole file but its steps, which are read by verb."""

    name: str = Field(min_length=1, max_length=80)
    version: Literal[1] = 1
    about: str = Field(default="", description="What it shows, and why that matters.")
    author: str = ""
    boards: dict[Name, Annotated[BoardIn, BeforeValidator(_nothing_said)]] = Field(
        default={"front": BoardIn()}, min_length=1, max_length=MAX_BOARDS
    )
    site: bool | None = Field(
        default=None,
        description="Whether there are a cloud and a gateway, and the doors are theirs. Absent: if there is a door.",
    )
    phones: dict[Name, Annotated[PhoneIn, BeforeValidator(_nothing_said)]] = Field(
        default={}, max_length=MAX_PHONES
    )
    parameters: dict[str, Value] = Field(
        default={},
        description="Names and defaults; `${name}` in the file is the value, `--set name=value` sets it.",
    )
    matrix: dict[str, Annotated[list[Value], Field(min_length=1)]] = Field(
        default={}, description="Values of parameters: each combination is a test case of its own."
    )
    timeout: Duration = Field(default=60.0, description="Of the steps. Exit code 42 when it is over.")
    seed: int | None = Field(default=None, ge=0, le=2**63 - 1, description="`--seed` is stronger.")
    exhaustive: ExhaustiveIn | None = None

    @property
    def has_site(self) -> bool:
        return any(board.is_door for board in self.boards.values()) if self.site is None else self.site

    def strangers(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Names that nothing has: the place in the file, and what to say."""
        doors = [name for name, board in self.boards.items() if board.is_door]
        for name, phone in self.phones.items():
            for key in phone.keys or ():
                if key not in doors:
                    yield ("phones", name, "keys"), f"keys for {key}: there is no such door{near(key, doors)}"
        for name in self.matrix:
            if name not in self.parameters:
                yield ("matrix", name), f"{name} is no parameter: give it a default under parameters"
        board = self.exhaustive.board if self.exhaustive else None
        if board is not None and board not in self.boards:
            yield ("exhaustive", "board"), f"no board {board}{near(board, self.boards)}"

    def needs(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """What a rig must be able to do (``hil.rig.capabilities``), and the place in the file that says so."""
        for name, board in self.boards.items():
            if board.image:
                yield ("boards", name, "image"), FLASH_IMAGE
            if board.drift_ppm:
                yield ("boards", name, "drift-ppm"), CRYSTAL
        if self.exhaustive is not None:
            yield ("exhaustive",), FLASH_FAULTS


def board_files(about: BoardIn, folder: Path) -> dict[str, bytes]:
    """What is put on the flash; OSError for a file that is not there, the image too."""
    if about.image:
        (folder / about.image).open("rb").close()
    found = {name: (folder / path).read_bytes() for name, path in about.files.items()}
    return found | ({"main.py": about.program.encode()} if about.program else {})
