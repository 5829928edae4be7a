"""Puts the firmware's constants where they are used, in every module of a build.

MicroPython's ``const`` folds an integer within its own module and only if it is private. A public one costs each board
its name, an entry in its module's table, and both again in every module that imports it; on the whole a tenth of
the bytecode and a sixth of the heap. A build knows all modules, so it can do better: each name in capitals that
is bound once, at the top of its module, to an integer that can be told from the source, is replaced by that
integer, and its definition is left out. What is imported for type checkers only goes the same way, for
``TYPE_CHECKING`` is such a name. Lines keep their numbers.
"""

import ast
from collections.abc import Callable, Iterator, Mapping

from hil.vm.parsing import evaluate, parse

Constants = dict[str, dict[str, int]]  # by module and name
_ROUNDS = 4  # constants of constants of other modules


def fold(sources: Mapping[str, str], public: Callable[[str], bool] = lambda _: False) -> dict[str, str]:
    """Sources by module name, folded. Whoever looks a constant up by ``getattr`` no longer finds it. Modules that are
    ``public``, for others than those given here, keep theirs but for what tells of type checkers.
    """
    trees = {module: parse(source, filename=module) for module, source in sources.items()}
    constants: Constants = {module: {} for module in trees}
    for _ in range(_ROUNDS):
        for module, tree in trees.items():
            found = _defined(tree, _visible(tree, module, constants))
            constants[module] = {n: v for n, v in found.items() if not public(module) or n == "TYPE_CHECKING"}
    return {module: _Folder(module, trees[module], constants).edit(sources[module]) for module in trees}


def _defined(tree: ast.Module, visible: dict[str, int]) -> dict[str, int]:
    bound = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    found: dict[str, int] = {}
    for name, value in _definitions(tree):
        number = _number(value, {**visible, **found})
        if number is not None and bound.count(name) == 1:
            found[name] = number
    return found


def _definitions(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name.isupper():
                yield name, value


def _number(node: ast.expr, known: Mapping[str, int]) -> int | None:
    """Of an expression that has integers, names of ``known`` and operators in it, and at most ``const`` around it."""
    match node:
        case ast.Call(func=ast.Name(id="const"), args=[inner]):
            return _number(inner, known)
        case ast.Constant(value=bool() | int()):
            return int(node.value) if isinstance(node.value, int) else None
        case ast.Name(id=name):
            return known.get(name)
        case ast.UnaryOp(operand=operand):
            parts = [operand]
        case ast.BinOp(left=left, right=right):
            parts = [left, right]
        case _:
            return None
    if any(_number(part, known) is None for part in parts):
        return None
    value = evaluate(node, dict(known))
    return value if isinstance(value, int) else None


def _visible(tree: ast.Module, module: str, constants: Constants) -> dict[str, int]:
    """Constants by the names that this module uses for them."""
    found = dict(constants[module])
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in constants:
            theirs = constants[node.module]
            found.update({n.asname or n.name: theirs[n.name] for n in node.names if n.name in theirs})
    return found


class _Folder(ast.NodeVisitor):
    """Collects the edits of one module."""

    def __init__(self, module: str, tree: ast.Module, constants: Constants) -> None:
        self._tree = tree
        self._constants = constants
        self._own = constants[module]
        self._names = _visible(tree, module, constants)
        self._modules = self._imported_modules()
        kept = [n for n in tree.body if not self._is_folded(n)]
        self._needs_const = any(
            isinstance(n, ast.Name) and n.id == "const" for k in kept for n in ast.walk(k)
        )
        self._edits: list[tuple[ast.expr | ast.stmt, str]] = []

    def _imported_modules(self) -> dict[str, str]:
        """By the names used for them, but for names that are also something else here."""
        taken = {n.arg for n in ast.walk(self._tree) if isinstance(n, ast.arg)}
        taken |= {
            n.id for n in ast.walk(self._tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        found = {}
        for node in ast.walk(self._tree):
            if isinstance(node, ast.ImportFrom):
                found.update({n.asname or n.name: f"{node.module}.{n.name}" for n in node.names})
        return {name: path for name, path in found.items() if path in self._constants and name not in taken}

    def edit(self, source: str) -> str:
        self.visit(self._tree)
        lines = source.encode().splitlines(keepends=True)
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line))
        out = source.encode()
        for node, text in sorted(self._edits, key=lambda e: (e[0].lineno, e[0].col_offset), reverse=True):
            assert node.end_lineno is not None
            assert node.end_col_offset is not None
            begin = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            padding = "\n" * (out[begin:end].count(b"\n") - text.count("\n"))
            out = out[:begin] + (text + padding).encode() + out[end:]
        return out.decode()

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and node.id in self._names:
            self._edits.append((node, f"({self._names[node.id]})"))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        match node.value:
            case ast.Name(id=name) if name in self._modules:
                value = self._constants[self._modules[name]].get(node.attr)
                if value is not None:
                    self._edits.append((node, f"({value})"))
                return
        self.visit(node.value)

    def _is_folded(self, node: ast.stmt) -> bool:
        """Whether this statement of the module defines a constant."""
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]):
                return name in self._own
        return False

    def visit_Assign(self, node: ast.Assign) -> None:
        if node in self._tree.body and self._is_folded(node):
            self._edits.append((node, "pass"))
        else:
            self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        gone = self._constants.get(node.module or "", {})
        names = [n for n in node.names if n.name not in gone and (n.name != "const" or self._needs_const)]
        if len(names) < len(node.names):
            listed = ", ".join(f"{n.name} as {n.asname}" if n.asname else n.name for n in names)
            self._edits.append((node, f"from {node.module} import {listed}" if names else "pass"))
