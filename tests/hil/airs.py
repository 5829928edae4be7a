"""What tests know of the airs of other processes."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hil.air.folder import Airfield

DEADLINE = 60.0  # a start of Python takes seconds while all other tests run


def eventually(true: Callable[[], Any]) -> Any:
    """Wait for what other processes do; they have no event for us."""
    end = time.monotonic() + DEADLINE
    while not (value := true()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
    return value


def servers(field: Airfield) -> list[int]:
    """Processes that have the log of the air open: only its server has."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "fd/1").readlink() == field.log.resolve():
                found.append(int(process.name))
        except OSError:
            continue
    return found
