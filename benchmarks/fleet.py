"""A hundred boards with the real firmware, each with its own certificate, at one site: the time until all are
connected, and what a board costs the bench in memory and processor time.
"""

import asyncio
import importlib
import os
import time

from benchmarks.memory import cpu_ms, pss_kib
from benchmarks.outcome import Line, Outcome
from benchmarks.run import Entry, Run
from benchmarks.series import Series
from hil.board.board import Board
from hil.stack import Installation

BOARDS = 100
AT_ONCE = 8  # boards that are provisioned at once: each takes a thread for its console
CONNECT_LIMIT_S = 10.0
DEADLINE_S = 120.0
POLL_S = 0.1
IDLE_S, QUICK_IDLE_S = 15.0, 2.0
QUIET_S = 2.0  # after the last audit record has been acknowledged


async def measure(run: Run) -> Outcome:
    """Provision, cut the power, switch all on at once, then let them idle."""
    count = run.count(BOARDS)
    async with Installation(run.folder) as site:
        await site.start_cloud()
        await site.start_gateway()
        importlib.import_module(
            "hil.radio.peripheral"
        )  # loads Bumble, which is not the first board's to bear
        before_kib = pss_kib(os.getpid())
        run.say(f"provisioning {count} boards")
        provisioned_s = await _provision(site, count)
        await _online(site, dict.fromkeys((door.device_id for door in site.doors.values()), 0))
        boots = await _boots(site)
        boards = [door.board for door in site.doors.values()]
        await asyncio.gather(*(board.power_cut() for board in boards))
        run.say(f"switching {count} boards on")
        began = time.monotonic()
        _, connected = await asyncio.gather(_power_on(boards), _online(site, boots, began))
        await _settled(site)
        idle_s = QUICK_IDLE_S if run.quick else IDLE_S
        run.say(f"idle for {idle_s:g} s")
        memory, cpu, bench_cpu = await _idle(boards, idle_s)
        share_kib = (pss_kib(os.getpid()) - before_kib) / count
    lines = [
        Line(
            f"{count} boards, power-on to all connected",
            connected.samples[-1],
            "s",
            CONNECT_LIMIT_S,
            "limit",
            1.0,
        ),
        Line("memory of a board's VM (PSS): p50", memory.median, "KiB"),
        Line("memory of a board in the bench (PSS)", share_kib, "KiB"),
        Line("processor time of an idle board: mean", sum(cpu.samples) / count, "ms/s"),
        Line("processor time in the bench, per idle board", bench_cpu / count, "ms/s"),
    ]
    facts = {"boards": count, "provisioned_s": round(provisioned_s, 3), "idle_s": idle_s}
    series = {"connected after": connected, "VM memory": memory, "VM processor time": cpu}
    return Outcome(lines, series, facts)


async def _provision(site: Installation, count: int) -> float:
    """New boards, each with a door, a device and a bundle of its own; seconds it took."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with slots:
            door = await site.add_board(f"board-{number:03}")
            await site.provision(door, f"Door {number}")

    began = time.monotonic()
    await asyncio.gather(*(one(number) for number in range(count)))
    return time.monotonic() - began


async def _power_on(boards: list[Board]) -> None:
    await asyncio.gather(*(board.power_on() for board in boards))


async def _boots(site: Installation) -> dict[str, int]:
    """How often each device has booted, as the cloud has heard."""
    devices = await site.api.get("/v1/devices", site_id=site.site_id, limit=200)
    return {device["id"]: device["boot"] or 0 for device in devices["items"]}


async def _online(site: Installation, boots: dict[str, int], began: float = 0.0) -> Series:
    """Wait until the cloud has a state of every device from a later boot; seconds at which each was there."""
    times = Series("s")
    async with asyncio.timeout(DEADLINE_S):
        while len(times.samples) < len(boots):
            now = await _boots(site)
            there = sum(now[device] > boot for device, boot in boots.items())
            times.extend([time.monotonic() - began] * (there - len(times.samples)))
            await asyncio.sleep(POLL_S)
    return times


async def _settled(site: Installation) -> None:
    """Wait until every record of every journal is in the cloud's log, and a moment longer."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            devices = await site.api.get("/v1/devices", site_id=site.site_id, limit=200)
            if all(d["in_sync"] and d["verified_seq"] >= d["journal_seq"] for d in devices["items"]):
                break
            await asyncio.sleep(POLL_S)
    await asyncio.sleep(QUIET_S)


async def _idle(boards: list[Board], idle_s: float) -> tuple[Series, Series, float]:
    """Memory of each VM in KiB; its processor time, and the bench's own, in ms per second."""
    pids = [board.pid for board in boards if board.pid is not None]
    before, bench_before, began = [cpu_ms(pid) for pid in pids], time.process_time(), time.monotonic()
    await asyncio.sleep(idle_s)
    seconds = time.monotonic() - began
    bench = (time.process_time() - bench_before) * 1000 / seconds
    cpu = [(cpu_ms(pid) - earlier) / seconds for pid, earlier in zip(pids, before, strict=True)]
    return Series("KiB", [float(pss_kib(pid)) for pid in pids]), Series("ms/s", cpu), bench


ENTRY = Entry("fleet", "A hundred boards at one site", measure)
