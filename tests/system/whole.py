"""A whole installation for a test: a cloud, a gateway, doors, Anna's phone; and what each part itself has seen."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hil.phone import Phone, PhoneResult
from hil.stack.installation import DoorSite, Installation
from hil.stack.station import execute
from protocol.access import STATUS_NAMES
from protocol.host.refusals import REFUSALS, refusal_name
from protocol.journal import EVENT_NAMES, METHOD_NAMES, Record, decode_record

T = TypeVar("T")

DEADLINE_S = 30.0
OPEN_S = 0.5  # the shortest that the API allows
POLL_S = 0.05

# Runs on the board: the journal as it lies on its own flash.
_READ_JOURNAL = """
import os
for name in sorted(os.listdir('/lw/journal')):
    if len(name) == 8:
        with open('/lw/journal/' + name, 'rb') as f:
            raw = f.read(46)
            while len(raw) == 46:
                print(raw.hex())
                raw = f.read(46)
"""


@dataclass(frozen=True)
class Pulse:
    """The relay energised. Unix seconds; `boot` is the boot epoch of the device."""

    door: str
    began: float
    boot: int


@dataclass
class Whole:
    """What the tests act on; `pulses` grows as relays are energised."""

    site: Installation
    phone: Phone
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    pulses: list[Pulse] = field(default_factory=list)

    @property
    def door(self) -> DoorSite:
        """The first door."""
        return next(iter(self.site.doors.values()))

    def watch(self, door: DoorSite) -> None:
        """Write down every pulse of its relay, from the pin."""
        offset = time.time() - time.monotonic()

        def changed(pin: str, level: int, t_us: int) -> None:
            # The first start of a board provisions it; the device counts its own boots from the second on.
            if pin == "relay" and level:
                self.pulses.append(Pulse(door.name, t_us / 1e6 + offset, door.board.boots.value - 1))

        door.board.pins.listen(changed)

    async def commands_live(self, seconds: int) -> None:
        """Start the cloud again with another life of its commands."""
        settings = self.site.folder / "cloud" / "cloud.json"
        await self.site.cloud.stop()
        settings.write_text(json.dumps({**json.loads(settings.read_text()), "unlock_life_s": seconds}))
        await self.site.cloud.start()

    async def unlock_by_phone(self, door: DoorSite) -> PhoneResult:
        """Anna walks up to the door."""
        return await self.phone.unlock(self.keys[door.name])

    async def unlock_by_api(self, door: DoorSite) -> dict[str, Any]:
        """The attempt, once it has ended."""
        return await self.site.api.finished(await self.site.api.post(f"/v1/doors/{door.door_id}/unlock"))

    async def locked(self, door: DoorSite) -> None:
        await door.board.pins.wait_pin("relay", 0, DEADLINE_S)

    async def record(self, door: DoorSite) -> list[dict[str, Any]]:
        """What the cloud has of a door's journal."""
        events = await self.site.api.events(device_id=door.device_id)
        return [event for event in events if event["source"] == door.device_id]

    async def delivered(self, door: DoorSite, upto: int) -> list[dict[str, Any]]:
        """The same, once the cloud has verified the chain up to this record."""
        await self.device(door, lambda device: bool(device["verified_seq"] >= upto))
        return await self.record(door)

    async def device(self, door: DoorSite, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The cloud's view of the device, once something holds of it."""

        async def ask() -> dict[str, Any] | None:
            found = await self.site.api.get(f"/v1/devices/{door.device_id}")
            return found if holds(found) else None

        return await until(ask)

    async def event(self, kind: str, /, **data: Any) -> dict[str, Any]:
        """The first event of this type with these data, once the cloud has it."""

        async def ask() -> dict[str, Any] | None:
            found = await self.site.api.events(type=kind)
            return next((event for event in found if data.items() <= event["data"].items()), None)

        return await until(ask)

    async def own_journal(self, door: DoorSite) -> list[Record]:
        """What the board has on its flash. Ends its firmware."""
        port = door.board.console.path
        printed = await asyncio.to_thread(execute, port, _READ_JOURNAL)
        return [decode_record(bytes.fromhex(line)) for line in printed.split()]

    async def arrived_exactly_once(self, door: DoorSite) -> list[dict[str, Any]]:
        """Assert that the cloud gets the board's whole journal, each record once and as it is. Ends its firmware."""
        told = (await self.site.api.get(f"/v1/devices/{door.device_id}"))["journal_seq"]
        await self.delivered(door, told)
        own = await self.own_journal(door)
        events = await self.record(door)
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert len(events) >= told
        assert [_gist(event) for event in events] == [_own_gist(record) for record in own[: len(events)]]
        everything = await self.site.api.events()
        assert not [event for event in everything if event["type"].startswith("chain_")]
        return events


def _gist(event: dict[str, Any]) -> tuple[object, ...]:
    return (event["seq"], event["type"], event["method"], event["status"], event["data"]["boot"])


def _own_gist(record: Record) -> tuple[object, ...]:
    method = METHOD_NAMES[record.method] if record.method else None
    status = STATUS_NAMES[record.status] if record.method else None
    if record.type in REFUSALS:
        status = refusal_name(record.status)
    return (record.seq, EVENT_NAMES[record.type], method, status, record.boot)


async def until(ask: Callable[[], Awaitable[T | None]], deadline_s: float = DEADLINE_S) -> T:
    """Ask until there is an answer; raises TimeoutError."""
    async with asyncio.timeout(deadline_s):
        while True:
            if (found := await ask()) is not None:
                return found
            await asyncio.sleep(POLL_S)


@contextlib.asynccontextmanager
async def whole(folder: Path, doors: tuple[str, ...] = ("front",)) -> AsyncIterator[Whole]:
    """Everything runs, every door is online, and Anna's phone holds a key for each."""
    async with Installation(folder) as site:
        phone = Phone.on(site.medium, "anna")
        try:
            one = Whole(site, phone)
            await asyncio.gather(site.start_cloud(), *(site.add_board(name) for name in doors))
            await site.start_gateway()
            for door in site.doors.values():
                one.watch(door)
            await asyncio.gather(*(provisioned(one, door) for door in site.doors.values()))
            await give_key(one)
            yield one
        finally:
            await phone.aclose()


async def provisioned(one: Whole, door: DoorSite) -> None:
    """Provision a board over its console, and wait until it is online and knows the time."""
    await one.site.provision(door, door.name.title(), open_s=OPEN_S)
    await one.site.connected(door)


async def give_key(one: Whole, **terms: bool) -> None:
    """A key to all doors for Anna, on her phone in place of any before; `terms` as `POST /v1/keys` has them."""
    api = one.site.api
    user = await api.post("/v1/users", {"name": "Anna"})
    doors = {door.door_id: door.name for door in one.site.doors.values()}
    body = {"user_id": user["id"], "door_ids": list(doors), "name": "All doors", **terms}
    key = await api.post("/v1/keys", body)
    bundle = await api.post(f"/v1/keys/{key['id']}/mobile")
    one.keys = {doors[entry["door_id"]]: entry for entry in bundle["doors"]}
