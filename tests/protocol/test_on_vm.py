"""What strangers may send to a board, on the real MicroPython VM: nothing but protocol errors, and no heap is lost."""

import json
import os
import subprocess
import sys

import pytest

from tests.device.on_vm import ROOT, run_on_vm
from tests.protocol.test_vectors import FILES, HEAP, VM

INPUTS = 20_000


def _check(out):
    implementation, warm_up, report, grown = out.splitlines()
    values, reasons = json.loads(report)
    assert json.loads(warm_up)[0] > 0
    # Both sides of every decoder are reached, or the damage is of the wrong kind.
    assert values > INPUTS // 50
    assert len(reasons) > 40
    return implementation, int(grown)


def test_damaged_input_on_micropython_gives_a_value_or_a_protocol_error_and_keeps_the_heap(tmp_path):
    out = run_on_vm(str(VM / "fuzz.py"), 1, INPUTS, *FILES, cwd=tmp_path, heap=HEAP)
    implementation, grown = _check(out)
    assert implementation == "micropython"
    assert grown <= 512


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_damage_on_cpython_gives_a_value_or_a_protocol_error(tmp_path, seed):
    command = [sys.executable, VM / "fuzz.py", str(seed), str(INPUTS), *FILES]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert _check(done.stdout)[0] == "cpython"


def test_json_that_wants_more_heap_than_a_board_has_is_malformed(tmp_path):
    reasons = run_on_vm(str(VM / "hungry_json.py"), cwd=tmp_path).split()
    assert len(reasons) == 4
    assert "json_memory" in reasons
    assert set(reasons) <= {"json", "json_memory", "json_shape", "envelope_shape"}
