"""The gateway tells the cloud which of its devices cannot be reached."""

import asyncio
import contextlib
import os
import signal

from .conftest import DEV1, DEV2, WAIT_S, CloudPeer, World

STATE = {"boot": 3, "jseq": 9, "cfg": 1, "rev": 0, "fw": "1.0", "door": "closed", "clk": None}


async def away(cloud: CloudPeer, device: str) -> list[str]:
    """The next message that names this device."""
    async with asyncio.timeout(WAIT_S):
        while True:
            names: list[str] = (await cloud.up("presence"))["away"]
            if device in names:
                return names


async def registered(world: World, cloud: CloudPeer) -> None:
    await cloud.up("hello")
    await cloud.register(1, **world.pins)


async def test_a_device_that_leaves_is_away_and_that_is_audited(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        await registered(world, cloud)
        async with world.device() as device:
            await device.publish(f"d/{DEV1}/up/state", STATE)
            await cloud.up("state")
        assert await away(cloud, DEV1) == [DEV1]
        await cloud.audit("device_disconnected", device_id=DEV1)


async def test_a_device_that_takes_its_lost_session_over_is_not_away(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        await registered(world, cloud)
        async with world.device(), world.device() as again:
            await again.publish(f"d/{DEV1}/up/state", STATE)
            await cloud.up("state")
            async with world.device(DEV2):
                pass  # its departure is told after whatever the takeover made the gateway say
            assert await away(cloud, DEV2) == [DEV2]


async def test_a_new_session_with_the_cloud_tells_who_is_there_and_who_is_not(world: World) -> None:
    async with world.gateway(), contextlib.AsyncExitStack() as stack:
        async with world.cloud.connected() as cloud:
            await registered(world, cloud)
            device = await stack.enter_async_context(world.device())
            await device.publish(f"d/{DEV1}/up/state", STATE)
            await cloud.up("state")
        await world.cloud.broker.stop()
        await world.cloud.broker.start()
        async with world.cloud.connected_again() as cloud:
            assert await cloud.up("state") == {"d": DEV1, **STATE}
            assert await away(cloud, DEV2) == [DEV2]


async def test_counters_that_the_cloud_was_not_there_for_are_told_when_it_is_back(world: World) -> None:
    async with world.gateway(), contextlib.AsyncExitStack() as stack:
        async with world.cloud.connected() as cloud:
            await registered(world, cloud)
            device = await stack.enter_async_context(world.device())
        await world.cloud.broker.stop()
        for count in (1, 2):
            await device.publish(f"d/{DEV1}/up/log", {"counters": {"bad_mac": count}})
        await world.cloud.broker.start()
        async with world.cloud.connected_again() as cloud:
            assert await cloud.up("log") == {"d": DEV1, "counters": {"bad_mac": 2}}


async def test_with_the_broker_all_devices_are_away(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway_process() as gateway:
        await registered(world, cloud)
        async with world.device() as device:
            await device.publish(f"d/{DEV1}/up/state", STATE)
            await cloud.up("state")
            os.kill(await gateway.broker_pid(), signal.SIGKILL)
            assert await away(cloud, DEV1) == [DEV1]
            await cloud.audit("broker_ended")
