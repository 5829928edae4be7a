"""The firmware as it is shipped to doors: few units instead of many modules (`linker`), without line numbers.

The bench runs the modules as they are, so that tracebacks tell function and line. A door's traceback tells a short name, and the
symbols of its build say for what.
"""

import ast
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from hil.vm import (
    arguments,
    constants,
    foreign,
    image,
    linker,
    literals,
    meanings,
    short_names,
    symbols,
    unused,
)
from hil.vm.linker import Unit, Unlinkable
from hil.vm.meanings import Program, Unclear
from hil.vm.name_order import in_front
from hil.vm.symbols import Symbols

_SYMBOLS = "symbols.json"
LIMIT = 64 * 1024  # bytes of all units: what a door's flash, twice for its two slots, has to spare

REST = "*"  # last of a unit's modules: all that are in no other

# What many doors never need has a unit of its own, and is loaded when it is.
UNITS = {
    "device.main": Unit(
        ("device.main", "device.pinmap"),
        ("device.main:main", "device.main:lock_first"),
    ),
    "device.agent": Unit(("device.agent", REST), ("protocol.errors:Malformed",)),
    "device.provision": Unit(
        ("device.provision",),
        ("device.provision:apply", "device.identity:is_provisioned"),
    ),
    "device.update": Unit(("device.update", "protocol.manifest", "protocol.rsa", "device.release_key")),
    "device.reader_ports": Unit(
        (
            *("device.reader_ports", "device.readers", "device.keypad_matrix", "device.wiegand_reader"),
            *("protocol.attempts", "protocol.keypad", "protocol.wiegand"),
        )
    ),
    "device.osdp_reader": Unit(
        ("device.osdp_reader", "protocol.osdp", "protocol.osdp_panel", "protocol.osdp_secure")
    ),
    "device.carrier": Unit(("device.carrier", "protocol.carry")),
}


class Shipped(NamedTuple):
    """``files`` are .mpy, by their path."""

    files: dict[str, bytes]
    symbols: Symbols


def build(files: Mapping[str, Path]) -> Shipped:
    """Link and compile the firmware. Raises ImageError."""
    sources = {image.module_of(name): path.read_text(encoding="utf-8") for name, path in files.items()}
    try:
        linked, found = link(sources, UNITS)
    except SyntaxError as error:
        raise image.ImageError(f"{error.filename}: {error}") from None
    except (Unclear, Unlinkable) as error:
        raise image.ImageError(str(error)) from None
    return Shipped(image.compile_sources(linked, ["-O3"]), found)


def built(files: dict[str, Path]) -> Shipped:
    """As ``build``, which is done once for the same sources."""
    folder = image.cached_folder("units", files, _as_files, _how())
    units = [_file(unit, "mpy") for unit in UNITS]
    return Shipped({unit: (folder / unit).read_bytes() for unit in units}, symbols.read(folder / _SYMBOLS))


def _as_files(files: dict[str, Path]) -> dict[str, bytes]:
    made = build(files)
    return {**made.files, _SYMBOLS: json.dumps(made.symbols).encode()}


def _how() -> list[Path]:
    return sorted(Path(__file__).parent.glob("*.py"))


def image_file(root: Path = image.ROOT, replaced: Mapping[str, Path] | None = None) -> Path:
    """Path of the ROM image, built if its sources changed; with some of its files ``replaced``."""
    files = {**image.firmware_files(root), **(replaced or {})}
    return image.cached("shipped", files, lambda files: build(files).files, _how())


def link(sources: Mapping[str, str], units: Mapping[str, Unit]) -> tuple[dict[str, str], Symbols]:
    """Sources by the name of their file, and symbols. Raises SyntaxError, Unclear or Unlinkable."""
    program = meanings.resolve(constants.fold(sources))
    units = _all(units, program.trees)
    exports = [name for unit in units.values() for name in unit.exports]
    unused.prune(program, exports)
    literals.inline(program)
    theirs = foreign.attributes(_modules(program))
    own = short_names.own_attributes(program)
    keywords = arguments.Keywords(program, own, theirs)
    names = short_names.ShortNames(program, exports, own, theirs, keywords)
    found = symbols.of(program, units, names)
    made = linker.Linker(program, units, names)
    return {_file(name, "py"): in_front(made.unit(name)) for name in units}, found


def _file(unit: str, suffix: str) -> str:
    return f"{unit.replace('.', '/')}.{suffix}"


def _all(units: Mapping[str, Unit], modules: Iterable[str]) -> dict[str, Unit]:
    placed = {module for unit in units.values() for module in unit.modules}
    rest = tuple(module for module in modules if module not in placed)
    return {
        name: unit._replace(modules=(*unit.modules[:-1], *rest)) if unit.modules[-1] == REST else unit
        for name, unit in units.items()
    }


def _modules(program: Program) -> set[str]:
    """Of MicroPython, that the program uses."""
    found: set[str] = set()
    for node in (node for tree in program.trees.values() for node in ast.walk(tree)):
        match node:
            case ast.Name(id=name) if meanings.is_global(name):
                found.add(name.partition(":")[0])
            case ast.Import(names=names):
                found.update(alias.name for alias in names)
            case ast.ImportFrom(module=str(module)) if module:
                found.add(module)
    return found - set(program.trees)
