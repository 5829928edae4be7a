"""What strangers may send to a board, on the real MicroPython VM: nothing but protocol errors, and no heap is lost."""

import ast
import asyncio

import pytest

from tests import fuzz
from tests.device.on_vm import ROOT, run_on_vm
from tests.protocol.test_vectors import VM

INPUTS = 20_000
DEADLINE_S = 300
OURS = ("LocalError", "ValueError", "OSError", "Overdue")  # no refusals of input
SIGNED = ("device/update.py",)  # refuses what our own key signed; test_update has those packages


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return asyncio.run(fuzz.fuzz(1, INPUTS, tmp_path_factory.mktemp("fuzz"), DEADLINE_S))


def test_damaged_input_on_micropython_gives_a_value_or_a_protocol_error_and_keeps_the_heap(report):
    assert report.implementation == "micropython"
    assert len(report.heap) == 3
    assert max(report.heap) == report.heap[0]
    # Both sides of every decoder are reached, or the damage is of the wrong kind.
    assert not [name for name, taken in report.values.items() if not taken]
    assert sum(report.values.values()) > INPUTS // 50


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_damage_on_cpython_gives_a_value_or_a_protocol_error(tmp_path, seed):
    report = asyncio.run(fuzz.fuzz(seed, INPUTS, tmp_path, DEADLINE_S, python=True))
    assert report.implementation == "cpython"
    assert sum(report.values.values()) > INPUTS // 50


def refusals():
    """By module of the firmware, the reasons for which it refuses input."""
    found = {}
    for part in ("protocol", "device"):
        for path in sorted((ROOT / part).glob("*.py")):
            slugs = set(_slugs(ast.parse(path.read_text())))
            if slugs:
                found[f"{part}/{path.name}"] = slugs
    return found


def _slugs(tree):
    """Of `raise X("slug")`, where X is no error of our own code."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
            continue
        name = ast.unparse(node.exc.func)
        first = node.exc.args[0] if node.exc.args else None
        if name not in OURS and isinstance(first, ast.Constant):
            yield str(first.value)


def test_every_module_that_refuses_input_is_fuzzed(report):
    """Half of its reasons are given, at least; a new decoder joins by vectors, or by a line in vm/decoders.py."""
    given = {reason for reasons in report.reasons.values() for reason in reasons}
    modules = refusals()
    assert len(modules) > 15
    missed = {name: slugs - given for name, slugs in modules.items() if name not in SIGNED}
    assert not {name: missed[name] for name in missed if 2 * len(missed[name]) > len(modules[name])}


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Fuzz a firmware after these lines have broken it."""

    def fuzz_broken(lines, inputs):
        script = tmp_path / "broken.py"
        script.write_text(f"{lines}\nexec(open({str(fuzz.SCRIPT)!r}).read())\n")
        monkeypatch.setattr(fuzz, "SCRIPT", script)
        asyncio.run(fuzz.fuzz(7, inputs, tmp_path, DEADLINE_S))

    return fuzz_broken


def test_the_fuzzer_tells_what_lets_another_error_through(broken):
    """And with it the seed and the input."""
    with pytest.raises(fuzz.FuzzError, match=r"(?s)seed 7.*failed: pin_map .*AttributeError"):
        broken("from device import pinmap\npinmap.json = None", 1000)


LEAK = """
lost = None
def lose(_):
    global lost
    lost = (lost,)
def leak(owner, name, keep):
    whole = getattr(owner, name)
    def leaking(self, *given, **named):
        keep(self)
        return whole(self, *given, **named)
    setattr(owner, name, leaking)
from {module} import {owner}
leak({owner}, {name!r}, {keep})
"""


@pytest.mark.parametrize(
    ("module", "owner", "name", "keep"),
    [
        ("protocol.command", "CommandGate", "admit", "lose"),
        ("device.certificate", "Certificate", "take", "lose"),
        ("device.counters", "Counters", "up", "lose"),
        ("device.inbox", "Inbox", "chunk", "lose"),
        ("device.inbox", "Inbox", "offer", "lose"),
        ("device.policy", "ConfigKeeper", "accept", "lose"),
        ("device.recorder", "Recorder", "record", "lambda recorder: recorder.store._pending.append(b'')"),
        ("device.uplink", "Uplink", "_answer", "lambda uplink: uplink._results.append(b'')"),
    ],
)
def test_the_fuzzer_tells_what_is_kept_beyond_its_bound(broken, module, owner, name, keep):
    """Of what is full when the heap is measured too."""
    with pytest.raises(fuzz.FuzzError, match="seed 7: 10000 inputs, and the heap grew"):
        broken(LEAK.format(module=module, owner=owner, name=name, keep=keep), 10_000)


def test_json_that_wants_more_heap_than_a_board_has_is_malformed(tmp_path):
    reasons = run_on_vm(str(VM / "hungry_json.py"), cwd=tmp_path).split()
    assert len(reasons) == 4
    assert "json_memory" in reasons
    assert set(reasons) <= {"json", "json_memory", "json_shape", "envelope_shape"}
