"""Every device of an organisation gets its newest configuration, however many they are and however fast it changes."""

import asyncio

from cloud_api.device_config import CONVERGE_BATCH, CONVERGE_EVERY_S, PUSH_AT_ONCE
from protocol.envelope import LABEL_CONFIG, open_sealed
from tests.cloud_api.conftest import Site, open_device
from tests.cloud_api.test_door_policy import WINDOW, new_schedule
from tests.cloud_api.world import DEADLINE_S, Device, made

DEVICES = CONVERGE_BATCH + PUSH_AT_ONCE + 1
LATER = {**WINDOW, "start_minute": 600}
assert DEADLINE_S < CONVERGE_EVERY_S


async def test_a_change_right_after_another_reaches_every_device_without_waiting_for_the_next_round(
    site: Site,
) -> None:
    more = [await open_device(site.api, site.gateway) for _ in range(DEVICES)]
    devices = {device.id: device for device in (site.device, *more)}
    for device in more:
        await device.come_up(site.api)
    schedule = f"/v1/schedules/{(await new_schedule(site.api))['id']}"
    await newest(site, devices, 1)
    await made(await site.api.patch(schedule, json={"windows": [LATER]}), 200)
    await newest(site, devices, 2)
    await made(await site.api.patch(schedule, json={"windows": [WINDOW]}), 200)
    await made(await site.api.patch(schedule, json={"windows": [LATER]}), 200)
    await newest(site, devices, 4)


async def newest(site: Site, devices: dict[str, Device], change: int) -> None:
    """Until all have the configuration after so many changes."""
    behind = set(devices)
    async with asyncio.timeout(DEADLINE_S):
        while behind:
            message = await site.gateway.receive("config")
            device = devices[message["d"]]
            config = open_sealed(device.config_key, LABEL_CONFIG, message["e"])
            if config["ver"] == device.config["ver"] + change:
                behind.discard(device.id)
