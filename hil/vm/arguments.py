"""Keyword arguments of a resolved program: by position where that says the same, and marked where they stay.

A keyword costs its name at each call and in each function. Where every function that a call can mean has the parameter in the
same place, and everything before it is given, the place is enough. What stays is marked (``value@``) if a function of the
firmware is called: then the name may be another, as long as it is the same for all. Where MicroPython may be called, it is left.
"""

import ast
from collections.abc import Iterator

from hil.vm.meanings import Program, Unclear, bare, is_global, is_local

MARK = "@"


class Keywords:
    """``short``: names that keywords use, and parameters must share; ``fixed``: those that are MicroPython's as well."""

    def __init__(self, program: Program, own: set[str], foreign: frozenset[str]) -> None:
        self._own, self._foreign = own, foreign
        self._functions: dict[str, list[str]] = {}
        self._methods: dict[str, list[list[str]]] = {}
        self.shared: set[str] = set()
        self.fixed: set[str] = set()
        self._bases: dict[str, list[str]] = {}
        self._stored: set[str] = set()  # attributes that may hold anybody's function
        for tree in program.trees.values():
            for statement in tree.body:
                self._collect(statement)
        for tree in program.trees.values():
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
                    self._stored.add(node.attr)
        for tree in program.trees.values():
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and node.keywords:
                    self._place(node)

    def _collect(self, node: ast.stmt) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self._functions[node.name] = _parameters(node)
        elif isinstance(node, ast.ClassDef):
            self._bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
            for member in node.body:
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                    self._methods.setdefault(member.name, []).append(_parameters(member)[1:])
                    if member.name == "__init__":
                        self._functions[node.name] = _parameters(member)[1:]

    def _place(self, call: ast.Call) -> None:
        if not self._is_ours(call.func):
            return
        candidates = list(self._candidates(call.func))
        while candidates and call.keywords and not _unpacks(call):
            at = len(call.args)
            following = {parameters[at] if at < len(parameters) else "" for parameters in candidates}
            if following != {call.keywords[0].arg}:  # only the first: the order of evaluation stays
                break
            call.args.append(call.keywords.pop(0).value)
        for keyword in call.keywords:
            if keyword.arg is None:
                raise Unclear(f"line {call.lineno}: keywords that are not named")
            if candidates:
                self.shared.add(keyword.arg)
                keyword.arg += MARK
            else:
                self.fixed.add(keyword.arg)

    def _is_ours(self, function: ast.expr) -> bool:
        """Whether a function of the firmware may be meant."""
        match function:
            case ast.Name(id=name):
                return name in self._functions or name in self._bases or is_local(name)
            case ast.Attribute(value=ast.Name(id=name)) if name.endswith(":"):
                return False
            case ast.Attribute(attr=attribute):
                return attribute in self._own
        return True

    def _candidates(self, function: ast.expr) -> Iterator[list[str]]:
        """Parameters of all functions that may be meant; none, if that cannot be told."""
        match function:
            case ast.Name(id=name) if is_global(name):
                yield self._parameters(name)
            case ast.Attribute(attr=attribute) if attribute not in self._foreign | self._stored:
                yield from self._methods.get(attribute, ())

    def _parameters(self, name: str) -> list[str]:
        """Of a function, or of what makes an object of a class."""
        if name in self._functions:
            return self._functions[name]
        if not self._bases.get(name):
            raise Unclear(f"keywords for {name}, which takes none that is known")
        return self._parameters(self._bases[name][0])


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [bare(argument.arg) for argument in node.args.args]


def _unpacks(call: ast.Call) -> bool:
    return any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords)
