"""A build whose private names are short does the same; and private is private."""

import pytest

from hil.vm.names import SharedPrivate, shorten

COUNTER = """
_START = 3
class Counter:
    def __init__(self):
        self._value = _START
        self.shown = 0
    def _add(self, by):
        self._value += by  # _value is ours
    def up(self):
        self._add(1)
        return self._value
"""
OTHER = """
class Other:
    def __init__(self):
        self._something_else = 5
    def get(self):
        return self._something_else
"""


@pytest.mark.parametrize("all_private", [False, True])
def test_objects_behave_as_before(all_private: bool) -> None:
    out = shorten({"counter": COUNTER, "other": OTHER}, lambda _: all_private)
    namespace: dict[str, type] = {}
    for source in out.values():
        exec(source, namespace)
    assert namespace["Counter"]().up() == 4
    assert namespace["Other"]().get() == 5
    assert not hasattr(namespace["Counter"](), "_value")
    assert hasattr(namespace["Counter"], "_add") != all_private


def test_modules_share_the_short_names() -> None:
    out = shorten({"counter": COUNTER, "other": OTHER}, lambda _: False)
    assert "self._a" in out["counter"]
    assert "self._a" in out["other"]
    assert "# _value is ours" in out["counter"]


def test_what_is_private_to_another_module_is_no_ones_business() -> None:
    thief = "def steal(counter):\n    return counter._value\n"
    with pytest.raises(SharedPrivate, match="thief uses _value"):
        shorten({"counter": COUNTER, "thief": thief}, lambda _: False)


def test_required_parameters_are_short_unless_the_name_is_seen_from_elsewhere() -> None:
    source = """
import time as clock
LIMIT = 4
class Pin:
    count = 0
    def value(self, level, hard=False, *, priority=1):
        return [level + 1, hard, priority]
    def irq(self, handler, LIMIT, clock, count, len):
        return handler, LIMIT, clock, count, len
    def size(self, text):
        return len(text)
def call(function):
    return function(level=3)
"""
    (out,) = shorten({"pin": source}, lambda _: True, parameters=True).values()
    assert not {"handler", "text", "function"} & set(
        out.replace(",", " ").replace("(", " ").replace(")", " ").split()
    )
    found: dict[str, type] = {}
    exec(out, found)
    pin = found["Pin"]()
    assert pin.value(1) == [2, False, 1]
    assert pin.value(level=1, hard=True, priority=2) == [2, True, 2]
    assert pin.irq(1, LIMIT=2, clock=3, count=4, len=5) == (1, 2, 3, 4, 5)
    assert pin.size("four") == 4
