"""The firmware as bytecode, as it is shipped: what a board must hold in its flash, and executes from there."""

import asyncio

from benchmarks.outcome import Line, Outcome
from benchmarks.run import Entry, Run
from hil.vm import shipped
from hil.vm.image import firmware_files

LIMIT_KIB = shipped.LIMIT / 1024


async def measure(_run: Run) -> Outcome:
    """Link and compile the firmware; sizes are exact, so once is enough."""
    compiled = (await asyncio.to_thread(shipped.build, firmware_files())).files
    sizes = {name: len(code) for name, code in sorted(compiled.items(), key=lambda item: -len(item[1]))}
    largest = next(iter(sizes))
    lines = [
        Line(
            f"firmware, {len(sizes)} .mpy files", sum(sizes.values()) / 1024, "KiB", LIMIT_KIB, "limit", 1.0
        ),
        Line(f"largest: {largest}", sizes[largest] / 1024, "KiB"),
    ]
    return Outcome(lines, facts={"bytes": sizes})


ENTRY = Entry("bytecode_size", "Size of the firmware's bytecode", measure)
