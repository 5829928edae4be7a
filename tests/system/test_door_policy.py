"""What an operator decides about a door at the API, and what its bolt then does."""

from pathlib import Path
from typing import Any

from tests.system.whole import DEADLINE_S, Whole, give_key, whole

LONG_S = 20
ALWAYS = {"days": [1, 2, 3, 4, 5, 6, 7], "start_minute": 0, "end_minute": 1440}


async def told(one: Whole, **policy: Any) -> None:
    """Set the policy of the door, and wait until its board has it."""
    await one.site.api.patch(f"/v1/doors/{one.door.door_id}", policy)
    await one.device(one.door, lambda device: bool(device["in_sync"]))


async def asked(one: Whole, operation: str, **body: str) -> dict[str, Any]:
    """The attempt of a command, once it has ended."""
    path = f"/v1/doors/{one.door.door_id}/{operation}"
    return await one.site.api.finished(await one.site.api.post(path, body or None))


async def test_a_schedule_holds_a_door_released_and_gives_it_back(tmp_path: Path) -> None:
    async with whole(tmp_path) as one:
        pins = one.door.board.pins
        schedule = await one.site.api.post("/v1/schedules", {"name": "Always", "windows": [ALWAYS]})
        await told(one, unlock_schedule_id=schedule["id"])
        await pins.wait_pin("relay", 1, DEADLINE_S)
        assert (await asked(one, "lock"))["error"] == "refused_door_mode"
        await told(one, unlock_schedule_id=None)
        await pins.wait_pin("relay", 0, DEADLINE_S)


async def test_a_building_is_locked_down_and_opened_again(tmp_path: Path) -> None:
    async with whole(tmp_path) as one:
        ordinary = dict(one.keys)
        await give_key(one, lockdown_override=True)
        guard = dict(one.keys)
        assert (await asked(one, "mode", mode="lockdown"))["status"] == "succeeded"
        one.keys = ordinary
        assert (await one.unlock_by_phone(one.door)).status == "door_mode"
        one.keys = guard
        assert (await one.unlock_by_phone(one.door)).granted
        await one.locked(one.door)
        assert (await asked(one, "mode", mode="lockdown_all"))["status"] == "succeeded"
        assert (await one.unlock_by_phone(one.door)).status == "door_mode"
        assert (await one.unlock_by_api(one.door))["error"] == "refused_door_mode"
        assert (await asked(one, "mode", mode="normal"))["status"] == "succeeded"
        one.keys = ordinary
        assert (await one.unlock_by_phone(one.door)).granted
        await one.event("mode_changed", value=3)


async def test_a_release_is_ended_before_its_time(tmp_path: Path) -> None:
    async with whole(tmp_path) as one:
        await told(one, open_s=LONG_S)
        assert (await one.unlock_by_api(one.door))["status"] == "succeeded"
        assert (await asked(one, "lock"))["status"] == "succeeded"
        await one.door.board.pins.wait_pin("relay", 0, LONG_S / 2)


async def test_a_key_for_one_time_opens_one_time(tmp_path: Path) -> None:
    async with whole(tmp_path) as one:
        await give_key(one, one_time=True)
        assert (await one.unlock_by_phone(one.door)).granted
        assert (await one.unlock_by_phone(one.door)).status == "one_time_spent"
        await one.event("access_denied")
