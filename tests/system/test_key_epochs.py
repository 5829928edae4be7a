"""The keys of a door are rotated by the API: through both brokers to the board, and to the phone that comes again."""

from pathlib import Path

from tests.system.whole import give_key, whole


async def test_a_rotation_ends_the_keys_that_are_out_and_a_new_bundle_opens(tmp_path: Path) -> None:
    async with whole(tmp_path) as one:
        assert (await one.unlock_by_phone(one.door)).granted
        rotated = await one.site.api.post(f"/v1/doors/{one.door.door_id}/rotate-keys")
        assert rotated["epoch"] == 2
        await one.device(one.door, lambda device: device["reported_epoch"] == 2 and bool(device["in_sync"]))
        await one.event("key_epoch_raised", value=2)
        assert (await one.unlock_by_phone(one.door)).status == "key_epoch_over"
        await give_key(one)
        assert (await one.unlock_by_phone(one.door)).granted
        assert (await one.unlock_by_api(one.door))["status"] == "succeeded"
