"""Short names for a resolved program: the same text may be a global, an attribute and a local, and is then one name of the VM's.

Globals begin with a capital, so that no local hides one. Attributes are renamed if they are the firmware's alone: its classes
define them, or their methods set them on themselves, and nothing of MicroPython has one of that name (`foreign.attributes`).
Parameters are named by their place, but for those that keywords name.
"""

import ast
import itertools
import string
from collections import Counter
from collections.abc import Iterable, Iterator

from hil.vm.arguments import MARK, Keywords
from hil.vm.meanings import Program, Unclear, bare, is_global, is_local, is_member
from hil.vm.unused import defined


def _texts(single: str, first: str, second: str) -> Iterator[str]:
    """Those of one letter, then those of two; none is a word of the language."""
    yield from single
    yield from map("".join, itertools.product(first, second))


def _capitals(single: str) -> Iterator[str]:
    return _texts(single, string.ascii_uppercase, string.ascii_letters + string.digits)


def own_attributes(program: Program) -> set[str]:
    """What the firmware's classes define, and what their methods set on ``self``."""
    classes = [n for tree in program.trees.values() for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
    return {name for node in classes for name in _attributes_of(node) if not name.startswith("__")}


def _attributes_of(node: ast.ClassDef) -> Iterator[str]:
    for member in node.body:
        if isinstance(member, ast.Assign):
            yield from (target.id[1:] for target in member.targets if isinstance(target, ast.Name))
        elif isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
            yield member.name
            me = member.args.args[0].arg
            for found in ast.walk(member):
                match found:
                    case ast.Attribute(value=ast.Name(id=name), attr=attribute, ctx=ast.Store()) if (
                        name == me
                    ):
                        yield attribute


class ShortNames:
    """``exports`` (full names of globals) keep the names that they have."""

    def __init__(
        self,
        program: Program,
        exports: Iterable[str],
        own: set[str],
        foreign: frozenset[str],
        keywords: Keywords,
    ) -> None:
        nodes = [node for tree in program.trees.values() for node in ast.walk(tree)]
        used = Counter(node.id for node in nodes if isinstance(node, ast.Name))
        asked = Counter(node.attr for node in nodes if isinstance(node, ast.Attribute))
        names = {n: None for m, tree in program.trees.items() for node in tree.body for n in defined(m, node)}
        self.globals = {name: bare(name) for name in exports if name in names}
        ours = sorted(set(names) - set(self.globals), key=lambda name: (-used[name], name))
        taken = {bare(name) or name[:-1] for name in used}  # as what is imported of MicroPython is called
        free = (text for text in _capitals(string.ascii_uppercase) if text not in taken)
        self.globals.update(zip(ours, free, strict=False))
        renamed = sorted(own - foreign, key=lambda name: (-asked[name], name))
        self._attributes = dict(zip(renamed, _capitals(string.ascii_letters), strict=False))
        self.keywords = {name: name for name in keywords.fixed}
        letters = [letter for letter in reversed(string.ascii_lowercase) if letter not in self.keywords]
        self.keywords.update(zip(sorted(keywords.shared - keywords.fixed), letters, strict=False))
        if missing := keywords.shared - set(self.keywords):
            raise Unclear(f"no name is left for the keywords {', '.join(missing)}")

    def name(self, name: str) -> str:
        """Of a global; one of MicroPython's keeps its name."""
        return self.globals.get(name) or bare(name) or name[:-1]

    def attribute(self, name: str) -> str:
        """Of an attribute; one that may be MicroPython's keeps its name."""
        return self._attributes.get(name, name)

    def rename(self, node: ast.stmt) -> None:
        """A statement of a module, in place."""
        _Renamer(self).visit(node)

    def locals(self, function: ast.AST) -> dict[str, str]:
        """Of a function and all within it, by their full names."""
        parameters = [node.arg for node in ast.walk(function) if isinstance(node, ast.arg)]
        found = {name: self.keywords[bare(name)] for name in parameters if bare(name) in self.keywords}
        if len(set(found.values())) < len(found):
            raise Unclear(f"one keyword for two functions, one in the other: {', '.join(found)}")
        others = dict.fromkeys(name for name in [*parameters, *_locals(function)] if name not in found)
        texts = _texts(string.ascii_lowercase, string.ascii_lowercase, string.digits)
        free = (text for text in texts if text not in found.values())
        return {**found, **dict(zip(others, list(itertools.islice(free, len(others))), strict=True))}


def _locals(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        for name in (getattr(node, "id", None), getattr(node, "name", None), getattr(node, "asname", None)):
            if name is not None and is_local(name):
                yield name


class _Renamer(ast.NodeTransformer):
    def __init__(self, names: ShortNames) -> None:
        self._names = names
        self._locals: dict[str, str] = {}
        self._in_class = False

    def _name(self, name: str) -> str:
        if is_local(name):
            return self._locals[name]
        if is_member(name):
            return self._names.attribute(name[1:])
        return self._names.name(name) if is_global(name) else name

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._name(node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        of_module = isinstance(node.value, ast.Name) and node.value.id.endswith(":")
        if not of_module:
            node.attr = self._names.attribute(node.attr)
        return self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        if node.arg is not None and node.arg.endswith(MARK):
            node.arg = self._names.keywords[node.arg.removesuffix(MARK)]
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self._name(node.arg)
        return node

    def visit_alias(self, node: ast.alias) -> ast.alias:
        node.name = self._name(node.name)
        if node.asname is not None:
            node.asname = self._name(node.asname)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name is not None:
            node.name = self._name(node.name)
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self._name(node.name)
        node.bases = [self.visit(base) for base in node.bases]
        self._in_class = True
        node.body = [self.visit(member) for member in node.body]
        self._in_class = False
        return node

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.name = self._names.attribute(node.name) if self._in_class else self._name(node.name)
        return self._scoped(node)

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def _scoped(self, node: ast.AST) -> ast.AST:
        """The outermost scope names what is in all that are within it. Defaults belong to what is around it."""
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            defaults, node.args.defaults = [self.visit(one) for one in node.args.defaults], []
        before = self._locals, self._in_class
        self._in_class = False
        self._locals = self._locals or self._names.locals(node)
        self.generic_visit(node)
        self._locals, self._in_class = before
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            node.args.defaults = defaults
        return node

    visit_Lambda = visit_ListComp = visit_GeneratorExp = visit_SetComp = visit_DictComp = _scoped
