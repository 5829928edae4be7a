"""What a name means is told from the source, or refused."""

import ast
import textwrap

import pytest

from hil.vm.meanings import Unclear, resolve


def resolved(source: str, **others: str) -> str:
    sources = {name.replace("__", "."): textwrap.dedent(text) for name, text in others.items()}
    return ast.unparse(resolve({"m": textwrap.dedent(source), **sources}).trees["m"])


def test_locals_globals_and_builtins_are_told_apart() -> None:
    out = resolved("""
        import time
        from machine import Pin as P
        count = 1
        def f(count, n=count):
            return [count for count in range(n)], time.ticks_ms(), P
        def g():
            return lambda: count
    """)
    assert "def m:f(count@1, n@1=m:count):" in out
    assert "([count@2 for count@2 in range(n@1)], time:.ticks_ms(), machine:Pin)" in out
    assert "lambda: m:count" in out
    assert "import" not in out


def test_a_class_is_no_scope_for_its_methods() -> None:
    out = resolved("""
        limit = 3
        class C:
            limit = 5
            twice = limit
            def f(self):
                return limit
    """)
    assert ".twice = .limit" in out
    assert "return m:limit" in out


def test_a_name_of_another_module_is_that_modules_also_by_way_of_a_third() -> None:
    out = resolved(
        """
        import a.first
        from a import second
        from a.second import base as b
        def f():
            from a.first import late
            return second.base, b, late
        """,
        a__first="def late(): pass\n",
        a__second="from a.third import base\n",
        a__third="def base(): pass\n",
    )
    assert "return (a.third:base, a.third:base, a.first:late)" in out


def test_what_does_not_run_on_a_board_goes() -> None:
    out = resolved('''
        """Doc."""
        def f(x: int) -> int:
            """Doc."""
            assert x
            y: int = 3
            z: str
            if False:
                return 1
            return y
        if __name__ == "__main__":
            f(1)
    ''')
    assert out.split() == ["def", "m:f(x@1):", "y@1", "=", "3", "return", "y@1"]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("from x import *", "not named"),
        ("def f():\n    global g\n    g = 1", "another scope"),
        ("def f():\n    return missing", "nothing is called missing"),
        ("from a import gone\ndef f():\n    return gone", "a has no gone"),
        ("import b\nfrom c import d as b\nprint(b)", "does something at import"),
        ("from p import a\ndef f():\n    return a", "p.a as a value"),
        ("from p import a\ndef f():\n    a.x = 1", "sets a global of p.a"),
        ("def f(o):\n    return getattr(o, 'x')", "getattr, which asks for names"),
        ("def f(o):\n    return o.__name__", "__name__, which tells a name"),
        ("def f(o):\n    return hasattr(o, 'x')", "hasattr"),
        ("def f(*, key):\n    pass", "parameters"),
        ("def f(**rest):\n    pass", "parameters"),
        ("def f(x):\n    return (y := x)", "assignment in an expression"),
        ("class C:\n    @staticmethod\n    def f():\n        pass", "decorator"),
        ("def f():\n    import p.a", "for what it does, in a function"),
        ("for i in range(3):\n    pass", "does something at import"),
    ],
)
def test_what_cannot_be_told_is_refused(source: str, why: str) -> None:
    with pytest.raises(Unclear, match=why):
        resolve({"m": source, "a": "x = 1\n", "p.a": "x = 1\n"})


def test_a_module_of_micropython_may_be_asked_for_what_it_has() -> None:
    assert "hasattr(json:, 'loads')" in resolved("import json\nfits = hasattr(json, 'loads')\n")
