"""A door with an OSDP reader on RS-485: a board of its own, its site, and libosdp's reader at the board's serial line."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.heap_report import report_from_boot
from hil.board.board import Board
from hil.board.description import builtin
from hil.osdp_reader import Reader, Terminal
from hil.phone import Phone
from protocol import journal, keys, wiegand
from protocol.host.tables import User, users_table
from protocol.table import MAX_USERS
from tests.device.rig import DEADLINE, Rig, rig
from tests.device.site import DEVICE

PINS = {"uart": 1, "tx": 17, "rx": 16, "de": 4, "baud": 9600, "address": 1}
CODE, BITS = "471100", 26
CARD = wiegand.card(BITS, 3456, 12)
WIRE = bytes.fromhex("0606c040")  # the same card, as the reader sends it


class OsdpDoor:
    """Connected, sure of the time, its reader online over its provisioned key."""

    def __init__(self, one: Rig, reader: Reader, phone: Phone) -> None:
        self._rig = one
        self._reader = reader
        self._phone = phone
        self._sequence = 0

    @property
    def board(self) -> Board:
        return self._rig.board

    async def take_users(self) -> bool:
        """A full table, offered and fetched piece by piece: whether the board put it in force, or else refused it."""
        site, user = self._rig.site, User("user_" + "a" * 16)
        self._sequence += 1
        pins = {f"{n:06}": user for n in range(MAX_USERS - 2)} | {CODE: user}
        table = users_table(site.k_dev, DEVICE, self._sequence, pins=pins, cards={CARD: user})
        before = site.newest
        await site.offer("users", self._sequence, table)
        ends = [
            asyncio.ensure_future(site.record(kind, after=before))
            for kind in (journal.EVENT_TRANSFER_TAKEN, journal.EVENT_TRANSFER_REFUSED)
        ]
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        return next(iter(done)).result().type == journal.EVENT_TRANSFER_TAKEN

    async def open_by_card(self) -> None:
        before = self._rig.site.newest
        self._reader.present(BITS, WIRE)
        await self._opened(journal.METHOD_CARD, before)

    async def open_by_code(self) -> None:
        before = self._rig.site.newest
        self._reader.type(CODE + "#")
        await self._opened(journal.METHOD_PIN, before)

    async def open_by_phone(self) -> None:
        before = self._rig.site.newest
        await self._phone.unlock(self._rig.site.key_for_phone())
        await self._opened(journal.METHOD_BLE, before)

    async def _opened(self, method: int, before: int) -> None:
        record = await self._rig.site.record(journal.EVENT_ACCESS_GRANTED, after=before)
        if record.method != method:
            raise RuntimeError(f"opened by method {record.method}, not {method}")
        await self._rig.door.strike.wait(0, DEADLINE)


@asynccontextmanager
async def osdp_door(
    folder: Path, *, users: bool, spare_kib: int = 0, firmware: Path | None = None
) -> AsyncIterator[OsdpDoor]:
    """Connected and sure of the time; with `users`, restarted with a full table that came before the reader. It reports
    its heap (`benchmarks.heap_report`), which is so much larger than the firmware's budget.
    """
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240
    description = builtin("osdp_door")
    mcu = description.mcu.model_copy(update={"heap_kib": description.mcu.heap_kib + spare_kib})
    description = description.model_copy(update={"mcu": mcu})
    options = {} if firmware is None else {"firmware": firmware}
    async with rig(folder, description=description, **options) as one, one.site.serving():
        await one.put("/pins.json", json.dumps({**description.pin_map, "osdp": PINS}).encode())
        await report_from_boot(one.board)
        await one.provision()
        await one.site.synchronised()
        reader = Reader(Terminal(one.board.uarts[1].open_pty()), keys.osdp_key(one.site.k_dev))
        door = OsdpDoor(one, reader, one.phone())
        if users:
            if not await door.take_users():
                raise RuntimeError("the first table was refused")
            await one.reset()
            await one.site.synchronised()
        reader.start()
        try:
            async with asyncio.timeout(DEADLINE):
                while not reader.secure:  # noqa: ASYNC110  (another thread)
                    await asyncio.sleep(0.02)
            yield door
        finally:
            reader.stop()
