"""What strangers may send to a board, on the real MicroPython VM: nothing but protocol errors, and no heap is lost."""

import ast
import asyncio
import re
import subprocess

import pytest
from typer.testing import CliRunner

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
        monkeypatch.setattr(fuzz, "HEAP", "4M")  # what is lost everywhere leaves no hole in a smaller one
        asyncio.run(fuzz.fuzz(7, inputs, tmp_path, DEADLINE_S))

    return fuzz_broken


def test_the_fuzzer_tells_what_lets_another_error_through(broken):
    """And with it the seed and the input."""
    with pytest.raises(fuzz.FuzzError, match=r"(?s)seed 7.*failed: input \d+ pin_map .*AttributeError"):
        broken("from device import pinmap\npinmap.json = None", 1000)


def test_a_seed_gives_the_same_inputs_in_the_same_order(tmp_path):
    """On a board that was provisioned anew, too: its bundle is one of the inputs."""
    first, again, other = (
        asyncio.run(fuzz.fuzz(seed, 1000, tmp_path / name, DEADLINE_S)).digest
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again != other


def test_the_command_that_a_failure_prints_fails_at_the_same_input(broken):
    rarely = """
from device import pinmap
whole = pinmap.parse
def parse(text):
    assert text[-1:] in ("", "}", "["), "broken"
    return whole(text)
pinmap.parse = parse
"""
    with pytest.raises(fuzz.FuzzError) as failure:
        broken(rarely, 1000)
    said = str(failure.value)
    command = said.splitlines()[-1].removeprefix("again: ").split()
    made = subprocess.run(
        [*command, "--dry-run", "--no-print-directory"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    arguments = made.stdout.split("tests.fuzz ")[-1].split()
    again = CliRunner().invoke(fuzz.app, arguments)
    assert again.exit_code == 1
    failed = re.search(r"failed: input \d+ pin_map .*", said)
    assert failed is not None
    assert failed.group() in again.output


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
    with pytest.raises(fuzz.FuzzError, match="seed 7, 10000 inputs: the heap grew"):
        broken(LEAK.format(module=module, owner=owner, name=name, keep=keep), 10_000)


def test_json_that_wants_more_heap_than_a_board_has_is_malformed(tmp_path):
    reasons = run_on_vm(str(VM / "hungry_json.py"), cwd=tmp_path).split()
    assert len(reasons) == 4
    assert "json_memory" in reasons
    assert set(reasons) <= {"json", "json_memory", "json_shape", "envelope_shape"}
