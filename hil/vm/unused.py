"""Leaves out of a resolved program what nothing on a board ever asks for: the phone's side of a handshake, the cloud's of a seal.

A global is used if something that is used names it. A method is used if its class is, and its name is read of any object at all,
or Python or MicroPython's own code may call it by its name. So what goes cannot have been called.
"""

import ast
from collections.abc import Iterable, Iterator

from hil.vm.meanings import Definition, Program, is_global

# What MicroPython calls of an object that stands for a file, a stream or a block device.
CALLED_BY_NAME = {
    *("read", "readinto", "readline", "write", "flush", "close", "ioctl", "readblocks", "writeblocks"),
    *("mount", "umount", "open", "stat", "send", "throw"),
}


def defined(module: str, node: ast.stmt) -> list[str]:
    """Globals that a statement of a module defines."""
    if isinstance(node, Definition):
        return [node.name]
    names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    return [name for name in names if is_global(name) and name.startswith(module + ":")]


class _Uses:
    """What is used so far, and what that uses in its turn."""

    def __init__(self, program: Program) -> None:
        self._definitions: dict[str, list[ast.stmt]] = {}
        for module, tree in program.trees.items():
            for node in tree.body:
                for name in defined(module, node):
                    self._definitions.setdefault(name, []).append(node)
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self._methods: list[ast.stmt] = []

    def add(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.names:
                self.names.add(name)
                for node in self._definitions.get(name, ()):
                    self._walk(node)
        waiting = [method for method in self._methods if self.has(method)]
        if waiting:
            self._methods = [method for method in self._methods if not self.has(method)]
            for method in waiting:
                self._look(method)
            self.add(())

    def has(self, method: ast.stmt) -> bool:
        name = method.name if isinstance(method, Definition) else ""
        return name in self.attributes or name in CALLED_BY_NAME or name.startswith("__")

    def _walk(self, node: ast.stmt) -> None:
        if not isinstance(node, ast.ClassDef):
            self._look(node)
            return
        for base in node.bases:
            self._look(base)
        for member in node.body:
            if isinstance(member, Definition):
                self._methods.append(member)
            else:
                self._look(member)

    def _look(self, node: ast.AST) -> None:
        for found in ast.walk(node):
            if isinstance(found, ast.Attribute) and isinstance(found.ctx, ast.Load):
                self.attributes.add(found.attr)
        self.add(
            [found.id for found in ast.walk(node) if isinstance(found, ast.Name) and is_global(found.id)]
        )


def prune(program: Program, roots: Iterable[str]) -> None:
    """Take away what is not used by ``roots``, globals by their full names."""
    uses = _Uses(program)
    uses.add(roots)
    for module, tree in program.trees.items():
        tree.body = [node for node in tree.body if uses.names.intersection(defined(module, node))]
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                node.body = list(_members(node, uses)) or [ast.Pass()]


def _members(node: ast.ClassDef, uses: _Uses) -> Iterator[ast.stmt]:
    for member in node.body:
        if not isinstance(member, Definition) or uses.has(member):
            yield member
