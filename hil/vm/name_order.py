"""Puts what a unit names most to the front of its table of names: in bytecode the first 128 of them take one byte, others two.

mpy-cross numbers names as it meets them, also in code that cannot be reached, and emits none of that.
"""

import ast
import keyword
from collections import Counter
from collections.abc import Iterator

from hil.vm.parsing import parse

_SHORT = 126  # of 128: the unit's own name is the first, and there is room for one that is not counted here


def in_front(source: str) -> str:
    """The source with its most frequent names in front, if it has more than take one byte."""
    uses = Counter(name for name in _names(parse(source), frozenset()) if _is_name(name))
    if len(uses) <= _SHORT:
        return source
    first = [name for name, _ in uses.most_common(_SHORT)]
    return f"while True:\n    break\n    {'.'.join((first[0], *first))}\n{source}"  # only attributes are numbered there


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)


def _names(node: ast.AST, inner: frozenset[str]) -> Iterator[str]:
    """What stands in bytecode by its number in the table; ``inner`` are locals, which do not."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            parameters = [n.arg for n in ast.walk(node.args) if isinstance(n, ast.arg)]
            yield from parameters
            stored = (n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
            inner |= {*parameters, *(n.id for n in stored)}
            if not isinstance(node, ast.Lambda):
                yield from (node.name, node.name)  # where it is defined, and in its own head
        case ast.ClassDef(name=name):
            yield from (name, name, name)
        case ast.Name(id=name) if name not in inner:
            yield name
        case ast.Attribute(attr=name):
            yield name
        case ast.keyword(arg=str(name)):
            yield name
        case ast.Constant(value=str(text)):
            yield text
    for child in ast.iter_child_nodes(node):
        yield from _names(child, inner)
