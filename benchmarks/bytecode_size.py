"""The firmware as bytecode, as it is shipped: what a board must hold in its flash, and executes from there."""

import asyncio

from benchmarks.outcome import Line, Outcome
from benchmarks.run import Entry, Run
from hil.vm.image import compile_firmware, firmware_files

LIMIT_KIB = 64.0


async def measure(_run: Run) -> Outcome:
    """Compile every file of the firmware; sizes are exact, so once is enough."""
    compiled = await asyncio.to_thread(compile_firmware, firmware_files(), shipped=True)
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
