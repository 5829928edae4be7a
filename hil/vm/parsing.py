"""Syntax trees, also in threads.

CPython 3.11 counts the depth of a tree that it converts in one place for all threads, and raises SystemError in the one that was
interrupted by another's ("AST constructor recursion depth mismatch", as in its issue 106905). Boards build their images in
threads while others import. What lets another thread run in the midst of a conversion is the garbage collector, by what it calls.
"""

import ast
import gc
from _thread import allocate_lock
from collections.abc import Callable
from typing import TypeVar

_parsing = allocate_lock()  # of threading, which takes a while to load

Result = TypeVar("Result")


def parse(source: str, filename: str = "<unknown>") -> ast.Module:
    """As ``ast.parse``."""
    return _undisturbed(lambda: ast.parse(source, filename=filename))


def evaluate(node: ast.expr, names: dict[str, int]) -> object:
    """The value of an expression without calls."""
    code = _undisturbed(lambda: compile(ast.Expression(node), "constant", "eval"))
    return eval(code, {"__builtins__": {}}, names)  # noqa: S307


def _undisturbed(convert: Callable[[], Result]) -> Result:
    with _parsing:
        collects = gc.isenabled()
        gc.disable()
        try:
            return convert()
        finally:
            if collects:
                gc.enable()
