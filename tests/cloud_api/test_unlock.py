"""Remote unlock: an action attempt tells the truth, and a late, repeated or forged word changes nothing."""

import asyncio
import time
from pathlib import Path
from typing import Any

from cloud_api.settings import SEQ_BLOCK
from protocol.command import build_result
from protocol.envelope import LABEL_CONFIG, LABEL_RESULT, seal
from tests.cloud_api.conftest import Site, open_device, open_site
from tests.cloud_api.world import CloudProcess, Device, made, new_door, until


async def unlock(site: Site) -> dict[str, Any]:
    return await made(await site.api.post(f"/v1/doors/{site.door_id}/unlock"), 202)


async def attempt(site: Site, attempt_id: str, wait: float = 15) -> dict[str, Any]:
    return await made(await site.api.get(f"/v1/action_attempts/{attempt_id}", params={"wait": wait}), 200)


async def still_pending_after(site: Site, attempt_id: str) -> bool:
    """Whether the messages sent so far have left the attempt alone: a later message has been handled."""
    await site.device.ask_time(b"\x07" * 16)
    return bool((await attempt(site, attempt_id, 0))["status"] == "pending")


async def test_an_attempt_succeeds_when_the_device_proves_it(site: Site) -> None:
    pending = await unlock(site)
    assert pending["status"] == "pending"
    command = await site.device.next_command()
    assert (command["id"], command["op"], command["dev"]) == (pending["id"], "unlock", site.device.id)
    assert command["boot"] == site.device.boot
    assert 0 < command["exp"] - time.time() <= 6
    await site.device.answer(command)
    done = await attempt(site, pending["id"])
    assert (done["status"], done["error"], done["result"]["status"]) == ("succeeded", None, "granted")


async def test_an_attempt_fails_with_the_devices_reason(site: Site) -> None:
    pending = await unlock(site)
    await site.device.answer(await site.device.next_command(), ok=False, status="expired")
    done = await attempt(site, pending["id"])
    assert (done["status"], done["error"]) == ("failed", "refused_expired")


async def test_the_end_of_an_attempt_is_in_the_audit_log(site: Site) -> None:
    pending = await unlock(site)
    await site.device.answer(await site.device.next_command())
    await attempt(site, pending["id"])
    page = await made(await site.api.get("/v1/events", params={"type": "unlock_succeeded"}), 200)
    assert [e["data"]["attempt_id"] for e in page["items"]] == [pending["id"]]
    assert page["items"][0]["door_id"] == site.door_id


async def test_command_numbers_rise(site: Site) -> None:
    seqs = []
    for _ in range(3):
        pending = await unlock(site)
        command = await site.device.next_command()
        assert command["id"] == pending["id"]
        seqs.append(command["seq"])
    assert seqs == sorted(set(seqs))


async def test_parallel_unlocks_each_get_their_own_number(site: Site) -> None:
    count = SEQ_BLOCK + 6
    answers = await asyncio.gather(*(unlock(site) for _ in range(count)))
    commands = [await site.device.next_command() for _ in range(count)]
    assert {c["id"] for c in commands} == {a["id"] for a in answers}
    assert len({c["seq"] for c in commands}) == count


async def test_a_long_poll_ends_with_the_attempt_and_not_with_its_deadline(site: Site) -> None:
    pending = await unlock(site)
    waiting = [asyncio.create_task(attempt(site, pending["id"], 30)) for _ in range(3)]
    await site.device.answer(await site.device.next_command())
    async with asyncio.timeout(20):
        assert {done["status"] for done in await asyncio.gather(*waiting)} == {"succeeded"}


async def test_a_result_forged_by_the_gateway_is_refused(site: Site) -> None:
    pending = await unlock(site)
    command = await site.device.next_command()
    payload = build_result(command["id"], site.device.id, command["seq"], True, "granted", 0, 0)
    await site.device.send_result(seal(b"\x00" * 32, LABEL_RESULT, payload))
    # The gateway holds sealed commands and configurations: none of them passes for a result.
    await site.device.send_result(site.device.bundle["config"])
    await site.device.send_result(seal(site.device.command_key, LABEL_CONFIG, payload))
    assert await still_pending_after(site, pending["id"])
    await site.device.answer(command)
    assert (await attempt(site, pending["id"]))["status"] == "succeeded"


async def test_another_devices_result_is_refused(site: Site) -> None:
    other = await open_device(site.api, site.device.gateway)
    pending = await unlock(site)
    command = await site.device.next_command()
    payload = build_result(command["id"], site.device.id, command["seq"], True, "granted", 0, 0)
    await other.send_result(seal(other.command_key, LABEL_RESULT, payload))
    own = build_result(command["id"], other.id, command["seq"], True, "granted", 0, 0)
    await other.send_result(seal(other.command_key, LABEL_RESULT, own))
    assert await still_pending_after(site, pending["id"])


async def test_a_second_result_changes_nothing(site: Site) -> None:
    pending = await unlock(site)
    command = await site.device.next_command()
    await site.device.answer(command, ok=False, status="denied")
    assert (await attempt(site, pending["id"]))["status"] == "failed"
    await site.device.answer(command)
    await site.device.ask_time(b"\x07" * 16)
    assert (await attempt(site, pending["id"], 0))["status"] == "failed"


async def test_a_silent_device_leaves_an_expired_attempt(site: Site) -> None:
    pending = await unlock(site)
    command = await site.device.next_command()
    done = await attempt(site, pending["id"])
    assert (done["status"], done["error"]) == ("expired", "no_result")
    await site.device.answer(command)
    await site.device.ask_time(b"\x07" * 16)
    assert (await attempt(site, pending["id"], 0))["status"] == "expired"


async def test_a_device_that_never_booted_fails_at_once(site: Site) -> None:
    fresh = await open_device(site.api, site.device.gateway)
    answer = await made(await site.api.post(f"/v1/doors/{fresh.door_id}/unlock"), 202)
    assert (answer["status"], answer["error"]) == ("failed", "device_never_booted")
    assert site.device.gateway.received("command") == 0


async def test_a_door_without_a_device_is_a_conflict(site: Site) -> None:
    door = await new_door(site.api, site.device.gateway.site_id)
    answer = await site.api.post(f"/v1/doors/{door['id']}/unlock")
    assert (answer.status_code, answer.json()["code"]) == (409, "door_without_device")


async def test_a_retired_device_gets_no_command(site: Site) -> None:
    await made(await site.api.post(f"/v1/devices/{site.device.id}/retire"), 200)
    answer = await site.api.post(f"/v1/doors/{site.door_id}/unlock")
    assert (answer.status_code, answer.json()["code"]) == (409, "door_without_device")


async def test_commands_follow_the_devices_boot(site: Site) -> None:
    site.device.boot = 7
    await site.device.come_up(site.api)
    await unlock(site)
    assert (await site.device.next_command())["boot"] == 7


async def test_no_command_survives_a_killed_cloud(own_cloud: CloudProcess, tmp_path: Path) -> None:
    token = own_cloud.new_organisation()
    async with own_cloud.api(token) as api:
        gateway = await open_site(own_cloud, api, tmp_path / "gateway")
        async with gateway.connected():
            device = await open_device(api, gateway)
            await device.come_up(api)
            first = await made(await api.post(f"/v1/doors/{device.door_id}/unlock"), 202)
            before = await device.next_command()
        # The gateway is away: this command reaches nobody, now or ever.
        lost = await made(await api.post(f"/v1/doors/{device.door_id}/unlock"), 202)
        own_cloud.kill()
    own_cloud.start()
    async with own_cloud.api(token) as api, gateway.connected():
        for attempt_id in (first["id"], lost["id"]):
            ended = await until(
                api, f"/v1/action_attempts/{attempt_id}?wait=10", lambda b: b["status"] != "pending"
            )
            assert (ended["status"], ended["error"]) in (
                ("expired", "no_result"),
                ("failed", "device_offline"),
            )
        again = Device(device.bundle, gateway)
        await again.come_up(api)
        fresh = await made(await api.post(f"/v1/doors/{device.door_id}/unlock"), 202)
        command = await again.next_command()
        assert command["id"] == fresh["id"], "an old command was published again"
        assert command["seq"] > before["seq"]
