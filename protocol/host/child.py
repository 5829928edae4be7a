"""Starts a program that dies with us, whatever ends us: nothing that we started is left behind.

A parent-death signal (prctl(2)), which Linux has; elsewhere a kill of ours leaves children to be ended by hand.
"""

import os
import sys
from collections.abc import Sequence

# Runs in the child before the program takes its place: safe beside our threads, which `preexec_fn` is not.
# The signal survives exec; the look at our parent closes the race with one that died before that.
_SHIM = """
import ctypes, os, sys
if sys.platform == "linux": ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]): sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def dying_with_us(command: Sequence[str]) -> list[str]:
    """The command line that runs `command`, whose first word is a path. It dies with the thread that starts it."""
    return [sys.executable, "-I", "-S", "-c", _SHIM, str(os.getpid()), *command]
