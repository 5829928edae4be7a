"""People at the doors of a fleet: half of them ask the cloud, half of them have a phone in their hand."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hil.measure.series import Series
from hil.phone import DoorKey, Phone, PhoneError
from hil.radio.path_loss import Position
from hil.stack import DoorSite, Installation
from hil.stack.api import ApiError

PHONES = 4
PHONE_DOORS = 40  # that the phones have keys of
OPEN_S = 3.0  # no door is tried again while its strike may be released
REACH_M = 1.0  # how far from the door a person stands


@dataclass
class Tally:
    """What came of the unlocks of one kind: milliseconds of those that succeeded, and how often each other answer."""

    took: Series = field(default_factory=lambda: Series("ms"))
    failed: Counter[str] = field(default_factory=Counter)


class Traffic:
    """Tries ``rate`` unlocks a second at random doors, never two at one door at once, until it is cancelled."""

    def __init__(self, site: Installation, places: dict[str, Position], seed: int) -> None:
        self._site = site
        self._places = places
        self._random = random.Random(seed)  # noqa: S311
        self._busy: set[str] = set()
        self._phones: asyncio.Queue[Phone] = asyncio.Queue()
        self._keys: dict[str, DoorKey] = {}
        self.remote = Tally()
        self.bluetooth = Tally()

    async def equip(self) -> None:
        """Give the phones a key to some doors."""
        doors = list(self._site.doors.values())
        chosen = self._random.sample(doors, min(PHONE_DOORS, len(doors)))
        user = await self._site.api.post("/v1/users", {"name": "Everybody"})
        body = {"user_id": user["id"], "door_ids": [door.door_id for door in chosen], "name": "fleet"}
        key = await self._site.api.post("/v1/keys", body)
        bundle = await self._site.api.post(f"/v1/keys/{key['id']}/mobile")
        self._keys = {entry["door_id"]: DoorKey.parse(entry) for entry in bundle["doors"]}
        for number in range(PHONES):
            self._phones.put_nowait(Phone.on(self._site.medium, f"phone-{number}"))

    async def aclose(self) -> None:
        while not self._phones.empty():
            await self._phones.get_nowait().aclose()

    async def run(self, rate: float, seconds: float) -> None:
        """For so long; returns when the last unlock has its answer."""
        loop, began = asyncio.get_running_loop(), time.monotonic()
        async with asyncio.TaskGroup() as group:
            number = 0
            while (left := began + number / rate - time.monotonic()) < began + seconds - time.monotonic():
                await asyncio.sleep(max(0.0, left))
                number += 1
                if (door := self._free(number % 2 == 0)) is not None:
                    group.create_task(self._at(door, number % 2 == 0, loop))

    def _free(self, by_phone: bool) -> DoorSite | None:
        doors = [d for d in self._site.doors.values() if d.name not in self._busy]
        if by_phone:
            doors = [door for door in doors if door.door_id in self._keys] if not self._phones.empty() else []
        return self._random.choice(doors) if doors else None

    async def _at(self, door: DoorSite, by_phone: bool, loop: asyncio.AbstractEventLoop) -> None:
        self._busy.add(door.name)
        try:
            await (self._walk_up(door) if by_phone else self._ask(door))
        finally:
            loop.call_later(OPEN_S, self._busy.discard, door.name)

    async def _ask(self, door: DoorSite) -> None:
        began = time.monotonic()
        try:
            attempt = await self._site.api.post(f"/v1/doors/{door.door_id}/unlock")
            done: dict[str, Any] = await self._site.api.finished(attempt)
        except (ApiError, OSError) as error:
            self.remote.failed[type(error).__name__] += 1
            return
        if done["status"] == "succeeded":
            self.remote.took.add((time.monotonic() - began) * 1000)
        else:
            self.remote.failed[done["error"] or done["status"]] += 1

    async def _walk_up(self, door: DoorSite) -> None:
        phone = self._phones.get_nowait()
        try:
            assert phone.adapter is not None
            at = self._places[door.name]
            phone.adapter.place(Position(at.x + REACH_M, at.y, at.z))
            began = time.monotonic()
            result = await phone.unlock(self._keys[door.door_id])
            if result.granted:
                self.bluetooth.took.add((time.monotonic() - began) * 1000)
            else:
                self.bluetooth.failed[result.status] += 1
        except PhoneError as error:
            self.bluetooth.failed[type(error).__name__] += 1
        finally:
            self._phones.put_nowait(phone)
