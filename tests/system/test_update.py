"""A firmware package that is uploaded to the cloud runs on a real board, and the log tells each step."""

import asyncio
from pathlib import Path
from typing import Any

import httpx

from hil import package
from hil.stack.installation import Installation
from hil.vm import image
from protocol.host.pins import client_context

TRIAL_S = 16
STEP_S = 120.0


async def upload(site: Installation, data: bytes) -> dict[str, Any]:
    facts = site.cloud_facts
    context = client_context(facts["ca"], pins=facts["pins"])
    headers = {"Authorization": f"Bearer {facts['token']}", "Content-Type": "application/octet-stream"}
    async with httpx.AsyncClient(base_url=site.api.url, verify=context, headers=headers) as client:
        answer = await client.post("/v1/packages", content=data)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def heard(site: Installation, kind: str, version: int) -> None:
    async with asyncio.timeout(STEP_S):
        while True:
            if any(e["data"].get("value") == version for e in await site.api.events(type=kind)):
                return
            await asyncio.sleep(0.2)


async def test_a_package_goes_from_the_api_to_a_board_that_confirms_it(tmp_path: Path) -> None:
    key = package.new_key()
    trusted = tmp_path / "release_key.py"
    trusted.write_text(package.key_module(key))
    async with Installation(tmp_path / "site") as site:
        await site.start_cloud()
        await site.start_gateway()
        made = image.firmware_image(image.ROOT, {"device/release_key.py": trusted})
        door = await site.add_board("front", firmware=made)
        await site.provision(door, "Front")
        await site.connected(door)
        signed = package.sign(package.build(key).image, key, 2, trial_s=TRIAL_S)  # as it is shipped
        stored = await upload(site, signed)
        await site.api.post(f"/v1/devices/{door.device_id}/update", {"package_id": stored["id"]})
        for step in ("transfer_taken", "update_activated", "update_confirmed"):
            await heard(site, step, 2)
        device = await site.connected(door)
        assert device["firmware"].endswith("+2")
        assert {f["kind"]: f["reported_version"] for f in device["files"]} == {"firmware": 2}
