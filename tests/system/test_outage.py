"""Gateway and cloud are killed: doors go on, and every record arrives once, in the end."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.system.whole import Whole, until, whole


def spooled(one: Whole) -> list[int]:
    """Numbers of the first door's records that the gateway's spool holds."""
    path = one.site.folder / "gateway" / "spool.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT seq FROM record WHERE stream=? ORDER BY seq", (one.door.device_id,))
        return [seq for (seq,) in rows]


async def spool_holds(one: Whole, seq: int) -> None:
    async def ask() -> bool | None:
        return seq in spooled(one) or None

    await until(ask)


async def spool_is_empty(one: Whole) -> None:
    async def ask() -> bool | None:
        return not spooled(one) or None

    await until(ask)


async def opened(one: Whole, times: int) -> int:
    """Open by Bluetooth; the number of the last record."""
    seq = 0
    for _ in range(times):
        result = await one.unlock_by_phone(one.door)
        assert result.granted
        seq = result.audit_seq
        await one.locked(one.door)
    return seq


async def test_doors_open_without_gateway_and_cloud_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    async with whole(tmp_path) as one:
        site, door = one.site, one.door
        await spool_is_empty(one)
        verified = (await site.api.get(f"/v1/devices/{door.device_id}"))["verified_seq"]

        await site.cloud.kill()
        kept = await opened(one, 2)
        await spool_holds(one, kept)

        await site.gateway.kill()
        newest = await opened(one, 3)
        # What the gateway holds for the cloud is what the cloud has not acknowledged, over its own death too.
        assert spooled(one)[: kept - verified] == list(range(verified + 1, kept + 1))

        await site.gateway.start()
        await spool_holds(one, newest)
        assert spooled(one)[: newest - verified] == list(range(verified + 1, newest + 1))

        await site.cloud.start()
        await one.delivered(door, newest)
        await spool_is_empty(one)
        events = await one.arrived_exactly_once(door)
        granted = [event for event in events if event["type"] == "access_granted"]
        assert len(granted) == len(one.pulses) == 5


async def test_the_cloud_opens_doors_again_after_both_were_killed(tmp_path: Path) -> None:
    async with whole(tmp_path) as one:
        site = one.site
        await asyncio.gather(site.gateway.kill(), site.cloud.kill())
        await asyncio.gather(site.gateway.start(), site.cloud.start())

        async def ask() -> bool | None:
            return (await one.unlock_by_api(one.door))["status"] == "succeeded" or None

        await until(ask, 60)
        await one.arrived_exactly_once(one.door)
