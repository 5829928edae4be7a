"""What a door must not miss while the board is busy with everything else that it does."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from protocol import journal
from protocol.host.tables import User, users_table
from tests.device.conftest import wired
from tests.device.rig import Rig
from tests.device.site import DEVICE
from tests.tasks import end

PULSE_S = 0.051
PULSES = 20  # of each contact
ROWS = 300  # six pieces
PIECES = 3  # of a file in each session
PAUSE_S = 0.15  # a press after a press, not both in one
PROOF_EVERY_S = 0.25  # a door takes no more of them at length


@pytest.fixture
async def full(tmp_path: Path) -> AsyncIterator[Rig]:
    async with wired(tmp_path, "strike_full") as one:
        await one.configured(policy={"open_s": 0.2})
        yield one


class Load:
    """Handshakes, phones and downloads, one after the other of each, and how many there were."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.tables = self.unlocks = self.sessions = 0
        self.over = False

    async def handshakes(self) -> None:
        while not self.over:
            for _ in range(PIECES):
                await self.rig.site.next("fetch")
            await self.rig.site.admission.kick(DEVICE)
            await self.rig.site.synchronised()
            self.sessions += 1

    async def phones(self) -> None:
        phone, key = self.rig.phone(), self.rig.site.key_for_phone()
        while True:
            assert (await phone.unlock(key)).granted
            self.unlocks += 1
            await asyncio.sleep(PROOF_EVERY_S)

    async def downloads(self) -> None:
        site = self.rig.site
        for version in itertools.count(1):
            pins = {f"{n:08}": User("user_" + "1" * 16) for n in range(version, version + ROWS)}
            table, after = users_table(site.k_dev, DEVICE, version, pins=pins), site.newest
            taken = asyncio.create_task(site.record(journal.EVENT_TRANSFER_TAKEN, after=after))
            while not taken.done():  # an offer between two sessions is lost, and the cloud's comes again
                await site.offer("users", version, table)
                await asyncio.wait([taken], timeout=0.3)
            self.tables += 1


async def answered(rig: Rig) -> dict[str, Any]:
    """The result of a command, which is lost where it comes between two sessions."""
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                return await rig.ordered("lock")


async def test_presses_and_openings_of_51_ms_are_seen_during_handshakes_unlocks_and_downloads(
    full: Rig,
) -> None:
    load = Load(full)
    tasks = [asyncio.create_task(work()) for work in (load.handshakes, load.phones, load.downloads)]
    before = full.site.newest
    for _ in range(PULSES):
        await full.door.tap_rex(PULSE_S)
        await asyncio.sleep(PAUSE_S)
        full.door.force()
        await asyncio.sleep(PULSE_S)
        full.door.close()
        await asyncio.sleep(PAUSE_S)
    load.over = True
    await tasks[0]
    assert not [task for task in tasks[1:] if task.done()]
    for task in tasks[1:]:
        await end(task)
    settled = await answered(full)
    await full.site.record(journal.EVENT_ACCESS_GRANTED, after=settled["jseq"] - 1)
    records = [record for record in full.site.verify() if record.seq > before]
    pressed = [r for r in records if (r.type, r.method) == (journal.EVENT_ACCESS_GRANTED, journal.METHOD_REX)]
    closed = [r for r in records if r.type == journal.EVENT_DOOR_CLOSED]
    assert (len(pressed), len(closed)) == (PULSES, PULSES)
    assert min(load.sessions, load.unlocks, load.tables) > 0
