"""Links a program's modules into few units, each one source: what is in many modules is then said once.

Each .mpy file has a table of the names in it, so a name of ten modules is in ten tables; and what modules take from each other
costs a statement and an entry each. In a unit, a global of another module is a global. What this relies on is refused where it
does not hold (`meanings.Unclear`, `Unlinkable`).
"""

import ast
import graphlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from hil.vm.meanings import Definition, Program, is_global
from hil.vm.short_names import ShortNames


class Unlinkable(Exception):
    """The units do not hold the program, or cannot be loaded one after the other."""


class Unit(NamedTuple):
    """``exports``: globals, by their full names, that keep their names and are to be had from this unit."""

    modules: tuple[str, ...]
    exports: tuple[str, ...] = ()


class Linker:
    """``units`` by the name that MicroPython imports them by; each module of the program is in one of them. The program is
    used up. Raises Unlinkable.
    """

    def __init__(self, program: Program, units: Mapping[str, Unit], names: ShortNames) -> None:
        self._program = program
        self._units = units
        self._names = names
        self._homes = {module: name for name, unit in units.items() for module in unit.modules}
        if lost := set(program.trees) - set(self._homes):
            raise Unlinkable(f"in no unit: {', '.join(sorted(lost))}")
        exports = {export for unit in units.values() for export in unit.exports}
        if missing := exports - set(names.globals):
            raise Unlinkable(f"nothing is called {', '.join(missing)}")
        for module, others in program.effects.items():
            for other in others:
                if self._homes[module] != self._homes[other]:
                    raise Unlinkable(f"{module} imports {other} for what it does, which is in another unit")
        self._bodies = {}
        self._needs = {}
        for name, unit in units.items():
            late = _Late(self._homes, name)
            body = [late.visit(node) for module in self._order(name) for node in program.trees[module].body]
            self._bodies[name] = body
            needs = dict.fromkeys([*late.needs, *unit.exports])
            self._needs[name] = [n for n in needs if self._home(n) != name]
        try:
            needed = {name: {self._home(n) for n in needs} for name, needs in self._needs.items()}
            list(graphlib.TopologicalSorter(needed).static_order())
        except graphlib.CycleError as error:
            raise Unlinkable(f"none of these can be loaded first: {', '.join(error.args[1])}") from None

    def unit(self, name: str) -> str:
        """Its source. Raises Unlinkable."""
        for node in self._bodies[name]:
            self._names.rename(node)
        return "\n".join([*self._header(name), *map(ast.unparse, self._bodies[name])]) + "\n"

    def _home(self, name: str) -> str:
        """The unit, or MicroPython's module, that has a global."""
        module = name.partition(":")[0]
        return self._homes.get(module, module)

    def _header(self, unit: str) -> Iterator[str]:
        """Its imports; all from one place at once."""
        members: dict[str, list[str]] = {}
        for name in self._needs[unit]:
            if name.endswith(":"):
                yield f"import {name[:-1]}"
            else:
                members.setdefault(self._home(name), []).append(self._names.name(name))
        told = Counter(name for names in members.values() for name in names)
        if twice := [name for name, count in told.items() if count > 1]:
            raise Unlinkable(f"{unit} has {', '.join(twice)} from two modules")
        for home, names in members.items():
            yield f"from {home} import {', '.join(names)}"

    def _order(self, unit: str) -> list[str]:
        """Modules after those that they import."""
        done: list[str] = []
        under_way: list[str] = []

        def load(module: str) -> None:
            if module in done or self._homes[module] != unit:
                return
            if module in under_way:
                raise Unlinkable(f"{module} imports itself by way of {under_way[-1]}")
            under_way.append(module)
            for other in self._program.imports[module]:
                load(other)
            under_way.pop()
            done.append(module)

        for module in self._units[unit].modules:
            load(module)
        return done


def globals_in(node: ast.AST) -> Iterator[str]:
    """Full names of all that it uses."""
    for n in ast.walk(node):
        if isinstance(n, ast.Name) and is_global(n.id):
            yield n.id


def _imports(node: ast.AST) -> Iterator[ast.ImportFrom]:
    """Of modules of the firmware, in a function but not in those within it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom) and not child.module:
            yield child
        elif not isinstance(child, Definition):
            yield from _imports(child)


class _Late(ast.NodeTransformer):
    """Imports in functions: gone if the module is in this unit, else of what the function uses from it. ``needs`` are the
    globals that are used elsewhere than under such an import.
    """

    def __init__(self, homes: Mapping[str, str], unit: str) -> None:
        self._homes = homes
        self._unit = unit
        self._used: list[str] = []
        self._imported: set[str] = set()
        self.needs: dict[str, None] = {}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        before = self._used, self._imported
        self._used = list(dict.fromkeys(globals_in(node)))
        self._imported = self._imported.union(*map(self._names, _imports(node)))
        self.generic_visit(node)
        self._used, self._imported = before
        return node

    def _names(self, node: ast.ImportFrom) -> list[str]:
        """What it gives to this function: globals by name, or all that is used of a module."""
        asked = [alias.name for alias in node.names]
        return [n for n in self._used if n in asked or n.partition(":")[0] + ":" in asked]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | list[ast.stmt]:
        if node.module:
            return node
        made: dict[str, list[ast.alias]] = {}
        for name in self._names(node):
            made.setdefault(self._homes[name.partition(":")[0]], []).append(ast.alias(name))
        made.pop(self._unit, None)
        return [ast.ImportFrom(home, names, 0) for home, names in made.items()] or ast.Pass()

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if is_global(node.id) and node.id not in self._imported:
            self.needs[node.id] = None
        return node
