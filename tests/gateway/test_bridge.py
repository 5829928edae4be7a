"""What passes through the gateway, what does not, and that nothing which is sent to it ends it."""

import asyncio
import base64
import contextlib
import json

import aiomqtt
import pytest

from protocol.host.transfers import build_chunk, transfer_id

from .conftest import DEV1, DEV2, GATEWAY, SHARD, SITE, CloudPeer, World, envelope, events


async def registered(world: World, cloud: CloudPeer, version: int = 1) -> None:
    hello = await cloud.up("hello")
    assert hello["g"] == GATEWAY
    await cloud.register(version, **world.pins)


async def test_a_command_and_its_result_pass_verbatim(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        await registered(world, cloud)
        async with world.device() as device:
            sealed = '{"p": "{\\"é\\": 1,  \\"x\\":2}", "m": "' + "ab" * 16 + '"}'
            for leaf in ("command", "config", "time", "update"):
                await cloud.down(leaf, {"d": DEV1, "e": sealed})
                received = await asyncio.wait_for(device.queue(f"d/{DEV1}/down/{leaf}").get(), 10)
                assert received == sealed.encode()
            await device.publish(f"d/{DEV1}/up/result", sealed.encode())
            assert await cloud.up("result") == {"d": DEV1, "e": sealed}


async def test_pieces_of_a_file_are_asked_for_and_come_as_the_cloud_made_them(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        await registered(world, cloud)
        data = bytes(range(256)) * 20
        async with world.device() as device:
            ask = {"id": transfer_id(data), "off": 2048, "len": 2048}
            await device.publish(f"d/{DEV1}/up/fetch", ask)
            assert await cloud.up("fetch") == {"d": DEV1, **ask}
            chunk = build_chunk(data, 2048, 2048)
            for message in ({}, {"c": "x"}, {"c": ""}, {"c": base64.b64encode(bytes(4096)).decode()}):
                await cloud.down("chunk", {"d": DEV1, **message})
            await cloud.down("chunk", {"d": DEV2, "c": base64.b64encode(chunk).decode()})
            await cloud.down("chunk", {"d": DEV1, "c": base64.b64encode(chunk).decode()})
            assert await asyncio.wait_for(device.queue(f"d/{DEV1}/down/chunk").get(), 10) == chunk


async def test_time_state_and_log_pass_with_the_device_named(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        await registered(world, cloud)
        state = {"boot": 3, "jseq": 9, "cfg": 1, "rev": 0, "fw": "1.0", "door": "closed", "clk": [1.5, 2]}
        state["drift_ppm"] = [-60, 12]
        async with world.device() as device:
            await device.publish(f"d/{DEV1}/up/state", state)
            assert await cloud.up("state") == {"d": DEV1, **state}
            await device.publish(f"d/{DEV1}/up/time", {"n": "f" * 32})
            assert await cloud.up("time") == {"d": DEV1, "n": "f" * 32}
            await device.publish(f"d/{DEV1}/up/log", {"counters": {"bad_mac": 2}, "wd": 1})
            assert await cloud.up("log") == {"d": DEV1, "counters": {"bad_mac": 2}}


async def test_events_are_acknowledged_to_the_device_and_reach_the_cloud_in_order(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        await registered(world, cloud)
        async with world.device() as device:
            for first in range(1, 200, 32):
                await device.publish(f"d/{DEV1}/up/events", events(*range(first, first + 32)))
            while (await device.next(f"d/{DEV1}/down/ack"))["seq"] < 224:
                pass
            assert await cloud.events(224) == list(range(1, 225))


async def test_a_gap_is_not_acknowledged_until_it_is_filled(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        await registered(world, cloud)
        async with world.device() as device:
            await device.publish(f"d/{DEV1}/up/events", events(1, 2))
            assert await device.next(f"d/{DEV1}/down/ack") == {"seq": 2}
            await device.publish(f"d/{DEV1}/up/events", events(5, 6))
            assert await device.next(f"d/{DEV1}/down/ack") == {"seq": 2}
            await device.publish(f"d/{DEV1}/up/events", events(3, 4))
            assert await device.next(f"d/{DEV1}/down/ack") == {"seq": 6}


async def test_a_device_from_elsewhere_is_acknowledged_when_the_cloud_knows_its_journal(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        await registered(world, cloud)
        async with world.device() as device:
            await device.publish(f"d/{DEV1}/up/events", events(501, 502))
            assert await cloud.events(502) == [501, 502]
            assert device.queue(f"d/{DEV1}/down/ack").empty()
            await cloud.down("ack", {"d": DEV1, "seq": 502})
            assert await device.next(f"d/{DEV1}/down/ack") == {"seq": 502}


async def test_a_command_for_an_unknown_or_revoked_device_is_dropped(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        await cloud.up("hello")
        await cloud.register(1, **{DEV1: world.pins[DEV1], DEV2: None})
        async with world.device() as device:
            watcher = world.fleet.issue(GATEWAY)  # nobody else may listen at the site's broker
            with pytest.raises(aiomqtt.MqttError):
                async with world.device_client(watcher):
                    pass
            for name in (DEV2, "dev_" + "9" * 16, "dev_+", "dev_#", "#", "dev_" + "1" * 16 + "/x"):
                await cloud.down("command", {"d": name, "e": envelope("no").decode()})
            await cloud.down("command", {"d": DEV1, "e": envelope("yes").decode()})
            assert await device.next(f"d/{DEV1}/down/command") == json.loads(envelope("yes"))


async def test_an_old_command_never_reaches_a_device_that_comes_back(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        await registered(world, cloud)
        async with world.device():
            pass
        await cloud.down("command", {"d": DEV1, "e": envelope("old").decode()})
        async with world.device(DEV2) as other:  # the same way, so the old one has passed
            await cloud.down("command", {"d": DEV2, "e": envelope("other").decode()})
            await other.next(f"d/{DEV2}/down/command")
        async with world.device() as device:
            await cloud.down("command", {"d": DEV1, "e": envelope("new").decode()})
            assert await device.next(f"d/{DEV1}/down/command") == json.loads(envelope("new"))


async def test_a_retained_command_is_not_passed_on(world: World) -> None:
    async with world.cloud.connected() as cloud:
        await cloud.down("command", {"d": DEV1, "e": envelope("retained").decode()}, retain=True)
        async with world.gateway():
            await registered(world, cloud)
            async with world.device() as device:
                await cloud.down("command", {"d": DEV1, "e": envelope("new").decode()})
                assert await device.next(f"d/{DEV1}/down/command") == json.loads(envelope("new"))


BAD_UP = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe",
    b'{"r": []}',
    b'{"r": ["!"]}',
    b'{"r": [1]}',
    b'{"r": ["AAAA"]}',
    events(*range(1, 34)),
    events(2, 1),
    events(1, 1),
    b'{"n": "zz"}',
    b'{"boot": -1}',
    b'{"counters": {"x": "y"}}',
    b'{"p": 1, "m": 2}',
    b"[" * 5000,
    b"x" * 30_000,
]


async def test_malformed_messages_of_a_device_are_counted_audited_and_survived(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        await registered(world, cloud)
        async with world.device() as device:
            for leaf in ("events", "result", "state", "time", "log", "fetch", "nonsense", "a/b/c", "up"):
                for payload in BAD_UP:
                    await device.publish(f"d/{DEV1}/up/{leaf}", payload)
            await device.publish(f"d/{DEV1}/up/events", events(1), retain=True)
            await device.publish(f"d/{DEV1}/up/time", {"n": "0" * 32})
            assert await cloud.up("time") == {"d": DEV1, "n": "0" * 32}
        assert (await cloud.audit("message_dropped", reason="bad_message"))["data"]["who"] == DEV1


BAD_DOWN: list[object] = [
    b"",
    b"{",
    [],
    {},
    {"d": DEV1},
    {"d": DEV1, "e": 1},
    {"d": DEV1, "e": "x" * 9000},
    {"d": "dev_1", "e": "{}"},
    {"d": DEV1, "seq": -1},
    {"d": DEV1, "seq": "1"},
    {"ver": 99, "devices": "all"},
    {"ver": 99, "devices": [{"id": DEV1}]},
    {"ver": 99, "devices": [{"id": DEV1, "pins": ["x"], "status": "active"}]},
    {"ver": 99, "devices": [{"id": DEV1, "pins": [], "status": "perhaps"}]},
]


async def test_malformed_messages_of_the_cloud_are_survived(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        await registered(world, cloud)
        async with world.device() as device:
            for leaf in (
                "command",
                "config",
                "time",
                "update",
                "chunk",
                "ack",
                "registry",
                "nonsense",
                "x/y",
            ):
                for message in BAD_DOWN:
                    await cloud.down(leaf, message)
            await cloud.publish(f"s/{SHARD}/{SITE}/down", {})
            await cloud.down("command", {"d": DEV1, "e": envelope().decode()})
            assert await device.next(f"d/{DEV1}/down/command") == json.loads(envelope())


async def test_results_and_states_of_a_moment_ago_follow_when_the_cloud_is_back(world: World) -> None:
    state = {"boot": 1, "jseq": 0, "cfg": 0, "rev": 0, "fw": "1", "door": "open", "clk": None}
    async with contextlib.AsyncExitStack() as stack:
        async with world.cloud.connected() as cloud:
            await stack.enter_async_context(world.gateway())
            await registered(world, cloud)
            device = await stack.enter_async_context(world.device())
        # The cloud goes, with its broker.
        await world.cloud.broker.stop()
        await device.publish(f"d/{DEV1}/up/state", state)
        await device.publish(f"d/{DEV1}/up/result", envelope("done"))
        await device.publish(f"d/{DEV1}/up/events", events(1))
        assert await device.next(f"d/{DEV1}/down/ack") == {"seq": 1}, "not acknowledged without the cloud"
        await world.cloud.broker.start()
        async with world.cloud.connected_again() as back:
            assert (await back.up("result"))["e"] == envelope("done").decode()
            assert await back.up("state") == {"d": DEV1, **state}
            assert await back.events(1) == [1]
