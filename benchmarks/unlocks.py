"""Unlocks over the API, one at a time, at the doors of a site in turn."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from benchmarks.site import energised, locked
from hil.board.signals import now_us
from hil.stack import DoorSite, Installation

REST_S = (
    0.1  # the last unlock's audit events and watermarks come to their end, as between two people at a door
)


@dataclass(frozen=True)
class Unlock:
    """One unlock: its attempt as first answered, and when, in microseconds, what happened."""

    attempt: dict[str, Any]
    called_us: int
    relay_us: int
    answered_us: int

    @property
    def relay_ms(self) -> float:
        """From the call to the relay's pin."""
        return (self.relay_us - self.called_us) / 1000


async def unlock(site: Installation, door: DoorSite) -> Unlock:
    """Call the API over a connection that is open already, and wait for the relay."""
    moved = asyncio.ensure_future(energised(door))
    await asyncio.sleep(0)  # it listens now
    called_us = now_us()
    attempt = await site.api.post(f"/v1/doors/{door.door_id}/unlock")
    answered_us = now_us()
    return Unlock(attempt, called_us, await moved, answered_us)


async def in_turn(site: Installation, count: int) -> AsyncIterator[DoorSite]:
    """A locked door of a calm site, `count` times."""
    doors = list(site.doors.values())
    for number in range(count):
        await asyncio.sleep(REST_S)
        door = doors[number % len(doors)]
        await locked(door)
        yield door


async def warm_up(site: Installation) -> None:
    """Twice each door: connections are open, lines are loaded, code is warm."""
    async for door in in_turn(site, 2 * len(site.doors)):
        finished = await site.api.finished((await unlock(site, door)).attempt)
        if finished["status"] != "succeeded":
            raise RuntimeError(f"the unlock of {door.name} ended as {finished}")
