"""Rotating the keys of a door: the next epoch for its device and its phones, until there is none."""

import base64
import sqlite3

import httpx

from cloud_api.keys import FIRST_EPOCH, LAST_EPOCH
from protocol.credential import decode_token, mint
from protocol.keys import credential_root, epoch_key
from tests.cloud_api.conftest import Site, open_device
from tests.cloud_api.test_keys import mobile
from tests.cloud_api.test_problems import problem
from tests.cloud_api.world import CloudProcess, Device, made, new_door, new_key, until


def fits(device: Device, door: dict[str, str], epoch: int) -> bool:
    """Whether an entry of a phone's bundle is a key of that epoch for the device."""
    token = bytes.fromhex(door["token"])
    k_epoch = epoch_key(credential_root(base64.b64decode(device.bundle["k_dev"])), epoch)
    return decode_token(token).epoch == epoch and mint(k_epoch, token).hex() == door["key"]


async def test_a_rotation_reaches_the_device_and_each_phone_that_comes_again(site: Site) -> None:
    path, device = f"/v1/doors/{site.door_id}", site.device
    key = await new_key(site.api, [site.door_id])
    assert fits(device, (await mobile(site.api, key))["doors"][0], 1)
    version = device.config["ver"]

    rotated = await made(await site.api.post(f"{path}/rotate-keys"), 200)
    assert (rotated["epoch"], rotated["reported_epoch"]) == (2, 1)
    assert fits(device, (await mobile(site.api, key))["doors"][0], 2)
    shown = await made(await site.api.get(f"/v1/devices/{device.id}"), 200)
    assert (shown["epoch"], shown["reported_epoch"], shown["in_sync"]) == (2, 1, False)

    config = await device.next_config()
    assert (config["epoch"], config["ver"]) == (2, version + 1)
    await device.send_state()
    shown = await until(site.api, f"/v1/devices/{device.id}", lambda body: bool(body["in_sync"]))
    assert (shown["epoch"], shown["reported_epoch"]) == (2, 2)
    assert (await made(await site.api.get(path), 200))["reported_epoch"] == 2
    events = (await made(await site.api.get("/v1/events", params={"door_id": site.door_id}), 200))["items"]
    (event,) = [event for event in events if event["type"] == "door_keys_rotated"]
    assert (event["data"]["epoch"], event["device_id"]) == (2, device.id)


async def test_a_device_that_missed_its_epoch_gets_it_when_it_is_seen_again(site: Site) -> None:
    await made(await site.api.post(f"/v1/doors/{site.door_id}/rotate-keys"), 200)
    await site.device.next_config()
    site.device.config = {**site.device.config, "ver": 1, "epoch": 1}  # as if it had never come
    await site.device.gateway.send("hello", {"g": site.device.gateway.id, "registry": 1})
    await site.device.send_state()
    assert (await site.device.next_config())["epoch"] == 2


async def test_a_repeated_request_rotates_once(site: Site) -> None:
    path = f"/v1/doors/{site.door_id}/rotate-keys"
    for _ in range(2):
        answer = await site.api.post(path, headers={"Idempotency-Key": "monday"})
        assert (answer.status_code, answer.json()["epoch"]) == (200, 2)
    assert (await made(await site.api.post(path), 200))["epoch"] == 3


async def test_only_the_owner_rotates_and_only_a_door_with_a_device(
    site: Site, stranger: httpx.AsyncClient
) -> None:
    path = f"/v1/doors/{site.door_id}/rotate-keys"
    problem(await stranger.post(path), 404, "not_found")
    assert (await made(await site.api.get(f"/v1/doors/{site.door_id}"), 200))["epoch"] == 1
    empty = await new_door(site.api, site.device.bundle["site_id"])
    assert (empty["epoch"], empty["reported_epoch"]) == (1, None)
    problem(await site.api.post(f"/v1/doors/{empty['id']}/rotate-keys"), 409, "door_without_device")


async def test_after_the_last_epoch_the_answer_says_what_to_do_and_that_helps(
    site: Site, cloud: CloudProcess
) -> None:
    with sqlite3.connect(cloud.database) as store:
        store.execute("UPDATE doors SET epoch=? WHERE id=?", (LAST_EPOCH - 1, site.door_id))
    store.close()
    path = f"/v1/doors/{site.door_id}"
    assert (await made(await site.api.post(f"{path}/rotate-keys"), 200))["epoch"] == LAST_EPOCH
    refused = problem(await site.api.post(f"{path}/rotate-keys"), 409, "key_epochs_used_up")
    assert "Retire the door's device" in refused["detail"]
    assert (await made(await site.api.get(path), 200))["epoch"] == LAST_EPOCH

    await made(await site.api.post(f"/v1/devices/{site.device.id}/retire"), 200)
    bundle = await made(await site.api.post("/v1/devices", json={"door_id": site.door_id}))
    second = Device(bundle, site.device.gateway)
    assert (bundle["epoch"], second.config["epoch"]) == (FIRST_EPOCH, FIRST_EPOCH)
    assert (await made(await site.api.get(path), 200))["epoch"] == FIRST_EPOCH
    key = await new_key(site.api, [site.door_id])
    assert fits(second, (await mobile(site.api, key))["doors"][0], FIRST_EPOCH)


async def test_another_door_of_a_key_keeps_its_epoch(site: Site) -> None:
    other = await open_device(site.api, site.device.gateway)
    key = await new_key(site.api, [site.door_id, other.door_id])
    await made(await site.api.post(f"/v1/doors/{site.door_id}/rotate-keys"), 200)
    doors = {door["door_id"]: door for door in (await mobile(site.api, key))["doors"]}
    assert fits(site.device, doors[site.door_id], 2)
    assert fits(other, doors[other.door_id], 1)
