"""A site to measure on: cloud and gateway as processes, and doors on simulated boards, provisioned and connected."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hil.board.signals import Observable
from hil.stack import DoorSite, Installation

OPEN_S = 0.5  # the shortest operate time that the API takes
DOORS = 4  # taken in turn: none has to wait for the last one's strike to lock
DEADLINE_S = 20.0


@asynccontextmanager
async def doors(
    folder: Path, count: int = DOORS, firmware: Path | None = None
) -> AsyncIterator[Installation]:
    """An installation whose doors run their newest configuration; `firmware` is that of this tree, as the bench has it."""
    async with Installation(folder) as site:
        await site.start_cloud()
        await site.start_gateway()
        for number in range(count):
            door = await site.add_board(f"board-{number}", firmware=firmware)
            await site.provision(door, f"Door {number}")
        for door in site.doors.values():
            await site.connected(door)
            await site.api.patch(f"/v1/doors/{door.door_id}", {"open_s": OPEN_S})
        for door in site.doors.values():
            await site.connected(door)
        yield site


def relay(door: DoorSite) -> Observable[int]:
    """The pin that drives the strike's relay, with the time of its last change on the board."""
    return door.board.pins["relay"].level


async def locked(door: DoorSite) -> None:
    """Wait until the strike is no longer released."""
    await relay(door).wait(0, DEADLINE_S)


async def energised(door: DoorSite) -> int:
    """Wait for the relay; when the firmware set the pin, in microseconds of `now_us`."""
    return await relay(door).wait(1, DEADLINE_S)
