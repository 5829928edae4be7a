"""What the short names of a shipped firmware are short for, kept as JSON beside it, and put into its tracebacks.

A short name can mean several things in one unit, a function and a method say; the lines around it tell which.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from hil.vm.linker import Unit
from hil.vm.meanings import Definition, Program, bare
from hil.vm.short_names import ShortNames

Symbols = dict[str, dict[str, list[str]]]  # by unit and short name: functions and classes
_FRAME = re.compile(r'  File "([\w.]+)", line \d+, in (\w+)')
_ERROR = re.compile(r"(\w+)(:|$)")


def of(program: Program, units: Mapping[str, Unit], names: ShortNames) -> Symbols:
    """Of a program that is not linked yet."""
    return {name: _of_unit(program, unit, names) for name, unit in units.items()}


def _of_unit(program: Program, unit: Unit, names: ShortNames) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for module in unit.modules:
        for short, full in _of_module(module, program, names):
            found.setdefault(short, []).append(full)
    return found


def _of_module(module: str, program: Program, names: ShortNames) -> Iterator[tuple[str, str]]:
    for node in program.trees[module].body:
        if not isinstance(node, Definition):
            continue
        full = f"{module}.{bare(node.name)}"
        yield names.name(node.name), full
        for member in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(member, Definition):
                yield names.attribute(member.name), f"{full}.{member.name}"


def beside(package: Path) -> Path:
    """Where a package's symbols are."""
    return package.with_name(package.name + ".symbols.json")


def write(symbols: Symbols, path: Path) -> None:
    path.write_text(json.dumps(symbols, indent=1, sort_keys=True) + "\n")


def read(path: Path) -> Symbols:
    """Raises OSError or ValueError."""
    symbols: Symbols = json.loads(path.read_text())
    if not isinstance(symbols, dict):
        raise ValueError("no symbols")
    return symbols


def explain(line: str, symbols: Symbols) -> str:
    """A line of a traceback, with what its short name may be short for; other lines as they are."""
    found: list[str] = []
    if frame := _FRAME.match(line):
        found = symbols.get(frame[1], {}).get(frame[2], [])
    elif error := _ERROR.match(line):
        found = [full for unit in symbols.values() for full in unit.get(error[1], []) if _is_class(full)]
    return f"{line}  # {' or '.join(found)}" if found else line


def _is_class(full: str) -> bool:
    """By our names: neither function nor method is in capitals."""
    return full.rpartition(".")[2][:1].isupper()
