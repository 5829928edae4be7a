"""An asyncio peripheral and central, each a ``latchwork micropython`` of its own, on one air."""

import subprocess
import sys
from pathlib import Path

import pytest

LATCHWORK = Path(sys.executable).parent / "latchwork"
PROGRAM = Path(__file__).with_name("vm_ble_async.py")
DEADLINE = 60.0  # a start of Python takes seconds while all other tests run


@pytest.fixture(autouse=True)
def air(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("LATCHWORK_AIR", "here")


def run(role: str, secrets: Path) -> "subprocess.Popen[str]":
    command: list[str | Path] = [LATCHWORK, "micropython", "--name", role, PROGRAM, role, secrets / role]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def test_a_central_finds_a_peripheral_bonds_and_is_known_in_its_next_life(tmp_path: Path) -> None:
    for refusal, kept in (("0x105", 2), ("0x10f", 0)):
        peripheral, central = run("peripheral", tmp_path), run("central", tmp_path)
        try:
            assert central.communicate(timeout=DEADLINE)[0].splitlines() == [
                "mtu 256",
                "echo 60",
                f"refused {refusal}",
                "bonded [1, 0, 1]",
                "secret b'for bonded peers'",
                "ended True",
                f"kept {kept}",
            ]
            assert peripheral.communicate(timeout=DEADLINE)[0].splitlines() == [
                "bonded [1, 0, 1]",
                f"kept {kept}",
            ]
        finally:
            for process in (central, peripheral):
                process.kill()
                process.wait()
