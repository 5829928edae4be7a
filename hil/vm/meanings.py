"""What each name in the firmware's sources means: a local, a global of some module, something of MicroPython.

A resolved tree says so in the names themselves, so that whoever works on it need not look at scopes again:

    device.door:Door   global of a module of the firmware, also where another module uses it
    asyncio:           module of MicroPython;  machine:Pin  what is imported from one
    count@7            local of scope 7
    .kind              what a class binds, in its own body
    len                builtin

Imports are gone from the top of the modules. In functions they stay, and those of the firmware's modules say in the same way what
is imported. Attributes and keywords are as they were. What cannot be told from the source is refused: ``import *``, ``global``, a
module as a value, an attribute by its name, a statement that does something at import.
"""

import ast
import builtins
import contextlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, NoReturn

from hil.vm.parsing import parse
from hil.vm.stripped import strip

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

_BY_NAME = {
    *("__dict__", "__import__", "__name__", "__qualname__", "delattr", "dir"),
    *("eval", "exec", "getattr", "globals", "locals", "setattr", "vars"),
}


class Unclear(Exception):
    """A name whose meaning cannot be told from the source."""


def is_global(name: str) -> bool:
    """Of a module of the firmware, or of MicroPython."""
    return ":" in name


def is_local(name: str) -> bool:
    return "@" in name


def is_member(name: str) -> bool:
    return name.startswith(".")


def bare(name: str) -> str:
    """As the source has it."""
    return name.split("@")[0].rpartition(":")[2]


class Program(NamedTuple):
    """``trees`` by module; ``imports`` of each module of the firmware, at its top, in their order; those of ``effects`` for
    what the import does.
    """

    trees: dict[str, ast.Module]
    imports: dict[str, list[str]]
    effects: dict[str, list[str]]


def resolve(sources: Mapping[str, str]) -> Program:
    """Resolve all modules, without what does not run (`stripped`). Raises SyntaxError or Unclear."""
    trees = {module: strip(parse(source, filename=module)) for module, source in sources.items()}
    imports = {module: list(dict.fromkeys(_imports(tree, trees))) for module, tree in trees.items()}
    effects = {module: list(_effects(tree, trees)) for module, tree in trees.items()}
    resolver = _Resolver(trees)
    return Program({module: resolver.module(module) for module in trees}, imports, effects)


def _effects(tree: ast.Module, modules: Container[str]) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)


def _imports(tree: ast.Module, modules: Container[str]) -> Iterator[str]:
    yield from _effects(tree, modules)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name for name in whole if name in modules)
            if node.module in modules and not all(name in modules for name in whole):
                yield str(node.module)


class _Scope:
    """``kind`` is "module", "class" or "function"; ``names``: what it binds, and what that means."""

    def __init__(self, kind: str, names: dict[str, str], parent: "_Scope | None" = None) -> None:
        self.kind = kind
        self.names = names
        self.parent = parent


class _Resolver(ast.NodeTransformer):
    """One for all modules: each uses what the others define."""

    def __init__(self, trees: Mapping[str, ast.Module]) -> None:
        self._trees = trees
        self._count = 0
        self._where = ""
        self._globals = {module: self._bound_in_module(module, tree) for module, tree in trees.items()}
        self._scope = _Scope("module", {})

    def module(self, module: str) -> ast.Module:
        self._where = module
        self._scope = _Scope("module", self._globals[module])
        tree = self._trees[module]
        for node in tree.body:
            if not isinstance(node, ast.Import | ast.ImportFrom | ast.Assign | Definition):
                self._refuse(node, "does something at import")
        tree.body = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
        self.generic_visit(tree)
        return tree

    def _refuse(self, node: ast.AST, what: str) -> NoReturn:
        raise Unclear(f"{self._where}, line {getattr(node, 'lineno', '?')}: {what}")

    # What is bound

    def _bound_in_module(self, module: str, tree: ast.Module) -> dict[str, str]:
        self._where = module
        return {name: meaning or f"{module}:{name}" for name, meaning in self._bound(tree.body)}

    def _bound(self, nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
        """Names that are bound in this scope, and what they mean if they are imported of the firmware, or at all in a module."""
        for node in nodes:
            match node:
                case ast.Import() | ast.ImportFrom():
                    yield from self._imported(node)
                case ast.Global() | ast.Nonlocal():
                    self._refuse(node, "binds what is another scope's")
                case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                    yield name, ""
                case ast.ExceptHandler(name=str() as name):
                    yield name, ""
                case ast.NamedExpr():
                    self._refuse(node, "an assignment in an expression")
            if isinstance(node, Definition):
                yield node.name, ""
            elif not isinstance(node, ast.Lambda | Comprehension):
                yield from self._bound(ast.iter_child_nodes(node))

    def _imported(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
        for alias in node.names:
            name = alias.asname or alias.name
            if isinstance(node, ast.Import):
                if alias.name in self._trees:
                    continue  # for what it does, and to be there later; its name is the package's
                if "." in name:
                    self._refuse(node, "a module in a package")
                yield name, f"{alias.name}:"
            elif node.level or not node.module or name == "*":
                self._refuse(node, "an import of what is not named")
            elif f"{node.module}.{alias.name}" in self._trees:
                yield name, f"{node.module}.{alias.name}:"
            else:
                yield name, f"{node.module}:{alias.name}"

    # What is meant

    def _is_ours(self, meaning: str) -> bool:
        return meaning.partition(":")[0] in self._trees

    def _meaning(self, node: ast.AST, name: str) -> str:
        scope: _Scope | None = self._scope
        while scope is not None and (
            name not in scope.names or (scope.kind == "class" and scope is not self._scope)
        ):
            scope = scope.parent
        if scope is not None:
            return self._origin(node, scope.names[name])
        if not hasattr(builtins, name):
            self._refuse(node, f"nothing is called {name}")
        if name in _BY_NAME:
            self._refuse(node, f"{name}, which asks for names")
        return name

    def _origin(self, node: ast.AST, meaning: str) -> str:
        """Where a module has it from, if it is not its own."""
        module, _, name = meaning.partition(":")
        if module not in self._trees or not name:
            return meaning
        if name not in self._globals[module]:
            self._refuse(node, f"{module} has no {name}")
        origin = self._globals[module][name]
        return origin if origin == meaning else self._origin(node, origin)

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._meaning(node, node.id)
        if node.id.endswith(":") and self._is_ours(node.id):
            self._refuse(node, f"{node.id[:-1]} as a value")
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name):
            module = self._meaning(node, node.value.id)
            if module.endswith(":") and self._is_ours(module):
                if not isinstance(node.ctx, ast.Load):
                    self._refuse(node, f"sets a global of {module[:-1]}")
                return ast.Name(self._origin(node, module + node.attr), ast.Load())
        if node.attr in _BY_NAME:
            self._refuse(node, f"{node.attr}, which tells a name")
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name(id="hasattr"), args=[ast.Name(id=asked), *_]) if asked.endswith(":"):
                pass  # a module of MicroPython, whose names stay
            case ast.Call(func=ast.Name(id="hasattr")):
                self._refuse(node, "hasattr, but of a module of MicroPython")
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name:
            node.name = self._meaning(node, node.name)
        return self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> ast.Import:
        for alias in node.names:
            if alias.name in self._trees:
                self._refuse(node, f"{alias.name} for what it does, in a function")
            alias.asname = self._meaning(node, alias.asname or alias.name)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        meanings = [self._meaning(node, alias.asname or alias.name) for alias in node.names]
        if any(map(self._is_ours, meanings)):
            return ast.ImportFrom("", [ast.alias(meaning) for meaning in meanings], 0)
        for alias, meaning in zip(node.names, meanings, strict=True):
            alias.asname = meaning
        return node

    # Scopes

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        node.name = self._meaning(node, node.name)
        node.bases = [self.visit(base) for base in node.bases]
        if node.keywords or node.decorator_list:
            self._refuse(node, "a class with a metaclass or a decorator")
        names = {name: f".{name}" for name, _ in self._bound(node.body)}
        with self._within(_Scope("class", names, self._scope)):
            node.body = [self.visit(statement) for statement in node.body]
        return node

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        if self._scope.kind != "class":
            node.name = self._meaning(node, node.name)
        if [ast.unparse(decorator) for decorator in node.decorator_list] not in ([], ["property"]):
            self._refuse(node, "a decorator that is not looked at")
        with self._parameters(node.args, node.body):
            node.body = [self.visit(statement) for statement in node.body]
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        with self._parameters(node.args, [node.body]):
            node.body = self.visit(node.body)
        return node

    @contextlib.contextmanager
    def _parameters(self, arguments: ast.arguments, body: Sequence[ast.AST]) -> Iterator[None]:
        """The scope of a function; its defaults belong to the one around it."""
        if arguments.posonlyargs or arguments.kwonlyargs or arguments.kwarg:
            self._refuse(body[0], "parameters of a kind that is not looked at")
        arguments.defaults = [self.visit(default) for default in arguments.defaults]
        given = [*arguments.args, *([arguments.vararg] if arguments.vararg else [])]
        with self._local([*((argument.arg, "") for argument in given), *self._bound(body)]):
            for argument in given:
                argument.arg = self._meaning(argument, argument.arg)
            yield

    def _comprehension(self, node: Comprehension) -> ast.AST:
        """Its first iterable belongs to the scope around it."""
        first = node.generators[0]
        outer, first.iter = self.visit(first.iter), ast.Constant(None)
        with self._local(self._bound([generator.target for generator in node.generators])):
            self.generic_visit(node)
        first.iter = outer
        return node

    visit_ListComp = visit_GeneratorExp = visit_SetComp = visit_DictComp = _comprehension

    @contextlib.contextmanager
    def _local(self, bound: Iterable[tuple[str, str]]) -> Iterator[None]:
        self._count += 1
        names = {
            name: meaning if self._is_ours(meaning) else f"{name}@{self._count}" for name, meaning in bound
        }
        with self._within(_Scope("function", names, self._scope)):
            yield

    @contextlib.contextmanager
    def _within(self, scope: _Scope) -> Iterator[None]:
        before, self._scope = self._scope, scope
        yield
        self._scope = before
