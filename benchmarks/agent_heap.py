"""The heap of the running agent: TLS session up, Bluetooth on, doors being opened both ways; and the same door with an OSDP
reader, while its table of users arrives. The bench's modules first, then two of these as the firmware is shipped.
"""

import asyncio
from pathlib import Path

from benchmarks.heap_report import LIMIT_KIB, idle, next_report, report_from_boot, watched
from benchmarks.osdp_door import osdp_door
from benchmarks.outcome import Line, Outcome
from benchmarks.run import Entry, Run
from benchmarks.site import doors
from benchmarks.unlock_bluetooth import phone_keys
from benchmarks.unlocks import in_turn, unlock
from hil.measure.series import Series
from hil.phone import Phone
from hil.vm import shipped

UNLOCKS = 20
REPORTS = 50
TABLES = 10
SPARE_KIB = 64


async def measure(run: Run) -> Outcome:
    """One board after the other, each from its connection on."""
    series, size = await _without_reader(run, run.folder / "modules")
    first, refused_first = await _first_users(run, run.folder / "first")
    later, refused_later = await _with_users(run)
    linked = await asyncio.to_thread(shipped.image_file)
    alone, _ = await _without_reader(run, run.folder / "shipped", linked)
    arriving, refused_shipped = await _first_users(run, run.folder / "shipped-first", linked)
    series |= first | later | {f"as shipped, {name}": one for name, one in (alone | arriving).items()}
    lines = [
        Line(f"heap in use, {name}: {_statistic(name)}", _value(name, one), "KiB", LIMIT_KIB, "limit", 1.0)
        for name, one in series.items()
    ]
    what = "OSDP reader, heap of 160 KiB: first table of 2,000 users refused"
    lines.append(Line(what, refused_first + refused_shipped, "", 0, "limit", 1.0))
    if refused_later:
        raise RuntimeError(f"{refused_later} tables were refused in spite of the room")
    facts = {"heap_kib": size}
    return Outcome(lines, series, facts)


async def _without_reader(
    run: Run, folder: Path, firmware: Path | None = None
) -> tuple[dict[str, Series], float]:
    async with doors(folder, 1, firmware) as site:
        (door,) = site.doors.values()
        await report_from_boot(door.board)
        door.board.console.clear()
        await door.board.reset()
        await site.connected(door)
        calm = await idle(door.board, run.count(REPORTS))
        phone = Phone.on(site.medium, "phone")
        keys = await phone_keys(site)
        run.say(f"{run.count(UNLOCKS)} unlocks over the API, and as many over Bluetooth")
        async with watched(door.board) as busy:
            async for _ in in_turn(site, run.count(UNLOCKS)):
                await site.api.finished((await unlock(site, door)).attempt)
                await phone.unlock(keys[door.door_id])
        size = (await next_report(door.board))[1]
        await phone.aclose()
    return {"connected and idle": calm, "doors being opened": busy}, size


async def _first_users(run: Run, folder: Path, firmware: Path | None = None) -> tuple[dict[str, Series], int]:
    """A reader is online before the door's first table of users comes."""
    async with osdp_door(folder, users=False, firmware=firmware) as door:
        calm = await idle(door.board, run.count(REPORTS))
        run.say("a first table of 2,000 users over MQTT, beside an OSDP reader")
        async with watched(door.board) as arriving:
            taken = await door.take_users()
    return {"OSDP reader, no users, idle": calm, "OSDP reader, first users arriving": arriving}, not taken


async def _with_users(run: Run) -> tuple[dict[str, Series], int]:
    """A door that had users when it was switched on, with room to exceed the budget, so that it shows by how much."""
    count, refused = run.count(UNLOCKS), 0
    async with osdp_door(run.folder / "later", users=True, spare_kib=SPARE_KIB) as door:
        calm = await idle(door.board, run.count(REPORTS))
        run.say(f"{count} openings each way, and {run.count(TABLES)} tables, beside an OSDP reader")
        async with watched(door.board) as busy:
            for _ in range(count):
                await door.open_by_card()
                await door.open_by_code()
                await door.open_by_phone()
        async with watched(door.board) as arriving:
            for _ in range(run.count(TABLES)):
                refused += not await door.take_users()
    return {
        "OSDP reader, 2,000 users, idle": calm,
        "OSDP reader, 2,000 users, door being opened": busy,
        "OSDP reader, 2,000 others arriving": arriving,
    }, refused


def _statistic(name: str) -> str:
    return "p50" if "idle" in name else "max"


def _value(name: str, series: Series) -> float:
    return series.median if _statistic(name) == "p50" else max(series.samples)


ENTRY = Entry("agent_heap", "Heap of the connected agent", measure)
