"""A site and its cloud for the gateway's tests: real brokers, real TLS, real MQTT.

The cloud's side is a client that speaks the contract, at a broker of its own with an admission of its own.
"""

import asyncio
import base64
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from gateway.service import Gateway
from gateway.settings import CloudBroker, Folder, Settings
from protocol.host.admission import Admission, Refusal
from protocol.host.broker import BrokerFiles, NatsBroker
from protocol.host.nats_claims import Permissions, new_issuer
from tests.protocol.host.fleet import Fleet, Identity
from tests.tasks import end

NODELAY = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
DEV1, DEV2 = "dev_" + "1" * 16, "dev_" + "2" * 16
GATEWAY, SITE, SHARD = "gw_" + "a" * 16, "site_" + "b" * 16, 3
WAIT_S = 20


def record(seq: int) -> bytes:
    """A journal record as the gateway sees one: it reads the sequence number only."""
    return b"\x01\x02" + seq.to_bytes(4, "big") + bytes(40)


def events(*seqs: int) -> bytes:
    return json.dumps({"r": [base64.b64encode(record(seq)).decode() for seq in seqs]}).encode()


def seqs(message: dict[str, Any]) -> list[int]:
    """The numbers of the records in a message of events."""
    return [int.from_bytes(base64.b64decode(r)[2:6], "big") for r in message["r"]]


def envelope(text: str = "sealed") -> bytes:
    return json.dumps({"p": json.dumps({"x": text}), "m": "0" * 32}).encode()


class Peer:
    """An MQTT client whose messages are sorted by topic."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self._queues: dict[str, asyncio.Queue[bytes]] = {}

        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended.add_done_callback(lambda ended: ended.exception())

    async def run(self) -> None:
        try:
            async for message in self.client.messages:
                self.queue(str(message.topic)).put_nowait(bytes(message.payload))  # type: ignore[arg-type]
        except aiomqtt.MqttError as error:
            self._ended.set_exception(error)

    async def lost(self) -> None:
        """Wait for the end of the session, and raise it."""
        await asyncio.shield(self._ended)

    def queue(self, topic: str) -> asyncio.Queue[bytes]:
        return self._queues.setdefault(topic, asyncio.Queue())

    async def next(self, topic: str) -> Any:
        return json.loads(await asyncio.wait_for(self.queue(topic).get(), WAIT_S))

    async def publish(self, topic: str, message: object, **options: Any) -> None:
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        await self.client.publish(topic, data, qos=1, **options)


class Cloud:
    """The cloud's broker and, while connected, its client. It acknowledges only when a test says so."""

    def __init__(self, directory: Path, fleet: Fleet) -> None:
        self.fleet = fleet
        self.identity = fleet.issue("cloud")
        server = fleet.issue("cloud broker", server=True)
        self.server_pin = server.pin
        self.pins: dict[str, str] = {"cloud": self.identity.pin}
        self.listening = asyncio.Event()  # before it hears anything, the cloud lets no gateway in
        self.seed, issuer = new_issuer()
        self.broker = NatsBroker(
            directory,
            server_name="cloud",
            auth_issuer=issuer,
            files=BrokerFiles(server.certificate, server.key, fleet.ca),
        )

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        broker = self.broker
        await broker.start()
        admission = Admission(
            broker,
            self.seed,
            self.decide,
            owner="cloud",
            listening=self.listening,
        )
        task = asyncio.create_task(admission.run())
        await asyncio.wait_for(admission.ready.wait(), WAIT_S)
        try:
            yield
        finally:
            await end(task)
            await broker.stop()

    def decide(self, certificate: object, pin: str, client_id: str) -> Permissions | Refusal:
        if self.pins.get(client_id) != pin:
            return Refusal("wrong_pin")
        if client_id == "cloud":
            return Permissions(("s/+/+/down/#",), ("s/+/+/up/#",))
        return Permissions((f"s/{SHARD}/{SITE}/up/#",), (f"s/{SHARD}/{SITE}/down/#",))

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator["CloudPeer"]:
        client = aiomqtt.Client(
            "localhost",
            self.broker.mqtt_port,
            identifier="cloud",
            tls_context=self.fleet.context(self.identity),
            socket_options=NODELAY,
            timeout=2,
        )
        async with client:
            await client.subscribe("s/+/+/up/#", qos=1)
            peer = CloudPeer(client)
            task = asyncio.create_task(peer.run())
            self.listening.set()
            try:
                yield peer
            finally:
                self.listening.clear()
                await end(task)

    @contextlib.asynccontextmanager
    async def connected_again(self) -> AsyncIterator["CloudPeer"]:
        """Once the broker takes the cloud's client again."""
        async with contextlib.AsyncExitStack() as stack:
            while True:
                try:
                    peer = await stack.enter_async_context(self.connected())
                    break
                except aiomqtt.MqttError:
                    await asyncio.sleep(0.02)
            yield peer


class CloudPeer(Peer):
    async def up(self, leaf: str) -> Any:
        return await self.next(f"s/{SHARD}/{SITE}/up/{leaf}")

    async def down(self, leaf: str, message: object, **options: Any) -> None:
        await self.publish(f"s/{SHARD}/{SITE}/down/{leaf}", message, **options)

    async def register(self, version: int, **devices: str | None) -> None:
        """`dev_…="<pin>"`; None: revoked."""
        listed = [
            {"id": name, "pins": [pin] if pin else [], "status": "active" if pin else "revoked"}
            for name, pin in devices.items()
        ]
        await self.down("registry", {"ver": version, "devices": listed})

    async def events(self, upto: int, *, acknowledge: bool = False) -> list[int]:
        """DEV1's sequence numbers as they come, until `upto` was among them."""
        found: list[int] = []
        while upto not in found:
            found += seqs(await self.up("events"))
            if acknowledge:
                await self.down("ack", {"d": DEV1, "seq": found[-1]})
        return found

    async def audit(self, kind: str, **data: object) -> dict[str, Any]:
        """The first audit event of this kind with these data."""
        while True:
            for event in (await self.up("audit"))["events"]:
                if event["type"] == kind and data.items() <= event["data"].items():
                    return dict(event)


class World:
    """A fleet, a cloud, and the folder of an enrolled gateway; the gateway itself is started by the test."""

    def __init__(self, directory: Path) -> None:
        self.fleet = Fleet(directory / "pki")
        self.cloud = Cloud(directory / "cloud", self.fleet)
        self.folder = Folder(directory / "gateway")
        self.devices = {name: self.fleet.issue(name) for name in (DEV1, DEV2)}

    def enrol(self) -> None:
        """What enrolment would have put there."""
        folder = self.folder
        folder.directory.mkdir()
        client, broker = self.fleet.issue(GATEWAY), self.fleet.issue("site broker", server=True)
        self.cloud.pins[GATEWAY] = client.pin
        for source, target in (
            (self.fleet.ca, folder.ca),
            (client.certificate, folder.client_certificate),
            (client.key, folder.client_key),
            (broker.certificate, folder.broker_certificate),
            (broker.key, folder.broker_key),
        ):
            target.write_bytes(source.read_bytes())
        cloud = self.cloud
        address = CloudBroker(
            host="localhost",
            port=cloud.broker.mqtt_port,
            server_name="localhost",
            pins=[cloud.server_pin, "0" * 64],
        )
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        folder.save(
            Settings(
                gateway_id=GATEWAY,
                site_id=SITE,
                shard=SHARD,
                host="localhost",
                port=port,
                listen="127.0.0.1",
                broker_pins=[broker.pin, "0" * 64],
                cloud_broker=address,
            )
        )

    @property
    def pins(self) -> dict[str, str]:
        return {name: identity.pin for name, identity in self.devices.items()}

    def device_client(self, who: str | Identity, **options: Any) -> aiomqtt.Client:
        identity = self.devices[who] if isinstance(who, str) else who
        return aiomqtt.Client(
            "localhost",
            self.folder.load().port,
            identifier=identity.name,
            tls_context=self.fleet.context(identity),
            socket_options=NODELAY,
            timeout=5,
            **options,
        )

    @contextlib.asynccontextmanager
    async def device(self, name: str = DEV1) -> AsyncIterator[Peer]:
        """A device, once it is let in: it keeps trying, as devices do."""
        async with asyncio.timeout(WAIT_S), contextlib.AsyncExitStack() as stack:
            while True:
                try:
                    client = await stack.enter_async_context(self.device_client(name))
                    break
                except aiomqtt.MqttError:
                    await asyncio.sleep(0.02)
            await client.subscribe(f"d/{name}/down/#", qos=1)
            stack.pop_all()
        peer = Peer(client)
        task = asyncio.create_task(peer.run())
        try:
            yield peer
        finally:
            await end(task)
            with contextlib.suppress(aiomqtt.MqttError):
                await client.__aexit__(None, None, None)

    @contextlib.asynccontextmanager
    async def gateway(self) -> AsyncIterator[Gateway]:
        gateway = Gateway(self.folder)
        task = asyncio.create_task(gateway.run())
        try:
            await until(gateway.ready.wait(), task)
            yield gateway
            assert not task.done(), "the gateway ended by itself"
        finally:
            await end(task)

    @contextlib.asynccontextmanager
    async def gateway_process(self) -> AsyncIterator["GatewayProcess"]:
        process = GatewayProcess(self.folder)
        await process.start()
        try:
            yield process
        finally:
            await process.stop(signal.SIGKILL)


class GatewayProcess:
    """`latchwork-gateway run` as an operator starts it; `logged` waits for a line of its log."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.process: asyncio.subprocess.Process | None = None
        self.announced: dict[str, Any] = {}
        self._log: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._reader: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.cli", "run", "--dir", str(self.folder.directory), "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self._log = asyncio.Queue()
        self._reader = asyncio.create_task(self._read_log(self.process))
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), WAIT_S)
        assert line, "the gateway ended before it was ready"
        self.announced = json.loads(line)

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            print(line.decode(), end="")  # pytest shows it with a failure
            with contextlib.suppress(json.JSONDecodeError):
                self._log.put_nowait(json.loads(line))

    async def logged(self, event: str, **fields: object) -> dict[str, Any]:
        """The next line with this event and these fields."""
        async with asyncio.timeout(WAIT_S):
            while True:
                line = await self._log.get()
                if line["event"] == event and fields.items() <= line.items():
                    return line

    async def broker_pid(self) -> int:
        """Of the broker that this process has started."""
        listing = await asyncio.create_subprocess_exec(
            *("ps", "-o", "pid=,comm=", "--ppid", str(self.pid)), stdout=asyncio.subprocess.PIPE
        )
        output, _ = await listing.communicate()
        rows = [line.split() for line in output.decode().splitlines()]
        return next(int(pid) for pid, command in rows if command == "nats-server")

    async def stop(self, number: signal.Signals) -> int:
        assert self.process is not None
        assert self._reader is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        status = await asyncio.wait_for(self.process.wait(), WAIT_S)
        await asyncio.wait([self._reader])
        return status

    async def restart(self, number: signal.Signals = signal.SIGKILL) -> None:
        await self.stop(number)
        await self.start()


async def until(event: Any, task: asyncio.Task[Any]) -> None:
    """Wait for the event, or fail with the task."""
    waiting = asyncio.ensure_future(event)
    await asyncio.wait([waiting, task], timeout=WAIT_S, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    assert waiting.done(), "too late"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    async with world.cloud.serving():
        world.enrol()
        yield world
