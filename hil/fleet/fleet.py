"""A fleet, phase by phase: provision, ramp, idle, hold, chaos, and the count of what was lost."""

import asyncio
import math
import multiprocessing
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hil.board.signals import WaitTimeout
from hil.fleet.plan import Plan
from hil.fleet.presence import Presence
from hil.fleet.report import FleetReport, Load, Reached, Spread, Unlocks
from hil.fleet.traffic import Tally, Traffic
from hil.measure.process import cpu_ms, family, pss_kib
from hil.measure.series import Series
from hil.radio.path_loss import Position
from hil.stack import DoorSite, Installation, ServiceError
from hil.stack.api import ApiError
from hil.stack.event_log import EventLog
from hil.vm.spawner import ZygoteError
from hil.vm.zygote import die_with_parent

STATIONS = 2  # processes that provision boards
AT_ONCE = 8  # boards that wait for them at once
IN_FLIGHT = 24  # boards that connect at once: more only keep each other from it on a few cores
ROOM_M = 40.0  # between two doors, for walls take nothing here: a phone hears some 50 of them, not the whole building
QUIET_S = 20.0  # without any board coming back, after which the others are missing
RETURN_QUIET_S = 60.0  # the same after an outage: a board that was turned away waits for up to 20 s, and stands in line for 15
LOOK_S = 1.0
RESTART_S = 180.0  # for a server amid all the boards that want it back, on the same few cores
SETTLE_S = 60.0
IDLE_S = 5.0
VM_NICENESS = 10  # each board stands for a processor of its own: it must not keep servers, phones and the bench from theirs
DARK_S = (0.2, 3.0)  # how long a board is without power in the chaos phase
NAMED = 10  # missing boards that a report names
PAGE = 200

OnProgress = Callable[[str, int, int], None]  # phase, boards that are through, of so many


class FleetError(Exception):
    """The fleet could not be built."""


class Fleet:
    """``async with Fleet.built(plan, folder, say) as fleet:``, then its phases in order; ``report`` fills as they go."""

    def __init__(self, plan: Plan, site: Installation, say: OnProgress) -> None:
        self.plan = plan
        self.report = FleetReport(devices=plan.devices, seed=plan.seed)
        self._site = site
        self._say = say
        self._random = random.Random(plan.seed)  # noqa: S311
        self._presence = Presence()
        self._names: dict[str, str] = {}
        self._places: dict[str, Position] = {}
        self._bench_kib = 0

    @classmethod
    @asynccontextmanager
    async def built(cls, plan: Plan, folder: Path, say: OnProgress) -> AsyncIterator["Fleet"]:
        """A cloud, a gateway, and boards that are provisioned and without power. Raises NoRoom, ServiceError."""
        plan.claim()
        async with Installation(folder, niceness=VM_NICENESS) as site:
            await site.start_cloud()
            await site.start_gateway()
            fleet = cls(plan, site, say)
            await fleet._provision()
            log = EventLog(lambda: site.api, fleet._presence.take)
            log.follow()
            try:
                await asyncio.wait_for(log.listening(), SETTLE_S)
                yield fleet
            finally:
                await log.stop()

    async def run(self) -> FleetReport:
        """All phases, as far as they can be carried through; the report says what was in the way."""
        try:
            await self.ramp()
            await self.idle()
            if self.plan.hold_s:
                await self.hold()
            if self.plan.chaos:
                await self.chaos()
            await self.count()
        except* (ServiceError, FleetError, ApiError, TimeoutError, OSError) as faults:
            self.report.error = "; ".join(dict.fromkeys(_told(faults)))
        return self.report

    @property
    def _doors(self) -> list[DoorSite]:
        return list(self._site.doors.values())

    async def _provision(self) -> None:
        """A door, a device with keys and a certificate of its own, and a board that has them, each."""
        began, done = time.monotonic(), 0
        columns = math.isqrt(self.plan.devices - 1) + 1
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(number: int, station: ProcessPoolExecutor) -> None:
            nonlocal done
            async with slots:
                door = await self._site.add_board(f"board-{number:05}")
                self._places[door.name] = place = Position(
                    number % columns * ROOM_M, number // columns * ROOM_M
                )
                door.board.ble.place(place)
                await self._site.put_bundle(door, f"Door {number}", station=station)
                await door.board.power_cut()
                door.board.console.unplug()
                self._names[door.device_id] = door.name
                done += 1
                self._say("provision", done, self.plan.devices)
                if number == 0:
                    self._bench_kib = pss_kib(os.getpid())  # everything that one board loads is loaded

        with _stations() as station:
            await one(0, station)
            async with asyncio.TaskGroup() as group:
                for number in range(1, self.plan.devices):
                    group.create_task(one(number, station))
        self.report.provisioned_s = round(time.monotonic() - began, 1)

    async def ramp(self) -> None:
        """Switch all on, at the plan's rate or as fast as they connect, and wait until they are connected."""
        self._presence.settle()
        began = time.monotonic()
        slots = asyncio.Semaphore(self.plan.devices if self.plan.ramp else IN_FLIGHT)

        async def one(door: DoorSite) -> None:
            try:
                await self._switch_on(door)
                await self._presence.wait(door.device_id, QUIET_S)
            finally:
                slots.release()

        async with asyncio.TaskGroup() as group:
            group.create_task(self._all_back("ramp", self.plan.devices, QUIET_S))
            for number, door in enumerate(self._doors):
                if self.plan.ramp:
                    await asyncio.sleep(max(0.0, began + number / self.plan.ramp - time.monotonic()))
                await slots.acquire()
                group.create_task(one(door))
        self.report.ramp = self._reached(self.plan.devices, self._presence.last - began)

    async def idle(self, seconds: float = IDLE_S) -> None:
        """What boards take that do nothing."""
        await self._settled()
        vms = [door.board.pid for door in self._doors if door.board.pid is not None]
        servers = {s.name: family(s.pid) for s in (self._site.cloud, self._site.gateway) if s.pid is not None}
        before, bench, began = [cpu_ms(vm) for vm in vms], time.process_time(), time.monotonic()
        served = {name: sum(map(cpu_ms, pids)) for name, pids in servers.items()}
        self._say("idle", 0, self.plan.devices)
        await asyncio.sleep(seconds)
        passed = time.monotonic() - began
        bench_ms = (time.process_time() - bench) * 1000
        vm_cpu = Spread.of(
            Series("ms/s", [(cpu_ms(vm) - was) / passed for vm, was in zip(vms, before, strict=True)])
        )
        served = {
            name: round((sum(map(cpu_ms, servers[name])) - was) / passed, 2) for name, was in served.items()
        }
        vm_kib = Spread.of(Series("KiB", [float(pss_kib(vm)) for vm in vms]))
        if vm_kib is None or vm_cpu is None:
            raise FleetError("no board has power")
        share = (pss_kib(os.getpid()) - self._bench_kib) / max(1, len(vms) - 1)
        self.report.idle = Load(
            vm_kib=vm_kib,
            bench_kib=round(max(0.0, share), 1),
            vm_cpu=vm_cpu,
            bench_cpu=round(bench_ms / passed / len(vms), 4),
            servers_cpu=served,
        )
        self._say("idle", self.plan.devices, self.plan.devices)

    async def hold(self) -> None:
        """People at the doors."""
        began = time.monotonic()
        async with self._people() as traffic, asyncio.TaskGroup() as group:
            people = group.create_task(traffic.run(self.plan.unlocks, self.plan.hold_s))
            while not people.done():
                self._say(
                    "hold", round(min(time.monotonic() - began, self.plan.hold_s)), round(self.plan.hold_s)
                )
                await asyncio.wait([people], timeout=1.0)
        self.report.hold_s = round(time.monotonic() - began, 1)
        self.report.remote, self.report.bluetooth = _unlocks(traffic.remote), _unlocks(traffic.bluetooth)

    async def chaos(self) -> None:
        """Take the power of some boards in turn, kill the gateway and the cloud meanwhile, and wait until all are back."""
        self._presence.settle()
        began = time.monotonic()
        doors = self._random.sample(self._doors, max(1, round(self.plan.chaos * self.plan.devices)))
        async with asyncio.TaskGroup() as group:
            for door in doors:
                group.create_task(self._blink(door))
            for service in (self._site.gateway, self._site.cloud):
                await asyncio.sleep(self._random.uniform(*DARK_S))
                await service.kill()
                service.ready_deadline_s = RESTART_S
                self.report.chaos_faults.append(f"{service.name} killed")
                await service.start()
        self.report.chaos_faults.append(
            f"{len(doors)} boards without power for {DARK_S[0]:g} to {DARK_S[1]:g} s"
        )
        outage_over = time.monotonic()
        await self._all_back("chaos", len(doors), RETURN_QUIET_S)
        self.report.chaos = self._reached(len(doors), self._presence.last - began)
        self.report.returned = await self._sessions_again(outage_over)

    async def _sessions_again(self, since: float) -> Reached:
        """Until all boards have a session, or for some time none more has."""
        boards, back, last = self.plan.devices, 0, time.monotonic()
        away: list[str] = []
        while back < boards and time.monotonic() - last < RETURN_QUIET_S:
            away = [self._names[d["id"]] for d in await self._devices() if not d["connected"]]
            if boards - len(away) > back:
                back, last = boards - len(away), time.monotonic()
            self._say("return", back, boards)
            if away:
                await asyncio.sleep(LOOK_S)
        return Reached(
            boards=boards, connected=back, missing=away[:NAMED], took_s=round(last - since, 2), seconds=None
        )

    async def count(self) -> None:
        """How many records are missing in the cloud, once all has settled; whether the fleet is as it should be."""
        self.report.lost = await self._settled()
        reached = [r for r in (self.report.ramp, self.report.chaos, self.report.returned) if r is not None]
        refused = [u.failed for u in (self.report.remote, self.report.bluetooth) if u is not None]
        complete = all(r.connected == r.boards for r in reached)
        self.report.ok = complete and not any(refused) and not self.report.lost

    @asynccontextmanager
    async def _people(self) -> AsyncIterator[Traffic]:
        traffic = Traffic(self._site, self._places, self.plan.seed)
        await traffic.equip()
        try:
            yield traffic
        finally:
            await traffic.aclose()

    async def _switch_on(self, door: DoorSite) -> None:
        self._presence.leaving(door.device_id)
        try:
            await door.board.power_on()
        except WaitTimeout:
            pass  # amid all the others it takes longer to boot: whether it comes back is seen by its record
        except ZygoteError as error:  # it is one of those that are missing
            self.report.not_started[str(error)] = self.report.not_started.get(str(error), 0) + 1

    async def _blink(self, door: DoorSite) -> None:
        await asyncio.sleep(self._random.uniform(*DARK_S))
        await door.board.power_cut()
        await asyncio.sleep(self._random.uniform(*DARK_S))
        await self._switch_on(door)

    async def _all_back(self, phase: str, boards: int, quiet_s: float) -> None:
        """Until all are back, or for some time none."""
        back, since = 0, time.monotonic()
        while back < boards and time.monotonic() - since < quiet_s:
            if (now := len(self._presence.back())) > back:
                back, since = now, time.monotonic()
            self._say(phase, back, boards)
            await self._presence.news(1.0)
        self._say(phase, len(self._presence.back()), boards)

    def _reached(self, boards: int, took_s: float) -> Reached:
        back = self._presence.back()
        missing = [self._names[device] for device in self._presence.missing()[:NAMED]]
        each = Spread.of(Series("s", back))
        return Reached(
            boards=boards, connected=len(back), missing=missing, took_s=round(took_s, 2), seconds=each
        )

    async def _settled(self) -> int:
        """Wait until the cloud has every record that a board has told of; how many it has not in the end."""
        ends = time.monotonic() + SETTLE_S
        while True:
            lost = await self._behind()
            if not lost or time.monotonic() > ends:
                return lost
            await asyncio.sleep(1.0)

    async def _behind(self) -> int:
        """Records that boards told of and the cloud has not; a board that has not told yet, or has no news yet, is one."""
        behind = 0
        for device in await self._devices():
            told = device["journal_seq"] is not None and device["in_sync"]
            behind += max(0, device["journal_seq"] - device["verified_seq"]) if told else 1
        return behind

    async def _devices(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self._site.api.get("/v1/devices", site_id=self._site.site_id, limit=PAGE, **cursor)
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}


def _unlocks(tally: Tally) -> Unlocks:
    return Unlocks(took=Spread.of(tally.took), failed=dict(tally.failed))


def _told(error: BaseException) -> list[str]:
    """What the errors of a group say."""
    if isinstance(error, BaseExceptionGroup):
        return [text for inner in error.exceptions for text in _told(inner)]
    return [str(error) or type(error).__name__]


def _stations() -> ProcessPoolExecutor:
    """Processes of their own: the tool waits by select(2), which cannot wait for the files of a fleet."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(STATIONS, spawn, initializer=die_with_parent, initargs=(os.getpid(),))
