"""A key is revoked while its door is cut off: another user's phone brings the list."""

from pathlib import Path

from hil.phone import DoorKey, Phone
from tests.system.whole import whole


async def test_a_phone_carries_a_revocation_past_a_dead_gateway(tmp_path: Path) -> None:
    async with whole(tmp_path) as one:
        api = one.site.api
        user = await api.post("/v1/users", {"name": "Berta"})
        key = await api.post(
            "/v1/keys", {"user_id": user["id"], "door_ids": [one.door.door_id], "name": "Front"}
        )
        lost = (await api.post(f"/v1/keys/{key['id']}/mobile"))["doors"][0]
        thief = Phone.on(one.site.medium, "thief")
        try:
            await one.site.gateway.kill()
            await api.post(f"/v1/keys/{key['id']}/revoke")
            # Until somebody brings the news, an isolated door cannot know.
            assert (await thief.unlock(lost)).granted
            anna = DoorKey.parse(one.keys[one.door.name])
            cargo = await api.revocations(anna)
            assert cargo is not None
            assert (await one.phone.unlock(anna)).rev_seq < cargo.sequence
            assert await one.phone.carry(cargo)
            refused = await thief.unlock(lost)
            assert (refused.status, refused.rev_seq) == ("revoked", cargo.sequence)
            await one.site.gateway.start()
            taken = await one.event("transfer_taken", value=cargo.sequence)
            assert taken["source"] == one.door.device_id
            await one.device(one.door, lambda device: bool(device["in_sync"] and device["connected"]))
        finally:
            await thief.aclose()
