"""The gateway's MQTT session against brokers that stall, refuse, babble or vanish: it always comes back."""

import asyncio
import contextlib
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway import mqtt_link
from gateway.mqtt_link import Endpoint, MqttLink
from protocol.host.pins import client_context
from tests.protocol.host.fleet import Fleet, Identity
from tests.tasks import end

from .conftest import GATEWAY, SHARD, SITE, World

DOWN = f"s/{SHARD}/{SITE}/down"


class Watched:
    """A link, and what its callbacks said."""

    def __init__(self, link: Callable[..., MqttLink]) -> None:
        self.changes: asyncio.Queue[bool] = asyncio.Queue()
        self.messages: asyncio.Queue[tuple[str, bytes, bool]] = asyncio.Queue()
        self.link = link(self.receive, self.changes.put_nowait)

    def receive(self, topic: str, payload: bytes, retained: bool) -> None:
        if payload == b"boom":
            raise RuntimeError("a handler's bug")
        self.messages.put_nowait((topic, payload, retained))

    async def change(self) -> bool:
        return await asyncio.wait_for(self.changes.get(), 20)

    async def message(self) -> tuple[str, bytes, bool]:
        return await asyncio.wait_for(self.messages.get(), 20)


@contextlib.asynccontextmanager
async def watching(
    ca: Path, identity: Identity, pin: str, port: Callable[[], int], subscriptions: list[tuple[str, int]]
) -> AsyncIterator[Watched]:
    def context() -> ssl.SSLContext:
        return client_context(ca, identity.certificate, identity.key, [pin, "0" * 64])

    watched = Watched(
        lambda *callbacks: MqttLink(
            "test",
            identity.name,
            subscriptions,
            lambda: Endpoint("127.0.0.1", port(), "localhost"),
            context,
            *callbacks,
        )
    )
    task = asyncio.create_task(watched.link.run())
    try:
        yield watched
        assert not task.done()
    finally:
        await end(task)


@pytest.fixture
async def watched(world: World) -> AsyncIterator[Watched]:
    cloud = world.cloud
    cloud.listening.set()
    identity = world.fleet.issue(GATEWAY)
    cloud.pins[GATEWAY] = identity.pin
    subscriptions = [(f"{DOWN}/command", 0), (f"{DOWN}/config", 1)]
    async with watching(
        world.fleet.ca, identity, cloud.server_pin, lambda: cloud.broker.mqtt_port, subscriptions
    ) as watched:
        assert await watched.change() is True
        yield watched


async def test_messages_of_both_qualities_arrive(world: World, watched: Watched) -> None:
    async with world.cloud.connected() as cloud:
        for leaf in ("command", "config"):
            await cloud.down(leaf, b"x" * 100_000)
            assert await watched.message() == (f"{DOWN}/{leaf}", b"x" * 100_000, False)


async def test_a_failing_handler_costs_one_message(world: World, watched: Watched) -> None:
    async with world.cloud.connected() as cloud:
        await cloud.down("command", b"boom")
        await cloud.down("command", b"next")
        assert (await watched.message())[1] == b"next"
    assert watched.changes.empty()


async def test_a_broker_that_stalls_is_given_up_and_found_again(
    world: World, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_link, "PING_EVERY_S", 0.05)
    monkeypatch.setattr(mqtt_link, "SILENCE_S", 0.3)
    async with restarted(watched, world):
        pid = world.cloud.broker.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        assert await watched.change() is False
        assert not watched.link.up
        assert not watched.link.publish(f"s/{SHARD}/{SITE}/up/log", b"")
        os.kill(pid, signal.SIGCONT)
        assert await watched.change() is True


@contextlib.asynccontextmanager
async def restarted(watched: Watched, world: World) -> AsyncIterator[None]:
    """A session that began with the present deadlines."""
    await world.cloud.broker.stop()
    assert await watched.change() is False
    await world.cloud.broker.start()
    assert await watched.change() is True
    yield


async def test_what_cannot_be_sent_is_said_to_be_unsent(world: World, watched: Watched) -> None:
    pid = world.cloud.broker.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        accepted = 0
        while watched.link.publish(f"s/{SHARD}/{SITE}/up/log", bytes(60_000)):
            accepted += 1
            assert accepted < 1000, "an unbounded buffer"
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\x00",
        b"\x20\x02\x00\x05",
        b"\x20\x02\x00\x00\x90\x03\x00\x01\x80",
        b"\xff" * 50,
        b"\x30\xff\xff\xff\x7f",
    ],
    ids=["hangs up", "bad packet", "not authorized", "subscription refused", "garbage", "endless packet"],
)
async def test_a_broker_that_answers_wrongly_is_tried_again(tmp_path: Path, answer: bytes) -> None:
    fleet = Fleet(tmp_path / "pki")
    server, client = fleet.issue("broker", server=True), fleet.issue(GATEWAY)
    connections: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.put_nowait(await reader.read(1000))
        writer.write(answer)
        if not answer:
            writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await reader.read()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)
    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = listener.sockets[0].getsockname()[1]
    async with watching(fleet.ca, client, server.pin, lambda: port, [("x", 1)]) as watched:
        for _ in range(2):
            assert (await asyncio.wait_for(connections.get(), 20)).startswith(b"\x10")
        assert watched.changes.empty()
    listener.close()
