"""`latchwork package`: a key, and packages that boards with that key take."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from device.release_key import MODULUS, PRODUCT
from hil import package
from hil.vm import symbols
from protocol.errors import BadMac
from protocol.manifest import HEAD_SIZE, open_manifest

LATCHWORK = Path(sys.executable).with_name("latchwork")


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [LATCHWORK, "package", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_key_and_a_package_of_this_tree(tmp_path: Path) -> None:
    key, module, out = tmp_path / "key.pem", tmp_path / "release_key.py", tmp_path / "firmware.lwu"
    assert run("key", key, "--module", module).returncode == 0
    assert key.stat().st_mode & 0o077 == 0
    assert run("key", key).returncode == 2  # a key that boards trust is not written over
    done = run("build", out, "--key", key, "--version", 7, "--floor", 5, "--trial", 60)
    assert done.returncode == 0, done.stderr
    trusted: dict[str, bytes] = {}
    exec(module.read_text(), trusted)
    data = out.read_bytes()
    manifest = open_manifest(trusted["MODULUS"], data[:HEAD_SIZE])
    assert (manifest.product, manifest.version, manifest.floor, manifest.trial_s) == (PRODUCT, 7, 5, 60)
    assert manifest.sha256 == hashlib.sha256(data[HEAD_SIZE:]).digest()
    assert trusted["MODULUS"] in data[HEAD_SIZE:]  # the next update is of the same key
    known = symbols.read(tmp_path / "firmware.lwu.symbols.json")
    (short,) = [name for name, full in known["device.agent"].items() if "device.agent.run_agent" in full]
    said = tmp_path / "console.txt"
    said.write_text(f'MPY: soft reboot\n  File "device.agent", line 1, in {short}\n')
    told = run("explain", symbols.beside(out), said).stdout.splitlines()
    assert told[0] == "MPY: soft reboot"
    assert told[1].startswith(f'  File "device.agent", line 1, in {short}  # ')
    assert "device.agent.run_agent" in told[1]
    assert run("explain", said, said).returncode == 2
    with pytest.raises(BadMac):
        open_manifest(package.modulus(package.new_key()), data[:HEAD_SIZE])


def test_a_key_of_another_kind_signs_nothing(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("no key")
    done = run("build", tmp_path / "out", "--key", key, "--version", 1)
    assert done.returncode == 2
    assert "key.pem" in done.stderr


def test_a_board_as_it_comes_from_this_tree_takes_no_update() -> None:
    assert MODULUS == b""
