"""Programs on a bare board: the VM that ``latchwork micropython`` is, and what it prints."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

LATCHWORK = Path(sys.executable).with_name("latchwork")


def printed(source: str, **environment: str) -> list[str]:
    """The lines that a program prints; fails if it ends with an error."""
    env = {k: v for k, v in os.environ.items() if k != "MICROPYPATH"} | environment
    done = subprocess.run(
        [LATCHWORK, "micropython", "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=60,
        env=env,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


REFUSED = """
def refused(act):
    try:
        act()
        print("taken")
    except Exception as e:
        print(type(e).__name__, e)
"""
