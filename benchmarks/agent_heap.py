"""The heap of the running agent: TLS session up, Bluetooth on, doors being opened both ways.

A `/boot.py` beside the firmware reports from a timer: what is in use after a collection. It costs the heap
some hundred bytes, and the firmware nothing. What the bench's own modules take (`hil.vm.footprint`) is not counted.
"""

import asyncio

from benchmarks.outcome import Line, Outcome
from benchmarks.run import Entry, Run
from benchmarks.series import Series
from benchmarks.site import doors
from benchmarks.unlock_bluetooth import phone_keys
from benchmarks.unlocks import in_turn, unlock
from hil.phone import Phone
from hil.stack import DoorSite
from hil.stack.station import execute
from hil.vm.footprint import BENCH_KIB

UNLOCKS = 20
PERIOD_MS = 200
LIMIT_KIB = 160.0
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


async def measure(run: Run) -> Outcome:
    """One board, from its connection on."""
    idle, busy = Series("KiB"), Series("KiB")
    async with doors(run.folder, 1) as site:
        (door,) = site.doors.values()
        await _report_at_boot(door)
        await site.connected(door)
        for _ in range(run.count(50)):
            idle.add((await _next_report(door))[0])
        phone = Phone.on(site.medium, "phone")
        keys = await phone_keys(site)
        run.say(f"{run.count(UNLOCKS)} unlocks over the API, and as many over Bluetooth")
        watching = asyncio.create_task(_watch(door, busy))
        async for _ in in_turn(site, run.count(UNLOCKS)):
            await site.api.finished((await unlock(site, door)).attempt)
            await phone.unlock(keys[door.door_id])
        watching.cancel()
        size = (await _next_report(door))[1]
        await phone.aclose()
    lines = [
        Line("heap in use, connected and idle: p50", idle.median, "KiB", LIMIT_KIB, "limit", 1.0),
        Line("heap in use, doors being opened: max", max(busy.samples), "KiB", LIMIT_KIB, "limit", 1.0),
    ]
    return Outcome(lines, {"idle": idle, "busy": busy}, {"heap_kib": size})


async def _report_at_boot(door: DoorSite) -> None:
    """Put the reporter on the flash, through the console as any tool would, and restart."""
    code = f"f = open('/boot.py', 'w'); f.write({BOOT!r}); f.close()"
    await asyncio.to_thread(execute, door.board.console.path, code)
    door.board.console.clear()
    await door.board.reset()


async def _watch(door: DoorSite, series: Series) -> None:
    while True:
        series.add((await _next_report(door))[0])


async def _next_report(door: DoorSite) -> tuple[float, float]:
    """The firmware's heap in use and its size, in KiB, at the board's next report."""
    console = door.board.console
    console.clear()
    match = await console.wait_for(REPORT + r"\r?\n", DEADLINE_S)
    return int(match[1]) / 1024 - BENCH_KIB, int(match[2]) / 1024 - BENCH_KIB


ENTRY = Entry("agent_heap", "Heap of the connected agent", measure)
