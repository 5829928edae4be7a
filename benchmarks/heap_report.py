"""The heap that a running board reports: a `/boot.py` beside the firmware tells from a timer what is in use after a
collection.

It costs the heap some hundred bytes, and the firmware nothing. What the bench's own modules take (`hil.vm.footprint`)
is not counted.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hil.board.board import Board
from hil.measure.series import Series
from hil.stack.station import execute
from hil.vm.footprint import BENCH_KIB

LIMIT_KIB = 160.0
PERIOD_MS = 100
DEADLINE_S = 20.0
REPORT = r"heap (\d+) of (\d+)"
BOOT = f"""
import gc
from machine import Timer
def report(_):
    gc.collect()
    print("heap", gc.mem_alloc(), "of", gc.mem_alloc() + gc.mem_free())
Timer(3).init(mode=Timer.PERIODIC, period={PERIOD_MS}, callback=report)
"""


async def report_from_boot(board: Board) -> None:
    """Put the reporter on the flash, through the console as any tool would; it reports from the next boot on."""
    code = f"f = open('/boot.py', 'w'); f.write({BOOT!r}); f.close()"
    await asyncio.to_thread(execute, board.console.path, code)


async def next_report(board: Board) -> tuple[float, float]:
    """The firmware's heap in use and its size, in KiB, at the board's next report."""
    console = board.console
    console.clear()
    match = await console.wait_for(REPORT + r"\r?\n", DEADLINE_S)
    return int(match[1]) / 1024 - BENCH_KIB, int(match[2]) / 1024 - BENCH_KIB


async def idle(board: Board, reports: int) -> Series:
    """As many reports of a board with which nothing is done."""
    return Series("KiB", [(await next_report(board))[0] for _ in range(reports)])


@asynccontextmanager
async def watched(board: Board) -> AsyncIterator[Series]:
    """What is reported while the block runs, and at least once behind it."""
    series, over = Series("KiB"), asyncio.Event()

    async def watch() -> None:
        while not over.is_set():
            series.add((await next_report(board))[0])

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch())
        try:
            yield series
        finally:
            over.set()
