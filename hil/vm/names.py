"""Gives what a module keeps to itself short names that all modules share.

MicroPython keeps every distinct name that a program uses in tables that double: one more than 1260 of them costs 14 KiB
of a board's heap. A private attribute (``self._packet_id``) needs no name of its own in the whole firmware, only in its
module. Functions of `device` keep their names, so that tracebacks say what they said; of `protocol`, and of the bench's
modules, which no board has, everything private is short.
"""

import ast
import builtins
import io
import itertools
import string
import tokenize
from collections import Counter
from collections.abc import Callable, Mapping

from hil.vm.parsing import parse


class SharedPrivate(Exception):
    """A module reaches for what is private to another."""


def shorten(
    sources: Mapping[str, str], all_private: Callable[[str], bool], *, parameters: bool = False
) -> dict[str, str]:
    """Sources by module name, renamed: private data attributes, or all private names of modules that are
    ``all_private``; with ``parameters`` those that are required too, which nobody passes by keyword. Raises SharedPrivate.
    """
    own = {
        module: (_all(source) if all_private(module) else _attributes(source) - _bound(source)) - set(sources)
        for module, source in sources.items()
    }
    if parameters:
        own = {module: names | _required(sources[module]) - set(sources) for module, names in own.items()}
    out = {}
    for module, source in sources.items():
        theirs = {name for other in own if other != module for name in own[other]} - _bound(source)
        if foreign := theirs & (_used(source) - own[module]):
            raise SharedPrivate(f"{module} uses {', '.join(sorted(foreign))} of another module")
        out[module] = _rename(source, own[module])
    return out


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and len(name) > 2


def _all(source: str) -> set[str]:
    """Private names that a module binds: variables, functions, arguments, attributes of its objects."""
    tree = parse(source)
    arguments = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return {name for name in _bound(source) | _attributes(source) | arguments if _is_private(name)}


def _required(source: str) -> set[str]:
    """Parameters without a default, if nothing else that is seen from elsewhere has their name."""
    tree = parse(source)
    required: set[str] = set()
    seen = {"self", *dir(builtins)}
    for node in ast.walk(tree):
        match node:
            case ast.arguments(args=given, kwonlyargs=named, defaults=defaults):
                required.update(argument.arg for argument in given[: len(given) - len(defaults)])
                seen.update(argument.arg for argument in given[len(given) - len(defaults) :] + named)
            case ast.Attribute(attr=name) | ast.keyword(arg=str(name)) | ast.FunctionDef(name=name):
                seen.add(name)
            case ast.ClassDef(body=body) | ast.Module(body=body):
                seen.update(
                    n.id
                    for s in body
                    if isinstance(s, ast.Assign)
                    for n in ast.walk(s)
                    if isinstance(n, ast.Name)
                )
            case ast.alias(name=name, asname=other):
                seen.update((name, other or name))
            case ast.Global(names=names):
                seen.update(names)
    return required - seen


def _attributes(source: str) -> set[str]:
    """Private attributes that a module sets."""
    return {
        node.attr
        for node in ast.walk(parse(source))
        if isinstance(node, ast.Attribute) and _is_private(node.attr) and isinstance(node.ctx, ast.Store)
    }


def _bound(source: str) -> set[str]:
    """Names of functions and classes, and what is bound in a class or a module."""
    found = set()
    for node in ast.walk(parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def _used(source: str) -> set[str]:
    """Private attributes that a module reads."""
    return {n.attr for n in ast.walk(parse(source)) if isinstance(n, ast.Attribute) and _is_private(n.attr)}


def _rename(source: str, names: set[str]) -> str:
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    uses = Counter(token.string for token in tokens if token.type == tokenize.NAME)
    letters = itertools.chain(string.ascii_lowercase, string.ascii_uppercase)
    ordered = sorted(names, key=lambda name: (-uses[name], name))
    short = dict(zip(ordered, (f"_{letter}" for letter in letters), strict=False))
    lines = source.splitlines(keepends=True)
    for token in reversed(tokens):
        if token.type == tokenize.NAME and token.string in short:
            row, begin = token.start[0] - 1, token.start[1]
            lines[row] = lines[row][:begin] + short[token.string] + lines[row][token.end[1] :]
    return "".join(lines)
