"""``python -m tests.fuzz``: damaged input for every decoder of the firmware, on real MicroPython VMs, all cores at once.

Each VM has a seed of its own. A failure prints the command that makes the same inputs in the same order again.
"""

import asyncio
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tests.fuzz_bundle import bundle

ROOT = Path(__file__).absolute().parents[1]
SCRIPT = ROOT / "tests" / "protocol" / "vm" / "fuzz.py"
HARDWARE = SCRIPT.parent / "hardware"
# What a door advertises needs the firmware's Bluetooth service: test_gatt has it.
VECTORS = [path for path in sorted((ROOT / "protocol" / "vectors").glob("*.json")) if path.stem != "gatt"]
HEAP = "1M"  # the runner and all sources of the firmware, compiled on the spot, beside the vectors
BUNDLE = "bundle.json"

Progressed = Callable[[int], None]


class FuzzError(Exception):
    """A decoder let something else through than a value or a protocol error, or lost heap; and how to see it again."""

    def __init__(self, seed: int, inputs: int, what: str) -> None:
        super().__init__(
            f"seed {seed}, {inputs} inputs: {what}\nagain: make fuzz SEED={seed} INPUTS={inputs} VMS=1"
        )


@dataclass(frozen=True)
class Report:
    """What one interpreter found."""

    implementation: str
    heap: list[int]  # bytes allocated after the first inputs, half of them, all of them
    digest: str  # SHA-256 of all inputs, in their order
    values: dict[str, int]  # by decoder, how many inputs it took
    reasons: dict[str, set[str]]  # by decoder, why it refused the others


async def fuzz(
    seed: int,
    inputs: int,
    folder: Path,
    deadline_s: float,
    progressed: Progressed = lambda _: None,
    python: bool = False,
) -> Report:
    """Run one VM, or this Python, to its end in ``folder``; raises FuzzError with all that it said."""
    await asyncio.to_thread(_prepare, folder)
    vm = [str(Path(sys.executable).with_name("micropython")), "-X", f"heapsize={HEAP}"]
    process = await asyncio.create_subprocess_exec(
        *([sys.executable] if python else vm),
        str(SCRIPT),
        str(seed),
        str(inputs),
        *map(str, VECTORS),
        cwd=folder,
        env={**os.environ, "MICROPYPATH": f"{HARDWARE}:{ROOT}:.frozen", "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1 << 24,
    )
    said: list[str] = []
    reasons: dict[str, set[str]] = {}
    try:
        async with asyncio.timeout(deadline_s):
            assert process.stdout is not None
            async for line in process.stdout:
                text = line.decode(errors="replace").rstrip()
                if text.startswith("done "):
                    progressed(int(text[5:]))
                elif text.startswith("found "):
                    for name, found in json.loads(text[6:]).items():
                        reasons.setdefault(name, set()).update(found)
                else:
                    said.append(text)
            status = await process.wait()
    except TimeoutError:
        raise FuzzError(seed, inputs, f"not done in {deadline_s:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if status:
        raise FuzzError(seed, inputs, "\n".join([f"exit {status}", *said[-40:]]))
    report = Report(**json.loads(said[-1]), reasons=reasons)
    if max(report.heap) > report.heap[0]:
        raise FuzzError(seed, inputs, f"the heap grew: {report.heap} bytes")
    return report


def _prepare(folder: Path) -> None:
    (folder / BUNDLE).write_text(bundle(folder / "site"))


app = typer.Typer(add_completion=False)
console = Console()


@app.command()
def main(
    inputs: Annotated[int, typer.Option(min=1, help="Of all VMs together.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Of the first VM, the next has the next; 0: a new one.")] = 0,
    vms: Annotated[int, typer.Option(min=1, help="How many at once.")] = os.cpu_count() or 2,
    seconds: Annotated[float, typer.Option(help="Give up after so long.")] = 900.0,
) -> None:
    """Feed every decoder of the firmware on real MicroPython: a value or a protocol error, and no growth of the heap."""
    seed = seed or secrets.randbelow(1 << 31)
    each = -(-inputs // vms)
    console.print(f"seeds {seed} to {seed + vms - 1}, {each} inputs each", highlight=False)
    began = time.monotonic()
    try:
        reports = asyncio.run(_all(range(seed, seed + vms), each, seconds))
    except* FuzzError as failures:
        for failure in failures.exceptions:
            console.print(str(failure), markup=False, highlight=False)
        raise typer.Exit(1) from None
    taken = sum(sum(report.values.values()) for report in reports)
    reasons = {reason for report in reports for found in report.reasons.values() for reason in found}
    console.print(
        f"{each * vms} inputs to {len(reports[0].values)} decoders in {time.monotonic() - began:.0f} s: {taken} values, "
        f"{len(reasons)} reasons to refuse, and no growth of the heap",
        highlight=False,
    )


async def _all(seeds: range, each: int, seconds: float) -> list[Report]:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with tempfile.TemporaryDirectory(prefix="latchwork-fuzz-") as folder, Progress(*columns) as progress:
        tasks = []
        async with asyncio.TaskGroup() as group:
            for seed in seeds:
                bar = progress.add_task(str(seed), total=each)

                def progressed(done: int, bar: TaskID = bar) -> None:
                    progress.update(bar, completed=done)

                run = fuzz(seed, each, Path(folder) / str(seed), seconds, progressed)
                tasks.append(group.create_task(run))
    return [task.result() for task in tasks]


if __name__ == "__main__":
    app()
