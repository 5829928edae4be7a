"""One door opens, end to end: console, key, Bluetooth, cloud, audit log, live stream."""

from pathlib import Path

from tests.system.whole import whole


async def test_a_door_opens_by_phone_and_by_cloud_and_all_of_it_is_in_the_log(tmp_path: Path) -> None:
    async with whole(tmp_path) as one, one.site.api.stream() as stream:
        door = one.door
        nearby = await one.unlock_by_phone(door)
        assert nearby.granted
        told = await stream.wait(lambda e: e["type"] == "access_granted" and e["method"] == "bluetooth")
        assert (told["source"], told["seq"]) == (door.device_id, nearby.audit_seq)
        await one.locked(door)

        attempt = await one.unlock_by_api(door)
        assert (attempt["status"], attempt["error"]) == ("succeeded", None)
        told = await stream.wait(lambda e: e["type"] == "access_granted" and e["method"] == "remote")
        assert (told["source"], told["seq"]) == (door.device_id, attempt["result"]["jseq"])
        assert len(one.pulses) == 2

        events = await one.delivered(door, attempt["result"]["jseq"])
        last = max(event["seq"] for event in events)
        assert [event["seq"] for event in events] == list(range(1, last + 1))
        first, second = (event for event in events if event["type"] == "access_granted")
        assert (first["seq"], first["method"], first["status"]) == (nearby.audit_seq, "bluetooth", "granted")
        assert (second["seq"], second["method"]) == (attempt["result"]["jseq"], "remote")
        assert first["key_id"] is not None
        assert (events[0]["type"], events[0]["data"]["cause"]) == ("boot", "hard_reset")
        shown = await one.site.api.get(f"/v1/doors/{door.door_id}")
        assert (shown["drift_ppm"], shown["drift_uncertainty_ppm"]) == (0, 100)

        everything = await one.site.api.events()
        assert not [event for event in everything if event["type"].startswith("chain_")]
        succeeded = [event for event in everything if event["type"] == "unlock_succeeded"]
        assert [event["data"]["attempt_id"] for event in succeeded] == [attempt["id"]]

        assert await one.arrived_exactly_once(door)
