"""Runs a script of `tests/device/vm` on the real MicroPython VM, with the repository's modules on its path."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).absolute().parents[2]
SCRIPTS = Path(__file__).absolute().parent / "vm"
HEAP = "160K"  # on a 64-bit VM; the budget of the firmware
DEADLINE_S = 90


def run_on_vm(script: str, *args: object, cwd: Path, heap: str = HEAP, path: tuple[Path, ...] = ()) -> str:
    """Standard output of `script`; fails with everything it said when its exit code is not 0."""
    vm = Path(sys.executable).with_name("micropython")
    roots = [str(p) for p in (*path, SCRIPTS, ROOT)]
    env = {**os.environ, "MICROPYPATH": ":".join([*roots, ".frozen"])}
    done = subprocess.run(
        [vm, "-X", f"heapsize={heap}", SCRIPTS / script, *map(str, args)],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, f"{script} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
