"""Kills, full disks, lost sessions: nothing acknowledged is lost, each record arrives under its number."""

import asyncio
import os
import resource
import signal

import aiomqtt
import pytest

from gateway import uplink

from .conftest import DEV1, SHARD, SITE, CloudPeer, Peer, World, envelope, events, seqs

ACK = f"d/{DEV1}/down/ack"
EVENTS = f"d/{DEV1}/up/events"


async def registered(world: World, cloud: CloudPeer) -> None:
    await cloud.up("hello")
    await cloud.register(1, **world.pins)


async def acknowledged(device: Peer, upto: int) -> int:
    """The watermark, once it has come so far."""
    while (seq := (await device.next(ACK))["seq"]) < upto:
        pass
    return int(seq)


async def test_what_was_acknowledged_survives_a_kill_of_the_gateway(world: World) -> None:
    """The cloud is away throughout, so that only the spool can know."""
    async with world.gateway_process() as gateway:
        async with world.cloud.connected() as cloud:
            await registered(world, cloud)
            async with world.device() as device:
                await device.publish(EVENTS, events(1))
                await acknowledged(device, 1)
        await world.cloud.broker.stop()
        durable = 1
        for _ in range(4):
            async with world.device() as device:
                for first in range(durable + 1, durable + 200, 8):
                    await device.publish(EVENTS, events(*range(first, first + 8)))
                durable = await acknowledged(device, durable + 40)
                await gateway.restart(signal.SIGKILL)  # most likely amid the rest of them
        await world.cloud.broker.start()
        async with world.cloud.connected_again() as cloud:
            found = await cloud.events(durable, acknowledge=True)
        assert found[: found.index(durable) + 1] == list(range(1, durable + 1))


async def test_events_flow_while_gateway_and_broker_are_killed(world: World) -> None:
    """A device that keeps what is not acknowledged, a cloud that stores by number: all arrive, each once."""
    total, stored, grown = 600, set[int](), asyncio.Event()

    async def ingest(cloud: CloudPeer) -> None:
        watermark = 0
        while watermark < total:
            message = await cloud.up("events")
            stored.update(seqs(message))
            grown.set()
            while watermark + 1 in stored:
                watermark += 1
            await cloud.down("ack", {"d": DEV1, "seq": watermark})

    async def journal() -> None:
        kept = 1  # the lowest number that the device has not deleted
        while kept <= total:
            try:
                async with world.device() as device:
                    while kept <= total:
                        beyond = min(kept + 96, total + 1)
                        for first in range(kept, beyond, 16):
                            batch = range(first, min(first + 16, beyond))
                            await device.publish(EVENTS, events(*batch))
                        try:
                            async with asyncio.timeout(0.5):
                                while (
                                    kept < beyond
                                ):  # one for each batch: whoever takes one only falls behind
                                    kept = max(kept, (await device.next(ACK))["seq"] + 1)
                        except TimeoutError:
                            continue  # offered again, as a device does
            except (aiomqtt.MqttError, TimeoutError):
                continue

    async with world.gateway_process() as gateway, world.cloud.connected() as cloud:
        await registered(world, cloud)
        ingesting = asyncio.create_task(ingest(cloud))
        writing = asyncio.create_task(journal())
        for victim in ("gateway", "broker", "gateway", "broker"):
            goal = min(len(stored) + 30, total)
            while len(stored) < goal:
                grown.clear()
                await grown.wait()
            if victim == "gateway":
                await gateway.restart(signal.SIGKILL)
            else:
                os.kill(await gateway.broker_pid(), signal.SIGKILL)
        async with asyncio.timeout(60):
            await asyncio.gather(ingesting, writing)
        assert stored == set(range(1, total + 1))


async def test_a_killed_broker_is_started_again_and_carries_commands(world: World) -> None:
    async with world.gateway_process() as gateway, world.cloud.connected() as cloud:
        await registered(world, cloud)
        await gateway.logged("link.up", link="site")
        async with world.device():
            first = await gateway.broker_pid()
            os.kill(first, signal.SIGKILL)
        await gateway.logged("broker.ended", status=-signal.SIGKILL)
        await gateway.logged("link.up", link="site")
        async with world.device() as device:
            await cloud.down("command", {"d": DEV1, "e": envelope().decode()})
            await device.next(f"d/{DEV1}/down/command")
        assert await gateway.broker_pid() != first
        assert (await cloud.audit("broker_ended"))["data"] == {"status": -9}


async def test_the_broker_dies_with_a_killed_gateway_and_the_next_one_takes_its_port(world: World) -> None:
    async with world.gateway_process() as gateway:
        port = gateway.announced["mqtt"]["port"]
        await gateway.restart(signal.SIGKILL)
        assert gateway.announced["mqtt"]["port"] == port


async def test_a_broker_that_cannot_start_is_started_again_until_it_can(world: World) -> None:
    """As on a full disk, nothing can be written where it keeps its files."""
    async with world.gateway_process() as gateway:
        folder = world.folder.broker
        folder.rename(world.folder.directory / "moved")
        folder.touch()
        os.kill(await gateway.broker_pid(), signal.SIGKILL)
        await gateway.logged("broker.not_started")
        folder.unlink()
        await gateway.logged("link.up", link="site")


async def test_sigterm_stops_cleanly_with_nothing_unwritten(world: World) -> None:
    async with world.gateway_process() as gateway, world.cloud.connected() as cloud:
        await registered(world, cloud)
        async with world.device() as device:
            await device.publish(EVENTS, events(1, 2, 3))
            await acknowledged(device, 3)
        assert await cloud.events(3) == [1, 2, 3]
        assert await gateway.stop(signal.SIGTERM) == 0
        await gateway.start()
        assert await cloud.events(3) == [1, 2, 3], "the cloud has not acknowledged them"


async def test_a_full_disk_stops_acknowledgements_and_nothing_else(world: World) -> None:
    async with world.gateway_process() as gateway, world.cloud.connected() as cloud:
        await registered(world, cloud)
        pid = gateway.pid
        async with world.device() as device:
            await device.publish(EVENTS, events(1))
            await acknowledged(device, 1)
            limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
            await device.publish(EVENTS, events(2, 3))
            await gateway.logged("spool.failing")
            await cloud.down("command", {"d": DEV1, "e": envelope().decode()})
            await device.next(f"d/{DEV1}/down/command")
            await device.publish(f"d/{DEV1}/up/result", envelope("still here"))
            assert (await cloud.up("result"))["e"] == envelope("still here").decode()
            assert device.queue(ACK).empty()
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
            await device.publish(EVENTS, events(2, 3))
            await acknowledged(device, 3)


async def test_the_cloud_is_asked_again_until_it_acknowledges(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink, "ACK_DEADLINE_S", 0.1)
    async with world.cloud.connected() as cloud, world.gateway():
        await registered(world, cloud)
        async with world.device() as device:
            await device.publish(EVENTS, events(1, 2))
            assert await cloud.events(2) == [1, 2]
            assert await cloud.events(2) == [1, 2], "no acknowledgement came"
            await cloud.down("ack", {"d": DEV1, "seq": 1})
            assert await cloud.events(2) == [2]
            await cloud.down("ack", {"d": DEV1, "seq": 2})
            await device.publish(EVENTS, events(3))
            assert await cloud.events(3) == [3]


async def test_an_impostor_of_the_cloud_gets_nothing(world: World) -> None:
    """Right CA, right name, another key: the gateway hangs up before its first byte."""
    server = world.fleet.issue("cloud broker", server=True)
    files = world.cloud.broker.files
    await world.cloud.broker.stop()
    files.certificate.write_bytes(server.certificate.read_bytes())
    files.key.write_bytes(server.key.read_bytes())
    await world.cloud.broker.start()
    async with world.cloud.connected_again() as cloud, world.gateway_process() as gateway:
        for _ in range(2):
            lost = await gateway.logged("link.lost", link="cloud")
            assert "pin" in lost["error"].lower(), lost
        assert cloud.queue(f"s/{SHARD}/{SITE}/up/hello").empty()
