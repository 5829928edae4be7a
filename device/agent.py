"""The agent: starts the tasks of the board and keeps them running.

A task that ends or raises is counted by name and started again after a back-off; it never ends the agent. The
critical ones, door and Bluetooth, also answer to the watchdog.
"""

import asyncio
import sys
import time

import machine
from micropython import const

from device.backoff import Backoff
from device.ble_service import BleService
from device.certificate import Certificate
from device.parts import Parts
from device.uplink import Uplink
from device.watchdog import TIMEOUT_MS, Heart, Watchdog
from device.wifi import Wifi
from protocol import journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from device import chooser
else:
    import chooser

_FIRST_RESTART_MS = const(200)
_MAX_RESTART_MS = const(30_000)
_STEADY_MS = const(60_000)  # a task that ran for so long starts its back-off anew


async def keep(name: str, work: "Callable[[], Any]", ended: "Callable[[str], None]") -> None:
    """Run `work()` for ever; `ended(name)` hears of each end of it."""
    backoff = Backoff(_FIRST_RESTART_MS, _MAX_RESTART_MS)
    while True:
        began = time.ticks_ms()
        try:
            await work()
        except Exception as e:
            sys.print_exception(e)
        ended(name)
        if time.ticks_diff(time.ticks_ms(), began) > _STEADY_MS:
            backoff.reset()
        await asyncio.sleep_ms(backoff.next_ms())


async def _serve_uplink(parts: Parts) -> None:
    """Built in its own task: a board whose certificate is damaged is still a door."""
    certificate = Certificate(parts.identity)
    parts.kinds["certificate"] = certificate.version, certificate.take
    uplink = Uplink(parts, Wifi(parts.identity.wifi), certificate)
    parts.recorder.committed = uplink.news
    parts.door_changed = uplink.door_changed
    await uplink.run()


async def _serve_readers(parts: Parts) -> None:
    """Loaded and built in its own task: a reader that is wired wrong takes nothing else with it."""
    from device.reader_ports import ReaderPorts

    await ReaderPorts(parts).run()


async def _run() -> None:
    parts = Parts()
    counters = parts.counters
    ble = BleService(parts)
    names = (
        "door",
        "ble",
        "journal",
        "uplink",
        "watchdog",
        "clock",
        "readers",
    )  # a record tells the position

    def ended(name: str) -> None:
        counters.up("crash_" + name)
        parts.recorder.record(journal.EVENT_TASK_RESTARTED, value=names.index(name))

    door_heart = Heart("door", parts.wake_door)
    ble_heart = Heart("ble", ble.wake)
    if chooser.trial or chooser.failed >= 0:
        from device.update import settle

        asyncio.create_task(settle(parts, [door_heart, ble_heart]))
    watchdog = Watchdog(machine.WDT(timeout=TIMEOUT_MS), [door_heart, ble_heart])
    for name, work in (
        ("door", lambda: parts.door.run(door_heart.beat)),
        ("ble", lambda: ble.run(ble_heart.beat)),
        ("journal", parts.recorder.run),
        ("uplink", lambda: _serve_uplink(parts)),
        ("clock", lambda: parts.clock.run(lambda: counters.up("floor_write"))),
    ):
        asyncio.create_task(keep(name, work, ended))
    if "wiegand_d0" in parts.pins or "osdp_tx" in parts.pins or "row0" in parts.pins:
        asyncio.create_task(keep("readers", lambda: _serve_readers(parts), ended))
    await keep("watchdog", watchdog.run, ended)


def run_agent() -> None:
    """Run the board. Does not return; raises only if the parts cannot be built."""
    asyncio.run(_run())
