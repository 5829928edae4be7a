"""A build with its constants folded does the same, and keeps its lines."""

import ast
import textwrap

from hil.vm import image
from hil.vm.constants import fold


def folded(**modules: str) -> dict[str, str]:
    return fold({name.replace("__", "."): textwrap.dedent(text).lstrip() for name, text in modules.items()})


def run(modules: dict[str, str], name: str) -> dict[str, object]:
    """The namespace of a module without imports of its own."""
    found: dict[str, object] = {}
    exec(modules[name], found)
    return found


def test_a_constant_is_put_where_it_is_used_in_every_module() -> None:
    out = folded(
        a__kinds="""
            from micropython import const
            OPEN = 4
            _STEP = const(3)
            NEXT = OPEN + _STEP * 2
            NAMES = {OPEN: "open"}
        """,
        a__user="""
            from a.kinds import NEXT, OPEN as GAP
            from a import kinds
            def f():
                return (NEXT, GAP, kinds.NEXT, -GAP)
        """,
    )
    assert "const" not in out["a.kinds"]
    assert run(out, "a.kinds")["NAMES"] == {4: "open"}
    user = out["a.user"].replace("from a import kinds", "")
    namespace: dict[str, object] = {}
    exec(user, namespace)
    assert namespace["f"]() == (10, 4, 10, -4)  # type: ignore[operator]


def test_what_is_no_constant_stays() -> None:
    source = """
        from micropython import const
        TWICE = 1
        TWICE = 2
        NAME = "text"
        PAIR = (1, 2)
        UUID = const("6c61")
        SUM = sum(PAIR)
        lower = 3
        class C:
            LIMIT = 5
        def f():
            LOCAL = 6
            return LOCAL
    """
    assert folded(a=source)["a"].split() == source.split()


def test_a_name_that_is_something_else_here_is_left_alone() -> None:
    out = folded(
        a__kinds="OPEN = 4\n",
        a__user="""
            from a import kinds
            def f(kinds):
                return kinds.OPEN
        """,
    )
    assert "kinds.OPEN" in out["a.user"]


def test_the_imports_for_type_checkers_go() -> None:
    out = folded(a="TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from typing import Any\nx = 1\n")
    assert not any(
        isinstance(n, ast.If) and not isinstance(n.test, ast.Constant) for n in ast.walk(ast.parse(out["a"]))
    )


def test_every_line_of_the_firmware_keeps_its_number() -> None:
    names = {
        name.removesuffix(".py").replace("/", "."): path for name, path in image.firmware_files().items()
    }
    sources = {module: path.read_text() for module, path in names.items()}
    out = fold(sources)
    for module, source in sources.items():
        before = [(n.name, n.lineno) for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]
        after = [
            (n.name, n.lineno) for n in ast.walk(ast.parse(out[module])) if isinstance(n, ast.FunctionDef)
        ]
        assert before == after
        used = {n.attr for n in ast.walk(ast.parse(out[module])) if isinstance(n, ast.Attribute)}
        assert not [name for name in used if name.startswith("EVENT_")]


def test_a_module_for_others_keeps_its_constants_and_takes_those_of_the_rest() -> None:
    sources = {
        "_inner": "CORE = 3\n",
        "outer": "TYPE_CHECKING = False\nfrom _inner import CORE\nOPEN = 4\ndef f():\n    return OPEN + CORE\n",
    }
    out = fold(sources, public=lambda module: not module.startswith("_"))
    found = run(out, "outer")
    assert found["OPEN"] == 4
    assert found["f"]() == 7  # type: ignore[operator]
    assert not {"CORE", "TYPE_CHECKING"} & set(found)
