"""PINs and cards made by the API become a table on the flash of a real board, over both brokers."""

import hashlib
import sqlite3
import time
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


async def test_a_table_that_a_board_never_takes_is_told_and_replaced_by_the_next(tmp_path: Path) -> None:
    async with whole(tmp_path) as one:
        user = (await one.site.api.post("/v1/users", {"name": "Berta"}))["id"]
        terms = {"user_id": user, "door_ids": [one.door.door_id]}
        await one.site.api.post("/v1/credentials", {**terms, "pin": "2580"})
        await has_table(one, 1)
        await one.site.cloud.stop()
        with sqlite3.connect(one.site.folder / "cloud" / "cloud.db") as db:
            table = b"LWT1 and no more"
            db.execute(
                "UPDATE device_files SET version=2, data=?, sha256=?", (table, hashlib.sha256(table).digest())
            )
        db.close()
        await one.site.cloud.start()
        refused = await one.event("transfer_refused", value=2)
        assert (refused["status"], refused["data"]["file"]) == ("malformed", "users")
        (file,) = (await one.site.api.get(f"/v1/devices/{one.door.device_id}"))["files"]
        assert (file["status"], file["reason"], file["reported_version"]) == ("refused", "malformed", 1)
        await one.site.api.post("/v1/credentials", {**terms, "pin": "2581"})
        await has_table(one, 3)
        assert len([e for e in await one.site.api.events() if e["type"] == "transfer_refused"]) == 1


async def test_a_certificate_that_ends_soon_is_renewed_on_the_board(tmp_path: Path) -> None:
    async with whole(tmp_path) as one:
        await one.site.cloud.stop()
        with sqlite3.connect(one.site.folder / "cloud" / "cloud.db") as db:
            db.execute("UPDATE devices SET certificate_ends=?", (int(time.time()) + 60,))
        db.close()
        await one.site.cloud.start()
        await one.event("transfer_taken")
        # It has shown the new one to the gateway's broker by the time that it tells of it.
        device = await one.device(
            one.door, lambda device: bool(device["in_sync"] and device["files"] and device["connected"])
        )
        assert [f["kind"] for f in device["files"]] == ["certificate"]
        assert device["files"][0]["version"] > time.time() + 30 * 86_400
        attempt = await one.unlock_by_api(one.door)
        assert attempt["status"] == "succeeded"
