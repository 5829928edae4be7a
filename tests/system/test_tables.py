"""PINs and cards made by the API become a table on the flash of a real board, over both brokers."""

from pathlib import Path
from typing import Any

from tests.system.whole import Whole, whole


async def has_table(one: Whole, version: int) -> None:
    """Wait until the board tells that this version of its table is in force."""

    def holds(device: dict[str, Any]) -> bool:
        return any(f["kind"] == "users" and f["reported_version"] == version for f in device["files"])

    await one.device(one.door, holds)


async def test_pins_reach_the_board_and_what_is_revoked_leaves_it(tmp_path: Path) -> None:
    async with whole(tmp_path) as one:
        user = (await one.site.api.post("/v1/users", {"name": "Berta"}))["id"]
        terms = {"user_id": user, "door_ids": [one.door.door_id]}
        first = await one.site.api.post("/v1/credentials", {**terms, "pin": "2580"})
        await has_table(one, 1)
        taken = await one.event("transfer_taken", value=1)
        assert taken["source"] == one.door.device_id

        # A table of several pieces, as far as the API's speed allows it here.
        for number in range(60):
            await one.site.api.post("/v1/credentials", {**terms, "card_raw": f"1a{number:014x}"})
        await has_table(one, 61)

        await one.site.api.post(f"/v1/credentials/{first['id']}/revoke")
        await has_table(one, 62)
        boot = (await one.site.api.get(f"/v1/devices/{one.door.device_id}"))["boot"]
        await one.door.board.reset()
        await one.device(one.door, lambda device: bool(device["boot"] > boot))
        await has_table(one, 62)
        assert not [e for e in await one.site.api.events() if e["type"] == "transfer_refused"]
