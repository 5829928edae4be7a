"""Puts literals that have a name where they are used, in a resolved program, if that takes fewer bytes.

`constants` has done so with most integers. A global costs its name, and a statement that sets it; a literal costs itself at each
use, but for a short text, which is a name of the VM's and there once.
"""

import ast
import copy
from collections import Counter
from collections.abc import Iterator

from hil.vm.meanings import Program

_NAMED = 9  # bytes of a global: its name, and to set it
_OBJECT = 3  # of a literal, beside what is in it
_INTERNED = 10  # longest text that the compiler takes for a name


def inline(program: Program) -> None:
    """In place. A name that is set twice, or to something else, stays."""
    for tree in program.trees.values():
        tree.body = [made for node in tree.body for made in _apart(node)]
    nodes = [node for tree in program.trees.values() for node in ast.walk(tree) if isinstance(node, ast.Name)]
    used = Counter(node.id for node in nodes if isinstance(node.ctx, ast.Load))
    bound = Counter(node.id for node in nodes if not isinstance(node.ctx, ast.Load))
    found = {
        name: value
        for name, value in _named(program)
        if bound[name] == 1 and (used[name] - 1) * _size(value) < _NAMED
    }
    for tree in program.trees.values():
        _Inliner(found).visit(tree)
        tree.body = [node for node in tree.body if _target(node) not in found]


def _apart(node: ast.stmt) -> Iterator[ast.stmt]:
    """Several names that are set at once, to literals, one by one."""
    match node:
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if all(
            map(_is_literal, values)
        ):
            yield from (ast.Assign([n], v, lineno=0) for n, v in zip(names, values, strict=True))
        case _:
            yield node


def _target(node: ast.stmt) -> str:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
    return ""


def _named(program: Program) -> Iterator[tuple[str, ast.expr]]:
    for tree in program.trees.values():
        for node in tree.body:
            if isinstance(node, ast.Assign) and _target(node) and _is_literal(node.value):
                yield _target(node), node.value


def _is_literal(node: ast.expr) -> bool:
    match node:
        case ast.Constant():
            return True
        case ast.Tuple(elts=elements):
            return all(map(_is_literal, elements))
    return False


def _size(node: ast.expr) -> int:
    match node:
        case ast.Constant(value=str(text)) if len(text) <= _INTERNED:
            return 0
        case ast.Constant(value=str() | bytes() as value):
            return _OBJECT + len(value)
        case ast.Tuple(elts=elements):
            return _OBJECT + sum(map(_size, elements)) + len(elements)
    return 0


class _Inliner(ast.NodeTransformer):
    def __init__(self, values: dict[str, ast.expr]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Load) and node.id in self._values:
            value: ast.expr = self.visit(copy.deepcopy(self._values[node.id]))
            return value
        return node
