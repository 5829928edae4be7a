"""The passive data of boards: how one is wired, by name or from a file, and what its firmware is told of that."""

import json
from pathlib import Path

from hil.board.description import BOARDS, Description, DescriptionError, builtin, load_description
from hil.rig.hints import near


def described(name: str, folder: Path) -> Description:
    """One of the bench's, or a TOML file in the folder. Raises DescriptionError."""
    if name.endswith(".toml"):
        return load_description(folder / name)
    if not (BOARDS / f"{name}.toml").exists():
        hint = near(name, [path.stem for path in BOARDS.glob("*.toml")])
        raise DescriptionError(f"no description {name}{hint}")
    return builtin(name)


def pin_file(about: Description) -> dict[str, bytes]:
    """The pin map for a door that is not wired as the firmware takes it to be: a file for its flash, or none."""
    pins = dict(about.pin_map)
    for line in about.uart:
        if line.kind == "osdp":
            ends = {"uart": line.number, "tx": line.tx, "rx": line.rx, "baud": line.baud or 9600}
            pins["osdp"] = {**ends, **({} if line.de is None else {"de": line.de}), "address": 1}
    return {} if pins == builtin().pin_map else {"pins.json": json.dumps(pins).encode()}
