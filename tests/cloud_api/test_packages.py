"""Firmware packages: their form is checked, one is offered to one device, and what came of it is in the log."""

import hashlib
from typing import Any

import httpx
import pytest

from protocol import journal
from protocol.manifest import HEAD_SIZE, SIGNATURE_SIZE, Manifest
from protocol.transfer import MAX_SIZE
from tests.cloud_api.conftest import Site, open_device
from tests.cloud_api.test_credentials import ask, dropped, fetch, next_offer
from tests.cloud_api.test_problems import problem
from tests.cloud_api.world import made

RAW = {"Content-Type": "application/octet-stream"}


def package(version: int = 2, size: int = 5000) -> bytes:
    """Signed by nobody whom a board trusts, which the cloud cannot know."""
    image = bytes(n % 251 for n in range(size))
    manifest = Manifest("latchwork", version, 1, 600, size, hashlib.sha256(image).digest()).encode()
    return manifest + bytes(SIGNATURE_SIZE) + image


async def upload(api: httpx.AsyncClient, data: bytes) -> httpx.Response:
    return await api.post("/v1/packages", content=data, headers=RAW)


async def test_the_largest_package_is_stored_and_shown(api: httpx.AsyncClient) -> None:
    data = package(7, MAX_SIZE - HEAD_SIZE)
    stored = await made(await upload(api, data))
    assert (stored["product"], stored["version"], stored["floor"]) == ("latchwork", 7, 1)
    assert (stored["size"], stored["sha256"]) == (MAX_SIZE, hashlib.sha256(data).hexdigest())
    assert (await api.get(f"/v1/packages/{stored['id']}")).json() == stored
    assert (await api.get("/v1/packages")).json()["items"] == [stored]


async def test_what_is_larger_is_refused_and_only_packages_may_be_so_large(api: httpx.AsyncClient) -> None:
    problem(await upload(api, bytes(MAX_SIZE + 1)), 413, "body_too_large")
    problem(await api.post("/v1/sites", content=package(2, 100_000), headers=RAW), 413, "body_too_large")


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"LWU1",
        package()[:-1],
        package() + b"\0",
        b"X" + package()[1:],
        package()[:-1] + b"\xff",
        package(0),
    ],
)
async def test_what_is_no_package_is_refused(api: httpx.AsyncClient, damaged: bytes) -> None:
    problem(await upload(api, damaged), 422, "invalid_request")


async def test_a_package_is_offered_to_one_device_and_its_course_is_in_the_log(site: Site) -> None:
    other = await open_device(site.api, site.device.gateway)
    data = package(3)
    stored = await made(await upload(site.api, data))
    path = f"/v1/devices/{site.device.id}/update"
    assert await made(await site.api.post(path, json={"package_id": stored["id"]}), 202) == stored
    offer = await next_offer(site.device)
    assert (offer["kind"], offer["ver"], offer["sha"]) == ("firmware", 3, stored["sha256"])
    before = await dropped(site.api, "unknown_file")
    await ask(other, offer["sha"][:16], 0, 100)
    assert await fetch(site.device, offer) == data
    assert await dropped(site.api, "unknown_file") == before + 1

    await site.device.send_records(
        [
            site.device.record(
                journal.EVENT_TRANSFER_TAKEN, subject=bytes.fromhex(offer["sha"][:16]), value=3
            ),
            site.device.record(journal.EVENT_UPDATE_ACTIVATED, value=3),
            site.device.record(journal.EVENT_UPDATE_ROLLED_BACK, value=3),
            site.device.record(journal.EVENT_UPDATE_CONFIRMED, value=3),
        ]
    )
    await site.device.acked(4)
    log = (await site.api.get("/v1/events", params={"device_id": site.device.id})).json()["items"]
    told = [(e["type"], e["data"].get("value")) for e in log if e["source"] == site.device.id]
    names = ("transfer_taken", "update_activated", "update_rolled_back", "update_confirmed")
    assert told == [(name, 3) for name in names]
    (offered,) = [e for e in log if e["type"] == "update_offered"]
    assert (offered["data"]["package"], offered["data"]["version"]) == (stored["id"], 3)
    problem(await site.api.post(path, json={"package_id": stored["id"]}), 409, "package_older")


async def test_nobody_offers_what_is_anothers(site: Site, stranger: httpx.AsyncClient) -> None:
    mine, theirs = (
        await made(await upload(site.api, package())),
        await made(await upload(stranger, package())),
    )
    path = f"/v1/devices/{site.device.id}/update"
    wrong: tuple[tuple[httpx.AsyncClient, dict[str, Any]], ...] = ((site.api, theirs), (stranger, mine))
    for client, stored in wrong:
        problem(await client.post(path, json={"package_id": stored["id"]}), 404, "not_found")
    problem(await stranger.get(f"/v1/packages/{mine['id']}"), 404, "not_found")
    await made(await site.api.post(f"/v1/devices/{site.device.id}/retire"), 200)
    problem(await site.api.post(path, json={"package_id": mine["id"]}), 409, "device_retired")
