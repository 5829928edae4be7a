"""Modules that are linked into units do what they did, and what cannot be linked is refused."""

import ast
import sys
import textwrap
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hil.vm import image, shipped
from hil.vm.linker import Unit, Unlinkable
from hil.vm.meanings import Unclear

ONE = {"u.one": Unit((shipped.REST,), ("m.a:main",))}


def link(units: Mapping[str, Unit], **modules: str) -> dict[str, str]:
    sources = {name.replace("__", "."): textwrap.dedent(text) for name, text in modules.items()}
    return shipped.link(sources, units)[0]


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def load(linked: Mapping[str, str], *order: str) -> Any:
    """The last of these units, and the others before it."""
    for name in order:
        module = sys.modules[name] = types.ModuleType(name)
        exec(linked[name.replace(".", "/") + ".py"], module.__dict__)
    return module


def test_modules_of_a_unit_share_one_source_and_do_the_same() -> None:
    linked = link(
        ONE,
        m__a="""
            from m import b
            from m.b import Shape, total as t
            from m.c import SIZE
            def main(*sides):
                shapes = [Shape(side) for side in sides]
                return t(shapes), b.total(shapes[:1]), shapes[0].area(scale=SIZE), [s.name for s in shapes]
        """,
        m__b="""
            from m.c import Named
            class Shape(Named):
                kind = "square"
                def __init__(self, side):
                    super().__init__("side " + str(side))
                    self._side = side
                def area(self, offset=0, scale=1):
                    return self._side * self._side * scale + offset
                @property
                def half(self):
                    return self.area() // 2
            def total(shapes):
                count = 0
                for shape in shapes:
                    count += shape.half
                return count
        """,
        m__c="""
            SIZE = 10
            class Named:
                def __init__(self, name):
                    self.name = name
        """,
    )
    (source,) = linked.values()
    assert "import" not in source
    assert not {"Shape", "total", "_side", "half", "side"} & set(ast.unparse(ast.parse(source)).split())
    assert load(linked, "u.one").main(2, 4) == (10, 2, 40, ["side 2", "side 4"])


def test_units_take_from_each_other_what_they_need_and_late_what_is_asked_for_late() -> None:
    units = {
        "u.core": Unit(("m.core",), ("m.core:main",)),
        "u.rare": Unit(("m.rare",)),
    }
    linked = link(
        units,
        m__core="""
            def shared(n):
                return n + 1
            def main(n):
                from m.rare import twice
                return twice(n)
        """,
        m__rare="""
            from m.core import shared
            def twice(n):
                return shared(shared(n))
        """,
    )
    core = load(linked, "u.core")
    assert "u.rare" not in sys.modules
    load(linked, "u.rare")
    assert core.main(5) == 7


def test_a_late_import_of_one_function_is_not_that_of_another() -> None:
    units = {"u.low": Unit(("m.low",)), "u.high": Unit(("m.high",), ("m.high:main",))}
    linked = link(
        units,
        m__low="def base(): return 4\n",
        m__high="""
            from m.low import base
            def late():
                from m.low import base
                return base()
            def main():
                return base() + late()
        """,
    )
    assert load(linked, "u.low", "u.high").main() == 8


def test_what_nothing_asks_for_goes_and_what_micropython_calls_stays() -> None:
    linked = link(
        ONE,
        m__a="""
            class Stream:
                def readinto(self, buffer):
                    return 0
                def __len__(self):
                    return 3
                def unasked(self):
                    return unused()
            def unused():
                return "nobody"
            def main():
                return len(Stream())
        """,
    )
    (source,) = linked.values()
    assert "readinto" in source
    assert "nobody" not in source
    assert "unasked" not in source
    assert load(linked, "u.one").main() == 3


def test_attributes_that_micropython_has_too_keep_their_names() -> None:
    (source,) = link(
        ONE,
        m__a="""
            class Bag:
                def append(self, item):
                    self.heaviest = item
            def main(bags):
                for bag in bags + [[], Bag()]:
                    bag.append(3)
                return bag.heaviest
        """,
    ).values()
    assert ".append(" in source
    assert "def append" in source
    assert "heaviest" not in source


def test_what_a_class_binds_is_no_builtin_and_no_global() -> None:
    linked = link(
        ONE,
        m__a="""
            limit = [7]
            class C:
                limit = 3
                span = bytes(limit)
                def f(self, n=limit):
                    self.bytes = n
                    return n, self.span, limit
            class D:
                span = bytes(2)
            def main():
                return C().f(), C().f(4), D.span, limit, C.limit
        """,
    )
    assert load(linked, "u.one").main() == ((3, bytes(3), [7]), (4, bytes(3), [7]), bytes(2), [7], 3)


def test_literals_are_where_they_are_used_if_that_is_shorter() -> None:
    linked = link(
        ONE,
        m__a="""
            SHORT = ">BB"
            LONG = "a text that is too long to be a name of the VM"
            _ONCE = b"once and never again, but as long as it is"
            LOW, HIGH = 3, 4
            def main():
                return SHORT, SHORT, LONG, LONG, _ONCE, LOW + HIGH
        """,
    )
    (source,) = linked.values()
    assert source.count("'>BB'") == 2
    assert source.count("a text that is") == 1
    assert source.count(" = ") == 1
    assert load(linked, "u.one").main()[0::5] == (">BB", 7)


def test_keywords_mean_what_they_meant() -> None:
    linked = link(
        ONE,
        m__a="""
            class Base:
                def __init__(self, first, second=2, third=3):
                    self.numbers = first, second, third
            class Derived(Base):
                pass
            def place(first, second=0):
                return first, second
            def main(call):
                def inner(value, other=5):
                    return value, other
                return (
                    Derived(1, third=9).numbers, Base(second=7, first=1).numbers, place(second=1, first=2),
                    inner(other=1, value=2), call(value=3), sorted([1, 2], reverse=True),
                )
        """,
    )
    main = load(linked, "u.one").main
    numbers, *others, last = main(lambda value: value + 1)  # whoever it is: its keyword stays
    assert [numbers, *others, last] == [(1, 2, 9), (1, 7, 3), (2, 1), (2, 1), 4, [2, 1]]


@pytest.mark.parametrize(
    ("units", "modules", "why"),
    [
        ({"u.one": Unit(("m.a",), ("m.a:main",))}, {"m__b": "x = 1\n"}, "in no unit: m.b"),
        ({"u.one": Unit(("m.a",), ("m.a:other",))}, {}, "nothing is called m.a:other"),
        (
            {"u.one": Unit(("m.a",), ("m.a:main",)), "u.two": Unit(("m.b",), ("m.b:f",))},
            {
                "m__a": "from m.b import f\ndef main(): return f\n",
                "m__b": "from m.a import main\ndef f(): main()\n",
            },
            "none of these can be loaded first",
        ),
        (
            {"u.one": Unit(("m.a",), ("m.a:main",)), "u.two": Unit(("m.b",))},
            {"m__a": "import m.b\ndef main(): pass\n", "m__b": "x = 1\n"},
            "imports m.b for what it does",
        ),
        (
            ONE,
            {
                "m__a": "from os import stat\nfrom m import b\ndef main(): return stat, b.f\n",
                "m__b": "from vfs import stat\ndef f(): stat()\n",
            },
            "u.one has stat from two modules",
        ),
        (
            ONE,
            {
                "m__a": "from m.b import f\ndef main(): f()\n",
                "m__b": "from m.a import main\ndef f(): main()\n",
            },
            "imports itself",
        ),
    ],
)
def test_units_that_cannot_be_are_refused(units: dict[str, Unit], modules: dict[str, str], why: str) -> None:
    with pytest.raises(Unlinkable, match=why):
        link(units, **{"m__a": "def main(): pass\n", **modules})


def test_keywords_of_nobody_are_refused() -> None:
    with pytest.raises(Unclear, match="takes none that is known"):
        link(ONE, m__a="class C:\n    pass\ndef main():\n    return C(x=1)\n")


def test_the_firmware_is_within_its_limit_and_the_same_each_time() -> None:
    files = image.firmware_files()
    made = shipped.build(files)
    assert sum(map(len, made.files.values())) <= shipped.LIMIT
    assert list(made.files) == [name.replace(".", "/") + ".mpy" for name in shipped.UNITS]
    assert shipped.build(files) == made


def test_the_same_sources_are_linked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = image.firmware_files()
    made = shipped.built(files)
    assert list(made.files) == [name.replace(".", "/") + ".mpy" for name in shipped.UNITS]
    monkeypatch.setattr(shipped, "build", None)
    assert shipped.built(files) == made
    changed = tmp_path / "agent.py"
    changed.write_text(files["device/agent.py"].read_text() + "\n")
    with pytest.raises(TypeError):
        shipped.built({**files, "device/agent.py": changed})


def test_no_unit_loads_what_only_some_doors_need() -> None:
    sources = {image.module_of(name): path.read_text() for name, path in image.firmware_files().items()}
    linked, _ = shipped.link(sources, shipped.UNITS)
    loaded = {
        name: {
            node.module
            for node in ast.parse(source).body
            if isinstance(node, ast.ImportFrom) and node.module in shipped.UNITS
        }
        for name, source in linked.items()
    }
    assert loaded.pop("device/main.py") == set()
    assert loaded.pop("device/agent.py") == {"device.main"}
    assert all(needs <= {"device.main", "device.agent"} for needs in loaded.values())
